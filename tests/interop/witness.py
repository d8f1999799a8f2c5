"""A viewer that writes down every packet, so that a test can say what another test's evil did.

Packets, not pictures: nothing between the wire and the judgement conceals anything.
"""

from __future__ import annotations

import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from typing import Literal

from tests.interop.ports import udp_pair
from tests.interop.raw_rtsp import Media, RawRtsp

Protocol = Literal["udp", "tcp"]

MIXED: Mapping[str, Protocol] = {"video": "udp", "audio": "tcp"}
UDP: Mapping[str, Protocol] = {"video": "udp", "audio": "udp"}
TCP: Mapping[str, Protocol] = {"video": "tcp", "audio": "tcp"}

_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
_SENDER_REPORT = 200
_BYE = 203


@dataclass
class TrackRecord:
    """What came of one track."""

    media: Media
    sequence_numbers: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    """RTP timestamps, one a packet."""
    markers: list[bool] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    """Monotonic seconds, one a packet."""
    largest: int = 0
    """Bytes of the largest packet."""
    ssrcs: set[int] = field(default_factory=set)
    sender_reports: list[tuple[float, int]] = field(default_factory=list)
    """Wall clock in seconds since 1900, and the RTP timestamp of that moment."""
    byes: int = 0

    def take_rtp(self, packet: bytes, now: float) -> None:
        """Write down an RTP packet (RFC 3550, 5.1)."""
        flags, payload, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
        assert flags >> 6 == 2, packet[:12]
        self.sequence_numbers.append(sequence)
        self.timestamps.append(timestamp)
        self.markers.append(bool(payload & 0x80))
        self.arrivals.append(now)
        self.largest = max(self.largest, len(packet))
        self.ssrcs.add(ssrc)

    def take_rtcp(self, packet: bytes) -> None:
        """Write down what a compound RTCP packet says (RFC 3550, 6.1)."""
        while packet:
            kind, words = struct.unpack_from("!xBH", packet)
            if kind == _SENDER_REPORT:
                seconds, fraction, timestamp = struct.unpack_from("!III", packet, 8)
                self.sender_reports.append((seconds + fraction / 2**32, timestamp))
            self.byes += kind == _BYE
            packet = packet[4 + 4 * words :]

    @property
    def missing(self) -> int:
        """How many packets are missing between the first and the last."""
        steps = _steps(self.sequence_numbers, 16)
        return sum(step - 1 for step in steps if step > 1)

    @property
    def disordered(self) -> int:
        """How many packets came twice or after a later one."""
        return sum(step <= 0 for step in _steps(self.sequence_numbers, 16))

    @property
    def longest_silence_s(self) -> float:
        """The longest time without a packet."""
        pauses = (later - earlier for earlier, later in pairwise(self.arrivals))
        return max(pauses, default=float("inf"))

    @property
    def packet_times_s(self) -> list[float]:
        """When each packet's content is to be shown, from the first one's on."""
        ticks = accumulate(_steps(self.timestamps, 32), initial=0)
        return [tick / self.media.clock_rate for tick in ticks]

    @property
    def times_s(self) -> list[float]:
        """When each access unit is to be shown, from the first one's on, in order of arrival."""
        return [time for time, _ in groupby(self.packet_times_s)]

    @property
    def shown_s(self) -> list[float]:
        """The same in order of showing, without the border, where B-frames may be missing."""
        return sorted(self.times_s)[8:-8]


def _steps(values: list[int], bits: int) -> list[int]:
    """The signed difference from each value to the next, of counters that wrap."""
    half, whole = 1 << (bits - 1), 1 << bits
    return [(later - earlier + half) % whole - half for earlier, later in pairwise(values)]


