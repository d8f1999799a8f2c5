"""The bench of transcoding counts from the picture that a decoder could have shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.transcoding import Rendition, offsets_ms
from tests.unit.record_helpers import sound, video
from tests.unit.transcode_helpers import batches_of

from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources.movie import make_movie
from streamsocket.sources.plan import make_plan
from streamsocket.sources.reader import MovieReader


def test_what_a_source_reorders_is_no_latency_of_ours() -> None:
    track, units = video("libx264", seconds=1, bf="2")
    rendition = Rendition(track)
    batches = batches_of(track, units)
    for number, batch in enumerate(batches):
        rendition.written.append((batch.timestamp, float(number)))
    shown = sorted(batches, key=lambda batch: batch.timestamp)
    # x264 tells that two pictures are held back.
    rendition.made = [(batch, number + 2 + 0.01) for number, batch in enumerate(shown)]
    assert rendition.added_ms == pytest.approx([10] * (len(batches) - 2))


def test_sound_is_set_against_pictures(tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    make_movie(path, seconds=3, size=(160, 90))
    plan = make_plan(str(path))
    reader = MovieReader(str(path), plan, loop=False, note=lambda note: None)
    batches: dict[int, list[tuple[Batch, float]]] = {0: [], 1: []}
    for unit in reader.units():
        batches[unit.track].append((unit.batch, 0.0))
    pictures, heard = (
        Rendition(Track(codec), Track(codec), made=batches[index])
        for index, codec in enumerate(reader.codecs)
    )
    assert offsets_ms(pictures, heard) == pytest.approx([0.0] * 3, abs=0.5)
    for batch, _ in heard.made:
        batch.timestamp += 4800
    assert offsets_ms(pictures, heard) == pytest.approx([100.0] * 3, abs=0.5)


def test_tracks_without_flashes_or_beeps_have_no_offsets() -> None:
    pictures, units = video("libx264", seconds=0.2, bf="0")
    heard, frames = sound("aac", seconds=0.2)
    assert not offsets_ms(
        Rendition(pictures, pictures, made=[(b, 0.0) for b in batches_of(pictures, units)]),
        Rendition(heard, heard, made=[(b, 0.0) for b in batches_of(heard, frames)]),
    )
