"""What comes out of a transcoder, as far as it is known before anything was encoded."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.matching.target import Target
from streamsocket.media.codec import Aac, Codec, Opus, Track, Vp8

# AudioSpecificConfig of AAC-LC at 48 kHz, which says that there is no SBR (ISO/IEC 14496-3, 1.6).
_AAC_CONFIGS = {1: "118856e500", 2: "119056e500", 6: "11b056e500"}


def channels_of(codec: Codec, target: Target) -> int:
    """How many channels the sound will have: at most as many as it has now."""
    most = 6 if target.codec == "aac" else 2
    count = min(getattr(codec, "channels", 2), target.channels or most, most)
    return count if count in (1, 6) else 2


def picture_size(codec: Codec) -> tuple[int, int] | None:
    """Width and height of the pictures, where the codec's parameters tell them."""
    try:
        width, height = getattr(codec, "size", (0, 0))
    except ParseError:
        return None
    return (width, height) if width and height else None


def known_outcome(track: Track, target: Target) -> Track | None:
    """The track that will come out; None where only the encoder can say its parameters."""
    match target.codec:
        case "opus":
            return Track(Opus(channels_of(track.codec, target)))
        case "aac":
            return Track(Aac(bytes.fromhex(_AAC_CONFIGS[channels_of(track.codec, target)])))
        case "vp8":
            width, height = picture_size(track.codec) or (0, 0)
            return Track(Vp8((width // 2 * 2, height // 2 * 2)), track.frame_rate)
    return None
