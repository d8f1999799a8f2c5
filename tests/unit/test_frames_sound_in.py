"""Sound of any form and in blocks of any size becomes frames without gaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from streamsocket.errors import ArgumentError
from streamsocket.frames.sound_in import AudioOptions, SoundIn, audio_options, take_in_sound

MONO = AudioOptions(48_000, 1)
STEREO = AudioOptions()
SIZE = 960

Frames = list[tuple[npt.NDArray[np.float32], int]]


def sound_in(options: AudioOptions = MONO) -> SoundIn:
    return SoundIn(options, 48_000, options.channels, SIZE)


def ramp(count: int, first: int = 0) -> npt.NDArray[np.float32]:
    """Samples that tell their number."""
    return (np.arange(first, first + count, dtype=np.float32) / 1e6)[:, np.newaxis]


def joined(frames: Frames) -> npt.NDArray[np.float32]:
    return np.concatenate([samples[0] for samples, _ in frames])


def numbers(frames: Frames) -> list[int]:
    return [first for _, first in frames]


def test_what_is_declared_is_checked() -> None:
    assert audio_options(None) is None
    assert audio_options(False) is None
    assert audio_options(True) == AudioOptions(48_000, 2, "opus", None)
    given = {"rate": 16_000, "channels": 1, "codec": "pcmu"}
    assert audio_options(given) == AudioOptions(16_000, 1, "pcmu", None)
    for wrong, said in [
        ({"sample_rate": 1}, "'sample_rate' is none of"),
        ({"rate": 100}, "a rate of 100"),
        ({"channels": 6}, "not 6"),
        ({"codec": "mp3"}, "'mp3' is none of"),
        ({"bitrate": 1}, "a bitrate of 1"),
        (48_000, "not 48000"),
    ]:
        with pytest.raises(ArgumentError, match=said):
            audio_options(wrong)  # type: ignore[arg-type]


def test_samples_of_both_kinds_and_shapes_are_taken() -> None:
    whole = np.array([0, 16_384, -32_768], np.int16)
    assert take_in_sound(whole, MONO).tolist() == [[0.0], [0.5], [-1.0]]
    assert take_in_sound(whole, STEREO).tolist() == [[0, 0], [0.5, 0.5], [-1, -1]]
    both = np.array([[0.25, 2.0], [0.5, -2.0]], np.float32)
    assert take_in_sound(both, STEREO).tolist() == [[0.25, 1.0], [0.5, -1.0]]
    strided = np.zeros((200, 2), np.float32)[::-2]
    assert take_in_sound(strided, STEREO).shape == (100, 2)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([0.0, 1.0], "a list is no array"),
        (np.zeros((10, 3), np.float32), r"shape \(10, 3\)"),
        (np.zeros((2, 2, 2), np.float32), r"shape \(2, 2, 2\)"),
        (np.zeros(10, np.float64), "float64"),
        (np.full(10, np.nan, np.float32), "not finite"),
        (np.zeros(48_000 * 11, np.int16), "11 s of sound"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(samples: object, said: str) -> None:
    with pytest.raises(ArgumentError, match=said) as refusal:
        take_in_sound(samples, STEREO)
    assert str(refusal.value).startswith("samples: ")


def test_blocks_of_any_size_become_frames_of_one() -> None:
    sound, frames, first = sound_in(), [], 0
    for size in (1, 959, 961, 5_000, 3, 2_000):
        frames += sound.add(ramp(size, first), 10.0 + first / 48_000, told=True)
        first += size
    assert numbers(frames) == [480_000 + SIZE * n for n in range(len(frames))]
    np.testing.assert_array_equal(joined(frames), ramp(len(frames) * SIZE)[:, 0])


def test_a_gap_that_is_told_becomes_silence_of_its_length() -> None:
    sound = sound_in()
    frames = sound.add(ramp(SIZE, 1), 10.0, told=True)
    frames += sound.add(ramp(SIZE, 1), 10.02 + 0.2, told=True)
    samples = joined(frames)
    assert len(samples) == 12 * SIZE
    assert not samples[SIZE : 11 * SIZE].any()
    np.testing.assert_array_equal(samples[11 * SIZE :], ramp(SIZE, 1)[:, 0])
    assert numbers(frames) == [480_000 + SIZE * n for n in range(12)]


def test_what_overlaps_is_cut_off_and_counted() -> None:
    sound = sound_in()
    sound.add(ramp(SIZE * 10), 10.0, told=True)
    frames = sound.add(ramp(SIZE * 10, SIZE * 5), 10.1, told=True)
    assert sound.dropped == SIZE * 5
    np.testing.assert_array_equal(joined(frames), ramp(SIZE * 5, SIZE * 10)[:, 0])


def test_the_jitter_of_who_writes_changes_nothing() -> None:
    sound, frames = sound_in(), []
    for number, jitter in enumerate((0.0, 0.02, -0.03, 0.05, -0.06, 0.01)):
        place = 10 + number * 0.02 + jitter
        frames += sound.add(ramp(SIZE, number * SIZE), place, told=False)
    np.testing.assert_array_equal(joined(frames), ramp(6 * SIZE)[:, 0])


def test_where_nobody_writes_silence_follows_real_time() -> None:
    sound = sound_in()
    frames = sound.add(ramp(SIZE, 1), 10.0, told=False)
    assert sound.fill(10.3) == []
    frames += sound.fill(10.6)
    frames += sound.fill(11.5)
    samples = joined(frames)
    assert not samples[SIZE:].any()
    assert 11.5 - 0.5 <= 10 + len(samples) / 48_000 <= 11.5 - 0.2
    # What then comes in its own time is whole.
    again = sound.add(ramp(SIZE, 1), 11.5, told=False) + sound.add(ramp(SIZE), 11.52, told=False)
    assert numbers(frames + again) == [480_000 + SIZE * n for n in range(len(frames + again))]
    assert sound.dropped == 0


def test_silence_begins_where_nobody_ever_writes() -> None:
    sound = sound_in()
    frames = sound.fill(12.0) + sound.fill(12.6)
    assert frames
    assert not joined(frames).any()


def test_a_long_pause_is_not_filled_but_left_out() -> None:
    sound = sound_in()
    sound.add(ramp(SIZE), 10.0, told=True)
    frames = sound.add(ramp(SIZE, 1), 100.0, told=True)
    assert numbers(frames) == [100 * 48_000]


def test_other_rates_are_resampled_in_place() -> None:
    sound = sound_in(AudioOptions(44_100, 1))
    tone = np.sin(2 * np.pi * 441 * np.arange(44_100) / 44_100).astype(np.float32)
    frames: Frames = []
    for first in range(0, 44_100, 700):
        block = tone[first : first + 700, np.newaxis]
        frames += sound.add(block, 10 + first / 44_100, told=True)
    samples = joined(frames)
    assert 0.9 < len(samples) / 48_000 <= 1.0
    expected = np.sin(2 * np.pi * 441 * np.arange(len(samples)) / 48_000)
    np.testing.assert_allclose(samples[1_000:-1_000], expected[1_000:-1_000], atol=0.01)


def test_two_channels_become_one_for_a_telephone() -> None:
    sound = SoundIn(AudioOptions(8_000, 2, "pcmu"), 8_000, 1, 160)
    block = np.array([[0.5, -0.25]] * 160, np.float32)
    [(samples, _)] = sound.add(block, 10.0, told=True)
    assert samples.shape == (1, 160)
    assert set(samples[0].tolist()) == {0.125}
