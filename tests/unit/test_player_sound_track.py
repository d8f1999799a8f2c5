"""Sound from its coded frames to the speaker, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from time import monotonic, sleep
from typing import Any

import av
import numpy as np
import pytest
from tests.unit.sound_helpers import EPOCH, FakeSpeaker

from streamsocket.desktop.backend import Speaker
from streamsocket.errors import DeviceError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import L16, Aac
from streamsocket.player.sound_track import MAX_WAITING, SamplesDecoder, SoundTrack

RATE = 48_000
FRAME = 960
DELAY_S = 0.3
NO_DEVICE = "The speaker cannot be opened: there is none."


class LiveSpeaker(FakeSpeaker):
    """A simulated speaker that goes by a real clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._next_take = clock()
        self.closed = False

    @property
    def queued_s(self) -> float:
        self.run_until(self._clock())
        return super().queued_s

    def close(self) -> None:
        self.closed = True


class Room:
    """A clock, what opens its speakers, and what the track said."""

    def __init__(self, speed: float = 1.0) -> None:
        began = monotonic()
        self.clock = lambda: EPOCH + (monotonic() - began) * speed
        self.has_device = True
        self.speakers: list[LiveSpeaker] = []
        self.ready: list[tuple[float, float]] = []
        self.threads: set[int] = set()
        self.tracks: list[SoundTrack] = []

    def open_speaker(self) -> Speaker:
        if not self.has_device:
            raise DeviceError(NO_DEVICE)
        self.speakers.append(LiveSpeaker(self.clock))
        return self.speakers[-1]

    def track(self, codec: Any = L16(RATE, 2), **options: Any) -> SoundTrack:  # noqa: B008
        def on_ready(captured: float, at: float) -> None:
            self.ready.append((captured, at))
            self.threads.add(threading.get_ident())

        made = SoundTrack(
            codec,
            self.open_speaker,
            clock=self.clock,
            on_ready=on_ready,
            delay_s=lambda: DELAY_S,
            **options,
        )
        self.tracks.append(made)
        return made


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    for track in made.tracks:
        track.close()


def wait_for(look: Callable[[], object], timeout_s: float = 10.0) -> None:
    until = monotonic() + timeout_s
    while not look():
        assert monotonic() < until
        sleep(0.005)


def unit(number: int, begin: float, *, channels: int = 2, rate: int = RATE) -> AccessUnit:
    """20 ms of a sine of 1 kHz, half of full scale."""
    size = rate // 50
    at = np.arange(number * size, (number + 1) * size)
    sine = 0.5 * np.sin(2 * np.pi * 1000 * at / rate)
    data = np.repeat((sine * 32767).astype(">i2")[:, None], channels, axis=1).tobytes()
    return AccessUnit([data], 5000 + number * size, True, begin + number / 50)


def test_a_track_is_heard_when_it_is_due(room: Room) -> None:
    track = room.track()
    wait_for(lambda: track.output)
    begin = room.clock()
    for number in range(50):
        track.put(unit(number, begin))
    wait_for(lambda: (track.heard() or 0) > begin + 0.5)
    heard, now = track.heard(), room.clock()
    assert heard == pytest.approx(now - DELAY_S, abs=0.02)
    wait_for(lambda: track.heard() is None)
    track.close()
    (speaker,) = room.speakers
    assert speaker.closed
    assert track.heard() is None
    loud = np.flatnonzero(np.abs(speaker.sound()[:, 0]) > 0.05)
    assert speaker.times()[loud[0]] == pytest.approx(begin + DELAY_S, abs=0.02)
    assert len(range(loud[0], loud[-1])) / RATE == pytest.approx(1.0, abs=0.03)


def test_the_schedule_is_told_when_sound_could_be_heard(room: Room) -> None:
    track = room.track()
    wait_for(lambda: track.output)
    assert track.output
    begin = room.clock()
    track.put(unit(0, begin))
    wait_for(lambda: room.ready)
    captured, at = room.ready[0]
    assert captured == begin
    assert at == pytest.approx(begin + track.output.lead_s, abs=0.1)
    assert at > begin + track.output.lead_s
    assert threading.get_ident() not in room.threads


def test_damaged_frames_are_left_out(room: Room) -> None:
    track = room.track()
    wait_for(lambda: track.output)
    begin = room.clock()
    for number in range(25):
        sound = unit(number, begin)
        sound.damaged = number == 12
        track.put(sound)
    wait_for(lambda: (track.heard() or 0) > begin + 0.4)
    track.close()
    assert len(room.ready) == 24
    (speaker,) = room.speakers
    sound = speaker.sound()[:, 0]
    loud = np.flatnonzero(np.abs(sound) > 0.05)
    gap_s = np.diff(loud).max() / RATE
    assert 0.01 < gap_s < 0.021


