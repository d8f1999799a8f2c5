"""Viewers by WebRTC: a crowd in a process of its own that reads everything, and checks it.

Headers of SRTP can be read by anybody, so all viewers' sequence numbers are checked. Some viewers,
the witnesses, take the protection off every packet, by libsrtp, and check what is inside.
"""

from __future__ import annotations

import gc
import math
import resource
import secrets
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from bench.aside import Aside, obey
from bench.rtsp import SO_TIMESTAMPNS
from bench.viewers import TIMESPEC, Totals
from bench.webrtc_session import AUDIO, BASELINE, VIDEO, Peer, Unprotector, connecting
from streamsocket.rtp.rtcp import ReceiverReport, build_receiver_report
from streamsocket.webrtc.feedback import Remb, build_remb

AT_ONCE = 10
"""So many connect at the same time."""
REPORT_S = 1.0
"""How often Chromium reports, with what it believes to get through to it."""
REMB_BPS = 8_000_000
HEADER = struct.Struct(">xBHII")
WITNESSES = 5
SENT_AT = b"sent at "
"""What a publisher of the benches writes into a keyframe, before the time in seconds."""


@dataclass
class Checked:
    """What the witnesses found in the packets."""

    packets: int = 0
    damaged: int = 0
    """Packets that libsrtp refuses, or that don't belong to any format."""
    unmarked: int = 0
    """Pictures without a marker at their end, or with one before it."""
    extended: int = 0
    """Packets with a header extension."""
    sent_at: dict[int, float] = field(default_factory=dict)
    """By the RTP timestamp of a keyframe, when its publisher sent it."""


class Track:
    """One track of one viewer: counts, and the sequence number that must come next."""

    __slots__ = ("arrivals", "bytes", "expected", "lost", "marked", "packets", "reordered",
                 "timestamp")  # fmt: skip

    def __init__(self) -> None:
        self.packets = self.bytes = self.lost = self.reordered = 0
        self.expected = -1
        self.timestamp = -1
        self.marked = True
        self.arrivals: dict[int, float] = {}
        """When the last packet of a picture came, by its RTP timestamp."""

    def jump(self, sequence: int) -> None:
        """A packet other than the expected one: the first, one behind a gap, or a late one."""
        ahead = (sequence - self.expected) & 0xFFFF
        if self.expected >= 0 and ahead >= 0x8000:
            self.reordered += 1
            self.lost -= 1
            return
        if self.expected >= 0:
            self.lost += ahead
        self.expected = (sequence + 1) & 0xFFFF


class Viewer:
    """One session that watches."""

    def __init__(self, peer: Peer, *, dated: bool) -> None:
        self.peer = peer
        self.dated = dated
        """Whether it keeps the kernel's times of arrival."""
        if dated:
            peer.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.video, self.audio = Track(), Track()
        self.tracks = dict(zip(peer.answer.ssrcs, (self.video, self.audio), strict=False))
        self.unprotector: Unprotector | None = None
        self.report_at = time.monotonic() + REPORT_S * secrets.randbelow(1000) / 1000
        self._ssrc = secrets.randbits(32)

    def witness(self) -> None:
        """Look into every packet from now on."""
        assert self.peer.keys
        self.unprotector = Unprotector(self.peer.keys[1])

    def housekeeping(self, now: float) -> None:
        """Renew consent, and report."""
        self.peer.check(now)
        if now >= self.report_at:
            self.report_at = now + REPORT_S
            assert self.peer.sender
            remb = build_remb(Remb(self._ssrc, REMB_BPS, self.peer.answer.ssrcs[:1]))
            report = build_receiver_report(ReceiverReport(self._ssrc), "bench") + remb
            self.peer.send(self.peer.sender.protect_rtcp(report))


