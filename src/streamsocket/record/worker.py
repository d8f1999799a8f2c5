"""The recorder's process: `python -m streamsocket.record.worker RULES [SOCKET]`.

RULES are the rules as JSON. One thread receives, writes, deletes and reports: while the disk
stalls it waits, and the server keeps what comes meanwhile.
"""

from __future__ import annotations

import select
import shutil
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streamsocket.child import inherited_socket
from streamsocket.record.index import Index
from streamsocket.record.link import (
    Decoder,
    Follow,
    KeyframeWanted,
    Lost,
    Over,
    RecordingState,
    Report,
    encode_event,
)
from streamsocket.record.recording import StreamRecording
from streamsocket.record.rules import Rule, rule_for, rules_from_json
from streamsocket.taps.packets import Packets
from streamsocket.wording import size

_RECEIVE_SIZE = 1 << 18
_TICK_S = 1.0
_RETENTION_S = 60.0

_MAX_DELETED_AT_ONCE = 20
"""Deleting large files takes its time, in which nothing is written."""


class _Known(NamedTuple):
    rule: int
    recording: StreamRecording


class Worker:
    """What the process does with the server's messages and as time goes by."""

    def __init__(self, rules: Sequence[Rule], connection: socket.socket) -> None:
        self._rules = rules
        self._socket = connection
        self._known: dict[int, _Known] = {}
        self._indexes: dict[Path, Index] = {}
        self._full: dict[int, str] = {}
        self._retention_at = 0.0
        self._endings = 0
        for rule in rules:
            with suppress(OSError):
                if rule.root.exists():
                    self._index(rule.root)

    def handle(self, message: object, now: float) -> None:
        """Take one message of the server's."""
        match message:
            case Packets():
                if known := self._known.get(message.stream):
                    self._take(known.recording, message, now)
            case Follow():
                self._follow(message)
            case Lost(number) if number in self._known:
                self._known[number].recording.lose_publisher(now)
            case Over(number) if number in self._known:
                self._known.pop(number).recording.close("stream ended")

    def tick(self, now: float) -> None:
        """What is due every second: retention, free space, and a report."""
        for known in self._known.values():
            known.recording.tick(now)
        endings = sum(index.endings for index in self._indexes.values())
        if now >= self._retention_at or endings > self._endings:
            self._endings = endings
            more = [self._delete(number) for number in range(len(self._rules))]
            self._retention_at = now + (_TICK_S if any(more) else _RETENTION_S)
        for number, rule in enumerate(self._rules):
            with suppress(OSError):
                self._mind_space(number, rule)
        states = tuple(_state(number, known) for number, known in self._known.items())
        self._socket.sendall(encode_event(Report(states)))

    def close(self) -> None:
        """Finish all files."""
        for known in self._known.values():
            known.recording.close("server stopped")

    def _take(self, recording: StreamRecording, packets: Packets, now: float) -> None:
        try:
            recording.take(packets, now)
        except Exception as error:
            # A stream that we have no rule for must not end the recordings of the others.
            traceback.print_exc()
            recording.give_up(error, now)

    def _follow(self, follow: Follow) -> None:
        number = follow.recording
        if known := self._known.get(number):
            known.recording.begin_publication(follow)
            return
        rule = self._rules[follow.rule]
        recording = StreamRecording(
            follow, rule, partial(self._index, rule.root), partial(self._want_keyframe, number)
        )
        if reason := self._full.get(follow.rule):
            recording.block(reason)
        self._known[number] = _Known(follow.rule, recording)

    def _want_keyframe(self, number: int) -> None:
        self._socket.sendall(encode_event(KeyframeWanted(number)))

    def _index(self, root: Path) -> Index:
        """The index of that folder; what a process before us left unfinished is put right."""
        if root not in self._indexes:
            index = Index(root)
            index.repair()
            self._indexes[root] = index
        return self._indexes[root]

    def _delete(self, number: int) -> bool:
        """Delete what the rule says is not to be kept; return whether there is more of it."""
        rule = self._rules[number]
        if not rule.retention.deletes or not rule.root.exists():
            return False
        with suppress(OSError):
            index = self._index(rule.root)
            expired = rule.retention.expired(
                (
                    each
                    for each in index.recordings.values()
                    if rule_for(self._rules, each.stream) == number
                ),
                now=time.time(),
                writing_bytes=sum(
                    known.recording.bytes for known in self._known.values() if known.rule == number
                ),
                free_bytes=shutil.disk_usage(rule.root).free,
            )
            for each in expired[:_MAX_DELETED_AT_ONCE]:
                with suppress(OSError):
                    index.delete(each)
            return len(expired) > _MAX_DELETED_AT_ONCE
        return False

    def _mind_space(self, number: int, rule: Rule) -> None:
        """Pause a rule's recordings when its disk is full, and let them go on when it is not."""
        retention = rule.retention
        is_full = number in self._full
        needed = retention.resume_bytes if is_full else retention.min_free_bytes
        free = shutil.disk_usage(rule.root).free
        if free < needed and retention.deletes:
            self._delete(number)
            free = shutil.disk_usage(rule.root).free
        if (free < needed) == is_full:
            return
        reason = None
        if is_full:
            del self._full[number]
        else:
            reason = self._full[number] = (
                f"The disk of '{rule.root}' has {size(free)} left, less than the "
                f"{size(needed)} to be kept free: recording goes on when there is room."
            )
        for known in self._known.values():
            if known.rule == number:
                known.recording.block(reason)


def _state(number: int, known: _Known) -> RecordingState:
    recording = known.recording
    path = None if recording.path is None else str(recording.path)
    return RecordingState(
        number, path, round(recording.seconds, 1), recording.bytes, recording.message
    )


def main(arguments: list[str]) -> None:
    """Record until the server hangs up."""
    connection = inherited_socket(arguments[1:])
    worker = Worker(rules_from_json(arguments[0]), connection)
    decoder = Decoder()
    tick_at = time.monotonic()
    with suppress(ConnectionError, KeyboardInterrupt):
        while True:
            now = time.monotonic()
            if now >= tick_at:
                worker.tick(now)
                tick_at = now + _TICK_S
            readable, _, _ = select.select([connection], [], [], tick_at - now)
            if readable:
                data = connection.recv(_RECEIVE_SIZE)
                if not data:
                    break
                now = time.monotonic()
                for message in decoder.feed(data):
                    worker.handle(message, now)
    worker.close()


if __name__ == "__main__":
    main(sys.argv[1:])
