"""The file source: a movie at its own pace, once or for ever."""

from __future__ import annotations

import time
from collections import deque

from streamsocket.media.codec import Track
from streamsocket.sources.ahead import ReadAhead
from streamsocket.sources.link import Note, Progress, TrackBatch, Tracks
from streamsocket.sources.outlet import Outlet
from streamsocket.sources.pacer import Pacer
from streamsocket.sources.plan import make_plan
from streamsocket.sources.reader import MovieReader
from streamsocket.sources.spec import FileSpec

_PROGRESS_EVERY_S = 0.5

# Reading ahead that lags behind by so much is worth a word.
_SLOW_AFTER_S = 0.5

# How often it is looked whether reading has caught up, when it lags.
_POLL_S = 0.003

_MAX_NOTES = 16


def run_file(spec: FileSpec, outlet: Outlet) -> None:
    """Stream a file until its end, or for ever. Raises `SourceError` and `StoppedError`."""
    plan = make_plan(spec.path, spec.encoding)
    notes = deque((track.note for track in plan.tracks if track.note), maxlen=_MAX_NOTES)
    reader = MovieReader(spec.path, plan, spec.loop, notes.append)
    with ReadAhead(reader.units(), [track.kind for track in plan.tracks]) as ahead:
        while not ahead.settled():
            outlet.wait_until(time.monotonic() + _POLL_S)
        delay_s = ahead.reorder_delay_s()
        group = ahead.pop()
        if group is None:
            return
        codecs = zip(reader.codecs, plan.tracks, strict=True)
        tracks = tuple(Track(codec, planned.frame_rate) for codec, planned in codecs)
        outlet.event(Tracks(tracks, makes_keyframes=False))
        pacer = Pacer(outlet, start_s=group[0], delay_s=delay_s, at=time.monotonic())
        progress_due_s = 0.0
        slow = False
        while group:
            due_s, units = group
            pacer.wait(due_s)
            pacer.send([TrackBatch(unit.track, unit.batch) for unit in units])
            if due_s >= progress_due_s:
                progress_due_s = due_s + _PROGRESS_EVERY_S
                latest = units[-1]
                outlet.event(Progress(latest.position_s, plan.duration_s, latest.loops))
            while notes:
                outlet.event(Note(notes.popleft()))
            while not ahead.ready():
                outlet.wait_until(time.monotonic() + _POLL_S)
                if not slow and pacer.late_s(due_s) > _SLOW_AFTER_S:
                    slow = True
                    notes.append(f"This machine cannot keep up with '{spec.path}': it stutters.")
            group = ahead.pop()
