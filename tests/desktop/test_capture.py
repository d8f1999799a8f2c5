"""A real screen and a real sound server captured, served, and looked at by our client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from tests.desktop.desktop import PATIENCE_S, RATE, Display, PulseAudio, running, tone, wait_for
from tests.interop.serving import COMMAND, serving, streamsocket

from streamsocket.client.decode import Decoder
from streamsocket.client.session import open_url
from streamsocket.desktop.sdl.window import SdlWindow

_COLOURS = ((200, 30, 30), (20, 40, 180))
"""Of the window's left and right half."""


@dataclass
class _Seen:
    """What a client has decoded, with times in seconds since the epoch."""

    pictures: list[tuple[float, NDArray[np.uint8]]] = field(default_factory=list)
    """Each by its middle row: red, green, blue, every 40 pixels."""
    sound: list[tuple[float, NDArray[np.float32]]] = field(default_factory=list)

    @property
    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([samples for _, samples in self.sound])


def _watch(url: str, enough: Callable[[_Seen], bool]) -> _Seen:
    """Play a stream until there is enough of it."""

    async def watch() -> _Seen:
        seen = _Seen()
        async with asyncio.timeout(PATIENCE_S), open_url(url) as session:
            decoders: dict[int, Decoder] = {}
            async for received in session:
                unit = received.unit
                if received.track not in decoders:
                    decoders[received.track] = Decoder(
                        session.tracks[received.track].receiver.codec
                    )
                for frame in decoders[received.track].decode(unit):
                    assert unit.capture_time is not None
                    _keep(seen, frame, unit.capture_time)
                if enough(seen):
                    break
        return seen

    return asyncio.run(watch())


def _keep(seen: _Seen, frame: VideoFrame | AudioFrame, at: float) -> None:
    if isinstance(frame, VideoFrame):
        row = frame.to_ndarray(format="rgb24")[frame.height // 2, ::40]
        seen.pictures.append((at, np.asarray(row, np.uint8)))
    else:
        seen.sound.append((at, np.asarray(frame.to_ndarray()[0], np.float32)))


class _Flipping:
    """A window that shows nothing and two colours in turn, and knows when it did."""

    def __init__(self) -> None:
        self.lit_at: list[float] = []
        """Seconds since the epoch."""

    def run_while(self, work: Callable[[], _Seen]) -> _Seen:
        """Flip in this thread, as windows want it, while the work is done in another."""
        results: list[_Seen] = []
        thread = threading.Thread(target=lambda: results.append(work()))
        picture = np.zeros((800, 1280, 3), np.uint8)
        picture[:, :640], picture[:, 640:] = _COLOURS
        lit = VideoFrame.from_ndarray(picture, "rgb24")
        dark = VideoFrame.from_ndarray(np.zeros_like(picture), "rgb24")
        window = SdlWindow("flipping", 1280, 800)
        thread.start()
        try:
            while thread.is_alive():
                for frame in (lit, dark):
                    window.events(0)
                    window.set_picture("main", frame)
                    at = window.present() + time.time() - time.monotonic()
                    if frame is lit:
                        self.lit_at.append(at)
                    thread.join(0.35)
        finally:
            thread.join(PATIENCE_S)
            window.close()
        return results[0]


def test_the_screen_is_seen_as_it_is_and_when_it_was(x_display: Display) -> None:
    with serving("desk=screen") as server:
        flipping = _Flipping()
        seen = flipping.run_while(
            lambda: _watch(server.url("desk"), lambda seen: len(seen.pictures) > 130)
        )
    is_lit = [bool(row.max() > 100) for _, row in seen.pictures]
    lit = [row for (_, row), now in zip(seen.pictures, is_lit, strict=True) if now]
    row = np.median(lit, axis=0)
    assert np.abs(row[2:14] - _COLOURS[0]).max() < 12
    assert np.abs(row[18:30] - _COLOURS[1]).max() < 12
    begun = [
        at
        for (_, before), ((at, _), now) in pairwise(zip(seen.pictures, is_lit, strict=True))
        if now and not before
    ]
    # The first pictures are squeezed for who joins.
    begun = [at for at in begun if at > seen.pictures[0][0] + 1.5]
    assert len(begun) >= 3
    late = [min((at - flip for flip in flipping.lit_at), key=abs) for at in begun]
    # A flip is seen in the next picture, which is up to 33 ms later.
    assert abs(float(np.median(late)) - 0.017) < 0.05


def test_the_microphone_is_heard_without_a_gap(pulse: PulseAudio) -> None:
    with pulse.play(tone(440, 30)), serving("mic=mic") as server:
        [track] = server.stream("mic")["tracks"]
        assert track["description"] == "48 kHz stereo"
        seen = _watch(server.url("mic"), lambda seen: len(seen.sound) > 250)
    # A busy machine costs PulseAudio itself a moment now and then: most of them are looked at.
    moments = seen.samples[: len(seen.samples) // 4800 * 4800].reshape(-1, 4800)
    strength = np.abs(np.fft.rfft(moments * np.hanning(4800), 48_000))
    heard = strength.argmax(axis=1)[np.abs(moments).max(axis=1) > 0.3]
    assert len(heard) > 0.6 * len(moments)
    assert abs(float(np.median(heard)) - 440) < 2
    stamps = [at for at, _ in seen.sound]
    assert all(abs(b - a - 0.01) < 0.002 for a, b in pairwise(stamps[50:]))


def test_a_microphone_that_is_pulled_out_is_waited_for(
    pulse: PulseAudio, x_display: Display
) -> None:
    with pulse.play(tone(440, 60)), serving("desk=screen+mic:Microphone") as server:

        def message() -> str:
            return server.stream("desk")["message"] or ""

        pulse.unload("module-remap-source")
        wait_for(lambda: "icrophone" in message(), "the sentence about the microphone")
        silent = _watch(server.url("desk"), lambda seen: len(seen.sound) > 60)
        assert np.abs(silent.samples).max() < 0.001
        assert silent.pictures
        pulse.load(
            "module-remap-source",
            "source_name=microphone",
            "master=room.monitor",
            "source_properties=device.description=Microphone",
        )
        wait_for(lambda: not message(), "the microphone")
        loud = _watch(server.url("desk"), lambda seen: len(seen.sound) > 150)
        assert np.abs(loud.samples[-RATE // 2 :]).max() > 0.3


def test_devices_lists_what_is_there(pulse: PulseAudio, x_display: Display) -> None:
    there = json.loads(streamsocket("devices", "--json").stdout)
    words = {device["word"]: device for device in there}
    assert words["mic:Microphone"]["kind"] == "microphone"
    assert words["Speaker"]["kind"] == "speaker"
    assert words["screen"]["detail"] == "1280x800"


def test_a_screen_is_published_as_asked_for(x_display: Display) -> None:
    with serving() as server:
        url = server.url("desk")
        command = [*COMMAND, "publish", "screen", url, "--size", "640x360", "--codec", "vp8"]
        with running(command, stdout=subprocess.DEVNULL):
            server.wait_until_live(["desk"])
            [track] = server.stream("desk")["tracks"]
            assert (track["codec"], track["description"]) == ("vp8", "640x360")
