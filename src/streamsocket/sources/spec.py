"""What a user writes to name a source: `movie.mp4`, `lobby=movie.mp4`, `test:1920x1080@60`."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamsocket.errors import ParseError, SourceError

# No part of it is "." or "..", which mean something else in URLs.
_NAME = re.compile(r"(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
_NAME_LENGTH = 200
_NOT_URL_SAFE = re.compile(r"[^A-Za-z0-9._~-]+")
_TEST = re.compile(r"test(?::(?:(\d{1,5})x(\d{1,5}))?(?:@(\d{1,6}(?:\.\d{1,3}|/\d{1,4})?))?)?")
_TEST_USAGE = "write test, test:1920x1080 or test:1920x1080@60"

# Television's rates are written in decimals but are ratios.
_NTSC = {
    "23.976": Fraction(24_000, 1001),
    "23.98": Fraction(24_000, 1001),
    "29.97": Fraction(30_000, 1001),
    "59.94": Fraction(60_000, 1001),
}


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file to be streamed at its own pace."""

    path: str
    loop: bool = True
    """Begin again at the end, for ever."""

    @property
    def text(self) -> str:
        """The source as a user writes it."""
        return self.path


@dataclass(frozen=True, slots=True)
class TestSpec:
    """The test pattern."""

    __test__ = False  # pytest would take it for a test by its name

    width: int = 1280
    height: int = 720
    rate: Fraction = Fraction(30)
    """Pictures a second."""

    @property
    def text(self) -> str:
        """The source as a user writes it."""
        if self == TestSpec():
            return "test"
        return f"test:{self.width}x{self.height}@{self.rate}"


SourceSpec = FileSpec | TestSpec


def parse_source(text: str, *, loop: bool = True) -> tuple[str, SourceSpec]:
    """Read `SOURCE` or `NAME=SOURCE` into the stream's name and its source.

    Without a name, a file gives its stem, made safe for URLs, and the test pattern `test`.
    A file whose own name holds an equals sign is taken as a file. Raises `SourceError`.
    """
    name, equals, source = text.partition("=")
    if not equals or Path(text).exists():
        name, source = "", text
    elif not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        raise SourceError(
            f"'{name}' cannot be a stream's name: use letters, digits and . _ ~ - /, "
            f"at most {_NAME_LENGTH}."
        )
    spec = _parse_spec(source, loop)
    return name or _default_name(spec), spec


def _parse_spec(source: str, loop: bool) -> SourceSpec:
    if not source:
        raise SourceError(f"A source is missing: give a file's path, or {_TEST_USAGE}.")
    if not Path(source).exists() and re.match(r"test(:|$)", source):
        return _parse_test(source)
    if not Path(source).exists():
        raise SourceError(
            f"There is no file '{source}': check the path (for the test pattern, {_TEST_USAGE})."
        )
    return FileSpec(source, loop)


def _parse_test(source: str) -> TestSpec:
    match = _TEST.fullmatch(source)
    if not match:
        raise SourceError(f"'{source}' is no test pattern: {_TEST_USAGE}.")
    width, height = int(match[1] or 1280), int(match[2] or 720)
    if width % 2 or height % 2 or not (160 <= width <= 7680 and 90 <= height <= 4320):
        raise SourceError(
            f"The test pattern cannot be {width}x{height}: width and height must be even, "
            "from 160x90 to 7680x4320."
        )
    rate_text = match[3] or "30"
    try:
        rate = _NTSC.get(rate_text) or Fraction(rate_text)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 5 <= rate <= 240:
        raise SourceError(
            f"The test pattern cannot have {rate_text} pictures a second: choose 5 to 240."
        )
    return TestSpec(width, height, rate)


def _default_name(spec: SourceSpec) -> str:
    if isinstance(spec, TestSpec):
        return "test"
    stem = unicodedata.normalize("NFKD", Path(spec.path).stem)
    return _NOT_URL_SAFE.sub("-", stem.encode("ascii", "ignore").decode()).strip("-.") or "movie"


def spec_to_json(spec: SourceSpec) -> str:
    """The spec as JSON text, for a source's process."""
    if isinstance(spec, FileSpec):
        return json.dumps({"kind": "file", "path": spec.path, "loop": spec.loop})
    size = {"width": spec.width, "height": spec.height}
    return json.dumps({"kind": "test", **size, "rate": str(spec.rate)})


def spec_from_json(text: str) -> SourceSpec:
    """The reverse of `spec_to_json`. Raises `ParseError`."""
    try:
        fields = json.loads(text)
        if fields["kind"] == "file":
            return FileSpec(str(fields["path"]), bool(fields["loop"]))
        return TestSpec(int(fields["width"]), int(fields["height"]), Fraction(fields["rate"]))
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ParseError(f"This is no source's specification: {text[:100]!r}.") from error
