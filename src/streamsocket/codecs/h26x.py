"""Encoders of H.264 and H.265, by x264 and x265: 8 bits, 4:2:0, no B-frames."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from streamsocket.codecs.video import (
    KEYFRAME_EVERY_S,
    UNSPECIFIED,
    Colours,
    VideoEncoder,
    bit_rate_for,
    constant_rate,
)
from streamsocket.media import h264, h265, nal
from streamsocket.media.codec import H264, H265

# H.265 needs so much of H.264's bits for the same picture.
_H265_BITS = 0.7


class H264Encoder(VideoEncoder):
    """H.264, parameter sets apart."""

    codec: H264
    tells_colours: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        height: int,
        rate: Fraction,
        *,
        bit_rate: int | None = None,
        preset: str = "veryfast",
        keyframe_every_s: float = KEYFRAME_EVERY_S,
        colours: Colours = UNSPECIFIED,
        threads: int | None = None,
        constrained_baseline: bool = False,
    ) -> None:
        """Open the encoder for `rate` pictures a second of `width` x `height` (both even).

        Every one of the `threads` codes a slice of each picture; None is one for each processor.
        `constrained_baseline` is the profile that everything decodes (H.264, A.2.1.1), with one
        picture to refer to, for the least work; without it, High saves some bits.
        """
        bit_rate = bit_rate or bit_rate_for(width, height, rate)
        options = {
            "preset": preset,
            "tune": "zerolatency",
            "forced-idr": "1",
            "refs": "2",  # after a flash, the picture before it is still known
            "sc_threshold": "0",  # keyframes come when they are due, no sooner
            **constant_rate(bit_rate),
        }
        if threads:
            options["threads"] = str(threads)
        if constrained_baseline:
            options["profile"] = "baseline"  # x264 uses nothing of it that isn't constrained
            options["refs"] = "1"
        size = width, height
        super().__init__(
            "libx264",
            size,
            rate,
            bit_rate,
            options,
            keyframe_every_s=keyframe_every_s,
            colours=colours,
        )
        sets = _by_type(self._context.extradata, h264.SYNTAX)
        self.codec = H264(sps=sets[h264.SPS], pps=sets[h264.PPS])

    def _units(self, data: bytes) -> list[bytes]:
        return nal.split_annexb(data)


class H265Encoder(VideoEncoder):
    """H.265, parameter sets apart."""

    codec: H265
    tells_colours: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        height: int,
        rate: Fraction,
        *,
        bit_rate: int | None = None,
        keyframe_every_s: float = KEYFRAME_EVERY_S,
        colours: Colours = UNSPECIFIED,
    ) -> None:
        """Open the encoder for `rate` pictures a second of `width` x `height` (both even)."""
        bit_rate = bit_rate or int(_H265_BITS * bit_rate_for(width, height, rate))
        options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            # No keyframes before they are due, no message about the encoder's options in them,
            # and no words on the server's terminal.
            "x265-params": "scenecut=0:info=0:log-level=error",
            **constant_rate(bit_rate),
        }
        size = width, height
        super().__init__(
            "libx265",
            size,
            rate,
            bit_rate,
            options,
            keyframe_every_s=keyframe_every_s,
            colours=colours,
        )
        sets = _by_type(self._context.extradata, h265.SYNTAX)
        self.codec = H265(vps=sets[h265.VPS], sps=sets[h265.SPS], pps=sets[h265.PPS])

    def _units(self, data: bytes) -> list[bytes]:
        return nal.split_annexb(data)


def _by_type(extradata: bytes | None, syntax: nal.NalSyntax) -> dict[int, bytes]:
    return {syntax.nal_type(unit): unit for unit in nal.split_annexb(extradata or b"")}
