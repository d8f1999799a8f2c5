"""What a user writes to name a device: `camera`, `screen:1`, `mic:Headset`, `camera+mic`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from streamsocket.errors import ParseError, SourceError
from streamsocket.sources.encoding import (
    AS_IT_IS,
    Encoding,
    encoding_from_json,
    encoding_to_json,
)

PictureKind = Literal["camera", "screen", "lavfi"]
"""Where pictures come from. `lavfi`, FFmpeg's virtual device, is not for users: it stands in for
a camera where there is none."""

_KINDS: tuple[PictureKind, ...] = ("camera", "screen", "lavfi")
_WORD = re.compile(r"(camera|screen|mic)(?::(.*))?", re.DOTALL)
# A device's own name may hold a plus.
_BETWEEN = re.compile(r"\+(?=(?:camera|screen|mic)(?:[:+]|$))")

USAGE = "write camera, screen, mic, camera+mic or screen+mic"


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """A device that pictures come from."""

    kind: PictureKind
    which: str = ""
    """A number, as `streamsocket devices` counts from 0, a part of its name, or its path; empty
    for the first."""

    @property
    def text(self) -> str:
        """The device as a user writes it."""
        return f"{self.kind}:{self.which}" if self.which else self.kind


@dataclass(frozen=True, slots=True)
class SoundSpec:
    """A microphone."""

    which: str = ""
    """A number, as `streamsocket devices` counts from 0, or a part of its name; empty for the
    system's default."""

    @property
    def text(self) -> str:
        """The device as a user writes it."""
        return f"mic:{self.which}" if self.which else "mic"


@dataclass(frozen=True, slots=True)
class CaptureSpec:
    """A camera or a screen, a microphone, or one of each."""

    picture: PictureSpec | None
    sound: SoundSpec | None
    encoding: Encoding = AS_IT_IS

    @property
    def text(self) -> str:
        """The source as a user writes it."""
        return "+".join(each.text for each in (self.picture, self.sound) if each)

    @property
    def name(self) -> str:
        """What the stream is called if the user doesn't say."""
        return self.picture.kind if self.picture else "mic"


def names_devices(text: str) -> bool:
    """Whether the text means devices, be it well written or not."""
    return bool(re.match(r"(camera|screen|mic)([:+]|$)", text))


def parse_capture(text: str) -> CaptureSpec:
    """Read `camera`, `camera:1`, `screen+mic` and the like. Raises `SourceError`."""
    picture: PictureSpec | None = None
    sound: SoundSpec | None = None
    for word in _BETWEEN.split(text):
        match = _WORD.fullmatch(word)
        if not match or match[2] == "" or (match[2] or "").endswith("+"):
            raise SourceError(
                f"'{text}' names no device: {USAGE}; `streamsocket devices` lists what is there."
            )
        kind, which = match[1], match[2] or ""
        if kind == "mic" and sound is None:
            sound = SoundSpec(which)
        elif kind == "camera" and picture is None:
            picture = PictureSpec("camera", which)
        elif kind == "screen" and picture is None:
            picture = PictureSpec("screen", which)
        else:
            raise SourceError(
                f"'{text}' names too many devices: a stream has one picture and one sound, as in "
                "camera+mic."
            )
    return CaptureSpec(picture, sound)


def capture_to_json(spec: CaptureSpec) -> dict[str, Any]:
    """What `json.dumps` takes, for a source's process."""
    return {
        "picture": spec.picture and [spec.picture.kind, spec.picture.which],
        "sound": spec.sound and [spec.sound.which],
        "encoding": encoding_to_json(spec.encoding),
    }


def capture_from_json(fields: dict[str, Any]) -> CaptureSpec:
    """The reverse of `capture_to_json`. Raises `ParseError`."""
    try:
        picture = sound = None
        if fields["picture"] is not None:
            kind, which = fields["picture"]
            picture = PictureSpec(_KINDS[_KINDS.index(kind)], str(which))
        if fields["sound"] is not None:
            [which] = fields["sound"]
            sound = SoundSpec(str(which))
        spec = CaptureSpec(picture, sound, encoding_from_json(fields["encoding"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"These are no devices: {str(fields)[:100]}.") from error
    if picture is None and sound is None:
        raise ParseError("A source without any device.")
    return spec
