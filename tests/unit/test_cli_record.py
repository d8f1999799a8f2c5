"""What `streamsocket record` shows while it records."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from streamsocket.cli.record import LINES_EVERY_S, Display
from streamsocket.media.codec import G711, Mjpeg, Track
from streamsocket.record.session import Progress

PATH = Path("folder/clip.mkv")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_has_one_line_that_is_written_again() -> None:
    out, clock = Terminal(), Clock()
    display = Display(out, clock)
    progress = Progress(PATH)
    display.update(progress)
    progress.state, progress.seconds = "recording", 61.0
    clock.now, progress.bytes, progress.pictures, progress.lost = 101.0, 125_000, 25, 3
    display.update(progress)
    progress.state = "reconnecting"
    display.update(progress)
    assert out.getvalue().split("\r\x1b[K") == [
        "",
        "clip.mkv: connecting",
        "clip.mkv: 1:01, 125 KB, 1.00 Mbit/s, 25.0 fps, 3 lost",
        "clip.mkv: 1:01, 125 KB, reconnecting, 3 lost",
    ]


def test_a_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    out = Terminal()
    Display(out).update(Progress(PATH))
    assert out.getvalue() == "\r\x1b[Kclip.mkv: c"


def test_a_log_has_a_line_every_ten_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    display = Display(out, clock)
    progress = Progress(PATH, "recording", seconds=1.0)
    for _ in range(25):
        clock.now += 1
        progress.seconds += 1
        progress.bytes += 50_000
        display.update(progress)
    assert LINES_EVERY_S == 10
    assert out.getvalue().splitlines() == [
        "clip.mkv: 0:11, 500 KB, 400 kbit/s, none lost",
        "clip.mkv: 0:21, 1.0 MB, 400 kbit/s, none lost",
    ]


def test_news_stand_on_lines_of_their_own() -> None:
    out = Terminal()
    display = Display(out)
    display.update(Progress(PATH))
    display.news("The connection is back.")
    assert out.getvalue().endswith("\r\x1b[KThe connection is back.\n")


def test_the_end_says_what_there_is() -> None:
    out = io.StringIO()
    progress = Progress(PATH, seconds=3700, bytes=2_340_000_000, lost=1, left_out=2)
    Display(out).end(progress)
    assert out.getvalue() == ""
    progress.files = [PATH, PATH.with_stem("clip-2")]
    progress.tracks = [Track(Mjpeg()), Track(G711("pcma"))]
    Display(out).end(progress)
    assert out.getvalue() == (
        "folder/clip.mkv and folder/clip-2.mkv: 1:01:40, 2.34 GB, Motion JPEG, G.711 A-law, "
        "1 packet lost, 2 frames left out because the disk was too slow\n"
    )
