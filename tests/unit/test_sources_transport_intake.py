"""From the datagrams of a transport stream to what the server is told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.fuzz.multiplexer import (
    AUDIO_PID,
    FRAME,
    SECOND,
    VIDEO_PID,
    Multiplexer,
    adts,
    keyframe,
    movie,
    picture,
)

from streamsocket.rtp.batch import Batch
from streamsocket.sources.link import Note, TrackBatch, Tracks, Waiting
from streamsocket.sources.transport_intake import Message, TransportIntake

ADDRESS = "udp://0.0.0.0:5000"
EPOCH = 1.7e9
"""The wall clock at the moment 0 of the steady one."""
MOVIE = movie(2)
DATAGRAMS = [MOVIE[start : start + 1316] for start in range(0, len(MOVIE), 1316)]


class Source:
    """An intake, and what it has said."""

    def __init__(self) -> None:
        self.intake = TransportIntake(ADDRESS)
        self.said: list[Message] = []

    def send(self, data: bytes, now: float, sender: str = "one") -> list[Message]:
        said = self.intake.receive(data, sender, now, EPOCH + now)
        self.said += said
        return said

    def play(self, begin: float = 0.0, sender: str = "one") -> None:
        """Send two seconds of pictures and sound in real time."""
        for number, datagram in enumerate(DATAGRAMS):
            self.send(datagram, begin + 2 * number / len(DATAGRAMS), sender)

    def batches(self, track: int) -> list[Batch]:
        return [
            each.batch for each in self.said if isinstance(each, TrackBatch) and each.track == track
        ]

    @property
    def tracks(self) -> list[Tracks]:
        return [each for each in self.said if isinstance(each, Tracks)]

    @property
    def notes(self) -> list[str]:
        return [each.text for each in self.said if isinstance(each, Note)]

    @property
    def waits(self) -> list[str]:
        return [each.text for each in self.said if isinstance(each, Waiting)]


def test_tracks_first_and_then_their_batches() -> None:
    source = Source()
    source.play()
    assert isinstance(source.said[0], Tracks)
    assert [track.kind for track in source.said[0].tracks] == ["video", "audio"]
    assert not source.said[0].makes_keyframes
    assert len(source.batches(0)) >= 48
    assert source.batches(0)[0].keyframe
    assert {b.timestamp - a.timestamp for a, b in pairwise(source.batches(1))} == {1024}
    assert source.notes == []


def test_both_tracks_are_dated_by_one_clock() -> None:
    source = Source()
    source.play()
    video = [each.capture_time - each.timestamp / 90_000 for each in source.batches(0)]
    audio = [each.capture_time - each.timestamp / 48_000 for each in source.batches(1)]
    # What places the tracks in the stream are their first batches.
    assert video[0] == pytest.approx(audio[0], abs=1e-6)
    assert max(video + audio) - min(video + audio) < 0.05
    assert video[0] == pytest.approx(EPOCH - 10, abs=0.2)


def test_pictures_that_are_shown_later_than_decoded_were_captured_before_they_came() -> None:
    mux = Multiplexer()
    source = Source()
    source.send(mux.tables({VIDEO_PID: (0x1B, b"")}), 0.0)
    order = [2, 5, 3, 4, 8, 6, 7, 11, 9, 10]
    for number, shown in enumerate(order):
        make = picture if number else keyframe
        step = SECOND // 25
        source.send(mux.pes(VIDEO_PID, make(), shown * step, number * step), number / 25)
    arrivals = [EPOCH + (number + 1) / 25 for number in range(len(order))]
    for batch, arrival in zip(source.batches(0), arrivals, strict=False):
        assert batch.capture_time <= arrival + 1e-6


def test_a_pause_is_told_once_and_the_stream_goes_on_after_it() -> None:
    source = Source()
    source.play()
    assert source.intake.look_around(3.9) == []
    for now in (4.1, 5.0, 100.0):
        source.said += source.intake.look_around(now)
    assert source.waits == [f"Nothing has come to {ADDRESS} for 2 s."]
    source.play(100.0, "somebody else")
    assert len(source.tracks) == 2
    assert source.intake.look_around(102.1) == []
    assert len(source.batches(0)) > 90
    later = source.batches(0)[len(source.batches(0)) // 2 :]
    assert later[-1].capture_time == pytest.approx(EPOCH + 102, abs=0.3)
    source.said += source.intake.look_around(105.0)
    assert len(source.waits) == 2


def test_a_second_sender_at_the_same_time_is_left_out() -> None:
    alone, both = Source(), Source()
    alone.play()
    for number, datagram in enumerate(DATAGRAMS):
        now = 2 * number / len(DATAGRAMS)
        both.send(datagram, now)
        both.send(DATAGRAMS[-1 - number], now, "two")
    assert both.batches(0) == alone.batches(0)
    assert both.batches(1) == alone.batches(1)
    assert both.notes == [f"Somebody else sends to {ADDRESS} at the same time, and is left out."]


def test_a_sender_that_is_started_again_loses_nothing_of_its_beginning() -> None:
    source = Source()
    source.play()
    before = len(source.batches(0))
    source.play(2.5, "again")
    assert len(source.tracks) == 2
    first = source.batches(0)[before]
    assert first.keyframe
    # It was kept until the first sender had been silent for two seconds, and is not newer by that.
    assert first.capture_time == pytest.approx(EPOCH + 2.5, abs=0.2)
    assert len(source.batches(0)) == 2 * before
    assert source.notes == []


def test_what_is_kept_of_another_sender_is_bounded() -> None:
    source = Source()
    source.play()
    for _ in range(300):
        source.send(bytes(1 << 16), 2.0, "another")
    kept = sum(len(each.data) for each in source.intake._kept)
    assert kept <= 16 << 20


def test_what_is_no_transport_stream_is_told_after_a_while() -> None:
    source = Source()
    for number in range(100):
        source.send(b"\x80\x60 what somebody sends", number / 10)
        source.said += source.intake.look_around(number / 10)
    [note] = source.notes
    assert "no MPEG transport stream" in note
    assert source.tracks == []


def test_what_is_not_passed_on_is_told_once_for_all_times() -> None:
    mux = Multiplexer()
    source = Source()
    for now in (0.0, 10.0):
        source.send(mux.tables({0x200: (0x02, b""), VIDEO_PID: (0x1B, b"")}) * 2, now)
    [note] = source.notes
    assert "MPEG-2" in note


def test_a_unit_that_no_packet_can_hold_is_left_out() -> None:
    mux = Multiplexer()
    source = Source()
    source.send(mux.tables({AUDIO_PID: (0x0F, b"")}), 0.0)
    for number, size in enumerate((100, 8180, 100)):
        data = mux.pes(AUDIO_PID, adts(bytes(size)), number * FRAME)
        source.send(data, number / 50)
    assert [each.timestamp for each in source.batches(0)] == [0, 1024, 2048]
