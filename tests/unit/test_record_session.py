"""Recording from a URL: what sessions bring, one after the other, and where it goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from record_helpers import Units, interleaved, read, sound, video

from streamsocket.client.receiver import Received
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Track
from streamsocket.record import session as module
from streamsocket.record.errors import RecordError
from streamsocket.record.session import Recording

URL = "rtsp://host/name"
LOST = ConnectError("The connection to host was lost.")
X264 = {"preset": "ultrafast"}


@dataclass
class Session:
    """What a session brings, and how it ends: by an error, or the end, or never."""

    tracks: Sequence[Track]
    units: Units
    failure: ConnectError | None = None
    endless: bool = False
    lost: int = 0
    left_out: int = 0


class Sessions:
    """Stands in for `open_url`: one session after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *each: Session | ConnectError) -> None:
        self.left = list(each)
        self.closed = 0
        monkeypatch.setattr(module, "open_url", self.open)
        monkeypatch.setattr(module, "FIRST_RETRY_S", 0.01)

    @asynccontextmanager
    async def open(self, url: str, **options: Any) -> AsyncIterator[Any]:
        assert url == URL
        each = self.left.pop(0)
        if isinstance(each, ConnectError):
            raise each
        try:
            yield _Playing(each)
        finally:
            self.closed += 1


class _Playing:
    def __init__(self, session: Session) -> None:
        self.tracks = [
            SimpleNamespace(
                codec=track.codec,
                frame_rate=track.frame_rate,
                receiver=SimpleNamespace(lost=session.lost),
            )
            for track in session.tracks
        ]
        self.dropped = Counter({0: session.left_out})
        self._session = session
        self._units = iter(session.units)

    def __aiter__(self) -> _Playing:
        return self

    async def __anext__(self) -> Received:
        for index, unit in self._units:
            return Received(index, unit, 0.0)
        if self._session.failure:
            raise self._session.failure
        if self._session.endless:
            await asyncio.sleep(3600)
        raise StopAsyncIteration


def record(recording: Recording) -> None:
    asyncio.run(recording.run())


def both(seconds: float = 3.0, **options: Any) -> tuple[list[Track], Units]:
    picture, pictures = video("libx264", seconds=seconds, **X264, **options)
    voice, voices = sound("aac", seconds=seconds)
    return [picture, voice], interleaved(pictures, voices)


def later(units: Units, seconds: float) -> Units:
    """As if from another session, that much later."""
    return [
        (
            index,
            replace(
                unit,
                timestamp=unit.timestamp + 1_000_000_007,
                capture_time=(unit.capture_time or 0) + seconds,
            ),
        )
        for index, unit in units
    ]


def test_the_end_of_the_stream_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, units = both()
    sessions = Sessions(monkeypatch, Session(tracks, units, lost=3))
    recording = Recording(URL, tmp_path / "clip.mp4")
    record(recording)
    progress = recording.progress
    assert progress.files == [tmp_path / "clip.mp4"]
    assert (progress.pictures, progress.lost) == (75, 6)
    assert progress.seconds == pytest.approx(3, abs=0.05)
    assert progress.bytes == (tmp_path / "clip.mp4").stat().st_size
    assert read(tmp_path / "clip.mp4").frames[0] == 75
    assert sessions.closed == 1


def test_it_ends_when_there_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, units = both()
    Sessions(monkeypatch, Session(tracks, units, endless=True))
    recording = Recording(URL, tmp_path / "clip.mp4", seconds=1.5)
    record(recording)
    assert 1.5 <= recording.progress.seconds < 1.6


def test_it_ends_in_time_where_not_enough_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, units = both(1.0)
    Sessions(monkeypatch, Session(tracks, units, endless=True))
    monkeypatch.setattr(module, "_GRACE_S", 0.0)
    recording = Recording(URL, tmp_path / "clip.mp4", seconds=1.1)
    record(recording)
    assert recording.progress.pictures == 25


def test_a_stream_without_a_keyframe_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, units = both(1.0)
    Sessions(monkeypatch, Session(tracks, units[3:], endless=True))
    monkeypatch.setattr(module, "KEYFRAME_PATIENCE_S", 0.0)
    with pytest.raises(RecordError, match="no keyframe came from rtsp://host/name"):
        record(Recording(URL, tmp_path / "clip.mp4", seconds=0.2))
    assert not list(tmp_path.iterdir())


