"""A publisher's life: connecting, losing the server, its threads, and its end."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from frames_helpers import SIZE, until
from publisher_helpers import Far, far_server, numbered

from streamsocket.errors import (
    ArgumentError,
    ClosedError,
    ConnectError,
    StreamSocketError,
    TimedOutError,
)
from streamsocket.frames import aio
from streamsocket.frames.encoding import Encoding
from streamsocket.frames.publisher import Publisher
from streamsocket.frames.states import StateChange


@pytest.fixture
def far() -> Iterator[Far]:
    with far_server() as server:
        yield server


def test_it_comes_back_when_the_server_does(far: Far) -> None:
    changes: list[StateChange] = []
    port = far.port
    with Publisher(far.url(), on_state=changes.append) as publisher:
        publisher.write(numbered(1))
        until(lambda: far.frames[0])
        far.close()
        until(lambda: publisher.state == "lost")
        assert not publisher.write(numbered(2))
        again = Far(port)
        try:
            until(lambda: publisher.state == "live", 10)
            until(lambda: again.frames[0])
            # The newest that was written meanwhile, and what is written now.
            assert again.units[0][0].keyframe
            publisher.write(numbered(3))
            until(lambda: again.numbers[-1] == 3)
            assert 1 not in again.numbers
        finally:
            again.close()
    assert [change.state for change in changes] == [
        "connecting",
        "live",
        "lost",
        "live",
        "ended",
    ] or [change.state for change in changes] == [
        "connecting",
        "live",
        "lost",
        "live",
        "lost",
        "ended",
    ]
    assert f"127.0.0.1:{port}" in changes[2].sentence


def test_a_server_that_is_not_there_is_told_of_at_once_and_can_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    publisher = Publisher(f"rtsp://user:secret@127.0.0.1:{port}/cam", timeout=3)
    with pytest.raises(ConnectError) as refusal:
        publisher.write(numbered(0))
    assert "secret" not in f"{refusal.value} {publisher!r}"
    far = Far(port)
    try:
        assert publisher.write(numbered(4))
        until(lambda: far.numbers == [4])
    finally:
        publisher.close()
        far.close()


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_was_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"
        with (
            pytest.raises(TimedOutError, match=r"has not taken the stream within 0\.3 s"),
            Publisher(url, size=SIZE, timeout=0.3),
        ):
            pass


def test_a_name_that_is_taken_is_told_of(far: Far) -> None:
    with Publisher(far.url(), size=SIZE) as first:
        first.write(numbered(0))
        with pytest.raises(ConnectError), Publisher(far.url(), size=SIZE):
            pass
        assert first.state == "live"


def test_closing_ends_everything_soon_and_twice_is_fine(far: Far) -> None:
    before = set(threading.enumerate())
    publisher = Publisher(far.url(), size=SIZE).open()
    publisher.write(numbered(0))
    assert {thread.name for thread in set(threading.enumerate()) - before} == {
        "streamsocket-encoder",
        f"Publisher to {far.url()}",
    }
    begun = time.monotonic()
    publisher.close()
    publisher.close()
    assert time.monotonic() - begun < 2
    assert set(threading.enumerate()) == before
    assert publisher.state == "ended"
    for act in (
        lambda: publisher.write(numbered(0)),
        publisher.open,
        publisher.__enter__,
    ):
        with pytest.raises(ClosedError, match="is closed"):
            act()
    until(lambda: far.stream is None)


def test_a_server_that_hangs_does_not_hold_up_the_end(far: Far) -> None:
    publisher = Publisher(far.url(), size=SIZE).open()
    publisher.write(numbered(0))
    stuck, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        go_on.wait(10)

    far.background.call(hang)
    stuck.wait(5)
    begun = time.monotonic()
    publisher.close()
    took_s = time.monotonic() - begun
    go_on.set()
    assert took_s < 2.5


def test_one_that_is_forgotten_warns_and_leaves_no_thread(far: Far) -> None:
    before = set(threading.enumerate())
    forgotten = [Publisher(far.url(), size=SIZE).open()]
    with pytest.warns(ResourceWarning, match="was not closed: use 'with'"):
        forgotten.clear()
    assert set(threading.enumerate()) == before


def test_many_threads_may_write(far: Far) -> None:
    with Publisher(far.url()) as publisher:
        threads = [
            threading.Thread(target=lambda n=number: publisher.write(numbered(n)))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: far.frames[0])
        assert publisher.state == "live"
    assert far.ended == 1


def test_an_interrupt_while_it_connects_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"
        publisher = Publisher(url)
        main = threading.get_ident()
        timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            publisher.write(numbered(0))
        timer.join()
        publisher.close()
    assert set(threading.enumerate()) == before


def test_closing_it_while_it_connects_ends_the_wait() -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publisher = Publisher(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam")
        ended: list[Exception] = []

        def write() -> None:
            try:
                publisher.write(numbered(0))
            except ClosedError as error:
                ended.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        connection, _ = silent.accept()
        begun = time.monotonic()
        publisher.close()
        thread.join()
        assert time.monotonic() - begun < 2.5
        connection.close()
    assert len(ended) == 1
    assert set(threading.enumerate()) == before


def test_a_cancelled_write_leaves_nothing_behind() -> None:
    async def main(url: str) -> None:
        async with aio.Publisher(url) as publisher:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(publisher.write(numbered(0)), 0.3)

    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        asyncio.run(main(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"))
        assert time.monotonic() - begun < 3
    assert set(threading.enumerate()) == before


def test_a_callback_that_fails_does_not_end_the_stream(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))

    def fail(change: StateChange) -> None:
        raise RuntimeError(change.state)

    with Publisher(far.url(), on_state=fail) as publisher:
        assert publisher.write(numbered(0))
        until(lambda: far.frames[0])
    assert [str(error) for error in told] == ["connecting", "live", "ended"]


def test_an_encoder_that_fails_is_told_of(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("out of order")

    with Publisher(far.url(), size=SIZE) as publisher:
        monkeypatch.setattr(Encoding, "_encode", fail)
        publisher.write(numbered(0))
        until(lambda: publisher._line and publisher._line.encoding.failure)
        with pytest.raises(StreamSocketError, match=r"The encoder has failed \(out of order\)"):
            publisher.write(numbered(0))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_and_leaves_the_parents_alone(far: Far) -> None:
    with Publisher(far.url()) as publisher:
        publisher.write(numbered(1))
        child = os.fork()
        if not child:
            code = 1
            try:
                publisher.write(numbered(2))
            except ClosedError as error:
                code = 0 if "forked" in str(error) else 2
            publisher.close()
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        publisher.write(numbered(3))
        until(lambda: 3 in far.numbers)
    assert 2 not in far.numbers


WHIP = "http://127.0.0.1/cam/whip"


def test_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled: make one in the process"):
        pickle.dumps(Publisher("rtsp://127.0.0.1/cam"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "http://127.0.0.1/cam"}, "^url: It is to be of the form http://host:8080/name/w"),
        ({"url": "https://127.0.0.1/whip"}, "^url: It is to be of the form http://host:8080/n"),
        ({"url": "ftp://127.0.0.1/cam"}, "^url: 'ftp' is not rtsp://"),
        ({"url": WHIP, "codec": "mjpeg"}, "^codec: WebRTC doesn't carry 'mjpeg', only h264, "),
        ({"url": WHIP, "preset": "mjpeg"}, "^codec: WebRTC doesn't carry 'mjpeg'"),
        ({"url": WHIP, "audio": {"codec": "aac"}}, "^audio: WebRTC doesn't carry 'aac', only opus"),
        ({"url": "rtsp://127.0.0.1"}, "^url: It lacks a name"),
        ({"url": "rtmp://127.0.0.1"}, "^url: An RTMP address is"),
        ({"url": 5}, "^url: 5 is not a text"),
        ({"codec": "theora"}, "^codec: 'theora' is none of h264, h265, vp8, vp9, av1, mjpeg"),
        ({"preset": "fast"}, "^preset: 'fast' is none of"),
        ({"preset": "mjpeg", "codec": "vp8"}, "^preset: 'mjpeg' is no preset of vp8"),
        ({"bitrate": 5}, "^bitrate: 5 is not between"),
        ({"fps": 0}, "^fps: 0 is not between"),
        ({"size": (64, 8)}, r"^size: \(64, 8\) is not"),
        ({"size": 64}, "^size: 64 is not"),
        ({"keyframe_interval": 0}, "^keyframe_interval: 0 is not"),
        ({"timeout": float("inf")}, "^timeout: inf is not"),
        ({"repeat_after": -1}, "^repeat_after: -1 is not"),
        ({"transport": "quic"}, "^transport: 'quic' is none of"),
        ({"encoder": "h264_magic"}, "^encoder: 'h264_magic' is none of auto, software, h264_nvenc"),
        ({"encoder": "h264_nvenc", "codec": "vp8"}, "^encoder: h264_nvenc makes H.264"),
        ({"audio": {"rate": 1}}, "^audio: a rate of 1"),
    ],
)
def test_arguments_are_checked_by_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        Publisher(**{"url": "rtsp://127.0.0.1/cam", **options})  # type: ignore[arg-type]
