"""Text: what the font can show, how wide it is, where it breaks."""

from __future__ import annotations

import numpy as np
import PIL.ImageFont
import pytest
from drawing_helpers import HARD_TEXTS
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.player.drawing import text
from streamsocket.player.drawing.text import (
    ELLIPSIS,
    FIGURE_SPACE,
    clean,
    fitted,
    one_line,
    width,
    word_mask,
    words,
    wrapped,
)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("H.264 1280×720", "H.264 1280x720"),
        ("G.711 µ-law − 3", "G.711 u-law - 3"),
        ("Größe Ångström façade", "Grosse Angstrom facade"),
        ("a\tb\r\nc\nd", "a b\nc\nd"),
        ("  many   spaces  ", "many spaces"),
        ("日本 ok", "·· ok"),
        ("a\u200b\u202eb\x00\x1b\ufe0f\ud800c", "abc"),
        ("ﬁ ① ５", "fi 1 5"),
        (f"43{FIGURE_SPACE} ms", f"43{FIGURE_SPACE} ms"),
    ],
)
def test_what_the_font_lacks_is_written_with_what_it_has(given_text: str, shown: str) -> None:
    assert clean(given_text) == shown


@given(st.text())
def test_cleaned_text_has_only_what_can_be_drawn(anything: str) -> None:
    shown = clean(anything)
    assert clean(shown) == shown
    assert width(shown, 15) >= 0
    for line in shown.split("\n"):
        for word, _ in words(line, 15):
            word_mask(word, 15)


def test_the_font_has_every_character_that_is_counted_on() -> None:
    font = PIL.ImageFont.load_default(32)
    assert isinstance(font, PIL.ImageFont.FreeTypeFont)

    def shape(char: str) -> bytes:
        return bytes(font.getmask(char))

    missing = shape("\uffff")
    assert [char for char in sorted(text._GLYPHS) if shape(char) == missing] == []


@pytest.mark.parametrize("size", [9, 13, 14, 15, 22, 30, 57])
def test_widths_are_the_fonts_and_digits_are_equally_wide(size: int) -> None:
    font = PIL.ImageFont.load_default(size)
    for word in ("rtsp://127.0.0.1:8554/lobby", "AVATAR", "Wolf's", "2.43Mbit/s"):
        assert width(word, size) == pytest.approx(font.getlength(word), abs=1)
    assert len({width(digit, size) for digit in f"0123456789{FIGURE_SPACE}"}) == 1
    assert width("1 ms" + FIGURE_SPACE, size) == width("43 ms", size)


def test_words_begin_where_the_widths_before_them_end() -> None:
    line = f"58 ms{FIGURE_SPACE} from"
    assert words(line, 14) == [
        ("58", 0),
        ("ms", width("58 ", 14)),
        ("from", width(f"58 ms{FIGURE_SPACE} ", 14)),
    ]


def test_a_words_mask_holds_all_of_its_ink() -> None:
    for word in ("Agjpqy|", "(Qjf)", "_", "“…”"):
        mask, left, above = word_mask(word, 20)
        ink = np.asarray(mask)
        assert ink[0].any()
        assert ink[-1].any()
        assert ink[:, 0].any()
        assert ink[:, -1].any()
        assert -5 < left < 5
        assert above <= 20


def test_what_is_too_long_ends_with_an_ellipsis() -> None:
    assert fitted("lobby", 15, 200) == "lobby"
    cut = fitted("a stream with a long name", 15, 100)
    assert cut.endswith(ELLIPSIS)
    assert "a stream" in cut
    assert 80 < width(cut, 15) <= 100
    assert fitted("lobby", 15, 3) == ""


@given(st.text(max_size=300), st.integers(0, 400), st.integers(1, 5))
def test_lines_fit_and_are_not_too_many(anything: str, room: int, lines: int) -> None:
    broken = wrapped(clean(anything), 15, room, lines)
    assert 1 <= len(broken) <= lines
    for line in broken:
        # One character is on every line, also where there is no room for it.
        assert width(line, 15) <= room or len(line) <= 1


@pytest.mark.parametrize("hard", HARD_TEXTS)
def test_hard_texts_are_wrapped(hard: str) -> None:
    for line in wrapped(clean(hard), 15, 200, 3):
        assert width(line, 15) <= 200


def test_no_word_is_lost_where_there_is_room() -> None:
    sentence = "The server is gone. It is tried again as long as this window is open."
    assert " ".join(wrapped(sentence, 15, 200, 9)) == sentence


def test_lines_are_about_equally_long() -> None:
    lines = wrapped("It is tried again in some seconds, while this window is open now", 15, 400, 3)
    assert len(lines) == 2
    assert abs(width(lines[0], 15) - width(lines[1], 15)) < 100


def test_a_word_that_fits_on_a_line_is_not_broken() -> None:
    url = "rtsp://192.168.1.20/live/lobby"
    room = width(url, 15) + 3
    assert wrapped(f"a b c d {url}", 15, room, 3)[-1] == url


def test_a_url_breaks_after_a_slash() -> None:
    url = "rtsp://streams.example.org/buildings/north/third-floor/lobby"
    lines = wrapped(url, 15, width("rtsp://streams.example.org/buildi", 15), 3)
    assert lines[0] == "rtsp://streams.example.org/"
    assert "".join(lines) == url


def test_what_is_too_much_ends_with_an_ellipsis_on_the_last_line() -> None:
    lines = wrapped("many words " * 40, 15, 200, 3)
    assert len(lines) == 3
    assert lines[-1].endswith(ELLIPSIS)
    assert not lines[-1].endswith(ELLIPSIS * 2)


def test_one_line_has_no_line_feeds() -> None:
    assert one_line("a\nb\n\nc") == "a b c"
