"""FFmpeg's own WHIP muxer publishes, as far as the FFmpeg that PyAV brings along can."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.interop import players
from tests.interop.aiortc_running import watch
from tests.interop.movies import Movie, make
from tests.interop.peers import whip_publisher
from tests.interop.serving import RunningServer, serving
from tests.interop.sync import sound_minus_picture_s

OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")
RATE = 30
SECONDS = 40


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whip") / "movie.mkv"
    make(Movie(Fraction(RATE), audio="libopus", seconds=Fraction(SECONDS)), path)
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(options=OPTIONS, wait_for=()) as running:
        yield running


@pytest.fixture(autouse=True)
def _has_whip(cannot_test: Callable[[str], NoReturn]) -> None:
    if "whip" not in av.formats_available:
        cannot_test("WHIP from FFmpeg: PyAV's FFmpeg has no such muxer")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The muxer's options for a certificate of P-256; its own is of P-224 where GnuTLS makes it."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = {"cert_file": folder / "certificate.pem", "key_file": folder / "key.pem"}
    files["cert_file"].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files["key_file"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {option: str(path) for option, path in files.items()}


@contextmanager
def publishing(
    server: RunningServer, name: str, movie: Path, options: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Publish a movie until the block ends."""
    url = f"http://{server.host}:{server.http_port}/{name}/whip"
    settings = [f"{option}={value}" for option, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, whip_publisher.__file__, str(movie), url, *settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def wait_until_live(server: RunningServer, name: str, publisher: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 10
    while f'streamsocket_stream_up{{stream="{name}"}}' not in server.metrics():
        assert publisher.poll() is None, publisher.communicate()[1]
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.1)


def test_what_it_publishes_plays_everywhere_in_sync(
    server: RunningServer, movie: Path, certificate: dict[str, str], tmp_path: Path
) -> None:
    with publishing(server, "lobby", movie, certificate) as publisher:
        wait_until_live(server, "lobby", publisher)
        recording = tmp_path / "recording.mkv"
        players.ffmpeg_record(server.url("lobby"), "tcp", 5, recording)
        tracks = server.stream("lobby")["tracks"]
        assert [track["codec"] for track in tracks] == ["h264", "opus"]
        assert tracks[0]["frame_rate"] == pytest.approx(RATE, rel=0.1)
        played = players.gstreamer(server.url("lobby"), "udp", 2)
        assert played.pictures > RATE, played.complaints
        assert played.sound_s > 1, played.complaints
        seen = watch(server, "lobby", 1)
        assert seen["video"]["rate"] == pytest.approx(RATE, rel=0.2)
        assert seen["lost"] == 0
        assert seen["audio"]["energy"] > 0.1
        complaints = publisher.communicate(timeout=15)[1]
        assert publisher.returncode == 0, complaints
    offsets = sound_minus_picture_s(recording)
    assert len(offsets) >= 2
    assert abs(statistics.median(offsets)) < 0.03, offsets


def test_a_certificate_that_nobody_takes_any_more_is_explained(
    server: RunningServer, movie: Path, cannot_test: Callable[[str], NoReturn]
) -> None:
    with publishing(server, "attic", movie, {}) as publisher:
        deadline = time.monotonic() + 15
        while "'attic': " not in server.output():
            if 'stream="attic"' in server.get("/metrics").decode():
                cannot_test(
                    "FFmpeg's own certificate being refused: this one's is of another curve"
                )
            assert time.monotonic() < deadline, server.output()
            time.sleep(0.1)
        assert publisher.wait(10) == 1
    (line,) = [line for line in server.output().splitlines() if "'attic': " in line]
    assert "elliptic curve" in line
    assert "-cert_file" in line
