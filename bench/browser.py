"""What a viewer in Chromium gets: how soon a picture, how late, and the sound with it.

The page tells what it shows (`browser_page.py`), in a browser without a window; on a screen, it is
the screen that is read and the sound server that is recorded, as for our own window.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from tests.browser.browsers import Page, find, showing
from tests.desktop.desktop import RATE

from bench.browser_page import page
from bench.frames import BIT_RATE, wait_for, worker
from bench.harness import Figure, percentile, streamsocket
from bench.movies import cached, noisy_movie
from bench.screen import Sightings, Watcher
from bench.window import desktop, sound_after_picture_ms
from streamsocket.sources import yardstick
from streamsocket.sources.movie import make_movie

FIRST = "browser: POST to first decoded picture, Chromium"
BEHIND = "browser: behind an old viewer, 2 s after joining"
BEHIND_LONG = "browser: the same, GOP of 10 s"
TO_PAGE = "browser: publisher to page"
TO_PAGE_ARRAYS = "browser: publisher to page, arrays"
TO_SCREEN = "browser: publisher to screen, picture alone"
TO_SCREEN_SOUND = "browser: publisher to screen, with sound"
SYNC_OPUS = "browser: sound − picture, Opus as it is"
SYNC_AAC = "browser: sound − picture, AAC made Opus"
GOALS = {
    FIRST: ("ms p95", 300.0),
    BEHIND: ("ms p95", 50.0),
    BEHIND_LONG: ("ms p95", 50.0),
    TO_PAGE: ("ms p50", 60.0),
    TO_PAGE_ARRAYS: ("ms p50", 60.0),
    TO_SCREEN: ("ms p50", 60.0),
    TO_SCREEN_SOUND: ("ms p50", 60.0),
    SYNC_OPUS: ("ms p95", 20.0),
    SYNC_AAC: ("ms p95", 20.0),
}

OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")
PATTERN = "test:1280x720@30"
FPS = 30
CLOCK_RATE = 90_000
GOP_S = 10
PATIENCE_S = 30.0
"""For a browser to start and show something; it may be the first time on this machine."""
SETTLING_S = 25.0
"""Sound and picture need so long to find together: Chromium moves them once a second."""
LIVE_AFTER_S, LOOKED_AT_S = 2.0, 0.5
FEWEST = 10
"""Of this many moments at least both viewers' pictures have to be known."""


def run(quick: bool) -> list[Figure]:
    """First picture, how live who joins is, latency in the page and on the screen, sync."""
    chromium = find("chromium")
    if chromium is None:
        return [figure(what, float("nan"), "Chromium is not installed here.") for what in GOALS]
    return [
        first_picture(chromium, 8 if quick else 40),
        *behind_an_old_viewer(chromium, 6 if quick else 30),
        *to_page(chromium, 10.0 if quick else 60.0),
        *on_screen(chromium, 15.0 if quick else 60.0),
    ]


def figure(what: str, value: float, said: str) -> Figure:
    """A figure with the goal that it has."""
    return Figure(what, value, *GOALS[what], said)


def first_picture(chromium: str, times: int) -> Figure:
    """From the POST of the offer to the first picture of a stream with a long GOP."""
    movie = cached("gop10-opus.mp4", _noisy)
    with watching(chromium, str(movie), "joins", name="gop10-opus", times=times + 1) as shown:
        told = told_of(shown, "waited", times + 1)
    waits = [float("inf") if each is None else each for each in told[1:]]
    return figure(
        FIRST, percentile(waits, 95),
        f"until requestVideoFrameCallback; {times} times, one before them not counted; GOP of "
        f"{GOP_S} s, 2.5 Mbit/s, Opus; median {median(waits):.0f}, worst {max(waits):.0f} ms",
    )  # fmt: skip


def behind_an_old_viewer(chromium: str, times: int) -> Iterator[Figure]:
    """Which picture those show who have just joined, and one who was there from the start."""
    for what, source, name in (
        (BEHIND, PATTERN, "test"),
        (BEHIND_LONG, str(cached("marked-gop10.mp4", _marked_long_gop)), "marked-gop10"),
    ):
        with watching(
            chromium, source, "behind", name=name, times=times, settling=1000 * SETTLING_S,
            after=1000 * LIVE_AFTER_S, during=1000 * LOOKED_AT_S,
        ) as shown:  # fmt: skip
            late = [behind_ms(pairs) for pairs in told_of(shown, "pairs", times, SETTLING_S)]
        yield figure(
            what, percentile(late, 95),
            f"both on one page, mean over {LOOKED_AT_S} s each; {times} times; median "
            f"{median(late):+.0f}, from {min(late):+.0f} to {max(late):+.0f} ms; less than "
            "zero is ahead of the old one",
        )  # fmt: skip


