"""The picture of a capture: which pictures are sent, at what size and rate, and encoded how."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from streamsocket.codecs.encode import encodable_size, make_video_encoder
from streamsocket.codecs.scale import Scaler
from streamsocket.codecs.video import BT601, Colours
from streamsocket.media.codec import Track
from streamsocket.sources.devices.grabber import Grabber
from streamsocket.sources.devices.pace import LivePace
from streamsocket.sources.devices.picture_device import Opener, Wish
from streamsocket.sources.encoding import Encoding
from streamsocket.sources.link import TrackBatch
from streamsocket.sources.packing import Packer

DEFAULT_RATE = Fraction(30)

_KEYFRAME_EVERY_S = 2.0
_KEYFRAMES_APART_S = 0.5

# A dark picture instead of one that doesn't come, so many times a second.
_DARK_RATE = Fraction(4)
_MISSING_AFTER_S = 1.0
_LEAST_APART_S = Fraction(1, 1000)


class PictureTrack:
    """Takes the newest pictures and encodes them; sends dark ones while there are none."""

    def __init__(
        self,
        opener: Opener,
        wish: Wish,
        encoding: Encoding,
        on_news: Callable[[], None],
        *,
        hidden: bool = False,
    ) -> None:
        """`wish.size` is also the largest width of the picture, unless `encoding` has a size."""
        self._wish = wish
        self._encoding = encoding
        self.grabber = Grabber(opener, wish, on_news, wanted=not hidden)
        self.hidden = hidden

    @property
    def settled(self) -> bool:
        """Whether it is known how the pictures are, or that there are none at the moment."""
        return bool(self.hidden or self.grabber.device or self.grabber.trouble)

    def begin(self, index: int, origin: float) -> Track:
        """Open the encoder for the track of that index, once it is settled.

        `origin` is the time of `time.monotonic()` that pictures' times count from.
        """
        encoding, device = self._encoding, self.grabber.device
        codec = encoding.video_codec or "h264"
        size = encoding.size or _at_most(device.size if device else self._wish.size, self._wish)
        size = encodable_size(codec, *size)
        self._rate = encoding.fps or min(device.rate if device else DEFAULT_RATE, self._wish.rate)
        self._pace = LivePace(self._rate, exactly=encoding.fps is not None)
        self._encoder = make_video_encoder(
            codec,
            *size,
            self._rate,
            bit_rate=encoding.video_bitrate_bps,
            in_a_hurry=True,
            colours=Colours(matrix=BT601),
        )
        self._full_range = self._encoder.pixel_format.startswith("yuvj")
        self._scaler = Scaler(size, 0, Fraction(1), self._encoder.pixel_format, in_bt601=True)
        black = VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), "rgb24")
        self._dark = self._scaler.scale(black)
        self._packer = Packer(self._encoder.codec)
        self._index = index
        self._origin = origin
        self._shown: VideoFrame | None = None
        self._last_taken = self._last_dark = origin
        self._last_pts = Fraction(0)
        self._keyframe_at: float | None = None
        self._keyframe_due = False
        return Track(self._encoder.codec, self._rate)

    def hide(self, hidden: bool) -> None:
        """Close the device and send dark pictures, or open it again."""
        if hidden != self.hidden:
            self.hidden = hidden
            self.grabber.want(not hidden)

    def due(self, now: float, keyframe_wanted: bool) -> list[TrackBatch]:
        """What there is to be sent now, with capture times that count from the origin."""
        self._keyframe_due = self._keyframe_due or keyframe_wanted
        picture = self.grabber.take()
        if picture and not self.hidden and picture.taken_at >= self._last_taken:
            self._last_taken = picture.taken_at
            turn = self._pace.take(picture.taken_at)
            if not turn.shown:
                return []
            shown, self._shown = self._shown or self._dark, self._scaled(picture.frame)
            batches = [batch for at in turn.repeats for batch in self._encoded(shown, at)]
            return batches + self._encoded(self._shown, picture.taken_at)
        missing = self.hidden or now - self._last_taken > _MISSING_AFTER_S
        if missing and now - self._last_dark >= 1 / _DARK_RATE:
            self._last_dark = now
            self._shown = None
            return self._encoded(self._dark, now)
        return []

    def _scaled(self, frame: VideoFrame) -> VideoFrame:
        if frame.color_range == ColorRange.JPEG and not self._full_range:
            frame = frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
        return self._scaler.scale(frame)

    def _encoded(self, frame: VideoFrame, at: float) -> list[TrackBatch]:
        pts = max(Fraction(at - self._origin), self._last_pts + _LEAST_APART_S)
        self._last_pts = pts
        since = None if self._keyframe_at is None else at - self._keyframe_at
        keyframe = (
            since is None
            or since >= _KEYFRAME_EVERY_S
            or (self._keyframe_due and since >= _KEYFRAMES_APART_S)
        )
        made = self._encoder.encode(frame, pts, keyframe=keyframe)
        if any(coded.keyframe for coded in made):
            self._keyframe_at, self._keyframe_due = at, False
        batches = (self._packer.pack(coded, coded.pts) for coded in made)
        return [TrackBatch(self._index, batch) for batch in batches if batch]


def _at_most(size: tuple[int, int], wish: Wish) -> tuple[int, int]:
    """The size, made smaller in its own shape if it is wider than wished."""
    scale = min(Fraction(1), Fraction(wish.size[0], size[0]))
    return round(size[0] * scale), round(size[1] * scale)
