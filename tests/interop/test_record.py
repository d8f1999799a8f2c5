"""`streamsocket record` of `streamsocket serve`, as users run both."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from tests.interop.movies import MovieShelf
from tests.interop.serving import COMMAND, RunningServer, serving, streamsocket

from streamsocket.media import h264

JOINED_S = 2.0
"""After that much, a recording is as live as everybody; before, pictures go by faster."""


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    sources = [f"{name}={movies[name]}" for name in ("b_frames", "opus")]
    with serving(*sources, "test=test:320x180@25") as running:
        yield running


@dataclass
class Packet:
    pts_s: float
    digest: str
    keyframe: bool


def packets(path: Path) -> dict[str, list[Packet]]:
    """What is in a file, by kind. Of pictures, only the slices count, however they are kept."""
    found: dict[str, list[Packet]] = {"video": [], "audio": []}
    with av.open(path) as container:
        for packet in container.demux():
            if not packet.size or packet.pts is None:
                continue
            data = bytes(packet)
            kind = packet.stream.type
            if kind == "video":
                units = h264.split_length_prefixed(data, 4)
                data = b"".join(unit for unit in units if h264.nal_type(unit) <= h264.IDR)
            seconds = float(packet.pts * packet.time_base)
            digest = hashlib.md5(data).hexdigest()
            found[kind].append(Packet(seconds, digest, packet.is_keyframe))
    return found


def assert_plays(path: Path) -> None:
    """FFmpeg decodes all of it, without a word."""
    for stream, form in (("v", "rawvideo"), ("a", "s16le")):
        done = subprocess.run(
            ["ffmpeg", "-v", "warning", "-xerror", "-i", path, "-map", f"0:{stream}"]
            + ["-fps_mode", "passthrough", "-enc_time_base", "1:90000"] * (stream == "v")
            + ["-f", form, "-y", "/dev/null"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")


def apart_s(recorded: dict[str, list[Packet]], movie: dict[str, list[Packet]]) -> list[float]:
    """How much further apart sound and pictures that are near each other are than in the movie."""
    shifts = {}
    for kind, found in recorded.items():
        times = Counter(packet.digest for packet in movie[kind])
        places = {packet.digest: packet.pts_s for packet in movie[kind]}
        shifts[kind] = [
            (packet.pts_s, packet.pts_s - places[packet.digest])
            for packet in found
            if packet.pts_s > JOINED_S and times[packet.digest] == 1
        ]
    return [
        sound_shift - shift
        for at, shift in shifts["video"]
        for sound_at, sound_shift in shifts["audio"]
        if abs(at - sound_at) < 0.5 and abs(sound_shift - shift) < 1  # or of another pass
    ]


@pytest.mark.parametrize(
    ("name", "suffix", "transport"),
    [("b_frames", ".mp4", "auto"), ("b_frames", ".mkv", "tcp"), ("opus", ".mp4", "udp")],
)
def test_a_movie_is_recorded_as_it_is(
    server: RunningServer,
    movies: MovieShelf,
    tmp_path: Path,
    name: str,
    suffix: str,
    transport: str,
) -> None:
    path = tmp_path / f"clip{suffix}"
    done = streamsocket(
        *("record", server.url(name), str(path), "--seconds", "7", "--transport", transport)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: 0:0")
    assert "H.264" in done.stdout
    recorded, movie = packets(path), packets(movies[name])
    digests = [packet.digest for packet in recorded["video"]]
    passes = [packet.digest for packet in movie["video"]] * 4
    begin = next(place for place in range(100) if passes[place : place + 50] == digests[:50])
    assert digests == passes[begin : begin + len(digests)]
    assert recorded["video"][0].keyframe
    assert recorded["video"][0].pts_s == 0
    assert recorded["video"][-1].pts_s == pytest.approx(7, abs=0.2)
    assert {packet.digest for packet in recorded["audio"]} <= {
        packet.digest for packet in movie["audio"]
    }
    apart = apart_s(recorded, movie)
    assert len(apart) > 50
    assert max(map(abs, apart)) < 0.002
    assert_plays(path)


class Recorder:
    """`streamsocket record`, still running."""

    def __init__(self, *arguments: str, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [*COMMAND, "record", *arguments, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until(self, what: Callable[[], bool], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not what():
            assert time.monotonic() < deadline, "it did not come to that in time"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def wait_for_bytes(self, count: int) -> None:
        self.wait_until(lambda: self.path.exists() and self.path.stat().st_size > count)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send it a signal; returns exit code, stdout and stderr."""
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=20)
        return self.process.returncode, out, error


