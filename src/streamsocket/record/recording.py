"""One stream on its way into files, in the recorder's process.

A file begins with a keyframe. Sound that came before it, by its timestamp, belongs to the file
before: when a new file begins, no picture and no frame of sound is lost or in both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from streamsocket.hub.snapshot import describe
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Codec, Track
from streamsocket.record.errors import NewFileNeededError, RecordError
from streamsocket.record.index import Index, Recorded
from streamsocket.record.link import Follow
from streamsocket.record.naming import unused
from streamsocket.record.rotation import KEYFRAME_PATIENCE_S, RETURN_S
from streamsocket.record.rules import Rule
from streamsocket.record.writer import RecordingWriter
from streamsocket.taps.assembler import Assembler
from streamsocket.taps.packets import Packets

RETRY_S = 5.0
"""After a file could not be opened or written, before the next is tried."""

_HOLD_S = 2.0
_MAX_HELD = 1000
"""How far sound may be ahead of the picture before it is written without waiting for it."""


class _Segment:
    """One file that is being written."""

    def __init__(
        self, index: Index, path: Path, tracks: list[Track], start_s: float, began: float
    ) -> None:
        self.index = index
        self.path = path
        self.index_path = path.relative_to(index.root).as_posix()
        self.start_s = start_s
        self.began = began
        self.codecs = [track.codec for track in tracks]
        self.past_start: set[int] = set()
        """The tracks, but the first one, of which everything before the start has come."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = RecordingWriter(path, tracks)


