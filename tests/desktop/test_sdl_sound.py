"""SDL's speaker and microphone at a real sound server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.desktop.desktop import (
    RATE,
    PulseAudio,
    longest_silence_s,
    loudest_frequency,
    sounding,
    tone,
    wait_for,
)

from streamsocket.desktop.sdl.devices import microphones, speakers
from streamsocket.desktop.sdl.sound import SdlMicrophone, SdlSpeaker
from streamsocket.errors import DeviceError

Samples = NDArray[np.float32]
Device = SdlSpeaker | SdlMicrophone
Opened = Callable[..., Any]


@pytest.fixture
def opened(pulse: PulseAudio) -> Iterator[Opened]:
    """Opens devices, and closes them in the end, which a failed test wouldn't."""
    devices: list[Device] = []

    def open_one(kind: type[Device], name: str | None = None, **options: int) -> Device:
        device = kind(name, **options)
        devices.append(device)
        if isinstance(device, SdlMicrophone):
            # One that loses its server within its first 10 ms hangs in SDL 2.32 when it is closed.
            wait_for(lambda: device.queued_s, "the microphone's first sound")
        return device

    yield open_one
    for device in devices:
        device.close()


def test_a_tone_is_heard_whole(pulse: PulseAudio, opened: Opened) -> None:
    """Fed as a player feeds it: little by little, with 50 ms in hand."""
    speaker = opened(SdlSpeaker)
    wave = tone(440, 1)
    holes = []
    # A machine that is busy with other things makes holes that aren't ours.
    for _ in range(5):
        with pulse.record() as recording:
            sent = 0
            until = monotonic() + 10
            while sent < len(wave) and monotonic() < until:
                while speaker.queued_s < 0.05:
                    speaker.queue(wave[sent : sent + 480])
                    sent += 480
                sleep(0.004)
            wait_for(lambda: speaker.queued_s == 0, "the end of the tone")
            recording.wait(0.3)
        heard = sounding(recording.samples)
        assert len(heard) > len(wave) - 0.002 * RATE, "something was left out"
        holes.append(longest_silence_s(heard))
        if holes[-1] < 0.001:
            break
    assert holes[-1] < 0.001, holes
    assert abs(len(heard) - len(wave)) < 0.002 * RATE
    assert abs(loudest_frequency(heard) - 440) < 1
    assert abs(float(np.abs(heard).max()) - 0.5) < 0.02


def test_both_channels_stay_apart(pulse: PulseAudio, opened: Opened) -> None:
    both = tone(300, 0.5)
    both[:, 1] = tone(700, 0.5)[:, 0]
    with pulse.record() as recording:
        speaker = opened(SdlSpeaker)
        speaker.queue(both)
        wait_for(lambda: len(sounding(recording.samples)) > 0.45 * RATE, "the tones")
    heard = sounding(recording.samples)
    assert abs(loudest_frequency(heard) - 300) < 6
    assert abs(loudest_frequency(heard[:, ::-1]) - 700) < 14


def test_the_latency_is_what_it_says(pulse: PulseAudio, opened: Opened) -> None:
    """A click is heard when what was queued before it, and the latency, have passed."""
    with pulse.record() as recording:
        speaker = opened(SdlSpeaker)
        expected = []
        for number in range(12):
            # Of different lengths, so that the device is met at different points of its buffer.
            speaker.queue(np.zeros((4800 + 37 * number, 2), np.float32))
            ahead = speaker.queued_s
            speaker.queue(np.full((96, 2), 0.5, np.float32))
            expected.append(monotonic() + ahead + speaker.latency_s)
            wait_for(lambda: speaker.queued_s == 0, "the click")
        recording.wait(0.3)
    loud = np.flatnonzero(np.abs(recording.samples[:, 0]) > 0.1)
    clicks = loud[np.flatnonzero(np.diff(loud, prepend=-RATE) > 1000)]
    assert len(clicks) == len(expected)
    late = recording.begun + clicks / RATE - expected
    assert abs(float(np.median(late))) < 0.015, late


def test_what_is_queued_can_be_taken_back(pulse: PulseAudio, opened: Opened) -> None:
    speaker = opened(SdlSpeaker)
    with pulse.record() as recording:
        speaker.queue(tone(440, 3))
        assert 2.9 < speaker.queued_s <= 3
        wait_for(lambda: len(sounding(recording.samples)), "the tone's beginning")
        speaker.clear()
        assert speaker.queued_s == 0
        recording.wait(0.5)
    assert len(sounding(recording.samples)) < 0.5 * RATE


def test_the_queue_is_bounded(opened: Opened) -> None:
    speaker = opened(SdlSpeaker)
    for _ in range(8):
        speaker.queue(tone(440, 1))
    assert 4.5 < speaker.queued_s <= 5
    assert speaker.dropped > 2.5 * RATE


def hear(microphone: SdlMicrophone, seconds: float) -> Samples:
    """So much sound, from where it begins."""
    heard: Samples = np.empty((0, microphone.channels), np.float32)

    def enough() -> bool:
        nonlocal heard
        heard = np.concatenate((heard, microphone.read()))
        return len(sounding(heard)) > seconds * RATE

    wait_for(enough, "sound from the microphone")
    return sounding(heard)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_microphone_hears_a_tone(pulse: PulseAudio, opened: Opened, channels: int) -> None:
    with pulse.play(tone(880, 10)):
        microphone = opened(SdlMicrophone, channels=channels)
        heard = hear(microphone, 1)
    assert heard.shape[1] == channels
    assert heard.dtype == np.float32
    assert abs(loudest_frequency(heard) - 880) < 18


