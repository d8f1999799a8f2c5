"""`streamsocket record URL FILE`: a stream into a file, as it is."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from streamsocket import wording
from streamsocket.cli.ice_option import IceServerOption, read_ice_servers
from streamsocket.cli.probe import Transport

if TYPE_CHECKING:
    from streamsocket.record.session import Progress, Recording

LINES_EVERY_S = 10.0
_LOOK_AROUND_S = 0.25
_RATES_OVER_S = 3.0
_CLEAR_LINE = "\r\x1b[K"


def record(
    url: Annotated[
        str,
        typer.Argument(
            help="rtsp://HOST:PORT/NAME, http://HOST:PORT/NAME/whep", show_default=False
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="Its ending says what to write: .mp4, .mkv, .webm or .ts.", show_default=False
        ),
    ],
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="How much to record.", show_default="until Ctrl-C"),
    ] = None,
    transport: Annotated[
        Transport,
        typer.Option(help="auto: picture over UDP, sound over TCP, all over TCP if that fails."),
    ] = Transport.auto,
    ice_server: IceServerOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Record a stream into a file, as it is: nothing is encoded anew.

    It ends with the stream, or with Ctrl-C. Where the connection is lost, it is tried again until
    it is back, and the recording goes on in the same file. If the picture's size or a codec
    changes, it goes on in FILE-2.

    The file can be played while it is written, and after a crash.
    """
    # Here, because it brings FFmpeg along, which `streamsocket --help` has no use for.
    from streamsocket.record.session import Recording

    display = Display(sys.stdout)
    recording = Recording(
        url,
        file,
        seconds=seconds,
        transport=transport.value,
        overwrite=overwrite,
        ice_servers=read_ice_servers(ice_server),
        on_news=display.news,
    )
    try:
        asyncio.run(_run(recording, display))
    finally:
        display.end(recording.progress)


async def _run(recording: Recording, display: Display) -> None:
    loop = asyncio.get_running_loop()

    def stop(*_: object) -> None:
        loop.call_soon_threadsafe(recording.stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        work = asyncio.create_task(recording.run())
        while not (await asyncio.wait((work,), timeout=_LOOK_AROUND_S))[0]:
            display.update(recording.progress)
        work.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Display:
    """One line that is written again and again on a terminal; anywhere else, lines for a log."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._clock = clock
        self._next_line = clock() + LINES_EVERY_S
        self._past: list[tuple[float, int, int]] = []  # when, bytes and pictures

    def news(self, sentence: str) -> None:
        """Something that is told once."""
        self._write(sentence + "\n")

    def update(self, progress: Progress) -> None:
        """Show how it is going, if it is time to."""
        now = self._clock()
        self._past.append((now, progress.bytes, progress.pictures))
        while self._past[0][0] < now - _RATES_OVER_S:
            del self._past[0]
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1  # what wraps can't be written over
            self._write(self._line(progress)[:width])
        elif now >= self._next_line:
            self._next_line += LINES_EVERY_S
            self._write(self._line(progress) + "\n")

    def end(self, progress: Progress) -> None:
        """Say what there is now."""
        self._write("")
        if not progress.files:
            return
        names = " and ".join(str(path) for path in progress.files)
        facts = [wording.clock(progress.seconds), wording.size(progress.bytes)]
        facts += [wording.codec_name(track.codec.name) for track in progress.tracks]
        if progress.lost:
            facts.append(wording.counted(progress.lost, "packet") + " lost")
        if progress.left_out:
            frames = wording.counted(progress.left_out, "frame")
            facts.append(f"{frames} left out because the disk was too slow")
        self._write(f"{names}: {', '.join(facts)}\n")

    def _line(self, progress: Progress) -> str:
        if not progress.seconds:
            return f"{progress.path.name}: {progress.state}"
        (then, old_bytes, old_pictures), (now, size, pictures) = self._past[0], self._past[-1]
        facts = [wording.clock(progress.seconds), wording.size(progress.bytes)]
        if progress.state != "recording":
            facts.append(progress.state)
        elif now > then:
            facts.append(wording.bitrate(8 * (size - old_bytes) / (now - then)))
            if pictures:
                facts.append(f"{(pictures - old_pictures) / (now - then):.1f} fps")
        facts.append(f"{progress.lost:,} lost" if progress.lost else "none lost")
        return f"{progress.path.name}: {', '.join(facts)}"

    def _write(self, text: str) -> None:
        self._out.write(f"{_CLEAR_LINE}{text}" if self._is_terminal else text)
        self._out.flush()
