"""A loop in a thread of its own: results, deadlines, interruptions, forks."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from streamsocket.errors import ClosedError, TimedOutError
from streamsocket.frames.background import Background


@pytest.fixture
def background() -> Iterator[Background]:
    made = Background("a test's")
    yield made
    made.close()


async def forever(cancelled: list[bool]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.append(True)


def until(condition: object) -> None:
    deadline = time.monotonic() + 5
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_results_and_errors_come_back(background: Background) -> None:
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise TimeoutError("its own")

    assert background.run(answer()) == 42
    with pytest.raises(TimeoutError, match="its own"):
        background.run(fail())


def test_a_deadline_cancels(background: Background) -> None:
    cancelled: list[bool] = []
    began = time.monotonic()
    with pytest.raises(TimedOutError, match="Nothing came"):
        background.run(forever(cancelled), 0.05, "Nothing came.")
    assert time.monotonic() - began < 1
    until(lambda: cancelled)


def test_it_is_a_selector_loop_everywhere(background: Background) -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert isinstance(background.run(loop()), asyncio.SelectorEventLoop)


def test_ctrl_c_ends_the_wait_and_cancels(background: Background) -> None:
    cancelled: list[bool] = []
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        background.run(forever(cancelled))
    timer.join()
    until(lambda: cancelled)


def test_closing_ends_those_who_wait(background: Background) -> None:
    cancelled: list[bool] = []
    timer = threading.Timer(0.05, background.close)
    timer.start()
    with pytest.raises(ClosedError, match="closed"):
        background.run(forever(cancelled))
    timer.join()
    assert cancelled


def test_closing_leaves_no_thread_and_no_descriptor() -> None:
    threads = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        made = Background()
        made.close()
        made.close()
        assert made.closed
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_nothing_runs_after_closing(background: Background) -> None:
    background.close()
    for use in (lambda: background.run(forever([])), lambda: background.call(lambda: None)):
        with pytest.raises(ClosedError, match="is closed"):
            use()


def test_a_callback_cannot_wait_for_its_own_thread(background: Background) -> None:
    async def inside() -> str:
        try:
            background.run(forever([]))
        except ClosedError as error:
            return str(error)
        return ""

    assert "callback" in background.run(inside(), 5)


def test_a_callback_can_close(background: Background) -> None:
    background.call(background.close)
    until(lambda: not background._thread.is_alive())


def test_a_forked_child_is_told_to_make_its_own(background: Background) -> None:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads: just so
        child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            background.run(forever([]))
        except ClosedError as error:
            said = str(error).encode()
        background.close()
        own = Background()
        own.run(asyncio.sleep(0), 5)
        own.close()
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert b"forked" in said
    assert background.run(asyncio.sleep(0, "still here"), 5) == "still here"