def test_a_microphone_that_nobody_reads(pulse: PulseAudio, opened: Opened) -> None:
    """It keeps the newest second."""
    microphone = opened(SdlMicrophone)
    with pulse.play(tone(600, 3)):
        wait_for(lambda: microphone.queued_s > 1.6, "sound in the queue")
        heard = microphone.read()
    assert len(heard) == RATE
    assert microphone.dropped >= 0.6 * RATE
    assert len(microphone.read()) < 0.5 * RATE


@pytest.mark.parametrize("kind", [SdlSpeaker, SdlMicrophone])
def test_the_sound_server_ends(pulse: PulseAudio, opened: Opened, kind: type[Device]) -> None:
    device = opened(kind)
    assert not device.lost
    pulse.end()
    wait_for(lambda: device.lost, "the news that it is gone", 5)
    if isinstance(device, SdlSpeaker):
        device.queue(tone(440, 0.1))
    else:
        device.read()


@pytest.mark.parametrize(
    ("kind", "name", "module"),
    [
        (SdlSpeaker, "Speaker", "module-null-sink"),
        (SdlMicrophone, "Microphone", "module-remap-source"),
    ],
)
def test_a_device_that_was_asked_for_vanishes(
    pulse: PulseAudio, opened: Opened, kind: type[Device], name: str, module: str
) -> None:
    """The stream isn't moved to another device, which nobody has chosen."""
    device = opened(kind, name)
    assert not device.lost
    pulse.unload(module)
    wait_for(lambda: device.lost, "the news that it is gone", 5)


def test_the_default_speaker_vanishes(pulse: PulseAudio, opened: Opened) -> None:
    """The sound goes on at the one that is the default then."""
    other = pulse.load("module-null-sink", "sink_name=other", "rate=48000", "norewinds=1")
    pulse.pactl("set-default-sink", "other")
    speaker = opened(SdlSpeaker)
    pulse.unload(other)
    pulse.pactl("set-default-sink", "speaker")
    with pulse.record() as recording:
        speaker.queue(tone(440, 0.5))
        wait_for(lambda: len(sounding(recording.samples)) > 0.4 * RATE, "the tone")
    assert not speaker.lost


def test_opening_again_after_it_was_lost(pulse: PulseAudio, opened: Opened) -> None:
    speaker = opened(SdlSpeaker, "Speaker")
    pulse.unload("module-null-sink")
    wait_for(lambda: speaker.lost, "the news that it is gone", 5)
    speaker.close()
    pulse.load("module-null-sink", "sink_name=speaker", "rate=48000", "norewinds=1")
    with pulse.record() as recording:
        again = opened(SdlSpeaker)
        again.queue(tone(440, 0.5))
        wait_for(lambda: len(sounding(recording.samples)) > 0.4 * RATE, "the tone")


def test_names(pulse: PulseAudio) -> None:
    assert sorted(speakers()) == ["Room", "Speaker"]
    assert microphones() == ["Microphone"]


def test_a_speaker_by_its_name(pulse: PulseAudio, opened: Opened) -> None:
    with pulse.record("room") as recording:
        speaker = opened(SdlSpeaker, "Room")
        speaker.queue(tone(440, 0.5))
        wait_for(lambda: len(sounding(recording.samples)) > 0.4 * RATE, "the tone")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (SdlSpeaker, r"^There is no speaker called 'Roof': choose one of '(Room|Speaker)', '"),
        (SdlMicrophone, r"^There is no microphone called 'Roof': choose one of 'Microphone'\.$"),
    ],
)
def test_an_unknown_name(opened: Opened, kind: type[Device], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        opened(kind, "Roof")


def test_speaker_and_microphone_in_threads_of_their_own(pulse: PulseAudio) -> None:
    found: list[str] = []

    def use(open_device: Callable[[], Device]) -> None:
        for _ in range(5):
            device = open_device()
            found.append("lost" if device.lost else "there")
            device.close()

    threads = [threading.Thread(target=use, args=(each,)) for each in (SdlSpeaker, SdlMicrophone)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == ["there"] * 10


NOBODY = """
from streamsocket.errors import DeviceError
from streamsocket.desktop.sdl.devices import microphones, speakers
from streamsocket.desktop.sdl.sound import SdlMicrophone, SdlSpeaker
print(speakers(), microphones())
for each in (SdlSpeaker, SdlMicrophone):
    try:
        each()
    except DeviceError as error:
        print(error)
"""


def test_no_sound_system_at_all(pulse: PulseAudio) -> None:
    """As on a server. Nothing else writes on the terminal."""
    pulse.end()
    done = subprocess.run(
        [sys.executable, "-c", NOBODY], capture_output=True, timeout=30, text=True, check=True
    )
    first, speaker, microphone = done.stdout.splitlines()
    assert first == "[] []"
    assert speaker.startswith("No speaker can be opened: ")
    assert microphone.startswith("No microphone can be opened: ")
    assert done.stderr == ""
