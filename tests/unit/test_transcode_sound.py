"""Sound into another codec: gapless, in place, no louder than it was."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.filter import Graph
from tests.unit.record_helpers import BASES, CAPTURED, Units, sound
from tests.unit.transcode_helpers import decoded, moved, samples

from streamsocket.matching.target import Target
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import L16, Aac, AudioCodec, Opus, Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources import yardstick
from streamsocket.transcode.sound import Sound

RATE = 48_000


class Run:
    """Sound through a transcoder, frame by frame."""

    def __init__(self, track: Track, target: Target) -> None:
        self.made: list[Track] = []
        self.batches: list[Batch] = []
        self.sound = Sound(track, target, self.made.append)

    def take(self, units: Units) -> list[Batch]:
        out = [batch for _, unit in units for batch in self.sound.take(unit)]
        self.batches += out
        return out

    def heard(self) -> tuple[np.ndarray[Any, Any], float]:
        """All samples and when they begin, seconds."""
        return samples(decoded(self.made[-1], self.batches)), self.batches[0].timestamp / RATE


def source(name: str) -> tuple[Track, Units]:
    encoder, _, rate = name.partition(" ")
    channels = 1 if encoder.startswith("pcm_") and "law" in encoder else 2
    return sound(encoder, seconds=1.0, rate=int(rate or RATE), channels=channels)


@pytest.mark.parametrize("target", ["opus", "aac"])
@pytest.mark.parametrize(
    "name",
    ["aac", "aac 44100", "libopus", "pcm_mulaw 8000", "pcm_alaw 8000", "pcm_s16be 44100"],
)
def test_all_of_it_comes_out_without_a_gap(name: str, target: str) -> None:
    track, units = source(name)
    units = moved(units, -BASES[1])
    run = Run(track, Target(target))
    run.take(units)
    step = {"opus": 960, "aac": 1024}[target]
    times = [batch.timestamp for batch in run.batches]
    assert times == list(range(times[0], times[0] + step * len(times), step))
    priming = {"opus": 312, "aac": 1024}[target]
    begin = units[0][1].timestamp / track.codec.clock_rate
    assert times[0] / RATE == pytest.approx(begin - priming / RATE, abs=2e-5)
    for batch in run.batches:
        assert batch.capture_time - CAPTURED == pytest.approx(batch.timestamp / RATE, abs=0.001)
    heard, _ = run.heard()
    assert len(run.made) == 1
    assert len(heard) == track.codec.channels  # type: ignore[union-attr]
    assert heard.shape[1] > 0.9 * RATE
    spectrum = np.abs(np.fft.rfft(heard[0, 4800:43200]))
    assert np.argmax(spectrum) / 0.8 == pytest.approx(440, abs=2)
    assert np.abs(heard[:, 4800:43200]).max() == pytest.approx(0.5, abs=0.1)


def beeps(rate: int, every_s: float, seconds: float) -> tuple[Track, Units, list[float]]:
    """Uncompressed beeps in frames of 20 ms, and when they begin."""
    wave = np.zeros(round(seconds * rate))
    beep = yardstick.beep(rate)
    onsets = [0.25 + each * every_s for each in range(round(seconds / every_s))]
    for onset in onsets:
        begin = round(onset * rate)
        wave[begin : begin + len(beep)] = beep[: len(wave) - begin]
    return *pcm(wave[None, :], rate), onsets


def pcm(wave: np.ndarray[Any, Any], rate: int) -> tuple[Track, Units]:
    """Channels by samples as L16."""
    data = (wave * 32767).astype(">i2")
    step = rate // 50
    return Track(L16(rate, len(wave))), [
        (0, AccessUnit([data[:, at : at + step].T.tobytes()], at, True, CAPTURED + at / rate))
        for at in range(0, data.shape[1], step)
    ]


def onsets_of(run: Run) -> list[float]:
    heard, begin = run.heard()
    return [begin + each / RATE for each in yardstick.beep_onsets(heard[0], RATE)]


@pytest.mark.parametrize("target", ["opus", "aac"])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_what_is_heard_keeps_its_place_to_the_millisecond(target: str, rate: int) -> None:
    track, units, onsets = beeps(rate, 0.5, 3.0)
    run = Run(track, Target(target))
    run.take(units)
    assert onsets_of(run) == pytest.approx(onsets, abs=0.002)


def test_what_is_lost_becomes_silence_and_the_rest_keeps_its_place() -> None:
    track, units, onsets = beeps(RATE, 0.5, 3.0)
    run = Run(track, Target("opus"))
    run.take(units[:40] + units[43:])  # 60 ms are missing
    assert onsets_of(run) == pytest.approx(onsets, abs=0.002)
    times = [batch.timestamp for batch in run.batches]
    assert set(np.diff(times)) == {960}


def test_after_a_long_pause_it_goes_on_at_its_new_place() -> None:
    track, units, onsets = beeps(RATE, 0.5, 1.0)
    run = Run(track, Target("opus"))
    run.take(units)
    before = len(run.batches)
    run.take(moved(units, 10 * RATE))
    times = [batch.timestamp for batch in run.batches]
    assert times[before] - times[before - 1] > 8 * RATE
    heard = samples(decoded(run.made[-1], run.batches[before:]))
    begin = times[before] / RATE
    later = [begin + each / RATE for each in yardstick.beep_onsets(heard[0], RATE)]
    assert later == pytest.approx([onset + 10 for onset in onsets], abs=0.002)


def test_a_clock_that_drifts_and_rounds_is_followed_without_a_cut() -> None:
    track, units, onsets = beeps(RATE, 0.5, 20.0)
    drifting = 1.0005  # its timestamps run faster than its samples, and count milliseconds
    run = Run(track, Target("opus"))
    run.take(
        [
            (index, replace(u, timestamp=round(u.timestamp * drifting / 48) * 48))
            for index, u in units
        ]
    )
    assert onsets_of(run) == pytest.approx([onset * drifting for onset in onsets], abs=0.005)


def five_one(levels: dict[str, float]) -> tuple[Track, Units]:
    """A second of 5.1 in AAC; each channel a tone of its own."""
    context = av.CodecContext.create("aac", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = RATE, "5.1", "fltp"
    context.bit_rate, context.time_base = 400_000, Fraction(1, RATE)
    context.open()
    names = ("FL", "FR", "FC", "LFE", "BL", "BR")
    tones = {"FL": 400, "FR": 600, "FC": 900, "LFE": 60, "BL": 1300, "BR": 1700}
    units: Units = []
    for at in range(0, RATE, 1024):
        time = np.arange(at, at + 1024) / RATE
        wave = [levels.get(name, 0.0) * np.sin(2 * np.pi * tones[name] * time) for name in names]
        frame = AudioFrame.from_ndarray(np.array(wave, np.float32), "fltp", "5.1")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        for packet in context.encode(frame):
            units.append((0, AccessUnit([bytes(packet)], packet.pts or 0, True, CAPTURED)))
    return Track(Aac(bytes(context.extradata or b""))), units


def test_all_of_surround_sound_but_the_bass_is_heard_in_stereo() -> None:
    names = ("FL", "FC", "BL")
    track, units = five_one(dict.fromkeys(names, 0.5))
    run = Run(track, Target("opus", 2))
    run.take(units)
    heard, _ = run.heard()
    left, right = (np.abs(np.fft.rfft(channel[9600:33600])) / 12_000 for channel in heard)
    levels = {
        name: left[round(hertz / 2)] for name, hertz in zip(names, (400, 900, 1300), strict=True)
    }
    assert levels["FC"] / levels["FL"] == pytest.approx(0.707, abs=0.05)
    assert levels["BL"] / levels["FL"] == pytest.approx(0.707, abs=0.05)
    assert right[450] == pytest.approx(left[450], rel=0.1)  # the centre is on both sides
    assert right[200] < 0.01


def test_surround_sound_at_its_loudest_is_not_clipped() -> None:
    wave = 0.99 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    track, units = pcm(np.tile(wave, (6, 1)), RATE)
    run = Run(track, Target("aac", 2))
    run.take(units)
    heard, _ = run.heard()
    assert np.abs(heard[:, 4800:-4800]).max() == pytest.approx(0.99, abs=0.05)
    assert np.abs(heard).max() <= 1


@pytest.mark.parametrize(
    ("target", "made"),
    [
        (Target("opus"), Opus(2)),
        (Target("opus", 1), Opus(1)),
        (Target("aac"), Aac(bytes.fromhex("11b056e500"))),
        (Target("aac", 2), Aac(bytes.fromhex("119056e500"))),
        (Target("aac", 1), Aac(bytes.fromhex("118856e500"))),
    ],
)
def test_there_are_as_many_channels_as_may_be(target: Target, made: AudioCodec) -> None:
    track, units = five_one({"FC": 0.5})
    run = Run(track, target)
    run.take(units)
    assert [each.codec for each in run.made] == [made]
    assert len(run.heard()[0]) == made.channels


def test_damage_costs_its_frames_only() -> None:
    track, units = sound("aac", seconds=1.0)
    run = Run(track, Target("opus"))
    whole = len(Run(track, Target("opus")).take(units))
    broken = [(1, replace(unit, units=[b"\xff\x00\xff"])) for _, unit in units[10:13]]
    run.take([*units[:10], *broken, *units[13:]])
    assert run.sound.errors
    assert len(run.batches) == whole


def test_sound_that_cannot_be_resampled_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sound: Sound, frame: AudioFrame) -> Graph:
        raise av.error.OverflowError(34, "Numerical result out of range")

    track, units = sound("aac", seconds=0.5)
    run = Run(track, Target("opus"))
    with monkeypatch.context() as patched:
        patched.setattr(Sound, "_build_graph", refuse)
        assert not run.take(units[:3])
    assert run.sound.errors == 3
    assert run.take(units[3:])


def test_another_publisher_may_have_other_channels() -> None:
    mono, _ = sound("aac", seconds=0.1, channels=1)
    stereo, units = sound("aac", seconds=0.5)
    run = Run(mono, Target("opus"))
    run.sound.begin(stereo)
    run.take(units)
    assert [track.codec for track in run.made] == [Opus(1), Opus(2)]
    assert run.batches