class Witness:
    """Watches a stream in a thread of its own, from `with` to the end of its block.

    `tracks` (by kind) may be read at any time and stay to be read afterwards.
    """

    def __init__(self, url: str, protocols: Mapping[str, Protocol] = TCP) -> None:
        self.url = url
        self.tracks: dict[str, TrackRecord] = {}
        self.has_ended = False
        """The server has closed the connection."""
        self._protocols = protocols
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._resources = ExitStack()
        self._channels: dict[int, tuple[TrackRecord, bool]] = {}
        self._selector = self._resources.enter_context(selectors.DefaultSelector())

    def __enter__(self) -> Witness:
        with ExitStack() as on_failure:
            on_failure.push(self._resources)
            self._rtsp = self._resources.enter_context(RawRtsp(self.url))
            answer = self._rtsp.describe()
            assert answer.status == 200, answer
            for media in self._rtsp.medias:
                self._set_up(media)
            answer = self._rtsp.ask("PLAY", Range="npt=now-")
            assert answer.status == 200, answer
            on_failure.pop_all()
        self._selector.register(self._rtsp.socket, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._resources.close()
        if self._problem and not exception[0]:
            raise self._problem

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until the server closes the connection."""
        self._thread.join(timeout_s)
        assert self.has_ended, "the server has not closed the connection"

    def has_seen_all(self, *, silence_s: float = 0.5) -> None:
        """Assert that every packet came, once, in order and without a pause."""
        for kind, track in self.tracks.items():
            count = len(track.sequence_numbers)
            assert count > 1, f"no {kind}"
            assert (track.missing, track.disordered) == (0, 0), f"{kind}, of {count} packets"
            assert track.longest_silence_s < silence_s, f"{kind}: {track.longest_silence_s:.2f} s"
            assert len(track.ssrcs) == 1, kind

    def _set_up(self, media: Media) -> None:
        track = self.tracks[media.kind] = TrackRecord(media)
        if self._protocols[media.kind] == "tcp":
            channel = len(self._channels)
            transport = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"
            self._channels[channel] = track, False
            self._channels[channel + 1] = track, True
            answer = self._rtsp.setup(media, transport)
            assert answer.status == 200, answer
            return
        host = self._rtsp.socket.getpeername()[0]
        rtp, rtcp = map(self._resources.enter_context, udp_pair(self._rtsp.socket.getsockname()[0]))
        port = rtp.getsockname()[1]
        answer = self._rtsp.setup(media, f"RTP/AVP;unicast;client_port={port}-{port + 1}")
        assert answer.status == 200, answer
        ports = re.search(r"server_port=(\d+)-(\d+)", answer.headers["transport"])
        assert ports, answer
        for each, server_port in ((rtp, ports[1]), (rtcp, ports[2])):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            each.connect((host, int(server_port)))
            self._selector.register(each, selectors.EVENT_READ, (track, each is rtcp))

    def _watch(self) -> None:
        try:
            self._take_frames()
            while not self._stop.is_set() and not self.has_ended:
                for key, _ in self._selector.select(0.1):
                    now = time.monotonic()
                    if key.data is None:
                        data = self._rtsp.socket.recv(1 << 18)
                        self._rtsp.buffer += data
                        self.has_ended = not data
                        self._take_frames()
                    else:
                        track, is_rtcp = key.data
                        self._take(track, is_rtcp, key.fileobj.recv(2048), now)  # type: ignore[union-attr]
        except BaseException as problem:
            self._problem = problem

    def _take_frames(self) -> None:
        now = time.monotonic()
        buffer = self._rtsp.buffer
        while len(buffer) >= 4:
            magic, channel, length = struct.unpack_from("!BBH", buffer)
            assert magic == ord("$"), buffer[:40]
            if len(buffer) < 4 + length:
                break
            track, is_rtcp = self._channels[channel]
            self._take(track, is_rtcp, buffer[4 : 4 + length], now)
            buffer = buffer[4 + length :]
        self._rtsp.buffer = buffer

    @staticmethod
    def _take(track: TrackRecord, is_rtcp: bool, packet: bytes, now: float) -> None:
        if is_rtcp:
            track.take_rtcp(packet)
        else:
            track.take_rtp(packet, now)