def test_it_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks, units = both()
    sessions = Sessions(monkeypatch, Session(tracks, units, endless=True))
    recording = Recording(URL, tmp_path / "clip.mp4")

    async def stopped() -> None:
        work = asyncio.create_task(recording.run())
        while recording.progress.pictures < 75:  # noqa: ASYNC110 - it ends, or the test does
            await asyncio.sleep(0.01)
        recording.stop()
        await asyncio.wait_for(work, 10)

    asyncio.run(stopped())
    assert read(tmp_path / "clip.mp4").frames[0] == 75
    assert sessions.closed == 1


def test_what_cannot_be_connected_to_in_the_first_place_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sessions(monkeypatch, LOST)
    with pytest.raises(ConnectError, match="was lost"):
        record(Recording(URL, tmp_path / "clip.mp4"))
    assert not list(tmp_path.iterdir())


def test_a_lost_connection_is_tried_again_and_the_same_file_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, units = both(2.0)
    Sessions(
        monkeypatch,
        Session(tracks, units, LOST, lost=1, left_out=4),
        LOST,
        LOST,
        Session(tracks, later(units, 5.0), lost=2, left_out=3),
    )
    news: list[str] = []
    recording = Recording(URL, tmp_path / "clip.mp4", on_news=news.append)
    record(recording)
    assert news == [
        "The connection to host was lost. It is tried again until it is back.",
        "The connection is back.",
    ]
    assert recording.progress.files == [tmp_path / "clip.mp4"]
    assert (recording.progress.lost, recording.progress.left_out) == (6, 7)
    pictures, voices = read(tmp_path / "clip.mp4").packets
    assert len(pictures) == 100
    assert float(pictures[50].pts_s) == pytest.approx(5, abs=0.001)
    assert float(voices[-1].pts_s - pictures[-1].pts_s) == pytest.approx(
        float(voices[len(voices) // 2 - 1].pts_s - pictures[49].pts_s), abs=0.002
    )


def test_another_size_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks, units = both(2.0)
    _, larger = both(2.0, size=(320, 192))
    Sessions(monkeypatch, Session(tracks, units + later(larger, 2.0)))
    (tmp_path / "clip-2.mp4").write_bytes(b"precious")
    news: list[str] = []
    recording = Recording(URL, tmp_path / "clip.mp4", on_news=news.append)
    record(recording)
    second = tmp_path / "clip-3.mp4"
    assert recording.progress.files == [tmp_path / "clip.mp4", second]
    assert news == [
        f"The picture changed from 160x96 to 320x192. The recording goes on in '{second}'."
    ]
    assert (tmp_path / "clip-2.mp4").read_bytes() == b"precious"
    assert read(tmp_path / "clip.mp4").frames[0] == read(second).frames[0] == 50
    progress = recording.progress
    assert (progress.pictures, round(progress.seconds, 1)) == (100, 4.0)
    assert progress.bytes == sum(path.stat().st_size for path in progress.files)


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [("libopus", "The codec changed from AAC to Opus."), (None, "The stream has other tracks")],
)
def test_other_tracks_after_a_reconnect_go_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str | None, reason: str
) -> None:
    tracks, units = both(1.0)
    picture, pictures = video("libx264", seconds=1.0, **X264)
    others, other_units = [picture], pictures
    if encoder:
        voice, voices = sound(encoder, seconds=1.0)
        others, other_units = [picture, voice], interleaved(pictures, voices)
    Sessions(monkeypatch, Session(tracks, units, LOST), Session(others, other_units))
    news: list[str] = []
    recording = Recording(URL, tmp_path / "clip.mp4", on_news=news.append)
    record(recording)
    assert reason in news[-1]
    assert read(tmp_path / "clip-2.mp4").frames[0] == 25


def test_a_path_that_will_not_do_is_told_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"precious")
    for name, reason in {
        "there.mp4": "exists already: use another name, or --overwrite",
        "nowhere/clip.mp4": "There is no folder",
        "clip.avi": "does not say what to write",
        ".": "does not say what to write",
    }.items():
        with pytest.raises(RecordError, match=reason):
            Recording(URL, tmp_path / name)
    Recording(URL, tmp_path / "there.mp4", overwrite=True)
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"