class Gathering:
    """The crowd's own side: its viewers and the loop that reads for all of them."""

    def __init__(self, control: Connection, rest_s: float, witnesses: int) -> None:
        self._control = control
        self._rest_s = rest_s
        self._witnesses = witnesses
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._viewers: dict[int, Viewer] = {}
        self._checked = Checked()
        self._buffer = bytearray(65_536)
        self._read_at = math.inf
        self._away_s = 0.0

    def run(self) -> None:
        """Serve the handle's commands until it says stop or goes away."""
        next_round = time.monotonic()
        while True:
            time.sleep(self._rest_s)
            if self._turn(0.2) and not obey(self._control, self):
                return
            now = time.monotonic()
            if now >= next_round:
                next_round = now + 0.1
                for viewer in self._viewers.values():
                    viewer.housekeeping(now)

    def join(self, url: str, count: int, dated: bool) -> list[int]:
        """Let `count` viewers begin to watch; back when all are connected."""
        joined: list[int] = []
        while len(joined) < count:
            peers = []
            for _ in range(min(AT_ONCE, count - len(joined))):
                peers.append(Peer(url, sends=False))
                self._turn(0)
            for peer in connecting(peers):
                if peer:
                    joined.append(self._attend(Viewer(peer, dated=dated)))
                self._turn(0)
        return joined

    def _attend(self, viewer: Viewer) -> int:
        """Read from a viewer's socket from now on; returns its number."""
        witnesses = sum(each.unprotector is not None for each in self._viewers.values())
        if witnesses < self._witnesses:
            viewer.witness()
        number = viewer.peer.socket.fileno()
        self._viewers[number] = viewer
        self._epoll.register(number, select.EPOLLIN)
        return number

    def leave(self, viewers: list[int], goodbye: bool) -> None:
        """Let viewers go."""
        for descriptor in viewers:
            viewer = self._viewers.pop(descriptor)
            self._epoll.unregister(descriptor)
            viewer.peer.close(goodbye=goodbye)

    def close(self) -> None:
        """Let everybody go."""
        self.leave(list(self._viewers), False)
        self._epoll.close()

    def checked(self) -> Checked:
        """What the witnesses found."""
        return self._checked

    def arrivals(self) -> list[dict[int, float]]:
        """For each viewer, when the last packets of its pictures came."""
        return [viewer.video.arrivals for viewer in self._viewers.values()]

    def totals(self) -> Totals:
        """What all viewers who are there saw so far."""
        while self._turn(0):
            if self._control.poll():
                break
        viewers = list(self._viewers.values())
        tracks = [track for viewer in viewers for track in (viewer.video, viewer.audio)]
        each = [viewer.video.packets + viewer.audio.packets for viewer in viewers] or [0]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Totals(
            viewers=len(viewers),
            packets=sum(track.packets for track in tracks),
            bytes=sum(track.bytes for track in tracks),
            lost=sum(track.lost for track in tracks),
            reordered=sum(track.reordered for track in tracks),
            fewest=min(each),
            most=max(each),
            dropped=self._dropped(),
            closed=0,
            cpu_s=usage.ru_utime + usage.ru_stime,
            away_s=self._away_s,
        )

    def _turn(self, timeout: float) -> bool:
        """Read whatever came; True if a command did."""
        ready = self._epoll.poll(timeout)
        now = time.monotonic()
        if self._viewers:
            self._away_s = max(self._away_s, now - self._read_at)
        self._read_at = now
        command = False
        for descriptor, _ in ready:
            viewer = self._viewers.get(descriptor)
            if viewer is None:
                command = True
            elif viewer.unprotector or viewer.dated:
                self._read_closely(viewer)
            else:
                self._read(viewer)
        return command

    def _read(self, viewer: Viewer) -> None:
        receive, buffer, header = viewer.peer.socket.recv_into, self._buffer, HEADER.unpack_from
        tracks = viewer.tracks
        try:
            while True:
                size = receive(buffer)
                _, sequence, _, ssrc = header(buffer)
                track = tracks.get(ssrc)
                if track is None:
                    continue
                track.packets += 1
                track.bytes += size
                if sequence == track.expected:
                    track.expected = (sequence + 1) & 0xFFFF
                else:
                    track.jump(sequence)
        except BlockingIOError:
            pass

    def _read_closely(self, viewer: Viewer) -> None:
        connection, tracks = viewer.peer.socket, viewer.tracks
        try:
            while True:
                datagram, ancillary, _, _ = connection.recvmsg(2048, 64)
                if len(datagram) < 12 or (track := tracks.get(HEADER.unpack_from(datagram)[3])) is (
                    None
                ):
                    continue
                second, sequence, timestamp, _ = HEADER.unpack_from(datagram)
                track.packets += 1
                track.bytes += len(datagram)
                if sequence == track.expected:
                    track.expected = (sequence + 1) & 0xFFFF
                else:
                    track.jump(sequence)
                if ancillary and second & 0x80:
                    seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
                    track.arrivals[timestamp] = seconds + nanoseconds / 1e9
                if viewer.unprotector:
                    self._check(viewer, track, datagram)
        except BlockingIOError:
            pass

    def _check(self, viewer: Viewer, track: Track, datagram: bytes) -> None:
        checked = self._checked
        checked.packets += 1
        assert viewer.unprotector
        packet = viewer.unprotector.packet(datagram)
        if packet is None:
            checked.damaged += 1
            return
        second, _, timestamp, _ = HEADER.unpack_from(packet)
        start = 12
        if packet[0] & 0x10:
            checked.extended += 1
            start += 4 + 4 * int.from_bytes(packet[14:16], "big")
        kinds = (VIDEO, BASELINE) if track is viewer.video else (AUDIO,)
        if second & 0x7F not in kinds or start >= len(packet):
            checked.damaged += 1
        if track is viewer.video:
            # A picture's last packet has the marker, and no other.
            if track.timestamp >= 0 and (timestamp != track.timestamp) != track.marked:
                checked.unmarked += 1
            track.timestamp, track.marked = timestamp, second >= 0x80
            place = packet.find(SENT_AT, start, start + 64)
            if place >= 0:
                (at,) = struct.unpack_from(">d", packet, place + len(SENT_AT))
                checked.sent_at[timestamp] = at

    def _dropped(self) -> int:
        """What the kernel dropped at the viewers' own sockets (proc(5), /proc/net/udp)."""
        ports = {viewer.peer.socket.getsockname()[1] for viewer in self._viewers.values()}
        lines = Path("/proc/net/udp").read_text().splitlines()[1:]
        columns = (line.split() for line in lines)
        return sum(int(c[-1]) for c in columns if int(c[1].rpartition(":")[2], 16) in ports)


