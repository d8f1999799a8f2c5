"""The thread that encodes what is published: the newest picture, the sound, and what is missing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from streamsocket.codecs.audio import AudioEncoder
from streamsocket.codecs.coded import Coded
from streamsocket.codecs.encode import make_audio_encoder
from streamsocket.errors import StreamSocketError, TimedOutError
from streamsocket.frames.pictures_in import Fitting, Picture, colours_of, take_in
from streamsocket.frames.presets import (
    PictureEncoder,
    VideoOptions,
    coded_size,
    colours_for,
    open_video_encoder,
)
from streamsocket.frames.sound_in import AudioOptions, Samples, SoundIn
from streamsocket.frames.timeline import Timeline
from streamsocket.media.codec import Track, VideoCodec
from streamsocket.rtp.batch import Batch
from streamsocket.sources.packing import Packer

KEYFRAMES_APART_S = 0.5
"""Keyframes that viewers ask for come at most that often."""

_KEYFRAME_PATIENCE_S = 0.1
"""A keyframe that is asked for is made of the last picture, if none comes for so long."""

_MAX_BLOCKS = 256
"""Blocks of sound that may wait."""
_LOOK_S = 0.1
"""How often it is looked whether sound is missing."""
_HURRY = 1.25
"""Pictures may come by so much faster than was said: clocks differ, and so do intervals."""


@dataclass(frozen=True, slots=True)
class Made:
    """What one turn has made, for the hub."""

    batches: Sequence[tuple[int, Batch]]
    """With the indices of their tracks."""
    codec: VideoCodec | None = None
    """The picture's codec, where it has changed with this."""


