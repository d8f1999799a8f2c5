"""What users get wrong: one sentence that says what to do, exit code 1 (2 for wrong usage)."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.ports import free_ports
from tests.interop.raw_rtsp import RawRtsp
from tests.interop.serving import RunningServer, serving, streamsocket

NOWHERE = ("--rtsp-port", "0", "--http-port", "0")


def one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed, and said why in a sentence with these words."""
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("streamsocket: ")
    assert lines[0].endswith((".", "?"))
    for word in words:
        assert word in lines[0]


def text(path: Path, movie: bytes) -> None:
    path.write_text("This is no movie.\n" * 100)


def empty(path: Path, movie: bytes) -> None:
    path.touch()


def without_its_end(path: Path, movie: bytes) -> None:
    path.write_bytes(movie[: len(movie) // 2])  # the index is at the end


def noise(path: Path, movie: bytes) -> None:
    path.write_bytes(movie[:100] + bytes(range(256)) * 100)


def directory(path: Path, movie: bytes) -> None:
    path.mkdir()


def nothing(path: Path, movie: bytes) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (nothing, "no file"),
        (text, "no movie"),
        (empty, "empty"),
        (without_its_end, "cut off"),
        (noise, "cut off"),
        (directory, "directory"),
    ],
)
def test_a_file_that_is_no_movie(
    make: Callable[[Path, bytes], None], word: str, tmp_path: Path, movies: MovieShelf
) -> None:
    path = tmp_path / "film.mp4"
    make(path, movies["pal"].read_bytes())
    one_sentence(streamsocket("serve", str(path), *NOWHERE), str(path), word)


def test_of_a_movie_that_was_cut_off_what_is_there_is_served(
    tmp_path: Path, movies: MovieShelf
) -> None:
    whole = movies["mpegts"].read_bytes()
    path = tmp_path / "film.ts"
    path.write_bytes(whole[: len(whole) // 2])
    with serving(f"film={path}", options=["--once"]) as server:
        server.wait_for_end(20)


def test_a_name_twice(movies: MovieShelf) -> None:
    movie = str(movies["pal"])
    one_sentence(streamsocket("serve", movie, movie, *NOWHERE), "'pal'", "another name")


def test_a_name_that_cannot_be_one(movies: MovieShelf) -> None:
    one_sentence(streamsocket("serve", f"={movies['pal']}", *NOWHERE), "name")


def test_a_size_that_cannot_be_one() -> None:
    one_sentence(streamsocket("serve", "test:0x0", *NOWHERE), "0x0")


def test_a_setting_out_of_bounds() -> None:
    one_sentence(streamsocket("serve", "test", "--rtsp-port", "70000"), "--rtsp-port", "65535")


def test_a_settings_file_with_a_wrong_key(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[rtsp]\nprot = 8554\n")
    one_sentence(streamsocket("serve", "--config", str(settings)), str(settings), "prot")


@pytest.mark.parametrize(
    "arguments", [["serve", "--nonsense"], ["serve", "--rtsp-port", "x"], ["x"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    done = streamsocket(*arguments)
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--rtsp-port", "--http-port", "--udp-port"])
def test_a_port_that_is_taken(option: str, movies: MovieShelf) -> None:
    rtsp, http, udp = free_ports()
    ports = {"--rtsp-port": rtsp, "--http-port": http, "--udp-port": udp}
    kind = socket.SOCK_DGRAM if option == "--udp-port" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", ports[option]))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        options = [text for name, port in ports.items() for text in (name, str(port))]
        done = streamsocket("serve", str(movies["pal"]), *options)
    one_sentence(done, str(ports[option]), option)


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(f"pal={movies['pal']}") as running:
        yield running


def test_a_stream_that_is_not_there(server: RunningServer) -> None:
    with RawRtsp(server.url("nothing")) as rtsp:
        answer = rtsp.describe()
    assert answer.status == 404
    assert "'nothing'" in answer.reason
    ffmpeg = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", server.url("nothing"), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert "404 Not Found" in ffmpeg.stderr
    assert "there is no stream 'nothing'" in ffmpeg.stderr
    one_sentence(streamsocket("probe", server.url("nothing")), "no stream 'nothing'")


def test_a_server_that_is_not_there() -> None:
    port = free_ports()[0]
    one_sentence(streamsocket("probe", f"rtsp://127.0.0.1:{port}/x"), "refuses", str(port))


def test_a_track_that_is_not_there(server: RunningServer) -> None:
    with RawRtsp(server.url("pal")) as rtsp:
        rtsp.describe()
        wrong = server.url("pal") + "/trackID=7"
        answer = rtsp.ask("SETUP", wrong, Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
    assert answer.status == 404
