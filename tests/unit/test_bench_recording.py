"""The bench of recording finds what is missing, double or in disorder."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from bench.recording import check, pictures

from streamsocket.sources.movie import make_movie


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movies") / "movie.mp4"
    make_movie(path, seconds=1.0, size=(160, 90), rate=Fraction(25))
    return path


def copy(movie: Path, path: Path, keep: Callable[[int], bool]) -> None:
    path.parent.mkdir(exist_ok=True)
    with av.open(str(movie)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and keep(number):
                packet.stream = stream
                target.mux(packet)


def test_pictures_that_go_on_from_file_to_file_and_from_the_end_to_the_beginning(
    movie: Path, tmp_path: Path
) -> None:
    assert len(set(pictures(movie))) == 25
    copy(movie, tmp_path / "a" / "1.mp4", lambda number: number >= 10)
    copy(movie, tmp_path / "a" / "2.mp4", lambda number: number < 5)
    copy(movie, tmp_path / "a" / "3.mp4", lambda number: number >= 5)
    copy(movie, tmp_path / "b" / "1.mp4", lambda number: True)
    assert check(movie, tmp_path) == (0, 65)


def test_what_is_missing_is_found(movie: Path, tmp_path: Path) -> None:
    copy(movie, tmp_path / "a" / "1.mp4", lambda number: number not in (3, 7))
    assert check(movie, tmp_path) == (2, 23)


def test_nothing_recorded_is_a_fault(movie: Path, tmp_path: Path) -> None:
    assert check(movie, tmp_path) == (1, 0)
