"""`RecordingWriter`: access units into a file, as they are. Nothing is encoded anew."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext

from streamsocket import wording
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Track
from streamsocket.media.decode_order import DecodeTimes
from streamsocket.record.errors import NewFileNeededError as NewFileNeededError
from streamsocket.record.errors import RecordError as RecordError
from streamsocket.record.formats import (
    StreamParameters,
    codec_now,
    container_for,
    is_known,
    parameters,
    sample,
    what_changed,
)
from streamsocket.record.timeline import Timeline

SETTLING_S = 0.5
"""How much is held back at the beginning: only once the first sender reports are there, a moment
after the first packets, is it known well when what came was captured."""
TRACK_PATIENCE_S = 2.0
"""How long after the first keyframe the file waits for a track that nothing has come of yet."""

_SAME_CLOCK_S = 10.0
_MAX_EARLY_SOUND = 500
_MAX_WAITING_BYTES = 32 << 20
_OPTIONS = {
    "flush_packets": "1",
    # A track that pauses keeps the others from the disk for so many microseconds only.
    "max_interleave_delta": "500000",
}


class _File(io.FileIO):
    """A file that is written whole or, once that failed, not at all any more."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        if self.failure:
            raise self.failure
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.failure = error
            raise
        return len(data)


class _Written:
    """A track of the file."""

    def __init__(self, track: Track, stream: Stream, form: StreamParameters) -> None:
        self.codec = track.codec
        self.stream = stream
        self.time_base = Fraction(1, track.codec.clock_rate)
        self.frame_duration = form.frame_duration
        self.decode_times = (
            DecodeTimes(form.reorder_depth, form.frame_duration) if track.kind == "video" else None
        )
        self.last_pts = -1


