"""The bench of browsers reads what pages tell, and knows what it can't read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from bench import browser
from bench.browser_page import page

from streamsocket.sources import yardstick

FLASH = "f" * 24
SHOWN_MS = 1_700_000_000_000


def digits(number: int, capture_time: float = SHOWN_MS / 1000) -> str:
    """What a page reads from a picture: the middle of each block."""
    luma = np.zeros((720, 1280), np.uint8)
    yardstick.draw_code(luma, number, capture_time)
    lines = yardstick.code_height(720)
    side = lines // yardstick.ROWS, 1280 // yardstick.COLUMNS
    middles = luma[720 - lines + side[0] // 2 :: side[0], side[1] // 2 :: side[1]]
    return np.packbits(middles > 126).tobytes().hex()


def test_blocks_are_read() -> None:
    assert browser.reading(digits(1234, 1_700_000_000.125)) == yardstick.Reading(
        1234, 1_700_000_000.125
    )


def test_a_flash_and_damaged_blocks_say_nothing() -> None:
    assert browser.reading(FLASH) is None
    good = digits(7)
    assert browser.reading(good[:-1] + format(int(good[-1], 16) ^ 1, "x")) is None


def test_who_shows_older_pictures_is_behind() -> None:
    pairs = [(digits(number), digits(number - 3)) for number in range(10, 25)]
    assert browser.behind_ms(pairs) == pytest.approx(100)
    assert browser.behind_ms([(new, old) for old, new in pairs]) == pytest.approx(-100)


def test_moments_without_two_pictures_count_for_nothing() -> None:
    pairs = [(digits(number), digits(number)) for number in range(browser.FEWEST)]
    assert browser.behind_ms([*pairs, (FLASH, digits(1)), (digits(99), FLASH)]) == 0
    assert browser.behind_ms(pairs[1:]) == math.inf
    assert browser.behind_ms([]) == math.inf


def shown(number: int, *, about: float | None = None) -> tuple[str, float, float, int]:
    """What the page tells of a picture that it presents 40 ms after its capture."""
    captured_ms = SHOWN_MS + 1000 * number // 30
    timestamp = (0xFFFF_F000 + round(3000 * (number if about is None else about))) & 0xFFFF_FFFF
    return digits(number, captured_ms / 1000), captured_ms + 40, captured_ms + 50, timestamp


def test_latency_counts_from_the_capture_that_a_picture_tells() -> None:
    pictures = [shown(number) for number in range(8)]
    pictures.insert(3, (FLASH, *pictures[2][1:]))
    submitted, displayed = browser.latencies_ms(pictures)
    assert submitted == pytest.approx([40] * 8, abs=0.01)
    assert displayed == pytest.approx([50] * 8, abs=0.01)


def test_a_callback_that_finds_a_newer_picture_is_left_out() -> None:
    pictures = [shown(0), shown(2, about=1), shown(3), shown(4)]
    assert len(browser.latencies_ms(pictures)[0]) == 3
    assert len(browser.latencies_ms([shown(1, about=0), *map(shown, range(2, 6))])[0]) == 4
    assert browser.latencies_ms([]) == ([], [])


def test_timestamps_need_not_be_even() -> None:
    pictures = [shown(number, about=number + 0.1 * (number % 3)) for number in range(9)]
    assert len(browser.latencies_ms(pictures)[0]) == 9


def test_buffering_is_told_for_what_there_is() -> None:
    def report(delay: float, count: int) -> dict[str, object]:
        told = {"jitterBufferDelay": delay, "jitterBufferEmittedCount": count}
        return {"stats": {"video": told}}

    assert browser.buffered([report(1, 10), report(3, 60)]) == "jitter buffer: video 40 ms"
    assert browser.buffered([report(1, 10)]) == "jitter buffer: no video"
    assert browser.buffered([]) == "jitter buffer: unknown"


def test_without_chromium_there_are_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find", lambda name: None)
    figures = browser.run(quick=True)
    assert [each.what for each in figures] == list(browser.GOALS)
    assert all(math.isnan(each.value) and each.passed is False for each in figures)
    assert {each.conditions for each in figures} == {"Chromium is not installed here."}


def test_the_page_gets_its_plan() -> None:
    text = page("http://127.0.0.1:1", "joins", {"name": "a", "times": 3})
    plan = {"http": "http://127.0.0.1:1", "does": "joins", "options": {"name": "a", "times": 3}}
    assert json.dumps(plan) in text
    assert "PLAN" not in text
