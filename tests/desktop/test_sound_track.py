"""A track's sound at a real sound server: whole, pure and on time."""

from __future__ import annotations

from time import monotonic, sleep

import numpy as np
from tests.desktop.desktop import RATE, PulseAudio, longest_silence_s, sounding, wait_for

from streamsocket.desktop.sdl.sound import SdlSpeaker
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import L16
from streamsocket.player.sound_track import SoundTrack

SECONDS = 6
FAST = 1.003
"""The source's crystal is that much too fast, as none is."""
FRAME = 960
DELAY_S = 0.25


def frame_of_sound(number: int) -> bytes:
    """20 ms: a sine of 1 kHz on the left; on the right 0.1 and a hundredth more every second."""
    at = np.arange(number * FRAME, (number + 1) * FRAME)
    left = 0.5 * np.sin(2 * np.pi * 1000 * at / RATE)
    right = 0.1 + 0.01 * at / RATE
    return (np.stack([left, right], axis=1) * 32767).astype(">i2").tobytes()


def impurities_db(sound: np.ndarray) -> list[float]:
    """For every tenth of a second: what is not the sine, against the sine (THD+N)."""
    size = RATE // 10
    turns = 2 * np.pi * np.arange(size) / size  # the Blackman–Harris window
    window = 0.35875 - 0.48829 * np.cos(turns) + 0.14128 * np.cos(2 * turns)
    window -= 0.01168 * np.cos(3 * turns)
    impurities = []
    for start in range(0, len(sound) - size + 1, size):
        power = np.abs(np.fft.rfft(sound[start : start + size] * window)) ** 2
        rest = power.copy()
        rest[max(0, int(power.argmax()) - 5) : int(power.argmax()) + 6] = 0
        impurities.append(10 * np.log10(rest.sum() / power.sum()))
    return impurities


def test_a_source_that_is_fast_is_heard_whole_pure_and_on_time(pulse: PulseAudio) -> None:
    ready: list[float] = []
    spoken: list[float] = []
    with pulse.record() as recording:
        track = SoundTrack(
            L16(RATE, 2),
            SdlSpeaker,
            clock=monotonic,
            on_ready=lambda captured, at: ready.append(at - captured),
            delay_s=lambda: DELAY_S,
        )
        output = wait_for(lambda: track.output, "the speaker")
        begin = monotonic()
        for number in range(round(SECONDS * FAST * RATE / FRAME)):
            captured = begin + number * FRAME / RATE / FAST
            while monotonic() < captured + FRAME / RATE:
                sleep(0.002)
            track.put(AccessUnit([frame_of_sound(number)], number * FRAME, True, captured))
            heard = track.heard()
            if heard is not None:
                spoken.append(monotonic() - heard - DELAY_S)
        wait_for(lambda: track.heard() is None, "the end of the sound")
        have = recording.heard_s
        wait_for(lambda: recording.heard_s > have + 0.3, "the last of it")
        track.close()
    assert np.median(ready) < DELAY_S / 2
    assert 1.0015 < output.speed <= 1.005
    # A busy machine's sound server has gaps of 10 to 30 ms that aren't ours, and each makes the
    # device later for good; with this source, to catch up takes long, or a jump.
    assert output.underruns >= 1  # at the end
    sound = sounding(recording.samples)
    assert abs(len(sound) / RATE - SECONDS) < 0.3
    assert longest_silence_s(sound) < 0.1
    assert np.median(impurities_db(sound[:, 0].astype(float))) < -60

    times = recording.begun + np.arange(len(recording.samples)) / RATE
    right = recording.samples[:, 1].astype(float)
    captured_at = begin + (right - 0.1) / 0.01 / FAST
    late = (times - captured_at - DELAY_S)[right > 0.11]
    assert abs(np.median(late)) < 0.15
    assert abs(np.median(late) - np.median(spoken)) < 0.08  # what the server holds, too