@contextmanager
def recording(*arguments: str, path: Path) -> Iterator[Recorder]:
    recorder = Recorder(*arguments, path=path)
    try:
        yield recorder
    finally:
        recorder.process.kill()
        recorder.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_file_in_order(
    server: RunningServer, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "clip.mp4"
    with recording(server.url("test"), path=path) as recorder:
        recorder.wait_for_bytes(10_000)
        code, out, error = recorder.end(number)
    assert (code, error) == (0, "")
    assert out.startswith(f"{path}: 0:0")
    assert len(out.splitlines()) == 1
    assert_plays(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_after_a_kill_all_but_the_last_moments_can_be_played(
    server: RunningServer, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"clip{suffix}"
    seconds = 6.0
    with recording(server.url("test"), path=path) as recorder:
        recorder.wait_for_bytes(0)
        began = time.monotonic()  # not a wait for anything: how long it lives is what is tested
        time.sleep(seconds)
        recorder.process.kill()
        lived_s = time.monotonic() - began
    found = packets(path)
    for kind in ("video", "audio"):
        assert found[kind][-1].pts_s >= lived_s - 1.5
    assert_plays(path)


def test_no_more_room_is_told_and_what_was_written_can_be_played(
    server: RunningServer, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    done = subprocess.run(
        ["prlimit", "--fsize=300000", *COMMAND, "record", server.url("test"), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"streamsocket: '{path}' could not be written to its end: File too large. The first 0:"
    )
    assert done.stderr.count("\n") == 1
    assert path.stat().st_size <= 300_000
    assert packets(path)["video"][-1].pts_s > 1
    assert_plays(path)


def test_mistakes_are_told_in_a_sentence(server: RunningServer, tmp_path: Path) -> None:
    there = tmp_path / "there.mp4"
    there.write_bytes(b"precious")
    test = server.url("test")
    for url, path, sentence in (
        (test, there, f"'{there}' exists already: use another name, or --overwrite."),
        (test, tmp_path / "no" / "a.mp4", f"There is no folder '{tmp_path / 'no'}' for 'a.mp4'."),
        (test, there / "a.mp4", f"There is no folder '{there}' for 'a.mp4'."),
        (test, tmp_path / "a.avi", "The name 'a.avi' does not say what to write: let it end with "),
        (test, tmp_path / "a.webm", "WebM files cannot hold H.264: record to 'a.mkv' instead."),
        (server.url("nothing"), tmp_path / "a.mp4", "There is no stream 'nothing' on "),
        ("rtsp://", tmp_path / "a.mp4", ""),
        ("movie.mp4", tmp_path / "a.mp4", ""),
    ):
        done = streamsocket("record", url, str(path))
        assert done.returncode == 1, path
        assert done.stderr.startswith(f"streamsocket: {sentence}"), done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert there.read_bytes() == b"precious"
    assert [each.name for each in tmp_path.iterdir()] == ["there.mp4"]


def test_an_existing_file_can_be_overwritten(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not so precious")
    done = streamsocket("record", server.url("test"), str(path), "--seconds", "1", "--overwrite")
    assert (done.returncode, done.stderr) == (0, "")
    assert_plays(path)


class Relay:
    """A way to the server that can break."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server = ("127.0.0.1", port)
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def break_off(self) -> None:
        """All connections are gone at once."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_off()
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += (client, server)
                for pair in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=pair))
                    self._threads[-1].start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_a_lost_connection_is_taken_up_again(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    relay = Relay(server.rtsp_port)
    url = f"rtsp://127.0.0.1:{relay.port}/test"
    try:
        with recording(url, "--transport", "tcp", path=path) as recorder:
            recorder.wait_for_bytes(20_000)
            began = time.monotonic()
            relay.break_off()
            size = path.stat().st_size
            recorder.wait_for_bytes(size + 60_000)
            more_s = time.monotonic() - began
            code, out, error = recorder.end(signal.SIGINT)
    finally:
        relay.close()
    assert (code, error) == (0, "")
    lost, back, summary = out.splitlines()
    assert lost.endswith("It is tried again until it is back.")
    assert back == "The connection is back."
    assert summary.startswith(f"{path}: ")
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4"]
    found = packets(path)
    end_s = max(packet.pts_s for packet in found["video"])
    assert end_s > more_s  # the gap is in it
    assert abs(found["audio"][-1].pts_s - end_s) < 0.3
    assert_plays(path)


def test_the_end_of_the_server_ends_the_recording(movies: MovieShelf, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with serving("test=test:320x180@25") as server:
        with recording(server.url("test"), path=path) as recorder:
            recorder.wait_for_bytes(10_000)
            server.stop()
            out, error = recorder.process.communicate(timeout=10)
        assert (recorder.process.returncode, error) == (0, "")
        assert len(out.splitlines()) == 1
    assert_plays(path)


def test_ffprobe_agrees_about_what_is_in_it(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    streamsocket("record", server.url("test"), str(path), "--seconds", "3")
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", path],
        capture_output=True,
        check=True,
        timeout=30,
    )
    found = json.loads(shown.stdout)
    picture, sound = found["streams"]
    assert (picture["codec_name"], picture["width"], picture["height"]) == ("h264", 320, 180)
    assert (sound["codec_name"], sound["sample_rate"]) == ("opus", "48000")
    assert float(found["format"]["start_time"]) == 0
    assert float(found["format"]["duration"]) == pytest.approx(3, abs=0.2)
    assert float(sound["start_time"]) < 0.05
