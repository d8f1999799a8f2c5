"""aiortc publishes by WHIP and watches by WHEP, in a process of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from tests.interop import players
from tests.interop.aiortc_running import publishing, watch
from tests.interop.movies import Movie, make
from tests.interop.serving import RunningServer, serving

OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")
RATE = 30


@pytest.fixture(scope="module")
def movies_by_codec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    # What is published has to last for the whole test; what is served begins again.
    for codec, encoder, seconds in (("h264", "libx264", 40), ("vp8", "libvpx", 4)):
        found[codec] = tmp_path_factory.mktemp("aiortc") / f"{codec}.mkv"
        movie = Movie(Fraction(RATE), video=encoder, audio="libopus", seconds=Fraction(seconds))
        make(movie, found[codec])
    return found


@pytest.fixture(scope="module")
def server(movies_by_codec: dict[str, Path]) -> Iterator[RunningServer]:
    sources = [f"{codec}={movie}" for codec, movie in movies_by_codec.items()]
    with serving(*sources, options=OPTIONS) as running:
        yield running


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_it_watches_at_full_rate_with_sound(server: RunningServer, codec: str) -> None:
    seen = watch(server, codec, 4)
    assert seen["lost"] == 0
    assert seen["video"]["rate"] == pytest.approx(RATE, rel=0.1)
    assert seen["audio"]["rate"] == pytest.approx(50, rel=0.1)
    assert seen["audio"]["energy"] > 1


@pytest.mark.parametrize("codec", ["H264", pytest.param("VP8", marks=pytest.mark.slow)])
def test_what_it_publishes_is_watched(
    server: RunningServer, movies_by_codec: dict[str, Path], codec: str
) -> None:
    name = f"desk/{codec}"

    def arriving() -> float:
        """Pictures a second; what aiortc's own encoder makes, which a busy machine slows down."""
        return float(server.stream(name)["tracks"][0]["frame_rate"] or 0)

    with publishing(server, name, movies_by_codec["h264"], codec) as publisher:
        assert [t["codec"] for t in server.stream(name)["tracks"]] == [codec.lower(), "opus"]
        deadline = time.monotonic() + 20
        while not 0.9 * RATE < arriving() < 1.1 * RATE:
            assert time.monotonic() < deadline, f"{arriving()} pictures a second"
            time.sleep(0.5)
        rates = [arriving()]
        seen = watch(server, name, 2)
        rates.append(arriving())
        played = players.ffmpeg(server.url(name), "tcp", 3)
        rates.append(arriving())
        told, complaints = publisher.communicate(timeout=20)
        assert publisher.returncode == 0, complaints
        assert json.loads(told)["state"] == "connected"
    assert seen["lost"] == 0
    assert seen["video"]["rate"] > 0.8 * min(rates)
    assert seen["audio"]["energy"] > 1
    assert played.frame_rate > 0.8 * min(rates), played.complaints
    assert played.sound_s > 2