def test_loudness_is_changed_while_it_plays(room: Room) -> None:
    track = room.track(muted=True, offset_s=0.01)
    wait_for(lambda: track.output)
    begin = room.clock()
    for number in range(60):
        track.put(unit(number, begin))
    wait_for(lambda: (track.heard() or 0) > begin + 0.2)
    assert not room.speakers[0].sound().any()
    track.muted, track.volume = False, 0.5
    wait_for(lambda: (track.heard() or 0) > begin + 0.6)
    track.close()
    tenth = room.speakers[0].sound()[-RATE // 10 :, 0]
    assert np.abs(tenth).max() == pytest.approx(0.25, abs=0.01)


def test_without_a_device_it_says_why_and_tries_again() -> None:
    room = Room(speed=20)
    room.has_device = False
    track = room.track()
    wait_for(lambda: track.error)
    assert track.error == NO_DEVICE
    for number in range(10):
        track.put(unit(number, room.clock()))
    sleep(0.02)
    assert track.heard() is None
    assert not room.ready
    room.has_device = True
    wait_for(lambda: track.output)
    assert track.error is None
    track.close()


def test_a_device_that_is_lost_is_opened_again() -> None:
    room = Room(speed=5)
    track = room.track()
    wait_for(lambda: track.output)
    room.has_device = False
    room.speakers[0].lost = True
    wait_for(lambda: track.error)
    assert track.error == "The sound device is gone; it is tried again every 2 seconds."
    assert track.heard() is None
    wait_for(lambda: room.speakers[0].closed)
    wait_for(lambda: track.error == NO_DEVICE)
    room.has_device = True
    wait_for(lambda: len(room.speakers) == 2)
    wait_for(lambda: track.error is None)
    begin = room.clock()
    for number in range(100):
        track.put(unit(number, begin + 1))
    wait_for(lambda: track.heard() is not None)
    track.close()
    assert room.speakers[1].sound().any()


def test_what_waits_is_bounded(room: Room) -> None:
    asked, may = threading.Event(), threading.Event()

    def open_speaker() -> Speaker:
        asked.set()
        may.wait(10)
        return LiveSpeaker(room.clock)

    room.open_speaker = open_speaker  # type: ignore[method-assign]
    track = room.track()
    assert asked.wait(10)
    for number in range(MAX_WAITING + 100):
        track.put(unit(number, room.clock()))
    may.set()
    assert track.dropped == 100


def test_only_what_is_due_soon_is_decoded(room: Room) -> None:
    track = room.track()
    wait_for(lambda: track.output)
    begin = room.clock() + 3
    for number in range(500):
        track.put(unit(number, begin))
    wait_for(lambda: len(room.ready) == 500)
    assert track.output
    wait_for(lambda: track.output and track.output.buffered_s > 0.5)
    assert track.output.buffered_s < 0.6
    assert track.output.dropped_s == 0


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (44_100, 2), (44_100, 1)])
def test_other_rates_and_one_channel_are_converted(rate: int, channels: int) -> None:
    decoder = SamplesDecoder(L16(rate, channels))
    parts = []
    for number in range(50):
        parts += decoder.decode(unit(number, EPOCH, channels=channels, rate=rate))
    for (samples, captured), (_, following) in pairwise(parts):
        assert following - captured == pytest.approx(len(samples) / RATE, abs=2e-5)
    sound = np.concatenate([samples for samples, _ in parts])
    assert sound.shape[1] == 2
    assert sound.dtype == np.float32
    captured = parts[0][1]
    exact = 0.5 * np.sin(2 * np.pi * 1000 * (captured - EPOCH + np.arange(len(sound)) / RATE))
    assert np.abs(sound[1000:40_000] - exact[1000:40_000, None]).max() < 0.014  # ⅕ sample


def test_six_channels_become_two() -> None:
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "5.1", "fltp"
    encoder.open()
    units = []
    for number in range(20):
        at = np.arange(number * 1024, (number + 1) * 1024)
        planes = np.zeros((6, 1024), np.float32)
        planes[0] = 0.3 * np.sin(2 * np.pi * 1000 * at / RATE)  # on the left
        frame = av.AudioFrame.from_ndarray(planes, "fltp", "5.1")
        frame.sample_rate, frame.pts = RATE, number * 1024
        for packet in encoder.encode(frame):
            assert packet.pts is not None
            captured = EPOCH + packet.pts / RATE
            units.append(AccessUnit([bytes(packet)], packet.pts, True, captured))
    assert encoder.extradata
    decoder = SamplesDecoder(Aac(bytes(encoder.extradata)))
    parts = [part for coded in units for part in decoder.decode(coded)]
    sound = np.concatenate([samples for samples, _ in parts])[4096:]
    assert np.abs(sound[:, 0]).max() == pytest.approx(0.3, abs=0.05)
    assert np.abs(sound[:, 1]).max() < 0.01
    assert parts[5][1] == pytest.approx(units[5].capture_time, abs=1e-4)


def test_what_the_decoder_refuses_is_counted(room: Room) -> None:
    config = bytes([0x11, 0x90])
    track = room.track(Aac(config))
    wait_for(lambda: track.output)
    for number in range(5):
        track.put(AccessUnit([b"\xff\x00garbage"], number * 1024, True, room.clock()))
    wait_for(lambda: track.errors)
    assert track.error is None
