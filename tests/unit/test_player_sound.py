"""Every sample is heard when it is due, and nothing clicks: simulated, in virtual time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from tests.unit.sound_helpers import EPOCH, FakeSpeaker, Simulation, Source

from streamsocket.player.sound import SPEED_LIMIT, SoundOutput

STEEPEST = 0.5 * 2 * np.pi * 1000 / 48_000
"""The largest step between samples that a sine of 1 kHz and amplitude ½ makes."""


def sine_heard(simulation: Simulation, begin: float, end: float) -> np.ndarray:
    times = simulation.speaker.times() - EPOCH
    chosen = (times >= begin) & (times < end)
    return simulation.speaker.sound()[chosen, 0].astype(np.float64)


def impurity_db(sound: np.ndarray, size: int = 4800) -> float:
    """What is not the sine, against the sine, in the worst tenth of a second (THD+N)."""
    turns = 2 * np.pi * np.arange(size) / size  # the Blackman–Harris window, clean to −92 dB
    window = 0.35875 - 0.48829 * np.cos(turns) + 0.14128 * np.cos(2 * turns)
    window -= 0.01168 * np.cos(3 * turns)
    worst = -200.0
    for start in range(0, len(sound) - size + 1, size):
        power = np.abs(np.fft.rfft(sound[start : start + size] * window)) ** 2
        peak = int(power.argmax())
        rest = power.copy()
        rest[max(0, peak - 5) : peak + 6] = 0
        worst = max(worst, 10 * np.log10(rest.sum() / power.sum()))
    return float(worst)


def jittery(seed: int, base: float, spread: float) -> Callable[[float], float]:
    chance = random.Random(seed)
    return lambda _: base + chance.random() * spread


def errors_of_heard(simulation: Simulation, begin: float, end: float) -> np.ndarray:
    """How far what `heard` says is from what should be heard, in seconds."""
    return np.array(
        [
            t - heard - simulation.delay(t)
            for t, heard in simulation.heards
            if heard is not None and begin <= t < end
        ]
    )


def test_the_first_sound_is_heard_when_it_is_due() -> None:
    simulation = Simulation(delay=lambda _: 0.3).run(1.0)
    times, sound = simulation.speaker.times() - EPOCH, simulation.speaker.sound()
    first = times[np.flatnonzero(sound[:, 0])[0]]
    assert first == pytest.approx(0.3, abs=0.006)
    silent_until = next(t for t, heard in simulation.heards if heard is not None)
    assert silent_until == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("device", "source"), [(200, -200), (-200, 200), (200, 200)])
def test_drifting_crystals_are_followed_unheard(device: float, source: float) -> None:
    simulation = Simulation(
        speaker=FakeSpeaker(ppm=device),
        source=Source(ppm=source),
        network=jittery(1, 0.01, 0.05),
    ).run(30)
    late = simulation.lateness(1, 30)
    assert np.abs(late).max() < 0.005
    assert np.abs(simulation.lateness(25, 30)).max() < 0.002
    assert simulation.output.underruns == simulation.output.jumps == 0
    assert simulation.speaker.dry == 0
    assert simulation.speaker.most_queued_s < 0.05
    sound = sine_heard(simulation, 1, 30)
    assert impurity_db(sound) < -60
    assert np.abs(np.diff(sound)).max() < STEEPEST * 1.01


def test_what_heard_says_is_what_is_heard() -> None:
    simulation = Simulation(speaker=FakeSpeaker(ppm=200), source=Source(ppm=-200)).run(20)
    spoken = errors_of_heard(simulation, 1, 20)
    true = simulation.lateness(1, 20)
    assert abs(np.median(spoken) - np.median(true)) < 0.0005
    assert np.abs(spoken).max() < np.abs(true).max() + 0.002
    heard = [h for _, h in simulation.heards if h is not None]
    assert all(a <= b for a, b in pairwise(heard))


def test_timestamps_rounded_to_milliseconds_are_smoothed() -> None:
    simulation = Simulation(
        source=Source(frame=1024), slew=lambda captured: round(captured, 3) - captured
    ).run(10)
    assert np.abs(simulation.lateness(1, 10)).max() < 0.002
    assert impurity_db(sine_heard(simulation, 1, 10)) < -55


def test_a_source_0_3_percent_fast_is_played_on_time() -> None:
    simulation = Simulation(source=Source(ppm=3000)).run(60)
    assert np.abs(simulation.lateness(1, 60)).max() < 0.012
    assert np.abs(simulation.lateness(50, 60)).max() < 0.002
    assert simulation.output.speed == pytest.approx(1.003, abs=0.0002)
    assert impurity_db(sine_heard(simulation, 2, 60)) < -60


def test_a_clock_that_slews_is_followed() -> None:
    simulation = Simulation(
        slew=lambda captured: 0.004 * min(max(captured - 5, 0), 5), speaker=FakeSpeaker(ppm=100)
    ).run(60)
    late = np.abs(simulation.lateness(1, 60))
    assert late.max() < 0.015
    assert np.abs(simulation.lateness(50, 60)).max() < 0.001
    assert simulation.output.jumps == 0
    assert impurity_db(sine_heard(simulation, 1, 60)) < -50


def test_a_little_more_delay_is_reached_by_playing_slower() -> None:
    simulation = Simulation(delay=lambda t: 0.15 if t < 5 else 0.18).run(40)
    assert simulation.output.jumps == simulation.output.underruns == 0
    assert np.abs(simulation.lateness(20, 40)).max() < 0.004
    sound = sine_heard(simulation, 1, 40)
    assert impurity_db(sound) < -38  # a tenth of a second in which the speed changes
    assert impurity_db(sine_heard(simulation, 20, 40)) < -60
    assert np.abs(np.diff(sound)).max() < STEEPEST * 1.01
    speeds = np.diff([h for _, h in simulation.heards if h is not None])
    assert (speeds >= 0).all()


@pytest.mark.parametrize(("before", "after"), [(0.15, 0.45), (0.45, 0.15)])
def test_much_more_or_less_delay_is_reached_at_once(before: float, after: float) -> None:
    simulation = Simulation(delay=lambda t: before if t < 5 else after).run(12)
    assert simulation.output.jumps == 1
    assert simulation.output.underruns == 0
    assert np.abs(simulation.lateness(5.5, 12)).max() < 0.002
    assert np.abs(simulation.lateness(1, 4.9)).max() < 0.002
    sound = sine_heard(simulation, 1, 12)
    assert np.abs(np.diff(sound)).max() < STEEPEST * 1.05
    silent = np.count_nonzero(np.abs(sound) < 1e-4) / 48_000
    assert silent == pytest.approx(max(0.0, after - before), abs=0.02)


def test_lost_frames_are_silent_and_the_rest_stays_on_time() -> None:
    chance = random.Random(3)
    simulation = Simulation(network=lambda _: None if chance.random() < 0.05 else 0.02).run(20)
    output = simulation.output
    assert output.underruns == output.jumps == 0
    # A lost frame ends with a fade, in which the ramp says nothing.
    assert np.percentile(np.abs(simulation.lateness(1, 20)), 80) < 0.001
    assert np.abs(errors_of_heard(simulation, 1, 20)).max() < 0.002
    sound = sine_heard(simulation, 1, 20)
    assert np.abs(np.diff(sound)).max() < STEEPEST * 1.05
    assert np.abs(sound[np.abs(sound) > 0]).max() < 0.51
    silent = np.count_nonzero(sound == 0) / len(sound)
    assert 0.02 < silent < 0.06


def test_a_source_that_begins_anew_is_on_time_again() -> None:
    simulation = Simulation(
        slew=lambda captured: 0.0 if captured < 5 else -0.7,
        delay=lambda t: 0.15 if t < 5.03 else 0.85,
    ).run(10)
    assert np.abs(simulation.lateness(6, 10)).max() < 0.002
    sound = sine_heard(simulation, 1, 10)
    assert np.abs(np.diff(sound)).max() < STEEPEST * 1.05


def test_sound_that_fails_to_come_is_silence_and_the_clock_goes_on_for_a_moment() -> None:
    simulation = Simulation(network=lambda captured: None if 3 < captured < 5 else 0.02).run(8)
    assert simulation.output.underruns == 1
    assert simulation.speaker.dry == 0
    heard = dict(simulation.heards)
    assert all(h is not None for t, h in heard.items() if 1 < t < 3.5)
    assert all(h is None for t, h in heard.items() if 3.9 < t < 5.1)
    assert all(h is not None for t, h in heard.items() if t > 5.25)
    assert np.abs(errors_of_heard(simulation, 1, 8)).max() < 0.003
    assert np.abs(simulation.lateness(5.3, 8)).max() < 0.001
    sound = sine_heard(simulation, 1, 8)
    assert np.abs(np.diff(sound)).max() < STEEPEST * 1.05


def test_sound_that_comes_late_now_and_then_is_waited_for() -> None:
    """What comes as late as the output says it may, but for one turn of who feeds it."""
    lead = SoundOutput(FakeSpeaker()).lead_s
    late = 0.15 - 0.02 - lead - 0.005
    simulation = Simulation(network=lambda c: late if int(c * 50) % 40 == 0 else 0.01).run(10)
    assert simulation.output.underruns == 0


def test_a_stalled_device_is_caught_up_with() -> None:
    speaker = FakeSpeaker()
    speaker.stalls = [(EPOCH + 5, EPOCH + 5.05), (EPOCH + 20, EPOCH + 20.05)]
    simulation = Simulation(speaker=speaker).run(40)
    assert simulation.output.underruns == simulation.output.jumps == 0
    assert np.abs(simulation.lateness(5.1, 20)).max() < 0.06
    assert np.abs(simulation.lateness(36, 40)).max() < 0.01
    assert np.abs(errors_of_heard(simulation, 36, 40)).max() < 0.01


def test_a_device_that_ran_dry_is_fed_further_ahead_for_some_time() -> None:
    simulation = coarse(2)
    lead_s = simulation.output.lead_s
    simulation.t += 0.08  # nobody feeds it
    simulation.run(3)
    assert simulation.speaker.dry
    assert simulation.output.underruns == 1
    assert simulation.output.lead_s == pytest.approx(lead_s + 0.005)
    simulation.run(100)
    assert simulation.output.lead_s == pytest.approx(lead_s + 0.005)
    assert np.abs(errors_of_heard(simulation, 60, 100)).max() < 0.002
    simulation.run(500)
    assert simulation.output.lead_s == pytest.approx(lead_s)


def test_a_mean_schedule_gives_silence_and_no_stutter() -> None:
    """Sound that always comes too late is not played late."""
    simulation = Simulation(delay=lambda _: 0.03).run(3)
    assert not simulation.speaker.sound().any()
    assert all(heard is None for _, heard in simulation.heards)


def test_nothing_is_played_before_the_delay_is_known() -> None:
    simulation = Simulation(delay=lambda t: float("nan") if t < 1 else 0.15).run(3)
    times, sound = simulation.speaker.times() - EPOCH, simulation.speaker.sound()
    assert times[np.flatnonzero(sound[:, 0])[0]] == pytest.approx(1.06, abs=0.03)
    assert np.abs(simulation.lateness(1.2, 3)).max() < 0.001


def test_what_waits_is_bounded() -> None:
    simulation = Simulation(delay=lambda _: 60.0).run(10)
    assert 1.9 < simulation.output.buffered_s < 2.2
    assert simulation.output.dropped_s == pytest.approx(7.98, abs=0.1)


def test_the_offset_moves_the_sound_and_not_the_pictures() -> None:
    simulation = Simulation(offset_s=0.05).run(4)
    times, sound = simulation.speaker.times() - EPOCH, simulation.speaker.sound()
    assert times[np.flatnonzero(sound[:, 0])[0]] == pytest.approx(0.2, abs=0.006)
    assert np.abs(simulation.lateness(1, 4)).max() < 0.001
    assert np.abs(errors_of_heard(simulation, 1, 4)).max() < 0.002


def test_volume_and_muting_do_not_click() -> None:
    simulation = Simulation().run(2)
    output = simulation.output
    output.muted = True
    simulation.run(3)
    output.muted = False
    simulation.run(4)
    output.volume = 1.5
    simulation.run(5)
    sound = sine_heard(simulation, 1, 5)
    assert np.abs(np.diff(sound)).max() < 1.5 * STEEPEST * 1.02
    assert not sine_heard(simulation, 2.2, 2.9).any()
    assert np.abs(sine_heard(simulation, 3.3, 3.9)).max() == pytest.approx(0.5, abs=0.001)
    assert np.abs(sine_heard(simulation, 4.3, 4.9)).max() == pytest.approx(0.75, abs=0.001)


def test_too_loud_is_cut_off_at_full_scale() -> None:
    speaker = FakeSpeaker()
    output = SoundOutput(speaker)
    output.volume = 1.5
    for step in range(200):
        now = EPOCH + step * 0.01
        speaker.run_until(now)
        output.put(np.ones((480, 2), np.float32), now)
        output.feed(now, 0.1)
    assert speaker.sound().max() == 1.0


def coarse(seconds: float) -> Simulation:
    """As the others, at a sampling rate and in turns that a computer does hours of in seconds."""
    speaker = FakeSpeaker(1000, 1, ppm=200, buffer=10, keep=False)
    return Simulation(
        speaker=speaker,
        source=Source(1000, 1, frame=100, ppm=-200, frequency=10),
        network=jittery(5, 0.01, 0.04),
        delay=lambda _: 0.3,
        tick_s=0.015,
        jitter_s=0.002,
    ).run(seconds)


@pytest.mark.parametrize(
    "hours", [pytest.param(0.1, id="minutes"), pytest.param(2, id="hours", marks=pytest.mark.slow)]
)
def test_it_stays_on_time_for_hours(hours: float) -> None:
    simulation = coarse(hours * 3600)
    output = simulation.output
    assert output.underruns == output.jumps == simulation.speaker.dry == 0
    errors = np.abs(errors_of_heard(simulation, 60, hours * 3600))
    assert len(errors) > hours * 3600 * 50
    assert errors.max() < 0.002
    assert output.speed == pytest.approx(1 - 400e-6, abs=150e-6)
    assert simulation.speaker.most_queued_s < 0.05


def test_it_never_plays_faster_or_slower_than_unheard() -> None:
    simulation = Simulation(delay=lambda t: 0.15 if t < 4 else 0.20)
    speeds = []
    while simulation.t < 8:
        simulation.run(simulation.t + 0.05)
        speeds.append(simulation.output.speed)
    assert min(speeds) == 1 - SPEED_LIMIT
    assert max(speeds) < 1 + SPEED_LIMIT


def test_in_the_beginning_what_is_off_is_put_right_by_a_cut() -> None:
    simulation = Simulation(delay=lambda t: 0.15 if t < 1 else 0.19)
    simulation.run(3)

    assert simulation.output.jumps == 1
    assert abs(simulation.output.speed - 1) < 0.002


def test_it_costs_a_hundredth_of_a_core() -> None:
    speaker = FakeSpeaker(ppm=100, keep=False)
    output = SoundOutput(speaker)
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (960, 2)).astype(np.float32)
    used = 0.0
    for step in range(1250):
        now = EPOCH + step * 0.004
        speaker.run_until(now)
        begin = time.process_time()
        if step % 5 == 0:
            output.put(samples, now)
        output.feed(now, 0.1)
        output.heard(now)
        used += time.process_time() - begin
    assert output.buffered_s > 0.05
    assert used / 5 < 0.03, f"{used / 5 * 1000:.1f} ms a second"
    print(f"{used / 5 * 1000:.1f} ms of CPU a second of sound")