def to_page(chromium: str, seconds: float) -> Iterator[Figure]:
    """From capture to when the page presents the picture: of the test pattern, and of arrays."""
    with watching(chromium, PATTERN, "look", name="test", reads=True) as shown:
        yield page_figure(TO_PAGE, "test pattern with Opus", settled(shown, seconds))
    lasts = PATIENCE_S + SETTLING_S + 2 * seconds
    with (
        streamsocket(*OPTIONS, expect=0) as server,
        worker("publish", server.url + "arrays", lasts, bitrate=BIT_RATE, marked=True),
    ):
        wait_for(server, "arrays")
        plan = page(server.http, "look", {"name": "arrays", "reads": True})
        with showing(chromium, plan) as shown:
            yield page_figure(TO_PAGE_ARRAYS, "ss.Publisher, no sound", settled(shown, seconds))


def page_figure(what: str, source: str, reports: list[dict[str, Any]]) -> Figure:
    """The figure of what a page told that reads its pictures."""
    seen = [picture for report in reports for picture in report["pictures"]]
    submitted, displayed = latencies_ms(seen)
    return figure(
        what, percentile(displayed, 50),
        f"{source}, 720p30; until expectedDisplayTime of requestVideoFrameCallback, p95 "
        f"{percentile(displayed, 95):.0f} ms; until presentationTime p50 "
        f"{percentile(submitted, 50):.0f} ms; {len(displayed)} seen; {buffered(reports)}",
    )  # fmt: skip


def on_screen(chromium: str, seconds: float) -> Iterator[Figure]:
    """From capture to the screen, and from a picture there to the sound that is heard with it."""
    seen, _, said = observed(chromium, PATTERN, "test", ["video"], seconds)
    yield screen_figure(TO_SCREEN, seen, said)
    seen, beeps, said = observed(chromium, PATTERN, "test", ["video", "audio"], seconds)
    yield screen_figure(TO_SCREEN_SOUND, seen, said)
    yield sync_figure(SYNC_OPUS, seen, beeps, said)
    movie = str(cached("marked-aac.mp4", _marked_aac))
    seen, beeps, said = observed(chromium, movie, "marked-aac", ["video", "audio"], seconds)
    yield sync_figure(SYNC_AAC, seen, beeps, said)


def observed(
    chromium: str, source: str, name: str, kinds: Sequence[str], seconds: float
) -> tuple[Sightings, list[float], str]:
    """What is seen on the screen, when beeps are heard, and how long things were buffered."""
    with (
        desktop() as (display, pulse),
        watching(chromium, source, "look", name=name, kinds=kinds, seen=True) as shown,
    ):
        wait_for_pictures(shown)
        time.sleep(SETTLING_S)
        skipped = len(shown.reports)
        if "audio" not in kinds:
            with Watcher(display) as seen:
                time.sleep(seconds)
            return seen, [], buffered(shown.reports[skipped:])
        with Watcher(display) as seen, pulse.record() as recording:
            time.sleep(seconds)
        said = buffered(shown.reports[skipped:])
    onsets = yardstick.beep_onsets(recording.samples.mean(axis=1), RATE)
    return seen, [recording.begun + onset / RATE for onset in onsets], said


def screen_figure(what: str, seen: Sightings, said: str) -> Figure:
    """From capture to the screen."""
    late = seen.latencies_ms
    return figure(
        what, percentile(late, 50),
        f"720p30 test pattern, Xvfb, read back from the screen; p95 {percentile(late, 95):.0f} "
        f"ms; {len(late)} seen; {said}",
    )  # fmt: skip


def sync_figure(what: str, seen: Sightings, beeps: list[float], said: str) -> Figure:
    """From flashes on the screen to beeps."""
    offsets = sound_after_picture_ms(seen.flashes, beeps)
    middle = f"median {median(offsets):+.0f} ms; " if offsets else ""
    return figure(
        what, percentile([abs(each) for each in offsets], 95),
        f"{len(offsets)} flashes and beeps, the screen read back, PulseAudio recorded; "
        f"{middle}{said}",
    )  # fmt: skip