class Encoding:
    """Encodes in a thread of its own. Any thread may give it pictures and sound.

    One picture at most waits while another is encoded; a newer one takes its place.
    """

    def __init__(
        self,
        video: VideoOptions,
        audio: AudioOptions | None,
        *,
        size: tuple[int, int] | None,
        paced: bool,
        keyframe_every_s: float,
        repeat_after_s: float | None,
        deliver: Callable[[Made], None],
    ) -> None:
        """`size` is that of all pictures, or None to follow theirs; `paced`: their rate is kept to.

        `deliver` is called in the thread.
        """
        self.dropped = 0
        """Pictures that a newer one took the place of."""
        self.failure: Exception | None = None
        """What ended the thread before its time."""
        self.live = False
        """Somebody takes what is made; as long as nobody does, nothing is."""
        self.encoder = ""
        """FFmpeg's name of the picture's encoder."""
        self._video, self._audio = video, audio
        self._fixed = size
        self._rate = float(video.rate) if paced else None
        self._keyframe_every_s = keyframe_every_s
        self._repeat_after_s = repeat_after_s
        self._deliver = deliver
        self._timeline = Timeline()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="streamsocket-encoder", daemon=True)
        self._closing = False
        # What waits, under the lock.
        self._waiting: tuple[Picture, float, float] | None = None
        self._busy = False
        self._sound: deque[tuple[Samples, float, float, bool]] = deque(maxlen=_MAX_BLOCKS)
        self._keyframe_wanted = False
        self._turn = 0.0
        # The thread's own.
        self._pictures: _Pictures | None = None
        self._sounds = _Sounds(audio, self._timeline) if audio else None
        self._last: tuple[Picture, float, float] | None = None
        self._refused: tuple[int, int] | None = None
        self._allowance = 2.0
        self._allowed_at = 0.0

    def open(self, first: Picture | None) -> list[Track]:
        """Open the encoders for pictures like the first; returns the tracks they will make.

        Where the size was given, it can be done without: until there is one, the stream is black.
        """
        self._open_pictures(first)
        if first is None and self._fixed:
            black = take_in(np.zeros(self._fixed[::-1], np.uint8))
            self._last = black, time.time(), time.monotonic()
        assert self._pictures
        tracks = [Track(self._pictures.codec, self._video.rate if self._rate else None)]
        if self._sounds:
            tracks.append(Track(self._sounds.codec))
        return tracks

    def start(self) -> None:
        """Begin to encode."""
        self._thread.start()

    def wait_for_turn(self, patience_s: float) -> None:
        """Wait until no picture waits and, at a rate that was said, it is time for the next one.

        Raises TimedOutError after that many seconds.
        """
        deadline = time.monotonic() + patience_s
        with self._changed:
            while not self._closing and self.failure is None:
                now = time.monotonic()
                pause_s = max(0.0, self._turn - now) if self._rate else 0.0
                if self._waiting is None and not pause_s:
                    break
                if now >= deadline:
                    raise TimedOutError(f"No picture has been taken for {patience_s:g} s.")
                self._changed.wait(min(pause_s or _LOOK_S, deadline - now))
            if self._rate:
                # From turn to turn: a late one does not make all that follow late.
                now = time.monotonic()
                self._turn = max(self._turn, now - 1 / self._rate) + 1 / self._rate

    def put_picture(self, picture: Picture, capture_time: float) -> None:
        """Give it a picture: it takes the place of one that waits."""
        with self._changed:
            self.dropped += self._waiting is not None
            self._waiting = picture, capture_time, time.monotonic()
            self._changed.notify_all()

    def put_sound(self, block: Samples, capture_time: float, *, told: bool) -> None:
        """Give it a block of sound; `told`: the time is the user's own."""
        with self._changed:
            self._sound.append((block, capture_time, time.monotonic(), told))
            self._changed.notify_all()

    def request_keyframe(self) -> None:
        """The next picture shall be one that viewers can begin with."""
        with self._changed:
            self._keyframe_wanted = True
            self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Encode what waits, if that takes no longer than this, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    # The thread.

    def _run(self) -> None:
        try:
            while self._turn_once():
                pass
        except Exception as error:
            self.failure = error

    def _turn_once(self) -> bool:
        """Wait for something to do, and do it; False at the end."""
        with self._changed:
            while (pause_s := self._pause_s()) > 0:
                self._changed.wait(pause_s)
            now = time.monotonic()
            picture = None
            if self._waiting and (self._closing or self._may_take(now)):
                picture, self._waiting = self._waiting, None
                self._allowance -= 1
                self._changed.notify_all()
            blocks = list(self._sound)
            self._sound.clear()
            wanted = self._keyframe_wanted
            closing = self._closing
        if self.live:
            self._make(picture, blocks, wanted, now)
        elif picture:
            self._last = picture  # for the moment when somebody takes it again
        return not closing

    def _pause_s(self) -> float:
        """How long there is nothing to do."""
        now = time.monotonic()
        if self._closing or self._sound:
            return 0.0
        pauses = [_LOOK_S if self._sounds else 1.0]
        if self._waiting:
            if self._may_take(now):
                return 0.0
            assert self._rate
            pauses.append((1 - self._allowance) / (_HURRY * self._rate))
        elif self._last and self.live and self._repeat_after_s is not None:
            pauses.append(self._repeat_at() - now)
        return min(pauses)

    def _may_take(self, now: float) -> bool:
        """Whether a picture may be taken without going far beyond the rate."""
        if self._rate is None:
            return True
        gained = (now - self._allowed_at) * _HURRY * self._rate
        self._allowance = min(2.0, self._allowance + gained)
        self._allowed_at = now
        return self._allowance >= 1

    def _repeat_at(self) -> float:
        assert self._last
        assert self._repeat_after_s is not None
        assert self._pictures
        written_at, made_at = self._last[2], self._pictures.made_at
        if self._keyframe_wanted and made_at:
            return made_at + _KEYFRAME_PATIENCE_S
        return max(written_at, made_at) + self._repeat_after_s

    def _make(
        self,
        taken: tuple[Picture, float, float] | None,
        blocks: Sequence[tuple[Samples, float, float, bool]],
        wanted: bool,
        now: float,
    ) -> None:
        batches: list[tuple[int, Batch]] = []
        codec = None
        if self._sounds:
            for block, capture_time, at, told in blocks:
                batches += self._sounds.add(block, capture_time, at, told=told)
        if taken is None and self._last and self._repeat_after_s is not None:
            if now >= self._repeat_at():
                picture, capture_time, written_at = self._last
                # It shows what is to be seen now.
                repeated = picture, capture_time + now - written_at, now
                batches += self._encode(repeated, wanted)
        elif taken:
            self._last = taken
            if self._outgrown(taken[0]):
                codec = self._follow(taken[0])
            batches += self._encode(taken, wanted)
        if self._sounds and self._timeline.zero is not None:
            batches += self._sounds.fill(now)
        if batches:
            self._deliver(Made(batches, codec))

    def _encode(self, taken: tuple[Picture, float, float], wanted: bool) -> list[tuple[int, Batch]]:
        assert self._pictures
        made, keyframe = self._pictures.make(*taken, wanted=wanted)
        if keyframe:
            with self._changed:
                self._keyframe_wanted = False
        return [(0, batch) for batch in made]

    def _outgrown(self, picture: Picture) -> bool:
        assert self._pictures
        if self._fixed or picture.size == self._refused:
            return False
        return coded_size(self._video.codec, picture.size) != self._pictures.size

    def _follow(self, picture: Picture) -> VideoCodec | None:
        """Change the stream's size to the picture's; where that can't be, it is fitted in."""
        try:
            self._open_pictures(picture)
        except StreamSocketError:
            self._refused = picture.size
            return None
        assert self._pictures
        return self._pictures.codec

    def _open_pictures(self, picture: Picture | None) -> None:
        given = self._fixed or (picture.size if picture else None)
        assert given, "a size or a picture"
        size = coded_size(self._video.codec, given)
        colours = colours_of(picture, size) if picture else colours_for(size)
        is_rgb = picture is None or not isinstance(picture.data, VideoFrame)
        encoder, self.encoder = open_video_encoder(self._video, size, colours, is_rgb=is_rgb)
        if not encoder.tells_colours:
            colours = colours._replace(matrix=6)
        self._pictures = _Pictures(
            encoder, size, colours.matrix, self._timeline, self._keyframe_every_s
        )


