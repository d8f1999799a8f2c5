"""A movie that begins again and again: the tracks stay together."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
from tests.interop import players
from tests.interop.movies import MovieShelf
from tests.interop.serving import serving
from tests.interop.sync import sound_minus_picture_s

pytestmark = pytest.mark.slow

SECONDS = 104


@pytest.mark.parametrize("name", ["second", "uneven"])
def test_sound_and_picture_do_not_drift_apart(
    name: str, movies: MovieShelf, tmp_path: Path
) -> None:
    recording = tmp_path / "recording.mkv"
    with serving(f"movie={movies[name]}") as server:
        players.ffmpeg_record(server.url("movie"), "tcp", SECONDS, recording)
    offsets = sound_minus_picture_s(recording)
    assert len(offsets) >= 60
    assert sorted(map(abs, offsets))[len(offsets) * 95 // 100] <= 0.02
    assert abs(mean(offsets[-20:]) - mean(offsets[:20])) <= 0.005
