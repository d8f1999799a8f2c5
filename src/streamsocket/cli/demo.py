"""`make demo`: make a movie, serve it, watch it, and say how well that goes.

On a terminal it goes on until Ctrl-C. Elsewhere it takes 20 s, prints a summary, and exits with
status 1 if a figure is bad.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console

from streamsocket.client.inspector import Inspector
from streamsocket.client.session import Session, SessionTrack, open_url
from streamsocket.errors import StreamSocketError
from streamsocket.server import Server
from streamsocket.settings.model import HttpSettings, RtspSettings, Settings, StreamSettings
from streamsocket.sources.movie import make_movie
from streamsocket.wording import http_url, rtsp_url

MOVIE = Path("media/demo.mp4")
MOVIE_SECONDS = 20
FRAME_RATE = 30
UNATTENDED_S = 20.0

# What a viewer on this machine has to get.
LOWEST_FRAME_RATE = 0.99 * FRAME_RATE
GREATEST_OFFSET_MS = 20.0
GREATEST_LATENCY_MS = 250.0

# A viewer who joins catches up with live; until then the figures say nothing of the stream.
_SETTLING_S = 2.0
_INTERVAL_S = 1.0
_SAME_MOMENT_S = 0.4


@dataclass
class Figures:
    """What has been seen since the picture settled."""

    frame_rates: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    offsets_ms: list[float] = field(default_factory=list)
    lost: int = 0

    def line(self) -> str:
        """The newest figures in one line."""
        parts = [f"{self.frame_rates[-1]:6.2f} frames a second" if self.frame_rates else "starting"]
        if self.latencies_ms:
            parts.append(f"latency {self.latencies_ms[-1]:4.0f} ms")
        if self.offsets_ms:
            parts.append(f"sound − picture {self.offsets_ms[-1]:+5.1f} ms")
        parts.append(f"{self.lost} lost")
        return "   ".join(parts)

    def complaints(self) -> list[str]:
        """What is bad, a sentence each."""
        found = []
        if not self.frame_rates or median(self.frame_rates) < LOWEST_FRAME_RATE:
            found.append(f"The frame rate should be {FRAME_RATE}.")
        if not self.latencies_ms or median(self.latencies_ms) > GREATEST_LATENCY_MS:
            found.append(f"The latency should be below {GREATEST_LATENCY_MS:.0f} ms.")
        if not self.offsets_ms or max(map(abs, self.offsets_ms)) > GREATEST_OFFSET_MS:
            found.append(f"Sound and picture should be within {GREATEST_OFFSET_MS:.0f} ms.")
        if self.lost:
            found.append(f"{self.lost} packets were lost.")
        return found


class Watcher:
    """Watches a session and measures what arrives."""

    def __init__(self, session: Session, figures: Figures) -> None:
        self._figures = figures
        self._session = session
        self._inspectors = [Inspector(track.codec) for track in session.tracks]
        self._settled_at = time.time() + _SETTLING_S
        self._aged = 0
        self._paired = 0
        self._frames = 0
        self._last_arrival = self._first_arrival = 0.0

    async def receive(self) -> None:
        """Take what arrives until the stream ends."""
        async for received in self._session:
            settled = received.arrival >= self._settled_at
            self._inspectors[received.track].put(received, settled=settled)
            if settled and self._session.tracks[received.track].kind == "video":
                self._frames += 1
                self._last_arrival = received.arrival
                self._first_arrival = self._first_arrival or received.arrival

    def measure(self) -> None:
        """Add what has been seen since the last time."""
        figures = self._figures
        figures.lost = sum(max(0, t.receiver.lost) for t in self._session.tracks)
        if self._frames < FRAME_RATE:
            return
        seconds = self._last_arrival - self._first_arrival
        figures.frame_rates.append((self._frames - 1) / seconds)
        for track, inspector in zip(self._session.tracks, self._inspectors, strict=True):
            if track.kind == "video":
                ages = inspector.ready.ages_ms(partial(_captured, track))
                if len(ages) > self._aged:
                    figures.latencies_ms.append(median(ages[self._aged :]))
                    self._aged = len(ages)
        self._pair_flashes_with_beeps()

    def finish(self) -> None:
        """End the threads that decode."""
        for inspector in self._inspectors:
            inspector.finish()

    def _pair_flashes_with_beeps(self) -> None:
        moments: dict[str, list[float]] = {"video": [], "audio": []}
        for track, inspector in zip(self._session.tracks, self._inspectors, strict=True):
            marks = inspector.flashes if track.kind == "video" else inspector.beeps
            moments[track.kind] = [_captured(track, mark) for mark in tuple(marks)]
        flashes = [moment for moment in moments["video"] if moment > self._settled_at]
        for flash in flashes[self._paired :]:
            nearest = min((beep - flash for beep in moments["audio"]), key=abs, default=1.0)
            if abs(nearest) > _SAME_MOMENT_S:
                return  # its beep has not been heard yet
            self._figures.offsets_ms.append(nearest * 1000)
            self._paired += 1


def _captured(track: SessionTrack, timestamp: float) -> float:
    clock = track.receiver.clock
    return clock.capture_time(0) + timestamp / track.codec.clock_rate


async def watch(url: str, console: Console, seconds: float | None, figures: Figures) -> None:
    """Watch a stream, the picture over UDP and the sound over TCP, and print what arrives."""
    async with open_url(url, transport="mixed") as session:
        watcher = Watcher(session, figures)
        receiving = asyncio.create_task(watcher.receive())
        ends = time.monotonic() + (seconds or float("inf"))
        try:
            while not receiving.done() and time.monotonic() < ends:
                await asyncio.sleep(_INTERVAL_S)
                watcher.measure()
                if console.is_terminal:
                    console.print(f"  {figures.line()}   ", end="\r")
                else:
                    console.print(f"  {figures.line()}")
        finally:
            receiving.cancel()
            with suppress(asyncio.CancelledError):
                await receiving
            await asyncio.to_thread(watcher.finish)
            watcher.measure()
            console.print()


def demo(console: Console) -> int:
    """Run the demo; return the exit code."""
    if not MOVIE.exists():
        console.print(f"Making a movie of {MOVIE_SECONDS} s with sound …")
        MOVIE.parent.mkdir(exist_ok=True)
        unfinished = MOVIE.with_suffix(".part.mp4")
        # No B-frames, as from a camera: reordering would be most of the latency that is shown.
        make_movie(unfinished, seconds=MOVIE_SECONDS, rate=Fraction(FRAME_RATE), b_frames=0)
        unfinished.replace(MOVIE)
    settings = Settings(
        # Any free port: the demo may run beside a server.
        rtsp=RtspSettings(port=0),
        http=HttpSettings(port=0),
        streams={"demo": StreamSettings(source=str(MOVIE))},
    )
    with Server(settings) as server:
        url = rtsp_url(settings.host, server.rtsp_port, "demo")
        console.print(f"Serving {MOVIE}, live and looped. Watch it, too:")
        console.print(f"  ffplay {url}        or VLC, GStreamer, OpenCV: any RTSP player")
        console.print(f"  {http_url(settings.host, server.http_port)}")
        console.print("Watching it with our own client, picture on UDP, sound on TCP:")
        if console.is_terminal:
            console.print("(Ctrl-C ends)", style="dim")
        figures = Figures()
        seconds = None if console.is_terminal else UNATTENDED_S
        with suppress(KeyboardInterrupt):
            asyncio.run(watch(url, console, seconds, figures))
    complaints = figures.complaints()
    console.print(f"In the end: {figures.line()}" if figures.frame_rates else "Nothing was seen.")
    for complaint in complaints:
        console.print(complaint, style="red")
    return 1 if complaints and not console.is_terminal else 0


def main() -> None:
    """Entry point of `python -m streamsocket.cli.demo`."""
    try:
        sys.exit(demo(Console(highlight=False, soft_wrap=True)))
    except StreamSocketError as error:
        sys.exit(f"streamsocket: {error}")


if __name__ == "__main__":
    main()
