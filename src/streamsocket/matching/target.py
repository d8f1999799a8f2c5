"""What a track can be turned into."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of a rendition, by the names of `media/codec.py`.

    Pictures have no B-frames, and H.264 is of the constrained baseline profile.
    """

    codec: str
    """`"h264"`, `"vp8"`, `"opus"` or `"aac"`."""
    channels: int | None = None
    """Sound: so many at most."""
