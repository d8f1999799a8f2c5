"""Pictures decoded and encoded again, each at its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.video.frame import VideoFrame

from streamsocket.client.decode import Decoder
from streamsocket.codecs.encode import encodable_size
from streamsocket.codecs.h26x import H264Encoder
from streamsocket.codecs.scale import Scaler, shown_size
from streamsocket.codecs.video import BT601, UNSPECIFIED, Colours, VideoEncoder
from streamsocket.codecs.vp8 import Vp8Encoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources.packing import Packer
from streamsocket.transcode.outcome import picture_size
from streamsocket.transcode.rate import PictureRate

_KEYFRAME_EVERY_S = 2
_KEYFRAMES_APART_S = Fraction(3, 10)
"""However often one is asked for."""
_NEVER_S = 60.0
"""The encoder's own keyframes: they are asked of it by time, which knows of every rate."""

_DEFAULT_RATE = Fraction(30)
_RATES = (10, 60)
"""Pictures a second that an encoder is opened for; it takes any."""
_OTHER_RATE = 2
"""It is opened anew where the rate is so many times another one."""

# What one thread encodes in time. More than one cut the picture into slices, at some cost.
_PIXELS_A_THREAD = 1920 * 1080 * 30

_RGB = 0
"""ITU-T H.273's number of the matrix that is none."""
_AS_BT601 = (2, 5, BT601)
"""And of those that pass for BT.601: who knows which, and the same under another number."""
_LIMITED = (0, 1)
"""FFmpeg's numbers of ranges: who knows which, and the one that encoders expect."""

_MAX_HELD = 64
"""Pictures that a decoder may hold back, at most (16 by H.264, A.3.1), and some that are lost."""
_JUMP_BACK_S = 1

_MAX_PIXELS = 8192 * 4320
"""Of a picture: whoever publishes must not have all the memory."""


class _Form(NamedTuple):
    """What an encoder is opened for."""

    size: tuple[int, int]
    pixel_aspect: Fraction
    colours: Colours


