"""Decoding a track: access units in, pictures or samples out, on PyAV."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING

from streamsocket.media.access_unit import START_CODE, AccessUnit
from streamsocket.media.codec import H264, Aac, Codec, Opus
from streamsocket.media.h264 import SPS, nal_type

if TYPE_CHECKING:
    import numpy as np
    from av.audio.frame import AudioFrame
    from av.packet import Packet
    from av.video.frame import VideoFrame

_OPUS_HEAD = struct.Struct("<8sBBHIhB")


class Decoder:
    """Decodes one track without holding pictures back; frames keep their unit's timestamp.

    A frame's `pts` is in ticks of the track's clock rate, and so is its `time_base`. Pictures
    that cannot be shown yet because B-frames come first are the only ones that wait.
    """

    def __init__(self, codec: Codec):
        # Here and not above: what only receives does without FFmpeg's 30 MB.
        import av

        self._packet: type[Packet] = av.Packet
        self._error: type[Exception] = av.FFmpegError
        self._time_base = Fraction(1, codec.clock_rate)
        self._context = av.CodecContext.create(codec.name, "r")
        self._context.time_base = self._time_base
        self._parameter_sets: list[bytes] = []
        self._began = codec.kind == "audio"
        self.errors = 0
        """Access units that the decoder refused."""
        self.skipped = 0
        """Access units before the first keyframe, with which nothing can be done."""
        match codec:
            case H264(sps, pps):
                self._parameter_sets = [unit for unit in (sps, pps) if unit]
                # More than one thread by frames would hold back as many pictures.
                self._context.thread_type = "SLICE"
            case Aac(config):
                self._context.extradata = config
            case Opus(channels):
                self._context.extradata = _OPUS_HEAD.pack(
                    b"OpusHead", 1, channels, 0, codec.clock_rate, 0, 0
                )

    def decode(self, unit: AccessUnit) -> list[VideoFrame | AudioFrame]:
        """Return the frames that are ready now, in the order in which they are shown."""
        if not self._began:
            if not unit.keyframe:
                self.skipped += 1
                return []
            self._began = True
        if unit.keyframe and self._parameter_sets:
            data = self._with_parameter_sets(unit)
        else:
            data = unit.units[0] if len(unit.units) == 1 and self._context.type == "audio" else b""
            data = data or unit.annexb()
        packet = self._packet(data)
        packet.pts = unit.timestamp
        packet.time_base = self._time_base
        return self._frames(packet)

    def flush(self) -> list[VideoFrame | AudioFrame]:
        """Return the frames that still wait for their turn; the decoder is of no more use."""
        return self._frames(None)