class _Pictures:
    """Encodes pictures of one size."""

    def __init__(
        self,
        encoder: PictureEncoder,
        size: tuple[int, int],
        matrix: int,
        timeline: Timeline,
        keyframe_every_s: float,
    ) -> None:
        self.codec = encoder.codec
        self.size = size
        self.made_at = 0.0
        """When the last one was encoded, by `time.monotonic()`."""
        self._encoder = encoder
        self._fitting = Fitting(size, encoder.pixel_format, matrix)
        self._packer = Packer(encoder.codec)
        self._timeline = timeline
        self._every_s = keyframe_every_s
        self._keyframe_at: float | None = None

    def make(
        self, picture: Picture, capture_time: float, at: float, *, wanted: bool
    ) -> tuple[list[Batch], bool]:
        """The picture as batches, and whether it has become a keyframe."""
        place = self._timeline.place_picture(capture_time, at)
        since = None if self._keyframe_at is None else place - self._keyframe_at
        due = since is None or since >= self._every_s or (wanted and since >= KEYFRAMES_APART_S)
        pts = Fraction(round(place * self.codec.clock_rate), self.codec.clock_rate)
        coded = self._encoder.encode(self._fitting.fit(picture), pts, keyframe=due)
        self.made_at = time.monotonic()
        keyframe = any(each.keyframe for each in coded)
        if keyframe:
            self._keyframe_at = place
        return _packed(self._packer, coded, self._timeline), keyframe


class _Sounds:
    """Encodes sound."""

    def __init__(self, options: AudioOptions, timeline: Timeline) -> None:
        encoder = make_audio_encoder(options.codec, options.channels, bit_rate=options.bit_rate)
        channels = 1 if encoder.layout == "mono" else 2
        self.codec = encoder.codec
        self._encoder: AudioEncoder = encoder
        self._sound_in = SoundIn(options, encoder.sample_rate, channels, encoder.frame_size)
        self._packer = Packer(encoder.codec)
        self._timeline = timeline

    def add(
        self, block: Samples, capture_time: float, at: float, *, told: bool
    ) -> list[tuple[int, Batch]]:
        place = self._timeline.place(capture_time, at)
        return self._encoded(self._sound_in.add(block, place, told=told))

    def fill(self, now: float) -> list[tuple[int, Batch]]:
        """Silence, where nothing has been written for too long."""
        return self._encoded(self._sound_in.fill(self._timeline.reached(now)))

    def _encoded(self, frames: Sequence[tuple[Samples, int]]) -> list[tuple[int, Batch]]:
        batches = []
        for samples, first in frames:
            frame = AudioFrame.from_ndarray(samples, "fltp", self._encoder.layout)
            frame.sample_rate = self._encoder.sample_rate
            frame.time_base = Fraction(1, self._encoder.sample_rate)
            frame.pts = first
            coded = self._encoder.encode(frame)
            batches += [(1, batch) for batch in _packed(self._packer, coded, self._timeline)]
        return batches


def _packed(packer: Packer, made: Sequence[Coded], timeline: Timeline) -> list[Batch]:
    batches = [packer.pack(coded, coded.pts) for coded in made]
    packed = [batch for batch in batches if batch]
    for batch in packed:
        batch.capture_time = timeline.captured(batch.capture_time)
    return packed
