"""Publishers by WHIP: many of them in a process of its own, each on time, sending real SRTP.

What one sends is what `bench.publishing` sends over RTSP, with Opus for AAC: 2.5 Mbit/s of H.264 at
30 pictures a second, a keyframe of 43 KB every two seconds, 50 frames of sound a second. Like a
browser's, its packets count themselves for transport-wide feedback, each leaves by a send of its
own, a picture's in one burst, and payloads are somewhat shorter than ours.
"""

from __future__ import annotations

import heapq
import secrets
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

from bench.aside import Aside, obey
from bench.publishing import (
    FRAME_RATE,
    GOLDEN_RATIO,
    GOP,
    KEYFRAME_BYTES,
    NTP_EPOCH,
    PICTURE_BYTES,
)
from bench.webrtc_session import TRANSPORT_ID, Peer, connecting
from bench.webrtc_viewers import SENT_AT
from streamsocket.webrtc.srtp import SrtpStream, bursts

SPS = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c8f1832480")
PPS = bytes.fromhex("68cb83cb20")
"""Of the baseline profile, as browsers send it: no picture refers to a later one."""
PAYLOAD = 1160
"""Chromium's packets have at most 1,200 bytes with all headers."""
SOUND_S = 0.02
SOUND_BYTES = 160
RTP = struct.Struct(">BBHIIHHBHB")
"""With one extension: the transport-wide sequence number (RFC 8285, 4.2)."""
REPORT_S = 1.0
AT_ONCE = 25


@dataclass
class Sent:
    """What all publishers sent so far."""

    publishers: int
    packets: int
    bytes: int
    late_s: float
    """The longest that a burst was late: then there were more at once than there should be."""


class TrackSender:
    """One track of one publisher."""

    def __init__(self, stream: SrtpStream, ssrc: int, payload_type: int) -> None:
        self.ssrc = ssrc
        self.packets = self.bytes = 0
        self.timestamp = 0
        self._stream = stream
        self._payload_type = payload_type

    def pack(self, payloads: list[bytes], timestamp: int, transport: int) -> list[bytes]:
        """Datagrams of these payloads, the last with the marker, protected."""
        self.timestamp = timestamp & 0xFFFF_FFFF
        packets = []
        for place, payload in enumerate(payloads):
            marker = 0x80 if place == len(payloads) - 1 else 0
            header = RTP.pack(
                0x90, self._payload_type | marker, (self.packets + place) & 0xFFFF,
                self.timestamp, self.ssrc, 0xBEDE, 1,
                TRANSPORT_ID << 4 | 1, (transport + place) & 0xFFFF, 0,
            )  # fmt: skip
            packets.append(header + payload)
        sizes = [len(packet) for packet in packets]
        made = bursts(b"".join(packets), sizes, self.packets)
        self.packets += len(packets)
        self.bytes += sum(map(len, payloads))
        datagrams: list[bytes] = []
        for burst in made:
            for run in self._stream.protect(burst):
                data = bytes(run.data)
                step = run.segment_size
                datagrams += (data[start : start + step] for start in range(0, len(data), step))
        return datagrams

    def report(self, now: float) -> bytes:
        """A sender report (RFC 3550, 6.4.1)."""
        seconds = now + NTP_EPOCH
        ntp = int(seconds), int(seconds % 1 * (1 << 32))
        return struct.pack(
            ">BBHIIIIII", 0x80, 200, 6, self.ssrc, *ntp, self.timestamp, self.packets,
            self.bytes & 0xFFFF_FFFF,
        )  # fmt: skip


