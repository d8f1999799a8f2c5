"""The viewers: a crowd in a process of its own that reads everything and checks every packet.

One epoll loop; `bench.crowd` is the measuring process's handle on it. Receive buffers stay at the
system's default (208 KB on Linux), nothing is acknowledged or asked for again, and a sequence
number that isn't the next is counted.
"""

from __future__ import annotations

import math
import resource
import select
import socket
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.aside import obey
from bench.rtsp import FRAME, SO_TIMESTAMPNS, BenchError, Media, Session, Transport

KEEP_ALIVE_S = 20.0
REPORT_S = 5.0
"""How often a viewer sends receiver reports, as real players do."""
EMPTY_REPORT = struct.pack(">BBHI", 0x80, 201, 1, 0x62656E63)
TIMESPEC = struct.Struct("qq")
SEQUENCE = struct.Struct(">H")

Packet = tuple[float, int, bytes]
"""Arrival (seconds since the epoch), channel (twice the track, plus one for RTCP), the packet."""


@dataclass
class TrackReport:
    """What a viewer saw of one track."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    reordered: int = 0


@dataclass
class ViewerReport:
    """What one viewer saw."""

    play_sent: float
    """When it sent PLAY, in seconds since the epoch."""
    medias: list[Media]
    tracks: list[TrackReport]
    packets: list[Packet]
    """What it kept, in order of arrival."""


@dataclass
class Totals:
    """What the crowd saw, all viewers and tracks together."""

    viewers: int
    packets: int
    bytes: int
    lost: int
    reordered: int
    fewest: int
    """The least packets that one viewer got."""
    most: int
    dropped: int
    """Datagrams that the viewers' own socket buffers had no room for."""
    closed: int
    """Viewers whose connection the server closed."""
    cpu_s: float
    """CPU time that the crowd itself has used."""
    away_s: float
    """The longest time between two rounds of reading: with a loss at the viewers' own sockets it
    tells a crowd that got no CPU from a server that sends too much at once."""


class Receiver:
    """One track of one viewer: counts, and the sequence number that must come next."""

    __slots__ = ("channel", "expected", "report")

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.expected = -1
        self.report = TrackReport()

    def jump(self, sequence: int) -> None:
        """A packet other than the expected one: the first, one behind a gap, or a late one."""
        ahead = (sequence - self.expected) & 0xFFFF
        if self.expected >= 0 and ahead >= 0x8000:
            self.report.reordered += 1
            self.report.lost -= 1
            return
        if self.expected >= 0:
            self.report.lost += ahead
        self.expected = (sequence + 1) & 0xFFFF


class Viewer:
    """One session that is being watched."""

    def __init__(self, url: str, transport: Transport, keep: int, keep_s: float) -> None:
        self.session = Session(url, transport)
        try:
            self.session.describe()
            self.session.setup(timestamps=keep > 0)
            self.play_sent = time.time()
            self.session.play()
        except BaseException:
            self.session.close()
            raise
        self.receivers = [Receiver(2 * i) for i in range(len(self.session.medias))]
        self.keep = keep
        self.keep_until = self.play_sent + keep_s
        self.kept: list[Packet] = []
        self.rest = self.session.pending
        """The beginning of an interleaved frame whose end hasn't come yet."""
        self.keep_alive_at = time.monotonic() + KEEP_ALIVE_S
        self.report_at = time.monotonic() + REPORT_S

    def report(self) -> ViewerReport:
        """What it saw so far."""
        tracks = [receiver.report for receiver in self.receivers]
        return ViewerReport(self.play_sent, self.session.medias, tracks, self.kept)

    def housekeeping(self, now: float) -> None:
        """Send receiver reports and keep the session alive."""
        session = self.session
        try:
            if now >= self.report_at:
                self.report_at = now + REPORT_S
                for receiver in self.receivers if session.transport == "tcp" else ():
                    header = FRAME.pack(b"$", receiver.channel + 1, len(EMPTY_REPORT))
                    session.connection.send(header + EMPTY_REPORT)
                for _, rtcp, port in session.sockets:
                    rtcp.sendto(EMPTY_REPORT, (session.connection.getpeername()[0], port))
            if now >= self.keep_alive_at:
                self.keep_alive_at = now + KEEP_ALIVE_S
                session.connection.send(session.request("GET_PARAMETER"))
        except OSError:
            pass