class StreamRecording:
    """Records one stream. `now` is in seconds of `time.monotonic()`."""

    def __init__(
        self,
        follow: Follow,
        rule: Rule,
        open_index: Callable[[], Index],
        want_keyframe: Callable[[], None],
    ) -> None:
        """`open_index` raises OSError while the recordings' folder cannot be used."""
        self.stream = follow.stream
        self.message: str | None = None
        """What is wrong, a sentence."""
        self._rotation = rule.rotation
        self._pattern = rule.pattern
        self._open_index = open_index
        self._want_keyframe = want_keyframe
        self._assembler = Assembler(follow.tracks, follow.origins)
        kinds = [track.kind for track in follow.tracks]
        # New files begin with this track's keyframes.
        self._lead = kinds.index("video") if "video" in kinds else 0
        self._rates = [track.codec.clock_rate for track in follow.tracks]
        self._segment: _Segment | None = None
        self._previous: _Segment | None = None
        self._previous_reason = ""
        self._held: deque[tuple[float, int, AccessUnit]] = deque()
        self._newest_s = 0.0
        self._awaits_keyframe = True
        self._tracks_changed = False
        self._asked_s = 0.0
        self._blocked = False
        self._retry_at = 0.0
        self._lost_at: float | None = None

    @property
    def path(self) -> Path | None:
        """The file that is being written."""
        return self._segment.path if self._segment else None

    @property
    def seconds(self) -> float:
        """How much is in it."""
        return self._segment.writer.duration_s if self._segment else 0.0

    @property
    def bytes(self) -> int:
        """How large it is."""
        return self._segment.writer.bytes if self._segment else 0

    def begin_publication(self, follow: Follow) -> None:
        """The publisher returned, or another came."""
        self._assembler.begin_publication(follow.tracks)
        self._awaits_keyframe = True
        self._lost_at = None

    def lose_publisher(self, now: float) -> None:
        """The publisher left; if it does not return soon, the file is finished."""
        self._lost_at = now

    def block(self, why: str | None) -> None:
        """Write nothing for now, for the reason given; None: go on at the next keyframe."""
        self._blocked = why is not None
        self.message = why
        if why is None:
            self._want_keyframe()
        else:
            self.close("disk full")

    def tick(self, now: float) -> None:
        """Finish what nothing comes for any more. To be called every second or so."""
        if self._lost_at is not None and now - self._lost_at > RETURN_S:
            self._lost_at = None
            self.close("publisher left")

    def take(self, packets: Packets, now: float) -> None:
        """Write what a batch completes."""
        track = packets.track
        for unit in self._assembler.take(packets):
            seconds = unit.timestamp / self._rates[track]
            if track == self._lead:
                self._take_lead(unit, seconds, now)
            else:
                self._held.append((seconds, track, unit))
                if seconds > self._newest_s + _HOLD_S or len(self._held) > _MAX_HELD:
                    self._release(seconds, now)

    def close(self, reason: str) -> None:
        """Finish what is open."""
        if self._segment:
            self._release(self._newest_s + _HOLD_S, 0.0)
        self._held.clear()
        self._finish_previous()
        if self._segment:
            segment, self._segment = self._segment, None
            self._finish(segment, reason)
        self._awaits_keyframe = True

    def give_up(self, error: Exception, now: float) -> None:
        """Something went wrong that should not: end the file, and try another later."""
        segments = [each for each in (self._previous, self._segment) if each]
        self._previous = self._segment = None
        self._held.clear()
        for segment in segments:
            with suppress(Exception):
                self._finish(segment, "write error")
        self._fail(error, now)

    def _take_lead(self, unit: AccessUnit, seconds: float, now: float) -> None:
        if unit.keyframe:
            self._awaits_keyframe = False
            reason = self._full(self._segment, seconds) if self._segment else "begun"
            if reason:
                self._turn_over(unit, seconds, now, reason)
        segment = self._segment
        if segment is None:
            self._held.clear()
            return
        if self._awaits_keyframe or seconds < segment.start_s:
            return  # it refers to pictures that are not in this file
        self._newest_s = max(self._newest_s, seconds)
        length = seconds - segment.start_s
        if self._rotation.overdue(seconds=length) and seconds > self._asked_s:
            self._asked_s = seconds + KEYFRAME_PATIENCE_S
            self._want_keyframe()
        try:
            self._write(segment, self._lead, unit, now)
        except NewFileNeededError:  # which only keyframes cause
            self._turn_over(unit, seconds, now, "tracks changed")
            if self._segment:
                self._write(self._segment, self._lead, unit, now)
        if self._held:
            self._release(self._newest_s, now)
        if self._previous and length > _HOLD_S:
            self._finish_previous()

    def _full(self, segment: _Segment, seconds: float) -> str | None:
        """Why the keyframe of that time belongs into another file; None where it does not."""
        if self._rotation.due(seconds=seconds - segment.start_s, size=segment.writer.bytes):
            return "rotated"
        # What changes in band is the writer's to notice.
        pairs = zip(segment.codecs, self._assembler.codecs, strict=True)
        if self._tracks_changed or any(old != new for old, new in pairs if new.kind == "audio"):
            return "tracks changed"
        return None

    def _turn_over(self, keyframe: AccessUnit, seconds: float, now: float, reason: str) -> None:
        """Go on in a new file; what was open stays so until the rest of its sound has come."""
        self._finish_previous()
        if self._segment:
            self._previous, self._previous_reason = self._segment, reason
        self._tracks_changed = False
        codecs = self._assembler.codecs
        self._segment = self._open(keyframe, seconds, codecs, now)
        if self._segment is None or len(codecs) == 1:
            self._finish_previous()
        self._newest_s = seconds

    def _open(
        self, keyframe: AccessUnit, seconds: float, codecs: list[Codec], now: float
    ) -> _Segment | None:
        if self._blocked or now < self._retry_at:
            return None
        began = keyframe.capture_time or 0.0
        tracks = [
            replace(track, codec=codec)
            for track, codec in zip(self._assembler.tracks, codecs, strict=True)
        ]
        segment = None
        try:
            index = self._open_index()
            local = datetime.fromtimestamp(began).astimezone()
            path = unused(index.root / self._pattern.relative(self.stream, local))
            # The file first: what cannot be opened, over and over, shall not fill the index.
            segment = _Segment(index, path, tracks, seconds, began)
            said = tuple(f"{codec.name} {describe(codec)}".rstrip() for codec in codecs)
            index.begin(Recorded(segment.index_path, self.stream, began, said))
        except (RecordError, OSError, ValueError, OverflowError) as error:
            if segment:
                with suppress(RecordError, OSError):
                    segment.writer.close()  # which removes the file: nothing is in it
            self._fail(error, now)
            return None
        self.message = None
        return segment

    def _write(self, segment: _Segment, track: int, unit: AccessUnit, now: float) -> None:
        try:
            segment.writer.write(track, unit)
        except NewFileNeededError:
            raise
        except (RecordError, OSError) as error:
            self._fail(error, now)
            self._segment = None if segment is self._segment else self._segment
            self._previous = None if segment is self._previous else self._previous
            self._finish(segment, "write error")

    def _release(self, until_s: float, now: float) -> None:
        """Write what is held up to that time, each unit into the file it belongs to."""
        held = self._held
        while held and held[0][0] <= until_s:
            seconds, track, unit = held.popleft()
            segment = self._segment
            if segment is None:
                continue
            if seconds >= segment.start_s:
                segment.past_start.add(track)
                if self._previous and len(segment.past_start) == len(self._rates) - 1:
                    self._finish_previous()
            elif self._previous:
                segment = self._previous
            else:
                continue
            try:
                self._write(segment, track, unit, now)
            except NewFileNeededError:  # a second picture that changed
                self._tracks_changed = True

    def _finish_previous(self) -> None:
        if self._previous:
            segment, self._previous = self._previous, None
            self._finish(segment, self._previous_reason)

    def _finish(self, segment: _Segment, reason: str) -> None:
        writer = segment.writer
        try:
            writer.close()
        except (RecordError, OSError) as error:
            self.message = f"'{self.stream}' was not recorded to its end: {error}"
        try:
            if not writer.path.exists():
                segment.index.remove(segment.index_path)
                return
            segment.index.end(
                segment.index_path,
                ended=segment.began + writer.duration_s,
                duration_s=writer.duration_s,
                size=writer.path.stat().st_size,
                reason=reason,
            )
        except OSError as error:
            self.message = f"The index of recordings cannot be written: {error}."

    def _fail(self, error: Exception, now: float) -> None:
        self._retry_at = now + RETRY_S
        sentence = str(error).rstrip(".")
        self.message = f"'{self.stream}' is not recorded: {sentence}."
        self._awaits_keyframe = True