def _gather(control: Connection, rest_s: float, witnesses: int) -> None:
    gc.disable()  # a collection takes longer than a buffer lasts
    gathering = Gathering(control, rest_s, witnesses)
    gathering.run()
    gathering.close()


class WebRtcCrowd:
    """The measuring process's handle on the crowd; a context manager."""

    def __init__(self, rest_s: float = 0.0, witnesses: int = WITNESSES) -> None:
        """`rest_s` is how long the crowd sleeps between two rounds of reading (`bench.crowd`)."""
        self._aside = Aside("viewers'", _gather, rest_s, witnesses)

    def __enter__(self) -> Self:
        self._aside.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._aside.__exit__(*raised)

    def join(self, url: str, count: int, *, dated: bool = False) -> list[int]:
        """Let viewers watch at a WHEP endpoint; `dated` ones keep when each picture's end came."""
        joined: list[int] = self._aside.call("join", url, count, dated)
        return joined

    def leave(self, viewers: list[int], *, goodbye: bool = True) -> None:
        """Let viewers go, with a DELETE or without a word."""
        self._aside.call("leave", viewers, goodbye)

    def totals(self) -> Totals:
        """What all viewers who are there saw so far."""
        totals: Totals = self._aside.call("totals")
        return totals

    def checked(self) -> Checked:
        """What the witnesses found."""
        checked: Checked = self._aside.call("checked")
        return checked

    def arrivals(self) -> list[dict[int, float]]:
        """For each viewer, when its pictures' last packets came (epoch), by RTP timestamp."""
        arrivals: list[dict[int, float]] = self._aside.call("arrivals")
        return arrivals