class Pictures:
    """One track of pictures."""

    def __init__(self, track: Track, codec: str, on_made: Callable[[Track], None]) -> None:
        """`codec` is the name of what comes out; `on_made` is told of every encoder's track."""
        self._codec = codec
        self._on_made = on_made
        self._track = track
        self._decoder = Decoder(track.codec)
        self._capture_times: dict[int, float] = {}
        self._rate = PictureRate(track.codec.clock_rate, track.frame_rate)
        self._encoder: VideoEncoder | None = None
        self._scaler: Scaler | None = None
        self._packer: Packer | None = None
        self._needs_keyframe = True
        self._encoder_rate = _DEFAULT_RATE
        self._form: _Form | None = None
        self._last_pts: Fraction | None = None
        self._keyframe_pts = Fraction(0)
        self._keyframe_wanted = False
        self.encoded = 0
        """Pictures that came out."""
        self._refused = 0
        size = picture_size(track.codec)
        if size and size[0] * size[1] <= _MAX_PIXELS:
            # It need not wait for a picture, nor does who waits for its parameters.
            self._open(_Form(size, Fraction(1), UNSPECIFIED))

    def begin(self, track: Track) -> list[Batch]:
        """Take another publisher's track from now on; return what is left of the one before."""
        left = self._encode(self._decoder.flush())
        self._track = track
        self._decoder = Decoder(track.codec)
        self._capture_times = {}
        self._rate = PictureRate(track.codec.clock_rate, track.frame_rate)
        return left

    @property
    def errors(self) -> int:
        """Pictures that could not be decoded, or are of a kind that cannot be encoded."""
        return self._decoder.errors + self._refused

    @property
    def skipped(self) -> int:
        """Pictures that came before a keyframe had."""
        return self._decoder.skipped

    def request_keyframe(self) -> None:
        """Make the next picture a keyframe."""
        self._keyframe_wanted = True

    def take(self, unit: AccessUnit, *, encode: bool) -> list[Batch]:
        """Decode a picture; return those that are ready, none without `encode`."""
        self._rate.add(unit.timestamp)
        if unit.capture_time is not None:
            self._capture_times[unit.timestamp] = unit.capture_time
            if len(self._capture_times) > _MAX_HELD:
                del self._capture_times[next(iter(self._capture_times))]
        frames = self._decoder.decode(unit)
        return self._encode(frames) if encode else []

    def _encode(self, frames: Iterable[VideoFrame | AudioFrame]) -> list[Batch]:
        batches = []
        for frame in frames:
            assert isinstance(frame, VideoFrame)
            assert frame.pts is not None
            if frame.width * frame.height > _MAX_PIXELS:
                self._refused += 1
                continue
            pts = Fraction(frame.pts, self._track.codec.clock_rate)
            last = self._last_pts
            if last is not None and pts <= last:
                if pts > last - _JUMP_BACK_S:
                    continue
                self._encoder = None
            try:
                batches += self._encode_one(frame, pts, self._capture_times.pop(frame.pts, None))
            except (FFmpegError, ValueError):  # a size or format that is no good
                self._refused += 1
                self._encoder = None
        return batches

    def _encode_one(
        self, frame: VideoFrame, pts: Fraction, capture_time: float | None
    ) -> list[Batch]:
        form = self._form_of(frame)
        is_due = pts - self._keyframe_pts >= _KEYFRAME_EVERY_S
        rate = self._sensible_rate()
        is_other_rate = not 1 / _OTHER_RATE < rate / self._encoder_rate < _OTHER_RATE
        if self._encoder is None or form != self._form or (is_due and is_other_rate):
            self._open(form)
        assert self._encoder
        assert self._scaler
        assert self._packer
        keyframe = self._needs_keyframe or is_due
        if self._keyframe_wanted and pts - self._keyframe_pts >= _KEYFRAMES_APART_S:
            keyframe = True
        if self._needs_scaling(frame):
            frame = self._scaler.scale(frame)
        coded = self._encoder.encode(frame, pts, keyframe=keyframe)
        self._needs_keyframe = False
        self._last_pts = pts
        batches = []
        for each in coded:
            if each.keyframe:
                self._keyframe_pts, self._keyframe_wanted = each.pts, False
            if batch := self._packer.pack(each, each.pts):
                made_of = batch.capture_time if capture_time is None else capture_time
                batches.append(replace(batch, capture_time=made_of))
        self.encoded += len(batches)
        return batches

    def _form_of(self, frame: VideoFrame) -> _Form:
        colours = UNSPECIFIED
        if self._codec == "h264":
            # RGB becomes BT.601.
            matrix = frame.colorspace if frame.colorspace != _RGB else BT601
            colours = Colours(frame.color_primaries, frame.color_trc, matrix)
        aspect = Fraction(self._decoder.pixel_aspect).limit_denominator(1000)
        return _Form((frame.width, frame.height), aspect, colours)

    def _needs_scaling(self, frame: VideoFrame) -> bool:
        """Whether the picture isn't already what the encoder takes."""
        assert self._encoder
        tells = self._encoder.tells_colours or frame.colorspace in _AS_BT601
        return not (
            (frame.width, frame.height) == self._size
            and frame.format.name == self._encoder.pixel_format
            and frame.color_range in _LIMITED
            and tells
        )

    def _sensible_rate(self) -> Fraction:
        rate = self._rate.measured or _DEFAULT_RATE
        return min(max(rate, Fraction(_RATES[0])), Fraction(_RATES[1]))

    def _open(self, form: _Form) -> None:
        """Open an encoder; its first picture will be a keyframe."""
        rate = self._sensible_rate()
        shown = shown_size(*form.size, 0, form.pixel_aspect)
        if shown[0] * shown[1] > _MAX_PIXELS:
            shown = form.size
        size = encodable_size(self._codec, *shown)
        if self._codec == "h264":
            self._encoder = H264Encoder(
                *size,
                rate,
                preset="superfast",
                keyframe_every_s=_NEVER_S,
                colours=form.colours,
                threads=1 if size[0] * size[1] * rate <= _PIXELS_A_THREAD else None,
                constrained_baseline=True,
            )
        else:
            self._encoder = Vp8Encoder(*size, rate, keyframe_every_s=_NEVER_S)
        self._form, self._encoder_rate, self._size = form, rate, size
        self._needs_keyframe = True
        self._scaler = Scaler(
            size,
            0,
            form.pixel_aspect,
            self._encoder.pixel_format,
            in_bt601=not self._encoder.tells_colours,
        )
        self._packer = Packer(self._encoder.codec)
        self._on_made(Track(self._encoder.codec, self._track.frame_rate))
