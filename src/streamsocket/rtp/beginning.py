"""Whether a keyframe may begin with a packet: where a stream that is joined begins."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, H265, Codec
from streamsocket.rtp import h264, h265
from streamsocket.rtp.nal_format import AGGREGATION, PREFIX
from streamsocket.rtp.normalise import normaliser


def may_begin_keyframe(codec: Codec, payload: bytes | memoryview) -> bool:
    """Whether a keyframe may begin with this payload.

    Of H.264 and H.265 that is what precedes a picture, because parameter sets do that.
    """
    if isinstance(codec, H264 | H265):
        roles = (h264 if isinstance(codec, H264) else h265).FORMAT.roles
        return bool(payload) and roles[payload[0]] in (PREFIX, AGGREGATION)
    try:
        pieces = normaliser(codec).push([bytes(payload)], 0, marker=False, gap=True)
    except ParseError:
        return False
    return any(piece.keyframe for piece in pieces)