class Gathering:
    """The crowd's own side: its viewers and the loop that reads for all of them."""

    def __init__(self, control: Connection, rest_s: float) -> None:
        self._control = control
        self._rest_s = rest_s
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._viewers: dict[int, Viewer] = {}
        self._next_id = 0
        self._closed = 0
        self._read_at = math.inf
        self._away_s = 0.0
        self._ready: dict[int, tuple[Any, ...]] = {}
        """What to call, with what, when a file descriptor is readable."""
        self._buffer = bytearray(512 * 1024)
        self._view = memoryview(self._buffer)

    def run(self) -> None:
        """Serve the handle's commands until it says stop or goes away."""
        next_round = time.monotonic()
        while True:
            time.sleep(self._rest_s)
            if self._turn(0.2) and not obey(self._control, self):
                return
            now = time.monotonic()
            if now >= next_round:
                next_round = now + 0.2
                for viewer in self._viewers.values():
                    viewer.housekeeping(now)

    def join(
        self, url: str, transport: Transport, count: int, keep: int, keep_s: float
    ) -> list[int]:
        """Let `count` viewers begin to watch; the others are read from in between."""
        joined = []
        for _ in range(count):
            viewer = Viewer(url, transport, keep, keep_s)
            identity = self._next_id
            self._next_id += 1
            self._viewers[identity] = viewer
            joined.append(identity)
            self._attend(viewer)
            self._turn(0)
        return joined

    def close(self) -> None:
        """Let everybody go."""
        self.leave(list(self._viewers), True)
        self._epoll.close()

    def leave(self, identities: list[int], teardown: bool) -> None:
        """Let viewers go."""
        for identity in identities:
            viewer = self._viewers.pop(identity)
            for readable in [viewer.session.connection, *_both(viewer.session)]:
                if self._ready.pop(readable.fileno(), None):
                    self._epoll.unregister(readable.fileno())
            viewer.session.close(teardown=teardown)

    def reports(self, identities: list[int]) -> list[ViewerReport]:
        """What these viewers saw so far."""
        return [self._viewers[identity].report() for identity in identities]

    def totals(self) -> Totals:
        """What all viewers who are there saw so far."""
        while self._turn_readable():
            pass
        counted = [viewer.report().tracks for viewer in self._viewers.values()]
        tracks = [track for tracks in counted for track in tracks]
        each = [sum(track.packets for track in tracks) for tracks in counted] or [0]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Totals(
            viewers=len(self._viewers),
            packets=sum(track.packets for track in tracks),
            bytes=sum(track.bytes for track in tracks),
            lost=sum(track.lost for track in tracks),
            reordered=sum(track.reordered for track in tracks),
            fewest=min(each),
            most=max(each),
            dropped=self._dropped(),
            closed=self._closed,
            cpu_s=usage.ru_utime + usage.ru_stime,
            away_s=self._away_s,
        )

    def _attend(self, viewer: Viewer) -> None:
        """Read from a viewer's sockets from now on."""
        session = viewer.session
        session.connection.setblocking(False)
        self._watch(session.connection, self._drain_connection, viewer)
        for receiver, (rtp, rtcp, _) in zip(viewer.receivers, session.sockets, strict=False):
            rtp.setblocking(False)
            rtcp.setblocking(False)
            if viewer.keep:
                self._watch(rtp, self._keep_datagrams, viewer, receiver)
                self._watch(rtcp, self._keep_reports, viewer, receiver)
            else:
                self._watch(rtp, self._drain_datagrams, receiver)
                self._watch(rtcp, self._discard)

    def _watch(self, readable: socket.socket, *call: Any) -> None:
        self._ready[readable.fileno()] = (call[0], (readable, *call[1:]))
        self._epoll.register(readable.fileno(), select.EPOLLIN)

    def _turn(self, timeout: float) -> bool:
        """Read whatever came; True if a command did."""
        command = False
        ready = self._epoll.poll(timeout)
        now = time.monotonic()
        if self._viewers:
            self._away_s = max(self._away_s, now - self._read_at)
        self._read_at = now
        for descriptor, _ in ready:
            call = self._ready.get(descriptor)
            if call is None:
                command = True
            else:
                call[0](*call[1])
        return command

    def _turn_readable(self) -> bool:
        """Read whatever came; True if it was anything."""
        calls = [self._ready.get(descriptor) for descriptor, _ in self._epoll.poll(0)]
        for call in calls:
            if call is not None:
                call[0](*call[1])
        return any(calls)

    def _drain_datagrams(self, rtp: socket.socket, receiver: Receiver) -> None:
        receive, buffer, unpack = rtp.recv_into, self._buffer, SEQUENCE.unpack_from
        packets = total = 0
        expected = receiver.expected
        try:
            while True:
                total += receive(buffer)
                packets += 1
                sequence = unpack(buffer, 2)[0]
                if sequence == expected:
                    expected = (expected + 1) & 0xFFFF
                else:
                    receiver.expected = expected
                    receiver.jump(sequence)
                    expected = receiver.expected
        except BlockingIOError:
            pass
        receiver.expected = expected
        receiver.report.packets += packets
        receiver.report.bytes += total

    def _keep_datagrams(self, rtp: socket.socket, viewer: Viewer, receiver: Receiver) -> None:
        try:
            while True:
                size, ancillary, _, _ = rtp.recvmsg_into([self._buffer], 64)
                arrival = time.time()
                for level, kind, data in ancillary:
                    if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                        seconds, nanoseconds = TIMESPEC.unpack(data)
                        arrival = seconds + nanoseconds / 1e9
                self._count(receiver, SEQUENCE.unpack_from(self._buffer, 2)[0], size)
                if arrival < viewer.keep_until:
                    kept = bytes(self._view[: min(size, viewer.keep)])
                    viewer.kept.append((arrival, receiver.channel, kept))
        except BlockingIOError:
            pass

    def _keep_reports(self, rtcp: socket.socket, viewer: Viewer, receiver: Receiver) -> None:
        try:
            while True:
                packet = rtcp.recv(2048)
                viewer.kept.append((time.time(), receiver.channel + 1, packet))
        except BlockingIOError:
            pass

    def _discard(self, rtcp: socket.socket) -> None:
        try:
            while True:
                rtcp.recv_into(self._buffer)
        except BlockingIOError:
            pass

    def _drain_connection(self, connection: socket.socket, viewer: Viewer) -> None:
        """Read a session's connection: interleaved frames, and the answers to keep-alives."""
        buffer, view = self._buffer, self._view
        start = len(viewer.rest)
        view[:start] = viewer.rest
        try:
            size = connection.recv_into(view[start:])
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size == 0:
            self._epoll.unregister(connection.fileno())
            del self._ready[connection.fileno()]
            self._closed += 1
            return
        arrival = time.time()
        end = start + size
        position = 0
        header, unpack = FRAME.unpack_from, SEQUENCE.unpack_from
        receivers = viewer.receivers
        while position + 8 <= end:
            magic, channel, length = header(buffer, position)
            if magic != b"$":
                after = _answer_end(buffer, position, end)
                if after < 0:
                    break
                position = after
                continue
            after = position + 4 + length
            if after > end:
                break
            if not channel & 1:
                receiver = receivers[channel >> 1]
                sequence = unpack(buffer, position + 6)[0]
                report = receiver.report
                report.packets += 1
                report.bytes += length
                if sequence == receiver.expected:
                    receiver.expected = (sequence + 1) & 0xFFFF
                else:
                    receiver.jump(sequence)
            if viewer.keep and arrival < viewer.keep_until:
                kept = bytes(view[position + 4 : min(after, position + 4 + viewer.keep)])
                viewer.kept.append((arrival, channel, kept))
            position = after
        viewer.rest = bytes(view[position:end])

    def _count(self, receiver: Receiver, sequence: int, size: int) -> None:
        receiver.report.packets += 1
        receiver.report.bytes += size
        if sequence == receiver.expected:
            receiver.expected = (sequence + 1) & 0xFFFF
        else:
            receiver.jump(sequence)

    def _dropped(self) -> int:
        """What the kernel dropped at the viewers' own sockets (proc(5), /proc/net/udp)."""
        sockets = [s for v in self._viewers.values() for s in _both(v.session)]
        ports = {s.getsockname()[1] for s in sockets}
        lines = Path("/proc/net/udp").read_text().splitlines()[1:]
        columns = (line.split() for line in lines)
        return sum(int(c[-1]) for c in columns if int(c[1].rpartition(":")[2], 16) in ports)


def _both(session: Session) -> list[socket.socket]:
    return [each for rtp, rtcp, _ in session.sockets for each in (rtp, rtcp)]


def _answer_end(buffer: bytearray, start: int, end: int) -> int:
    """Where an RTSP answer within the buffer ends, -1 if it isn't whole yet."""
    blank = buffer.find(b"\r\n\r\n", start, end)
    if blank < 0:
        if end - start > 65536:
            raise BenchError("what came is neither an interleaved frame nor an RTSP answer")
        return -1
    head = bytes(buffer[start:blank]).lower()
    length = head.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
    after = blank + 4 + int(length or 0)
    return after if after <= end else -1
