"""Text in the one font that comes with Pillow: what it can show, how wide it is, where it breaks.

The font has the letters of English and little else. What it lacks is written with its nearest
relatives (`x` for `×`, `u` for `ü`), and as a dot where it has none. All digits are equally wide.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

FIGURE_SPACE = "\u2007"
"""As wide as a digit: it keeps what follows a number in place."""
ELLIPSIS = "…"
_UNKNOWN = "·"

_MAX_TEXT = 1000
"""Characters of a text that are looked at; more than fits on any window."""
_SPACE = 0.27
"""A space's width in sizes of the text: the font's own is rounded down to next to nothing."""

_GLYPHS = frozenset(map(chr, range(0x21, 0x7F))) | frozenset("«°±´·»‘’“”…‹›⁄™©")
_RELATIVES = str.maketrans(
    "‐‑‒–—―−×÷µμ•′″„¡¿øØıđĐðÐłŁ", '-------x/uu·\'""!?oOidDdDlL'
) | str.maketrans(
    {"→": "->", "←": "<-", "≤": "<=", "≥": ">=", "€": "EUR", "ß": "ss"}
    | {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th"}
)


def clean(text: str) -> str:
    """The text as the font can show it: lines, single spaces, and characters it has."""
    shown: list[str] = []
    for char in text[:_MAX_TEXT].translate(_RELATIVES):
        if char in _GLYPHS or char in (FIGURE_SPACE, "\n"):
            shown.append(char)
            continue
        for part in unicodedata.normalize("NFKD", char):
            kind = unicodedata.category(part)
            if part in _GLYPHS:
                shown.append(part)
            elif kind[0] == "Z" or part in "\t\r\v\f":
                shown.append(" ")
            elif kind[0] not in "MC":  # marks, and what controls others, leave no trace
                shown.append(_UNKNOWN)
    lines = "".join(shown).split("\n")
    return "\n".join(" ".join(part for part in line.split(" ") if part) for line in lines)


def one_line(text: str) -> str:
    """The text as the font can show it, in one line."""
    return clean(text[:_MAX_TEXT].replace("\n", " "))


def width(text: str, size: int) -> int:
    """How many pixels wide a cleaned text is."""
    return sum(map(_advances(size).__getitem__, text))


def ascent(size: int) -> int:
    """From the baseline up to the top of a capital letter."""
    return round(size * 0.72)


def fitted(text: str, size: int, room: int) -> str:
    """The text, or as much of it as `room` pixels hold, and an ellipsis."""
    if width(text, size) <= room:
        return text
    left = room - width(ELLIPSIS, size)
    return text[: _fitting(text, size, left)].rstrip() + ELLIPSIS if left >= 0 else ""


def wrapped(text: str, size: int, room: int, lines: int) -> list[str]:
    """The cleaned text in at most so many lines, each at most `room` pixels wide.

    It breaks at spaces, words that are too long at a character, URLs rather after a slash or the
    like. What is too much ends with an ellipsis. The lines are about equally long.
    """
    broken = _broken(text, size, room)
    if len(broken) > lines:
        rest = broken[lines - 1]
        return [*broken[: lines - 1], fitted(rest + ELLIPSIS, size, room)]
    widest_word = max(width(word, size) for word in text.split(" "))
    narrow, wide = min(room, max(room // 2, widest_word - 1)), room
    while wide - narrow > size:  # the narrowest that takes no more lines
        middle = (narrow + wide) // 2
        if len(_broken(text, size, middle)) == len(broken):
            wide = middle
        else:
            narrow = middle
    return _broken(text, size, wide)


@lru_cache(maxsize=1024)
def word_mask(word: str, size: int) -> tuple[PIL.Image.Image, int, int]:
    """A word's coverage, and how far left of its origin and above its baseline that begins."""
    margin = size // 4 + 1
    above = size + margin
    mask = PIL.Image.new("L", (width(word, size) + 2 * margin, above + size // 2 + margin))
    PIL.ImageDraw.Draw(mask).text((margin, above), word, fill=255, font=_font(size), anchor="ls")
    box = mask.getbbox() or (0, 0, 1, 1)
    return mask.crop(box), margin - box[0], above - box[1]


def words(text: str, size: int) -> list[tuple[str, int]]:
    """The words of a cleaned text, and where each begins, in pixels."""
    found = []
    advances = _advances(size)
    start, x = 0, 0
    position = 0
    for index, char in enumerate(text):
        if char in (" ", FIGURE_SPACE):
            if index > start:
                found.append((text[start:index], position))
            start = index + 1
            position = x + advances[char]
        x += advances[char]
    if start < len(text):
        found.append((text[start:], position))
    return found


def _broken(text: str, size: int, room: int) -> list[str]:
    lines = []
    for line in text.split("\n"):
        while width(line, size) > room:
            end = _break(line, max(1, _fitting(line, size, room)))
            lines.append(line[:end].rstrip())
            line = line[end:].lstrip()
        lines.append(line)
    return lines


def _break(line: str, fitting: int) -> int:
    """Where to break a line of which so many characters fit."""
    space = line.rfind(" ", 0, fitting + 1)
    if space > 0:
        return space
    for end in range(fitting, fitting * 2 // 3, -1):
        if line[end - 1] in "/?&=.,:;-_":
            return end
    return fitting


def _fitting(text: str, size: int, room: int) -> int:
    """How many characters fit."""
    return bisect_right(list(accumulate(map(_advances(size).__getitem__, text))), room)


@lru_cache(maxsize=32)
def _font(size: int) -> PIL.ImageFont.FreeTypeFont:
    font = PIL.ImageFont.load_default(size)
    assert isinstance(font, PIL.ImageFont.FreeTypeFont)
    return font


@lru_cache(maxsize=32)
def _advances(size: int) -> dict[str, int]:
    """The width of every character there is; they do not depend on their neighbours."""
    font = _font(size)
    advances = {char: round(font.getlength(char)) for char in _GLYPHS}
    return advances | {" ": round(size * _SPACE), FIGURE_SPACE: advances["0"], "\n": 0}
