"""H.264 by the encoders of graphics cards and single-chip computers, where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

from av.error import FFmpegError
from av.video.frame import VideoFrame

from streamsocket.codecs.video import UNSPECIFIED, Colours, VideoEncoder, bit_rate_for
from streamsocket.errors import StreamSocketError
from streamsocket.media import h264, nal
from streamsocket.media.codec import H264

# By FFmpeg's names, with what keeps each of them from holding pictures back.
HARDWARE: Mapping[str, Mapping[str, str]] = {
    "h264_nvenc": {"preset": "p2", "tune": "ull", "zerolatency": "1", "delay": "0", "rc": "cbr"},
    "h264_videotoolbox": {"realtime": "1", "allow_sw": "0"},
    "h264_qsv": {"preset": "veryfast", "async_depth": "1", "look_ahead": "0"},
    "h264_amf": {"usage": "ultralowlatency", "rc": "cbr"},
    "h264_v4l2m2m": {},
}
"""Encoders that may be there, the best first."""

_FORCED_IDR = {"h264_nvenc": "forced-idr", "h264_qsv": "forced_idr", "h264_amf": "forced_idr"}


class HardwareError(StreamSocketError):
    """There is no such encoder here, or none that is fit for live pictures."""


class HardwareH264Encoder(VideoEncoder):
    """H.264 by one of `HARDWARE`, without B-frames. It was tried out before it is used."""

    codec: H264
    pixel_format: ClassVar[str] = "nv12"  # what all of them take
    tells_colours: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        width: int,
        height: int,
        rate: Fraction,
        *,
        bit_rate: int | None = None,
        keyframe_every_s: float,
        colours: Colours = UNSPECIFIED,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Open FFmpeg's encoder `name` for pictures of `width` x `height` (both even).

        `options` are FFmpeg's for that encoder; None for those of `HARDWARE`. Raises HardwareError
        where it isn't there, refuses such pictures, or holds them back.
        """
        size = width, height
        bit_rate = bit_rate or bit_rate_for(width, height, rate)
        chosen = dict(HARDWARE.get(name, {}) if options is None else options)
        if name in _FORCED_IDR:
            chosen[_FORCED_IDR[name]] = "1"

        def open_encoder() -> None:
            super(HardwareH264Encoder, self).__init__(
                name,
                size,
                rate,
                bit_rate,
                chosen,
                keyframe_every_s=keyframe_every_s,
                colours=colours,
            )
            self._context.max_b_frames = 0

        try:
            open_encoder()
            made = self.encode(VideoFrame(width, height, "nv12"), Fraction(0), keyframe=True)
            if not made:
                raise HardwareError(f"The encoder {name} holds pictures back.")
            # Some put their parameter sets only in band.
            units = nal.split_annexb(self._context.extradata or b"") + made[0].units
            sets = {h264.SYNTAX.nal_type(unit): unit for unit in units}
            self.codec = H264(sps=sets[h264.SPS], pps=sets[h264.PPS])
            open_encoder()  # anew: what it was tried with is no picture of the stream
        except (FFmpegError, ValueError, KeyError) as error:
            raise HardwareError(f"The encoder {name} cannot be used here ({error}).") from error

    def _units(self, data: bytes) -> list[bytes]:
        return nal.split_annexb(data)
