"""The index of a folder of recordings: what was recorded when, one JSON object a line.

`index.jsonl` lies at the root of the recordings and is only ever appended to: one line when a
recording begins, one when it ends, one when it is deleted. A line that was cut off (the machine
lost power) is passed over; a recording without an end was cut off too, and gets one at the next
start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

INDEX_NAME = "index.jsonl"

MAX_INDEX_BYTES = 64 << 20
"""No more than this is read of an index, its newest lines: some 150,000 recordings."""
_MAX_LINE = 1 << 16
_TIDY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording, finished or being written."""

    path: str
    """Below the index's folder, with slashes."""
    stream: str
    began: float
    """When its first picture or sound was captured, seconds since the epoch."""
    tracks: tuple[str, ...]
    """For people: `"h264 1280x720"`, `"aac 48 kHz stereo"`."""
    ended: float | None = None
    """When its last one was; None while it is being written."""
    duration_s: float = 0.0
    bytes: int = 0
    reason: str | None = None
    """Why it ended: `"rotated"`, `"interrupted"`, …"""


class Index:
    """The index of one folder, held by the one process that writes there."""

    def __init__(self, root: Path) -> None:
        """Raises OSError where the folder cannot be made or the index cannot be read."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._file = root / INDEX_NAME
        self.recordings: dict[str, Recorded] = {}
        """By their path, oldest first."""
        self.endings = 0
        """How many recordings have ended since."""
        self._torn = False  # the last line may have been written in part
        size, read = 0, 0
        with suppress(FileNotFoundError):
            size = self._file.stat().st_size
            for each in read_index(root):
                self.recordings[each.path] = each
                read += len(_begin_line(each)) + len(_end_line(each))
        if size > _TIDY_BYTES and read < size // 2:
            self._tidy()
        else:
            self._torn = size > 0

    def begin(self, recording: Recorded) -> None:
        """A recording begins. Raises OSError."""
        self._append(_begin_line(recording))
        self.recordings[recording.path] = recording

    def end(self, path: str, *, ended: float, duration_s: float, size: int, reason: str) -> None:
        """A recording has ended. Raises OSError; even then it counts as ended from here on."""
        recording = replace(
            self.recordings[path], ended=ended, duration_s=duration_s, bytes=size, reason=reason
        )
        self.recordings[path] = recording
        self.endings += 1
        self._append(_end_line(recording))

    def remove(self, path: str) -> None:
        """A recording is no longer there. Raises OSError."""
        del self.recordings[path]
        self._append(_line({"event": "removed", "path": path}))

    def repair(self) -> list[Recorded]:
        """End what was being written when the process died; return those recordings.

        Files that are gone, whoever deleted them, are taken out. Raises OSError.
        """
        repaired = []
        for each in tuple(self.recordings.values()):
            try:
                found = (self.root / each.path).stat()
            except FileNotFoundError:
                self.remove(each.path)
                continue
            if each.ended is not None:
                continue
            ended = max(found.st_mtime, each.began)
            self.end(
                each.path,
                ended=ended,
                duration_s=ended - each.began,
                size=found.st_size,
                reason="interrupted",
            )
            repaired.append(self.recordings[each.path])
        return repaired

    def delete(self, recording: Recorded) -> None:
        """Delete a finished recording's file, its empty folders, and its place in the index.

        Raises OSError where the system refuses; it stays in the index then.
        """
        path = self.root / recording.path
        with suppress(FileNotFoundError):
            path.unlink()
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:
                break  # there is something in it
        self.remove(recording.path)

    def _append(self, line: bytes) -> None:
        torn, self._torn = self._torn, True
        with self._file.open("ab") as file:
            file.write(b"\n" + line if torn else line)
        self._torn = False

    def _tidy(self) -> None:
        """Write the index anew without what was deleted; the old one stays until it is done."""
        fresh = self._file.with_suffix(".new")
        with fresh.open("wb") as file:
            for each in self.recordings.values():
                file.write(_begin_line(each))
                if each.ended is not None:
                    file.write(_end_line(each))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)


def read_index(root: Path) -> list[Recorded]:
    """The recordings of a folder, oldest first. Anybody may read while the server writes.

    Lines that make no sense are passed over. Raises OSError.
    """
    with (root / INDEX_NAME).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_INDEX_BYTES:
            file.seek(size - MAX_INDEX_BYTES)
            file.readline(_MAX_LINE)
        recordings: dict[str, Recorded] = {}
        for event in _events(_lines(file, MAX_INDEX_BYTES)):
            _apply(event, recordings)
    return list(recordings.values())


def _lines(file: Any, budget: int) -> Iterator[bytes]:
    while budget > 0 and (line := file.readline(min(_MAX_LINE, budget))):
        budget -= len(line)
        yield line


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _apply(event: dict[str, Any], recordings: dict[str, Recorded]) -> None:
    try:
        path = str(event["path"])
        match event["event"]:
            case "begin" if _stays_below(path):
                recordings.pop(path, None)
                recordings[path] = Recorded(
                    path,
                    str(event["stream"]),
                    float(event["began"]),
                    tuple(str(track) for track in event["tracks"]),
                )
            case "end" if path in recordings:
                recordings[path] = replace(
                    recordings[path],
                    ended=float(event["ended"]),
                    duration_s=float(event["duration_s"]),
                    bytes=int(event["bytes"]),
                    reason=str(event["reason"]),
                )
            case "removed":
                recordings.pop(path, None)
    except (KeyError, TypeError, ValueError, OverflowError):
        pass


def _stays_below(path: str) -> bool:
    """Whether it leads to nowhere but below the root: what the index names may be deleted."""
    parts = path.split("/")
    return path.isprintable() and ".." not in parts and all(parts) and not set(path) & set("\\:")


def _begin_line(recording: Recorded) -> bytes:
    return _line(
        {
            "event": "begin",
            "path": recording.path,
            "stream": recording.stream,
            "began": round(recording.began, 3),
            "tracks": recording.tracks,
        }
    )


def _end_line(recording: Recorded) -> bytes:
    return _line(
        {
            "event": "end",
            "path": recording.path,
            "ended": recording.ended,
            "duration_s": round(recording.duration_s, 3),
            "bytes": recording.bytes,
            "reason": recording.reason,
        }
    )


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"