@contextmanager
def watching(
    chromium: str, source: str, does: str, *, seen: bool = False, **options: object
) -> Iterator[Page]:
    """A server with one source, and a browser that does something with it."""
    with (
        streamsocket(source, *OPTIONS) as server,
        showing(chromium, page(server.http, does, options), seen=seen) as shown,
    ):
        yield shown


def told_of(shown: Page, key: str, times: int, settling_s: float = 0.0) -> list[Any]:
    """What the page has told of this so many times."""

    def told() -> list[Any]:
        return [report[key] for report in shown.reports if key in report]

    shown.wait_for(lambda _: len(told()) >= times, PATIENCE_S + settling_s + 12 * times)
    return told()


def settled(shown: Page, seconds: float) -> list[dict[str, Any]]:
    """What the page tells for so long, once it has settled."""
    wait_for_pictures(shown)
    time.sleep(SETTLING_S)
    skipped = len(shown.reports)
    time.sleep(seconds)
    return shown.reports[skipped:]


def wait_for_pictures(shown: Page) -> None:
    """Wait until the page shows some."""
    shown.wait_for(
        lambda report: report["stats"].get("video", {}).get("framesDecoded", 0) > FPS, PATIENCE_S
    )


def reading(digits: str) -> yardstick.Reading | None:
    """What the blocks say that the page has read: 96 of them, row by row."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))
    blocks = bits.reshape(yardstick.ROWS, yardstick.COLUMNS) * np.uint8(255)
    lines, columns = 4, 4  # of the smallest picture that has blocks
    luma = np.zeros((48, columns * yardstick.COLUMNS), np.uint8)
    luma[-lines * yardstick.ROWS :] = blocks.repeat(lines, axis=0).repeat(columns, axis=1)
    return yardstick.read(luma)


def behind_ms(pairs: list[tuple[str, str]]) -> float:
    """By how much the second of two viewers is behind the first, who are looked at together.

    It is infinite if too few of their pictures could be read.
    """
    both = [(reading(old), reading(new)) for old, new in pairs]
    behind = [old.frame_number - new.frame_number for old, new in both if old and new]
    return 1000 * fmean(behind) / FPS if len(behind) >= FEWEST else float("inf")


def latencies_ms(pictures: list[tuple[str, float, float, int]]) -> tuple[list[float], list[float]]:
    """From capture to when each picture was submitted, and to when it was expected on the screen.

    A callback may find a newer picture than it is about: the RTP timestamp is more than half a
    picture away from where the number in the picture would have it. It is left out.
    """
    known = [(reading(digits), times) for digits, *times in pictures]
    read = [(found, times) for found, times in known if found]
    starts = [_start(found.frame_number, int(times[2])) for found, times in read]
    # By how much each is apart from the first, which may itself be wrong: 32 bits, with a sign.
    apart = [(start - starts[0] + (1 << 31) & 0xFFFF_FFFF) - (1 << 31) for start in starts]
    timed = [
        (times[0] - 1000 * found.capture_time, times[1] - 1000 * found.capture_time)
        for (found, times), each in zip(read, apart, strict=True)
        if abs(each - median(apart)) < CLOCK_RATE / FPS / 2
    ]
    return [submitted for submitted, _ in timed], [displayed for _, displayed in timed]


def _start(frame_number: int, timestamp: int) -> int:
    """The RTP timestamp of the picture that would have the number zero."""
    return timestamp - frame_number * CLOCK_RATE // FPS & 0xFFFF_FFFF


def buffered(reports: list[dict[str, Any]]) -> str:
    """How long Chromium held back pictures and sound, in words."""
    said = []
    for kind in ("video", "audio"):
        told = [report["stats"][kind] for report in reports if kind in report["stats"]]
        if told:
            first, last = told[0], told[-1]
            held = last["jitterBufferDelay"] - first["jitterBufferDelay"]
            count = last["jitterBufferEmittedCount"] - first["jitterBufferEmittedCount"]
            said.append(f"{kind} {1000 * held / count:.0f} ms" if count else f"no {kind}")
    return "jitter buffer: " + (", ".join(said) or "unknown")


def _noisy(path: Path) -> None:
    noisy_movie(path, seconds=60, gop_s=GOP_S, sound="libopus")


def _marked_long_gop(path: Path) -> None:
    make_movie(path, seconds=60, gop_seconds=GOP_S, b_frames=0, audio="opus")


def _marked_aac(path: Path) -> None:
    make_movie(path, seconds=60, b_frames=0, audio="aac")
