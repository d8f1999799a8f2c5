"""The `test` source: drawn pictures and beeps, live."""

from __future__ import annotations

import time
from collections import deque
from fractions import Fraction
from itertools import count
from math import ceil

from av.video.frame import VideoFrame

from streamsocket.codecs.coded import Coded
from streamsocket.codecs.encode import encodable_size, make_audio_encoder, make_video_encoder
from streamsocket.media.codec import Track
from streamsocket.sources.beeper import Beeper, flash_number, is_flash_number
from streamsocket.sources.link import Note, TrackBatch, Tracks
from streamsocket.sources.outlet import Outlet
from streamsocket.sources.pacer import Pacer
from streamsocket.sources.packing import Packer
from streamsocket.sources.picture import PictureDrawer
from streamsocket.sources.spec import TestSpec
from streamsocket.sources.timeline import START_S

_VIDEO, _AUDIO = 0, 1

# The beeps are known in advance: coding the sound a little ahead keeps it off the pictures' way.
_SOUND_AHEAD_S = Fraction(1, 8)

# Sound goes with the pictures, and in between: who watches in sync is as late as the sound is.
_LONGEST_STEP_S = Fraction(1, 80)

_KEYFRAME_EVERY_S = 2
_KEYFRAMES_APART_S = 0.5

# A picture that is later than this is skipped; so many of the last hundred are worth a word.
_MAX_LATE_S = 0.1
_MANY_SKIPPED = 10


def run_test_pattern(spec: TestSpec, outlet: Outlet) -> None:
    """Stream the test pattern for ever, that is until `StoppedError`."""
    rate = spec.encoding.fps or spec.rate
    pictures, sound = _Pictures(spec, rate), _Sound(spec, rate)
    tracks = Track(pictures.codec, rate), Track(sound.codec)
    outlet.event(Tracks(tracks, makes_keyframes=True))
    # The source's time begins before now, so that flashes come at the wall clock's full seconds.
    begun_s = (time.time() + float(flash_number(0, rate) / rate)) % 1
    pacer = Pacer(outlet, float(START_S), delay_s=0.0, at=time.monotonic() - begun_s)
    first = ceil(begun_s * rate)
    sound.begin(first / rate)
    steps = ceil(1 / rate / _LONGEST_STEP_S)
    step_s = 1 / rate / steps
    skipped = 0.0
    noted = False
    for number in count(first):
        for step in range(steps):
            pts = START_S + number / rate + step * step_s
            pacer.wait(float(pts))
            batches = sound.until(pts, pts + step_s / 2)
            if step == 0 and pacer.late_s(float(pts)) < _MAX_LATE_S:
                skipped = max(0.0, skipped - 0.1)
                capture_time = pacer.capture_time(float(pts))
                batches += pictures.make(number, pts, capture_time, outlet.keyframe_wanted())
            elif step == 0:
                skipped += 1
                if skipped >= _MANY_SKIPPED and not noted:
                    noted = True
                    outlet.event(Note(f"This machine is too slow for '{spec.text}': it skips."))
            if batches:
                pacer.send(batches)


class _Pictures:
    """Draws and encodes."""

    def __init__(self, spec: TestSpec, rate: Fraction) -> None:
        encoding = spec.encoding
        codec = encoding.video_codec or "h264"
        size = encodable_size(codec, *(encoding.size or (spec.width, spec.height)))
        self._rate = rate
        self._drawer = PictureDrawer(*size, time.localtime().tm_gmtoff)
        self._encoder = make_video_encoder(
            codec, *size, rate, bit_rate=encoding.video_bitrate_bps, in_a_hurry=True
        )
        self._packer = Packer(self._encoder.codec)
        self._keyframe_pts = START_S
        self._keyframe_due = False
        self.codec = self._encoder.codec

    def make(
        self, number: int, pts: Fraction, capture_time: float, keyframe_wanted: bool
    ) -> list[TrackBatch]:
        """The picture of that number. A keyframe that is wanted comes at most twice a second."""
        self._keyframe_due = self._keyframe_due or keyframe_wanted
        keyframe = self._keyframe_due and pts - self._keyframe_pts >= _KEYFRAMES_APART_S
        # By the clock rather than by count, so that no flash is a keyframe.
        keyframe = keyframe or number % round(_KEYFRAME_EVERY_S * self._rate) == 0
        if is_flash_number(number, self._rate):
            drawn = self._drawer.flash()
        else:
            drawn = self._drawer.draw(number, capture_time)
        frame = VideoFrame.from_ndarray(drawn, "yuv420p")
        made = self._encoder.encode(frame, pts, keyframe=keyframe)
        if any(coded.keyframe for coded in made):
            self._keyframe_pts, self._keyframe_due = pts, False
        return _packed(_VIDEO, self._packer, made)


class _Sound:
    """Encodes the beeps a little ahead of their time."""

    def __init__(self, spec: TestSpec, rate: Fraction) -> None:
        codec, bit_rate = spec.encoding.audio_codec or "opus", spec.encoding.audio_bitrate_bps
        self._encoder = make_audio_encoder(codec, 2, bit_rate=bit_rate, in_a_hurry=True)
        self._sample_rate = self._encoder.sample_rate
        self._beeper = Beeper(rate, self._encoder.layout, self._sample_rate)
        self._packer = Packer(self._encoder.codec)
        self._ready: deque[Coded] = deque()
        self.codec = self._encoder.codec

    def begin(self, time_s: Fraction) -> None:
        """Leave out what would have been before that time."""
        self._beeper.next_sample = round(time_s * self._sample_rate)

    def until(self, now: Fraction, due: Fraction) -> list[TrackBatch]:
        """What has begun by `now` and ends by `due`, times of the source's time line."""
        while self._beeper.next_sample < (now - START_S + _SOUND_AHEAD_S) * self._sample_rate:
            self._ready += self._encoder.encode(self._beeper.next_frame(self._encoder.frame_size))
        taken = []
        while self._ready:
            first = self._ready[0]
            if START_S + first.pts > now or START_S + first.pts + first.duration > due:
                break
            taken.append(self._ready.popleft())
        return _packed(_AUDIO, self._packer, taken, START_S)


def _packed(
    track: int, packer: Packer, made: list[Coded], offset: Fraction = Fraction(0)
) -> list[TrackBatch]:
    batches = (packer.pack(coded, coded.pts + offset) for coded in made)
    return [TrackBatch(track, batch) for batch in batches if batch]
