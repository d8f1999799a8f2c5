"""From what arrived to what is handed out: pictures and blocks of sound with their times."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from streamsocket.client.decode import Decoder
from streamsocket.frames.coded_queue import Coded
from streamsocket.frames.frame import AudioBlock, Frame
from streamsocket.frames.hardware import make_decoder
from streamsocket.media.codec import Codec

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.video.frame import VideoFrame

_MAX_ORIGINS = 64
"""More pictures than this don't wait in a decoder for those before them."""
_FULL_SCALE = {"u1": 1 << 7, "i2": 1 << 15, "i4": 1 << 31}


class PictureDecoder:
    """One connection's picture."""

    def __init__(self, codec: Codec, *, decoder: str, damaged: bool) -> None:
        """`decoder` as in `hardware`; `damaged` pictures are handed out too, or left out."""
        self._decoder, self.name = make_decoder(codec, decoder)
        self._damaged = damaged
        self._origins: OrderedDict[int, Coded] = OrderedDict()
        self._left_out = 0
        self._refused = 0

    def decode(self, coded: Coded) -> list[Frame]:
        """The pictures that are ready now, in the order in which they are shown."""
        unit = coded.received.unit
        self._left_out += coded.dropped
        self._origins[unit.timestamp] = coded
        while len(self._origins) > _MAX_ORIGINS:
            self._origins.popitem(last=False)
        return self._frames(cast("list[VideoFrame]", self._decoder.decode(unit)))

    def flush(self) -> list[Frame]:
        """Those that still wait."""
        return self._frames(cast("list[VideoFrame]", self._decoder.flush()))

    def _frames(self, pictures: list[VideoFrame]) -> list[Frame]:
        refused = self._decoder.errors + self._decoder.skipped
        self._left_out += refused - self._refused
        self._refused = refused
        frames = []
        for picture in pictures:
            coded = self._origins.pop(picture.pts, None) if picture.pts is not None else None
            if coded is None:
                continue
            unit = coded.received.unit
            intact = coded.received.intact and not unit.damaged and not picture.is_corrupt
            if coded.stale or unit.capture_time is None or not (intact or self._damaged):
                self._left_out += 1
                continue
            frame = Frame(
                picture,
                capture_time=unit.capture_time,
                capture_clock=coded.clock,
                rtp_timestamp=unit.timestamp,
                keyframe=unit.keyframe,
                intact=intact,
            )
            frame.dropped, self._left_out = self._left_out, 0
            frames.append(frame)
        return frames


class SoundDecoder:
    """One connection's sound."""

    def __init__(self, codec: Codec) -> None:
        self._decoder = Decoder(codec)
        self._clock_rate = codec.clock_rate
        self.name = codec.name

    def decode(self, coded: Coded) -> list[AudioBlock]:
        """The blocks that are ready now."""
        unit = coded.received.unit
        if unit.capture_time is None:
            return []
        blocks = []
        for frame in cast("list[AudioFrame]", self._decoder.decode(unit)):
            ticks = 0 if frame.pts is None else frame.pts - unit.timestamp
            blocks.append(
                AudioBlock(
                    _samples(frame),
                    frame.sample_rate,
                    unit.capture_time + ticks / self._clock_rate,
                    coded.clock,
                )
            )
        if blocks:
            blocks[0].dropped = coded.dropped
        return blocks

    def flush(self) -> list[AudioBlock]:
        """Those that still wait: none, as sound is not reordered."""
        return []


def _samples(frame: AudioFrame) -> npt.NDArray[np.float32]:
    """(samples, channels) float32 between −1 and 1."""
    coded = frame.to_ndarray()
    channels = frame.layout.nb_channels
    laid_out = coded.T if frame.format.is_planar else coded.reshape(-1, channels)
    if laid_out.dtype.kind == "f":
        return np.ascontiguousarray(laid_out, np.float32)
    full_scale = _FULL_SCALE[laid_out.dtype.str[1:]]
    centre = full_scale if laid_out.dtype.kind == "u" else 0
    return np.ascontiguousarray((laid_out.astype(np.float32) - centre) / full_scale)