class RecordingWriter:
    """Writes the tracks of a stream into a file; its suffix says what container.

    The recording begins with the first keyframe; sound from then on. Both are on one time line that
    begins at 0 (see `Timeline`); pictures stay as far apart as their timestamps say. What is
    written can be played at any time, also after the process was killed: at most the last second
    or so is missing.

    Pictures that arrived damaged are written where what did arrive is whole by itself (H.264,
    H.265): players show them with flaws, and what refers to them with fewer than if they were
    missing. Damaged units of other codecs are left out.
    """

    def __init__(
        self, path: str | os.PathLike[str], tracks: Sequence[Track], *, overwrite: bool = False
    ) -> None:
        """Create the file. RecordError if that is not possible, or it can't hold these tracks."""
        self.path = Path(path)
        self.tracks = tuple(tracks)
        self.pictures = 0
        """Pictures in the file."""
        self.damaged = 0
        """Units that arrived damaged, or that the container does not take."""
        self._container_form = container_for(self.path, tracks)
        kinds = [track.kind for track in tracks]
        self._leader = kinds.index("video") if "video" in kinds else 0
        self._timeline = Timeline(tracks)
        self._early: deque[tuple[int, AccessUnit]] = deque(maxlen=_MAX_EARLY_SOUND)
        self._waiting: list[tuple[int, AccessUnit]] = []
        self._waiting_bytes = 0
        self._container: OutputContainer | None = None
        self._written: list[_Written | None] = [None] * len(tracks)
        self._whole_bytes, self._whole_s = 0, 0.0
        self._late: int | None = None
        self._awaits_keyframe = True
        self._failure: RecordError | None = None
        try:
            self._file = _File(self.path, "wb" if overwrite else "xb")
        except FileExistsError:
            raise RecordError(f"There is a file '{self.path}' already.") from None
        except OSError as error:
            raise RecordError(f"'{self.path}' cannot be written: {error.strerror}.") from None

    @property
    def duration_s(self) -> float:
        """How long the recording is so far, in seconds."""
        if self._failure:
            return self._whole_s
        return max(
            (
                float((each.last_pts + each.frame_duration) * each.time_base)
                for each in self._written
                if each and each.last_pts >= 0
            ),
            default=0.0,
        )

    @property
    def bytes(self) -> int:
        """How large the file is so far."""
        return self._whole_bytes

    def write(self, track_index: int, unit: AccessUnit) -> None:
        """Add an access unit of one of the tracks, in decoding order.

        Raises NewFileNeededError for one that the file can't take because its codec or its size
        differs; RecordError if the file can't be written any more: it is closed then, and what is
        in it stays playable.
        """
        if self._failure:
            raise self._failure
        if unit.damaged:
            self.damaged += 1
            if not isinstance(self.tracks[track_index].codec, H264 | H265):
                return
        if self.tracks[track_index].kind == "video":
            if unit.keyframe:
                self._check_form(track_index, unit)
                self._awaits_keyframe = not is_known(self.tracks[track_index].codec)
            if self._awaits_keyframe:
                return
        if self._container:
            self._add(track_index, unit, unit.capture_time)
        else:
            self._wait(track_index, unit)

    def rejoin(self) -> None:
        """What comes next is from another session with the same source, or its successor.

        Its timestamps have nothing to do with those before; the picture goes on with a keyframe.
        """
        self._timeline.rejoin()
        self._awaits_keyframe = True

    def close(self) -> None:
        """Finish the file. RecordError if that fails; what is in it stays playable.

        A file that nothing was written into is removed.
        """
        if self._file.closed:
            return
        if self._waiting and not self._container:
            self._open()
        try:
            if self._container:
                self._container.close()
        except (OSError, av.FFmpegError) as error:
            raise self._fail(error) from None
        self._whole_bytes = os.fstat(self._file.fileno()).st_size
        self._file.close()
        if not self._container:
            self.path.unlink(missing_ok=True)

    def _check_form(self, index: int, keyframe: AccessUnit) -> None:
        """Raise NewFileNeededError if from this keyframe on, another file is needed."""
        if self._late is not None:
            name = {"video": "picture", "audio": "sound"}[self.tracks[self._late].kind]
            raise NewFileNeededError(f"The {name} has begun.", self.tracks)
        track = self.tracks[index]
        codec = codec_now(track.codec, keyframe)
        if codec == track.codec:
            return
        tracks = list(self.tracks)
        tracks[index] = replace(track, codec=codec)
        begun = self._container or self._waiting
        reason = what_changed(track.codec, codec) if begun else None
        if reason:
            raise NewFileNeededError(reason, tuple(tracks))
        self.tracks = tuple(tracks)

    def _wait(self, index: int, unit: AccessUnit) -> None:
        """The file's head says where each track begins, so it waits for all, but not for long."""
        if not self._waiting and index != self._leader:
            self._early.append((index, unit))
            return
        self._waiting.append((index, unit))
        self._waiting_bytes += sum(map(len, unit.units))
        if not self._waiting[1:]:
            # Sound may arrive before the picture it belongs to.
            self._waiting += self._early
            self._early.clear()
        first = next(each for track, each in self._waiting if track == index)
        seconds = (unit.timestamp - first.timestamp) / self.tracks[index].codec.clock_rate
        complete = {track for track, _ in self._waiting} == set(range(len(self.tracks)))
        if (
            seconds >= (SETTLING_S if complete else TRACK_PATIENCE_S)
            or self._waiting_bytes > _MAX_WAITING_BYTES
        ):
            self._open()

    def _open(self) -> None:
        """Begin the file with the tracks that are there."""
        waiting, self._waiting = self._waiting, []
        first: dict[int, AccessUnit] = {}
        newest: dict[int, AccessUnit] = {}
        for index, unit in waiting:
            first.setdefault(index, unit)
            newest[index] = unit
        forms = {index: parameters(self.tracks[index], first[index]) for index in sorted(first)}
        form = self._container_form
        container = av.open(
            self._file, "w", format=form.muxer, container_options={**_OPTIONS, **form.options}
        )
        with av.open(io.BytesIO(), "w", format="null") as templates:
            for index, each in forms.items():
                track = self.tracks[index]
                stream = _add_stream(container, templates, track, each)
                self._written[index] = _Written(track, stream, each)
        self._container = container
        for index, unit in waiting:
            captured = _captured(unit, newest[index], self.tracks[index].codec.clock_rate)
            self._add(index, unit, captured)

    def _add(self, index: int, unit: AccessUnit, captured: float | None) -> None:
        written = self._written[index]
        if written is None:
            self._late = index  # it will be in the next file, which begins with a keyframe
            return
        pts = dts = self._timeline.place(index, unit.timestamp, captured)
        if pts < 0:
            return  # sound before the picture, or a picture that refers to what came before
        if written.decode_times:
            dts = written.decode_times.next(pts)
            pts = max(pts, dts)
        elif pts <= written.last_pts:
            return  # it came twice
        packet: av.Packet[Any] = av.Packet(sample(written.codec, unit))
        packet.stream = written.stream
        packet.time_base = written.time_base
        packet.pts, packet.dts = pts, dts
        packet.duration = written.frame_duration
        packet.is_keyframe = unit.keyframe
        before_s = self.duration_s
        assert self._container
        try:
            self._container.mux_one(packet)
        except (OSError, av.FFmpegError) as error:
            if self._file.failure or not self._whole_bytes:
                raise self._fail(error) from None
            self.damaged += 1  # the muxer does not take this one; it may take the next
            return
        size = os.fstat(self._file.fileno()).st_size
        if size > self._whole_bytes:
            self._whole_bytes, self._whole_s = size, before_s
        self.pictures += written.decode_times is not None
        written.last_pts = max(written.last_pts, pts)

    def _fail(self, error: Exception) -> RecordError:
        """Give the file up, without what was only half written."""
        try:
            self._file.truncate(self._whole_bytes)
        except OSError:
            pass  # players cope with half a fragment
        self._file.close()
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            free = shutil.disk_usage(self.path.parent).free
            reason = f"the disk is full ({wording.size(free)} are free)"
        self._failure = RecordError(
            f"'{self.path}' could not be written to its end: {reason}. "
            f"The first {wording.clock(self._whole_s)} are in it."
        )
        return self._failure


def _captured(unit: AccessUnit, newer: AccessUnit, clock_rate: int) -> float | None:
    """When a unit was captured, by what is known since a newer one of its track."""
    if unit.capture_time is None or newer.capture_time is None:
        return unit.capture_time
    captured = newer.capture_time - (newer.timestamp - unit.timestamp) / clock_rate
    is_same_clock = abs(captured - unit.capture_time) < _SAME_CLOCK_S
    return captured if is_same_clock else unit.capture_time


def _add_stream(
    container: OutputContainer, templates: OutputContainer, track: Track, form: StreamParameters
) -> Stream:
    """A stream of the file for packets that are coded already.

    PyAV lets a stream's parameters be set where there is a codec context, and leaves that unopened,
    which for an encoder's own stream it would not, where it comes from a template.
    """
    stream = container.add_stream_from_template(templates.add_stream(form.encoder), opaque=True)
    context = stream.codec_context
    context.extradata = form.extradata
    context.time_base = Fraction(1, track.codec.clock_rate)
    if isinstance(context, VideoCodecContext):
        assert form.size
        context.width, context.height = form.size
        if track.frame_rate:
            context.framerate = track.frame_rate
        if isinstance(track.codec, H265) and container.format.name == "mp4":
            context.codec_tag = "hvc1"  # the one that Apple's players take
    elif isinstance(context, AudioCodecContext):
        context.sample_rate = form.sample_rate
        context.layout = f"{form.channels}c"
    return stream
