"""The file source: a movie at its own pace, once or for ever."""

from __future__ import annotations

import time
from collections import deque

from streamsocket.media.codec import Track
from streamsocket.sources import link
from streamsocket.sources.ahead import ReadAhead
from streamsocket.sources.outlet import Outlet
from streamsocket.sources.pacer import Pacer
from streamsocket.sources.plan import Plan, make_plan
from streamsocket.sources.reader import MovieReader
from streamsocket.sources.spec import FileSpec

_PROGRESS_EVERY_S = 0.5

# Reading ahead that lags behind by so much is worth a word.
_SLOW_AFTER_S = 0.5

# How often it is looked whether reading has caught up, when it lags.
_POLL_S = 0.003


def run_file(spec: FileSpec, outlet: Outlet) -> None:
    """Stream a file until its end, or for ever. Raises `SourceError` and `StoppedError`."""
    plan = make_plan(spec.path)
    notes = deque([track.note for track in plan.tracks if track.note], maxlen=16)
    reader = MovieReader(spec.path, plan, spec.loop, notes.append)
    with ReadAhead(reader.units(), [track.kind for track in plan.tracks]) as ahead:
        _stream(spec, plan, reader, ahead, notes, outlet)


def _stream(
    spec: FileSpec,
    plan: Plan,
    reader: MovieReader,
    ahead: ReadAhead,
    notes: deque[str],
    outlet: Outlet,
) -> None:
    while not ahead.settled():
        outlet.wait_until(time.monotonic() + _POLL_S)
    reorder_delay_s = ahead.reorder_delay_s()
    group = ahead.pop()
    if group is None:
        return
    pacer = Pacer(outlet, start_s=group[0], delay_s=reorder_delay_s, at=time.monotonic())
    tracks = zip(reader.codecs, plan.tracks, strict=True)
    outlet.event(
        link.Tracks(
            tuple(Track(codec, planned.frame_rate) for codec, planned in tracks),
            makes_keyframes=False,
        )
    )
    progress_due = 0.0
    slow = False
    while group:
        due_s, units = group
        pacer.wait(due_s)
        pacer.send([link.TrackBatch(unit.track, unit.batch) for unit in units])
        if due_s >= progress_due:
            progress_due = due_s + _PROGRESS_EVERY_S
            outlet.event(link.Progress(units[-1].position_s, plan.duration_s, units[-1].loops))
        while notes:
            outlet.event(link.Note(notes.popleft()))
        while not ahead.ready():
            outlet.wait_until(time.monotonic() + _POLL_S)
            if not slow and pacer.late_s(due_s) > _SLOW_AFTER_S:
                slow = True
                notes.append(f"This machine cannot keep up with '{spec.path}': it stutters.")
        group = ahead.pop()
