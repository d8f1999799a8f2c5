"""Files in every codec that RTP carries arrive as they are, and in sync, at FFmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.interop.serving import RunningServer, serving
from tests.interop.sync import beeps_in

from streamsocket.sources import yardstick
from streamsocket.sources.movie import make_movie

_WATCHED_S = 5
_JOINED_S = 2.0
"""After this, who has joined is live, and times are no longer squeezed."""
_H265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=1:bframes=2")


@dataclass(frozen=True)
class _File:
    suffix: str
    options: tuple[str, ...]
    video: str
    """By FFmpeg's name, as `audio`."""
    audio: str


_FILES = {
    "h265": _File(".mp4", (*_H265, "-g", "25", "-tag:v", "hvc1", "-c:a", "copy"), "hevc", "aac"),
    "vp8": _File(
        ".mkv",
        (
            *("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "500k", "-g", "25"),
            *("-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"),
        ),
        "vp8",
        "pcm_mulaw",
    ),
    "mjpeg": _File(
        ".mov",
        ("-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"),
        "mjpeg",
        "pcm_s16be",
    ),
    "h264": _File(
        ".mkv",
        ("-c:v", "copy", "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"),
        "h264",
        "pcm_alaw",
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("movies")
    first = folder / "movie.mp4"
    make_movie(first, seconds=2, size=(320, 176), rate=Fraction(25), gop_seconds=1, b_frames=0)
    sources = []
    for name, file in _FILES.items():
        path = folder / f"{name}{file.suffix}"
        command = ["ffmpeg", "-v", "error", "-i", str(first), *file.options, str(path)]
        subprocess.run(command, check=True, timeout=60)
        sources.append(f"{name}={path}")
    with serving(*sources) as running:
        yield running


@pytest.fixture(scope="module")
def recordings(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """What FFmpeg makes of every stream, over both transports."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = {
        (name, transport): folder / f"{name}_{transport}.nut"
        for name in _FILES
        for transport in ("tcp", "udp")
    }
    with ThreadPoolExecutor(len(paths)) as pool:
        complaints = pool.map(lambda each: _record(server.url(each[0][0]), *each), paths.items())
    assert not "".join(complaints)
    return paths


def _record(url: str, name_and_transport: tuple[str, str], recording: Path) -> str:
    """Decode some seconds with FFmpeg; return what it complains of."""
    _, transport = name_and_transport
    command = ["ffmpeg", "-v", "error", "-rtsp_transport", transport, "-timeout", "5000000"]
    command += ["-i", url, "-t", str(_WATCHED_S), "-fps_mode", "passthrough"]
    command += ["-enc_time_base", "1:90000", "-c:v", "rawvideo", "-pix_fmt", "gray"]
    command += ["-c:a", "pcm_f32le", str(recording)]
    played = subprocess.run(command, capture_output=True, text=True, timeout=30)
    # It cuts its own last picture short.
    return "".join(line for line in played.stderr.splitlines() if "EOI missing" not in line)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("name", _FILES)
def test_ffmpeg_plays_it_in_sync(
    name: str, transport: str, recordings: dict[tuple[str, str], Path]
) -> None:
    flashes, beeps, pictures = _flashes_and_beeps(recordings[name, transport])
    assert len(pictures) >= 20 * _WATCHED_S
    live = [flash for flash in flashes if _JOINED_S < flash < _WATCHED_S - 0.1]
    assert len(live) >= 2
    off = [min((beep - flash for beep in beeps), key=abs) for flash in live]
    assert off == pytest.approx([0.0] * len(live), abs=0.002)


@pytest.mark.parametrize("name", _FILES)
def test_it_is_announced_as_what_it_is(name: str, server: RunningServer) -> None:
    assert server.stream(name)["message"] is None  # nothing is transcoded
    with av.open(server.url(name), options={"rtsp_transport": "tcp", "timeout": "5000000"}) as seen:
        video, audio = seen.streams.video[0].codec_context, seen.streams.audio[0].codec_context
        assert (video.codec.canonical_name, audio.codec.canonical_name) == (
            _FILES[name].video,
            _FILES[name].audio,
        )
        assert (video.width, video.height) == (320, 176)


def _flashes_and_beeps(recording: Path) -> tuple[list[float], list[float], list[float]]:
    """When flashes and beeps begin, and when there is a picture, in seconds."""
    flashes, pictures = [], []
    with av.open(str(recording)) as movie:
        for frame in movie.decode(video=0):
            pictures.append(float(frame.time or 0))
            if yardstick.is_flash(np.asarray(frame.to_ndarray(), np.uint8)):
                flashes.append(pictures[-1])
    return flashes, beeps_in(recording), pictures
