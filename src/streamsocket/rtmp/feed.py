"""One track's access units from its FLV tags."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.media import aac, h264, h265, nal
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Aac, Codec
from streamsocket.media.opus import packet_duration
from streamsocket.rtmp.flv import Tag
from streamsocket.rtmp.timestamps import SoundClock

TICKS_PER_MS = 90
MAX_COMPOSITION_MS = 5000
"""A picture that is to be shown later than this after its decoding is a mistake."""


class PictureFeed:
    """H.264 and H.265."""

    def __init__(self, codec: H264 | H265, length_size: int) -> None:
        self.codec: Codec = codec
        self._length_size = length_size
        self._is_keyframe = h264.is_keyframe if isinstance(codec, H264) else h265.is_keyframe

    def unit(self, tag: Tag, decoding_ms: int) -> AccessUnit:
        """The picture in a tag, dated in ticks of 90 kHz. Raises ParseError."""
        units = nal.split_length_prefixed(tag.data, self._length_size)
        if not units:
            raise ParseError("An FLV video tag has no picture.")
        composition = tag.composition_ms
        if abs(composition) > MAX_COMPOSITION_MS:
            composition = 0
        timestamp = (decoding_ms + composition) * TICKS_PER_MS
        return AccessUnit(units, timestamp, self._is_keyframe(units))


class SoundFeed:
    """AAC and Opus."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._clock = SoundClock(codec.clock_rate)
        self._aac_frame: int | None = None
        if isinstance(codec, Aac):
            self._aac_frame = aac.parse_audio_specific_config(codec.config).frame_length

    def unit(self, tag: Tag, decoding_ms: int) -> AccessUnit:
        """The frame of sound in a tag, dated in ticks of its clock rate."""
        duration = self._aac_frame or packet_duration(tag.data)
        return AccessUnit([tag.data], self._clock.stamp(decoding_ms, duration))


Feed = PictureFeed | SoundFeed


def make_feed(codec: Codec, length_size: int) -> Feed:
    """What makes access units of this codec's tags."""
    if isinstance(codec, H264 | H265):
        return PictureFeed(codec, length_size)
    return SoundFeed(codec)
