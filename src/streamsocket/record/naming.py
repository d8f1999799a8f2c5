"""Where a recording goes: path patterns such as `recordings/{name}/{time:%Y-%m-%d_%H-%M-%S}.mp4`.

Placeholders are `{name}`, the stream's name, whose slashes make folders, and `{time}` or
`{time:FORMAT}`, when the recording begins by the local clock. The part of the path before the first
placeholder is the recordings' own folder (the root): nothing is written outside of it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath

from streamsocket.errors import SettingsError
from streamsocket.names import is_stream_name

DEFAULT_PATTERN = "recordings/{name}/{time:%Y-%m-%d_%H-%M-%S}.mp4"
DEFAULT_TIME = "%Y-%m-%d_%H-%M-%S"
SUFFIXES = (".mp4", ".mkv")

_DIRECTIVES = frozenset("YmdHMSfyjzZaAbBpIuUVWG%")
_MAX_PATTERN = 500
_MAX_PART_BYTES = 200
_MAX_SAME_NAMES = 10_000

# What some system's file names may not hold; letters of every language may stay.
_UNSAFE = re.compile(r'[\x00-\x1f<>:"|?*\\]')


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern that was understood."""

    root: PurePath
    """The folder of all its recordings, relative to the working directory unless written so."""
    fields: tuple[tuple[str, str, str], ...]
    """What follows the root: literal text, then a placeholder's name (or none) and its format."""
    suffix: str

    def relative(self, name: str, began: datetime) -> PurePath:
        """The path below the root for a stream of that name; `began` is local time.

        Raises ValueError for a name that no stream can have.
        """
        if not is_stream_name(name):
            raise ValueError(f"no stream can be called {name[:80]!r}")
        text = ""
        for literal, field, form in self.fields:
            text += literal
            if field == "name":
                text += name
            elif field == "time":
                text += began.strftime(form or DEFAULT_TIME)
        parts = [_safe(part) for part in text.split("/")]
        return PurePath(*[part for part in parts if part])


def parse_pattern(text: str) -> PathPattern:
    """Read a path pattern. Raises `SettingsError`."""
    if len(text) > _MAX_PATTERN:
        raise SettingsError(f"A path of {len(text)} characters is too long.")
    suffix = PurePath(text).suffix.lower()
    if suffix not in SUFFIXES or "}" in suffix:
        raise SettingsError("The path must end with .mp4 or .mkv, which is the recording's format.")
    try:
        fields = [
            (literal, field, form or "", conversion)
            for literal, field, form, conversion in string.Formatter().parse(text)
        ]
    except ValueError:
        raise SettingsError("A brace is left open: placeholders are {name} and {time}.") from None
    for _, field, form, conversion in fields:
        if field not in (None, "name", "time") or conversion or (field == "name" and form):
            raise SettingsError(
                f"The placeholder {{{field}}} is unknown: there are {{name}} and {{time:%H-%M-%S}}."
            )
        _check_time_format(form)
    if not any(field == "time" for _, field, _, _ in fields):
        raise SettingsError("The path needs a {time}: every recording has a file of its own.")
    head = fields[0][0]
    folder, slash, rest = head.rpartition("/")
    if any(".." in literal.split("/") for literal, *_ in fields[1:]) or ".." in rest.split("/"):
        raise SettingsError("A '..' may not come after a placeholder.")
    root = PurePath(folder or ("/" if slash else "."))
    fields[0] = (rest, *fields[0][1:])
    return PathPattern(
        root, tuple((literal, field or "", form) for literal, field, form, _ in fields), suffix
    )


def unused(path: Path, exists: Callable[[Path], bool] = Path.exists) -> Path:
    """The path, or where something is there already, the first free one of `name-2`, `name-3`, …

    The local clock shows an hour twice when summer time ends. Raises FileExistsError where
    thousands are there.
    """
    if not exists(path):
        return path
    for number in range(2, _MAX_SAME_NAMES):
        other = path.with_stem(f"{path.stem}-{number}")
        if not exists(other):
            return other
    raise FileExistsError(f"There are {_MAX_SAME_NAMES} files named like {path.name}.")


def _check_time_format(form: str) -> None:
    """Only what has a fixed, small width: `%9999999Y` would be ten million characters."""
    position = 0
    while (position := form.find("%", position)) >= 0:
        if form[position + 1 : position + 2] not in _DIRECTIVES or position + 1 == len(form):
            raise SettingsError(
                f"The time format cannot have '{form[position : position + 2]}': "
                "%Y-%m-%d_%H-%M-%S shows how it is written."
            )
        position += 2


def _safe(part: str) -> str:
    """One part of a path without what leads elsewhere or what some file system refuses."""
    part = _UNSAFE.sub("-", part).strip()
    if part in (".", ".."):
        return "_"
    if len(part.encode()) <= _MAX_PART_BYTES:
        return part
    suffix = PurePath(part).suffix if PurePath(part).suffix in SUFFIXES else ""
    cut = part.encode()[: _MAX_PART_BYTES - len(suffix)].decode(errors="ignore")
    return cut + suffix
