"""Tracks as JSON, for the processes of a server among themselves."""

from __future__ import annotations

import base64
from dataclasses import fields
from fractions import Fraction
from typing import Any

from streamsocket.errors import ParseError
from streamsocket.media.codec import (
    G711,
    H264,
    H265,
    L16,
    Aac,
    Av1,
    Codec,
    Mjpeg,
    Opus,
    Track,
    Vp8,
    Vp9,
)

_CODECS: dict[str, type[Codec]] = {
    each.__name__: each for each in (H264, H265, Vp8, Vp9, Av1, Mjpeg, Aac, Opus, G711, L16)
}


def track_to_json(track: Track) -> dict[str, Any]:
    """The track as what `json.dumps` takes."""
    codec = track.codec
    values = {field.name: _plain(getattr(codec, field.name)) for field in fields(codec)}
    fields_of_track: dict[str, Any] = {"codec": type(codec).__name__, **values}
    if track.frame_rate is not None:
        fields_of_track["frame_rate"] = track.frame_rate.as_integer_ratio()
    return fields_of_track


def track_from_json(value: dict[str, Any]) -> Track:
    """The reverse of `track_to_json`. Raises `ParseError`."""
    try:
        kind = _CODECS[value["codec"]]
        arguments = {field.name: _rich(value[field.name]) for field in fields(kind)}
        frame_rate = value.get("frame_rate")
        rate = None if frame_rate is None else Fraction(*map(int, frame_rate))
        return Track(kind(**arguments), rate)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ParseError(f"This is no track: {str(value)[:80]}.") from error


def _plain(value: Any) -> Any:
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _rich(value: Any) -> Any:
    match value:
        case {"bytes": str(text)}:
            return base64.b64decode(text, validate=True)
        case [int(width), int(height)]:
            return width, height
        case int() | "pcmu" | "pcma":
            return value
    raise ValueError(value)
