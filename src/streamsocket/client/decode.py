"""Decoding a track: access units in, pictures or samples out, on PyAV."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from streamsocket.media.access_unit import START_CODE, AccessUnit
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Opus, Vp9

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet
    from av.video.frame import VideoFrame

    Frame = VideoFrame | AudioFrame

# The identification header (RFC 7845, 5.1), which is how a decoder is told the channels.
_OPUS_HEAD = struct.Struct("<8sBBHIhB")

_FFMPEG_NAMES = {
    "h265": "hevc",
    "av1": "libdav1d",  # FFmpeg's own only drives hardware
    "pcmu": "pcm_mulaw",
    "pcma": "pcm_alaw",
    "l16": "pcm_s16be",
}
"""FFmpeg's names where they aren't ours."""
_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""By channels, from one on: as many as RTP's uncompressed sound may have here."""


class Decoder:
    """Decodes one track without holding frames back.

    Only pictures that B-frames have to come before wait for them. A frame's `pts` is its unit's
    timestamp, in ticks of the track's clock rate.
    """

    def __init__(self, codec: Codec) -> None:
        # Here and not above: who only receives does without FFmpeg's 30 MB.
        import av

        self._packet = av.Packet
        self._failure = av.FFmpegError
        self._time_base = Fraction(1, codec.clock_rate)
        self._is_video = codec.kind == "video"
        self._waits_for_keyframe = self._is_video
        self._is_byte_stream = isinstance(codec, H264 | H265)
        context = av.CodecContext.create(_FFMPEG_NAMES.get(codec.name, codec.name), "r")
        assert isinstance(context, av.VideoCodecContext | av.AudioCodecContext)
        self._context = context
        # One thread a frame would hold back as many frames as there are threads.
        self._context.thread_type = "SLICE"
        if isinstance(codec, Av1):
            self._context.options = {"max_frame_delay": "1"}
        self._has_layers = isinstance(codec, Vp9)
        match codec:
            case H264(sps, pps) if sps and pps:
                self._context.extradata = START_CODE + sps + START_CODE + pps
            case H265(vps, sps, pps) if vps and sps and pps:
                self._context.extradata = b"".join(START_CODE + unit for unit in (vps, sps, pps))
            case Aac(config):
                self._context.extradata = config
            case Opus(channels):
                self._context.extradata = _OPUS_HEAD.pack(
                    b"OpusHead", 1, channels, 0, codec.clock_rate, 0, 0
                )
            case G711() | L16():
                assert isinstance(context, av.AudioCodecContext)
                context.sample_rate = codec.clock_rate
                context.layout = _LAYOUTS[codec.channels - 1]
        self.errors = 0
        """Access units that the decoder refused."""
        self.skipped = 0
        """Access units before the first keyframe, which nobody can decode."""

    @property
    def pixel_aspect(self) -> float:
        """A pixel's width by its height, as the stream says by now; 1 where it doesn't."""
        ratio = getattr(self._context, "sample_aspect_ratio", None)
        return float(ratio) if ratio else 1.0

    def decode(self, unit: AccessUnit) -> list[Frame]:
        """Return the frames that are ready now, in the order in which they are shown."""
        if self._waits_for_keyframe and not unit.keyframe:
            self.skipped += 1
            return []
        self._waits_for_keyframe = False
        packet = self._packet(unit.annexb() if self._is_byte_stream else unit.units[0])
        packet.pts = unit.timestamp
        packet.time_base = self._time_base
        frames = self._decode(packet)
        # Of a superframe's frames, which are one picture in several sizes, the last is shown.
        return frames[-1:] if self._has_layers else frames

    def flush(self) -> list[Frame]:
        """Return the frames that still wait. Nothing can be decoded after that."""
        return self._decode(None)

    def wait_for_keyframe(self) -> None:
        """Go on with the next keyframe, because units in between were left out."""
        self._waits_for_keyframe = self._is_video

    def _decode(self, packet: Packet[Any] | None) -> list[Frame]:
        try:
            return list(self._context.decode(packet))
        except self._failure:
            self.errors += 1
            return []