class Publisher:
    """One publisher that is connected."""

    def __init__(self, peer: Peer, phase: float) -> None:
        """`phase`, from 0 to 1, is when it sends between two pictures of the first publisher."""
        assert peer.sender
        self.peer = peer
        ssrcs = secrets.randbits(32), secrets.randbits(32)
        self.video, self.audio = (
            TrackSender(peer.sender.add_stream(ssrc, 0), ssrc, payload_type)
            for ssrc, payload_type in zip(ssrcs, peer.answer.payload_types, strict=True)
        )
        self._began = (time.monotonic() * FRAME_RATE // 1 + 1 + phase) / FRAME_RATE
        self._pictures = self._sounds = self._transport = 0
        self._report_due = 0.0

    @property
    def due(self) -> float:
        """When there is something to send."""
        return min(self._picture_due, self._sound_due)

    @property
    def _picture_due(self) -> float:
        return self._began + self._pictures / FRAME_RATE

    @property
    def _sound_due(self) -> float:
        return self._began + self._sounds * SOUND_S

    def send(self, now: float) -> None:
        """Send what is due."""
        while self._sound_due <= now:
            self._send(self.audio, [bytes(SOUND_BYTES)], self._sounds * 960)
            self._sounds += 1
        while self._picture_due <= now:
            payloads = picture(keyframe=self._pictures % GOP == 0)
            self._send(self.video, payloads, self._pictures * 90_000 // FRAME_RATE)
            self._pictures += 1
        if now >= self._report_due:
            self._report_due = now + REPORT_S
            assert self.peer.sender
            for track in (self.video, self.audio):
                self.peer.send(self.peer.sender.protect_rtcp(track.report(time.time())))

    def read(self, now: float) -> None:
        """Take what the server tells, and renew consent."""
        try:
            while True:
                self.peer.take(self.peer.socket.recv(2048))
        except BlockingIOError:
            pass
        self.peer.check(now)

    def _send(self, track: TrackSender, payloads: list[bytes], timestamp: int) -> None:
        datagrams = track.pack(payloads, timestamp, self._transport)
        self._transport += len(datagrams)
        for datagram in datagrams:
            self.peer.send(datagram)


def picture(*, keyframe: bool) -> list[bytes]:
    """The payloads of a picture; a keyframe tells when it was sent, which is now."""
    size = KEYFRAME_BYTES if keyframe else PICTURE_BYTES
    room = PAYLOAD - 2
    said = SENT_AT + struct.pack(">d", time.time()) if keyframe else b""
    data = b"\x88" + said + (bytes(range(1, 256)) * (size // 255 + 1))[: size - len(said) - 1]
    header = 0x65 if keyframe else 0x41
    indicator, kind = header & 0xE0 | 28, header & 0x1F
    starts = range(0, size, room)
    cut = [
        bytes((indicator, kind | (start == 0) << 7 | (start == starts[-1]) << 6))
        + data[start : start + room]
        for start in starts
    ]
    sets = b"".join(len(unit).to_bytes(2, "big") + unit for unit in (SPS, PPS))
    return [b"\x78" + sets, *cut] if keyframe else cut


class Newsroom:
    """The process's own side: the publishers, and the loop that lets each send when it is due."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._publishers: list[Publisher] = []
        self._agenda: list[tuple[float, int]] = []
        self._late_s = 0.0

    def run(self) -> None:
        """Send, and obey the handle's commands, until it says stop or goes away."""
        read_at = 0.0
        while True:
            now = time.monotonic()
            wait_s = self._agenda[0][0] - now if self._agenda else 0.1
            if self._control.poll(max(0.0, min(0.1, wait_s))) and not obey(self._control, self):
                return
            self._send_due()
            if now >= read_at:
                read_at = now + 0.2
                for publisher in self._publishers:
                    publisher.read(now)

    def begin(self, urls: list[str]) -> None:
        """Publishers begin, one at each of these WHIP endpoints."""
        for first in range(0, len(urls), AT_ONCE):
            peers = [Peer(url, sends=True) for url in urls[first : first + AT_ONCE]]
            for peer in connecting(peers):
                self._send_due()
                if peer is None:
                    continue
                number = len(self._publishers)
                publisher = Publisher(peer, number * GOLDEN_RATIO % 1)
                self._publishers.append(publisher)
                heapq.heappush(self._agenda, (publisher.due, number))

    def sent(self) -> Sent:
        """What all sent so far."""
        tracks = [track for each in self._publishers for track in (each.video, each.audio)]
        late_s, self._late_s = self._late_s, 0.0
        return Sent(
            len(self._publishers),
            sum(track.packets for track in tracks),
            sum(track.bytes for track in tracks),
            late_s,
        )

    def _send_due(self) -> None:
        while self._agenda and self._agenda[0][0] <= (now := time.monotonic()):
            due, number = heapq.heappop(self._agenda)
            publisher = self._publishers[number]
            self._late_s = max(self._late_s, now - due)
            publisher.send(now)
            heapq.heappush(self._agenda, (publisher.due, number))


def _publish(control: Connection) -> None:
    Newsroom(control).run()


class WhipPublishers:
    """The measuring process's handle on the publishers; a context manager."""

    def __init__(self) -> None:
        self._aside = Aside("publishers'", _publish)

    def __enter__(self) -> Self:
        self._aside.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._aside.__exit__(*raised)

    def begin(self, urls: list[str]) -> None:
        """Let publishers begin; back when all are connected."""
        self._aside.call("begin", urls)

    def sent(self) -> Sent:
        """What they sent so far."""
        sent: Sent = self._aside.call("sent")
        return sent
