"""A Subscriber against a server that misbehaves: states, deadlines, closing, forks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.reduction import ForkingPickler

import pytest
from client_helpers import refuse
from frames_helpers import SIZE, fake_server, until

from streamsocket.errors import ArgumentError, ClosedError, ConnectError, TimedOutError
from streamsocket.frames import aio
from streamsocket.frames.states import StateChange
from streamsocket.frames.subscriber import Subscriber

SHAPE = SIZE[1], SIZE[0], 3


@pytest.fixture
def silent() -> object:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"rtsp://127.0.0.1:{listening.getsockname()[1]}/live"


def later(seconds: float, function: Callable[..., object], *arguments: object) -> threading.Timer:
    timer = threading.Timer(seconds, function, arguments)
    timer.start()
    return timer


# What it gives.


def test_pictures_and_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _), Subscriber(server.url, audio=True) as sub:
        assert sub.state == "live"
        assert sub.tracks == {"video": "h264", "audio": "opus"}
        times = []
        for frame in sub:
            assert frame.image.shape == SHAPE
            times.append(frame.capture_time)
            if len(times) == 20:
                break
        assert times == sorted(set(times)), "each once, and never an older one"
        assert frame.capture_clock == "sender"
        assert 0.09 < frame.latency < 1
        assert sub.decoder == "h264"
        block = sub.audio.read(5)
        assert block.samples.shape[1] == 2
        assert abs(block.capture_time - frame.capture_time) < 5
        assert next(iter(sub.audio)).capture_time > block.capture_time


def test_a_slow_consumer_gets_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch, sound=False) as (server, _), Subscriber(server.url) as sub:
        sub.read(5)
        for _ in range(5):
            time.sleep(0.2)
            frame = sub.read(5)
            assert frame.dropped >= 5
            assert frame.latency < 0.1 + 0.15, "it was captured 0.1 s before it was sent"


def test_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch, sound=False) as (server, _),
        Subscriber(server.url, every_frame=True) as sub,
    ):
        frames = []
        for frame in sub:
            frames.append(frame)
            if len(frames) == 10:
                time.sleep(0.5)
            if len(frames) == 60:
                break
        ticks = [frame.rtp_timestamp for frame in frames]
        assert {after - before for before, after in pairwise(ticks)} == {900}
        assert not any(frame.dropped for frame in frames)


def test_every_frame_has_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch, sound=False) as (server, _),
        Subscriber(server.url, every_frame=True, max_queue=10) as sub,
    ):
        first = sub.read(5)
        time.sleep(0.6)
        frames = [first] + [sub.read(5) for _ in range(25)]
        dropped = sum(frame.dropped for frame in frames)
        assert dropped > 20
        passed = (frames[-1].rtp_timestamp - first.rtp_timestamp) // 900
        assert passed == dropped + len(frames) - 1, "what is missing is told, to the picture"


def test_latest_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch, sound=False, sends=False) as (server, _),
        Subscriber(server.url, transport="tcp") as sub,
    ):
        assert sub.latest() is None
        server.sends = True
    with fake_server(monkeypatch) as (server, _), Subscriber(server.url, audio=True) as sub:
        until(lambda: sub.latest())
        until(lambda: sub.audio.latest())


def test_sound_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch) as (server, _),
        Subscriber(server.url, video=False, audio=True) as sub,
    ):
        assert len(sub.audio.read(5).samples)
        with pytest.raises(ArgumentError, match=r"^video: "):
            sub.read(1)


def test_threads_share_a_subscriber(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _), Subscriber(server.url, audio=True) as sub:
        seen: list[float] = []
        heard: list[float] = []

        def look() -> None:
            seen.extend(frame.capture_time for frame in sub)

        def listen() -> None:
            heard.extend(block.capture_time for block in sub.audio)

        threads = [threading.Thread(target=target) for target in (look, look, listen)]
        for thread in threads:
            thread.start()
        until(lambda: len(seen) > 20 and len(heard) > 20)
        sub.close()
        for thread in threads:
            thread.join(3)
            assert not thread.is_alive()
        assert len(set(seen)) == len(seen), "each picture goes to one of them"


# States.


def test_a_lost_stream_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[StateChange] = []
    threads = set()

    def note(change: StateChange) -> None:
        changes.append(change)
        threads.add(threading.current_thread().name)
        raise RuntimeError("a callback's own mistake ends nothing")

    with fake_server(monkeypatch) as (server, background):
        with Subscriber(server.url, on_state=note, timeout=5) as sub:
            sub.read(5)
            background.call(lambda: server.connections[-1].end())
            until(lambda: sub.state == "lost")
            frame = sub.read(5)
            assert sub.state == "live"
            assert frame.image.shape == SHAPE
            background.call(lambda: server.connections[-1].say_goodbye())
            until(lambda: [change.state for change in changes][-2:] == ["ended", "live"])
            sub.read(5)
        assert [change.state for change in changes] == ["live", "lost", "live", "ended", "live"]
        assert changes[1].sentence
        assert "has ended" in changes[3].sentence
        assert time.time() - 20 < changes[0].time <= changes[1].time
        assert len(threads) == 1
        assert threading.current_thread().name not in threads


def test_states_are_iterated_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, background):
        sub = Subscriber(server.url, wait=False)
        states: list[str] = []

        def watch() -> None:
            states.extend(change.state for change in sub.states())

        with sub:
            watching = threading.Thread(target=watch)
            watching.start()
            sub.read(5)
            background.call(lambda: server.connections[-1].end())
            until(lambda: states[-2:] == ["lost", "live"])
        watching.join(3)
        assert not watching.is_alive()
        assert states[-3:] == ["live", "lost", "live"]


def test_no_stale_picture_after_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, background), Subscriber(server.url) as sub:
        sub.read(5)
        time.sleep(0.1)
        background.call(lambda: server.connections[-1].end())
        until(lambda: sub.state == "lost")
        assert sub.latest() is None


def test_without_reconnecting_a_stream_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, background):
        with Subscriber(server.url, reconnect=False) as sub:
            sub.read(5)
            background.call(lambda: server.connections[-1].say_goodbye())
            assert len(list(sub)) >= 0
            assert sub.state == "ended"
            with pytest.raises(ClosedError, match="at the stream's end"):
                sub.read(1)
        with Subscriber(server.url, reconnect=False) as sub:
            sub.read(5)
            background.call(lambda: server.connections[-1].end())
            with pytest.raises(ConnectError):
                list(sub)
            with pytest.raises(ConnectError):
                sub.read(1)


# What cannot be.


def test_entering_waits_for_a_stream_that_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, background):
        server.answer = refuse("DESCRIBE", 404, "Not Found")
        background.call(
            lambda: asyncio.get_running_loop().call_later(
                0.5, setattr, server, "answer", lambda _: None
            )
        )
        with Subscriber(server.url) as sub:
            assert sub.state == "live"


def test_entering_ends_with_what_the_server_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _):
        server.answer = refuse("DESCRIBE", 404, "Not Found")
        began = time.monotonic()
        with (
            pytest.raises(ConnectError, match=r"404|no stream|not"),
            Subscriber(server.url, timeout=0.5),
        ):
            pass
        assert 0.4 < time.monotonic() - began < 2
        server.answer = refuse("DESCRIBE", 403, "Forbidden")
        began = time.monotonic()
        with pytest.raises(ConnectError), Subscriber(server.url):
            pass
        assert time.monotonic() - began < 2, "what won't change is not waited for"


def test_entering_has_a_deadline(silent: str) -> None:
    began = time.monotonic()
    with (
        pytest.raises((TimedOutError, ConnectError), match=r"127\.0\.0\.1"),
        Subscriber(silent, timeout=0.3),
    ):
        pass
    assert time.monotonic() - began < 2.5


def test_entering_need_not_wait(silent: str) -> None:
    began = time.monotonic()
    with Subscriber(silent, wait=False) as sub:
        assert time.monotonic() - began < 1
        assert sub.state == "connecting"
        with pytest.raises(
            TimedOutError, match=r"No picture .* within 0.1 s; the stream is connecting"
        ):
            sub.read(0.1)
    assert time.monotonic() - began < 2.5


def test_a_password_is_shown_nowhere(silent: str) -> None:
    secret = silent.replace("//", "//user:secret@")
    with Subscriber(secret, wait=False) as sub:
        names = [thread.name for thread in threading.enumerate()]
        with pytest.raises(TimedOutError) as caught:
            sub.read(0.05)
        for shown in (sub.url, repr(sub), str(caught.value), *names):
            assert "secret" not in shown


def test_a_url_that_is_none_is_told() -> None:
    for url in ("", "lobby", "rtsp://", "rtsp://host:99999/x"):
        with pytest.raises(ConnectError), Subscriber(url):
            pass


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("url", {"url": 7}),
        ("video", {"video": False}),
        ("transport", {"transport": "pigeon"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": float("nan")}),
        ("timeout", {"timeout": "10"}),
        ("max_queue", {"max_queue": 0}),
        ("max_queue", {"max_queue": 1.5}),
        ("decoder", {"decoder": "magic"}),
        ("ice_servers", {"ice_servers": ["turn:nobody.example"]}),
    ],
)
def test_errors_name_the_argument(name: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}: ") as caught:
        Subscriber(**{"url": "rtsp://127.0.0.1/x", **wrong})  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)


def test_a_deadline_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch) as (server, _),
        Subscriber(server.url) as sub,
        pytest.raises(ArgumentError, match=r"^timeout: -1"),
    ):
        sub.read(-1)


def test_sound_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch) as (server, _),
        Subscriber(server.url) as sub,
        pytest.raises(ArgumentError, match=r"^audio: .*audio=True"),
    ):
        sub.audio.read(1)


# Opening, closing, interrupting.


def test_it_is_of_use_within_its_context_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _):
        sub = Subscriber(server.url)
        for use in (sub.read, sub.latest, lambda: next(sub)):
            with pytest.raises(ClosedError, match="within its 'with'"):
                use()
        with sub:
            sub.read(5)
            with pytest.raises(ClosedError, match="make a new one"):
                sub.open()
        for use in (sub.read, sub.latest):
            with pytest.raises(ClosedError, match="closed"):
                use()
        assert list(sub) == []
        sub.close()
        until(lambda: server.open_connections == 0)


def test_closing_from_another_thread_ends_everything(silent: str) -> None:
    for wait in (lambda sub: sub.read(), lambda sub: next(sub), lambda sub: sub.read(60)):
        with Subscriber(silent, wait=False) as sub:
            timer = later(0.1, sub.close)
            began = time.monotonic()
            with pytest.raises((ClosedError, StopIteration)):
                wait(sub)
            assert time.monotonic() - began < 2.2
            timer.join()


def test_a_callback_can_close(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _):
        sub = Subscriber(server.url, wait=False, on_state=lambda change: sub.close())
        with sub:
            assert len(list(sub)) <= 1


@pytest.mark.parametrize("where", ["open", "read", "iterate", "states"])
def test_ctrl_c_leaves_nothing_behind(silent: str, where: str) -> None:
    def use() -> None:
        with Subscriber(silent, wait=where == "open") as sub:
            {"read": sub.read, "iterate": sub.__next__, "states": lambda: list(sub.states())}[
                where
            ]()

    descriptors = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    timer = later(0.2, os.kill, os.getpid(), signal.SIGINT)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        use()
    assert time.monotonic() - began < 2.5
    timer.join()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_after_ctrl_c_it_can_be_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server(monkeypatch, sends=False) as (server, _),
        Subscriber(server.url, transport="tcp") as sub,
    ):
        timer = later(0.1, os.kill, os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            sub.read()
        timer.join()
        with pytest.raises(TimedOutError):
            sub.read(0.05)


def test_one_that_is_forgotten_is_closed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _):
        threads = threading.active_count()
        sub = Subscriber(server.url).open()
        sub.read(5)
        with pytest.warns(ResourceWarning, match="was not closed"):
            del sub
        until(lambda: threading.active_count() == threads)


def test_a_server_that_dies_silently_is_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _):
        with Subscriber(server.url) as sub:
            sub.read(5)
            server.answer = lambda request: b""  # TEARDOWN is never answered
            began = time.monotonic()
        assert time.monotonic() - began < 2.2


# Processes.


def test_one_that_is_given_to_a_spawned_process_is_refused() -> None:
    for sub in (Subscriber("rtsp://127.0.0.1/x"), aio.Subscriber("rtsp://127.0.0.1/x")):
        with pytest.raises(TypeError, match="cannot be pickled: make one in the process"):
            ForkingPickler.dumps(sub)


def test_a_forked_child_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch) as (server, _), Subscriber(server.url) as sub:
        sub.read(5)
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads: just so
            child = os.fork()
        if child == 0:
            said = []
            for use in (sub.read, sub.latest, lambda: next(sub)):
                try:
                    use()
                except ClosedError as error:
                    said.append(str(error))
            sub.close()
            with Subscriber(server.url) as own:
                said.append(str(own.read(5).image.shape))
            os.write(writing, "\n".join(said).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read().splitlines()
        assert os.waitpid(child, 0)[1] == 0
        assert len(said) == 4
        assert all("forked" in line for line in said[:3])
        assert said[3] == str(SHAPE)
        assert sub.read(5).image.shape == SHAPE, "the parent's goes on"
