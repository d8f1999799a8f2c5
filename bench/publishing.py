"""Stand-in publishers: many of them in a process of their own, each on time and never encoding.

What one sends is 2.5 Mbit/s of H.264 at 30 pictures a second, a keyframe of 43 KB every two
seconds, and AAC of 128 kbit/s; a picture's packets in one burst. `FFMPEG` sends as FFmpeg does:
payloads of 1,460 bytes, a write a packet, four frames of sound in one packet, parameter sets in
the SDP alone. `OURS` sends as `streamsocket publish` does: payloads of 1,200 bytes, a picture in
one call (over UDP by segmentation offload), its sound before it, parameter sets in band.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

from bench.aside import Aside, obey
from bench.rtsp import FRAME, Media, Session, Transport

FRAME_RATE = 30
GOP = 60
KEYFRAME_BYTES = 43_000
PICTURE_BYTES = (2_500_000 * GOP // FRAME_RATE // 8 - KEYFRAME_BYTES) // (GOP - 1)
SAMPLE_RATE, SAMPLES, SOUND_BYTES = 48_000, 1024, 341
SPS = bytes.fromhex("6764001facd9405005bb011000000300100000030300f1831960")
PPS = bytes.fromhex("68ebe3cb22c0")
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;"
    "sprop-parameter-sets=Z2QAH6zZQFAFuwEQAAADABAAAAMDAPGDGWA=,aOvjyyLA\r\n"
    "a=control:track0\r\n"
    "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\na=fmtp:97 profile-level-id=1;"
    "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r\n"
    "a=control:track1\r\n"
)
MEDIAS = [Media("video", 90_000, "track0"), Media("audio", SAMPLE_RATE, "track1")]
RTP = struct.Struct(">BBHII")
SOL_UDP, UDP_SEGMENT = 17, 103
REPORT_S = 5.0
RECEIVER_REPORT = 201
NTP_EPOCH = 2_208_988_800
GOLDEN_RATIO = 0.618
"""Steps of it spread any number of publishers evenly over the time of a picture."""


@dataclass(frozen=True)
class Style:
    """How a publisher packs and sends."""

    payload: int
    sounds: int
    """Frames of sound in one packet."""
    at_once: bool
    """A picture's packets leave in one call, otherwise in a call each."""
    in_band: bool
    """Parameter sets come before every keyframe."""

    def keyframe(self) -> list[bytes]:
        """The payloads of a keyframe."""
        sets = b"".join(len(unit).to_bytes(2, "big") + unit for unit in (SPS, PPS))
        return ([b"\x78" + sets] if self.in_band else []) + self._cut(0x65, KEYFRAME_BYTES)

    def picture(self) -> list[bytes]:
        """The payloads of any other picture."""
        return self._cut(0x41, PICTURE_BYTES)

    def sound(self) -> list[bytes]:
        """The payload with one packet's frames of sound (RFC 3640, 3.3.6)."""
        headers = (SOUND_BYTES << 3).to_bytes(2, "big") * self.sounds
        length = (16 * self.sounds).to_bytes(2, "big")
        return [length + headers + bytes(SOUND_BYTES * self.sounds)]

    def _cut(self, header: int, size: int) -> list[bytes]:
        """A slice in fragments (RFC 6184, 5.8); it begins as the first of a picture does."""
        data = b"\x88" + bytes(range(1, 256)) * (size // 255 + 1)
        indicator, kind, room = header & 0xE0 | 28, header & 0x1F, self.payload - 2
        starts = range(0, size, room)
        return [
            bytes((indicator, kind | (start == 0) << 7 | (start == starts[-1]) << 6))
            + data[start : min(start + room, size)]
            for start in starts
        ]


FFMPEG = Style(payload=1460, sounds=4, at_once=False, in_band=False)
OURS = Style(payload=1200, sounds=1, at_once=True, in_band=True)


@dataclass
class Sent:
    """What all publishers sent so far, and what the server says of it."""

    publishers: int
    packets: int
    bytes: int
    lost: int
    """Packets that the server's newest receiver reports say are missing."""
    unreported: int
    """Tracks that the server has not reported on yet."""
    late_s: float
    """The longest that a burst was late: then there were more at once than there should be."""
    closed: int
    """Publishers whose connection the server closed."""

    @property
    def trouble(self) -> int:
        """Packets lost, tracks not reported on, connections closed: none of it is allowed."""
        return self.lost + self.unreported + self.closed

    def __str__(self) -> str:
        return (
            f"{self.publishers} publishers, {self.packets} packets; by the server's receiver "
            f"reports {self.lost} lost, {self.unreported} tracks not reported on; "
            f"{self.closed} closed"
        )


class TrackSender:
    """One track of one publisher: its numbers, and what was reported of it."""

    def __init__(self, index: int) -> None:
        self.channel = 2 * index
        self.ssrc = 0x1000 + index
        self.lost: int | None = None
        self.packets = 0
        self.bytes = 0
        self.timestamp = 0

    def pack(self, payloads: list[bytes], timestamp: int) -> list[bytes]:
        """RTP packets of these payloads, the last with the marker."""
        self.timestamp = timestamp
        wrapped, first = timestamp & 0xFFFF_FFFF, self.packets
        kinds = [96 + self.channel // 2] * len(payloads)
        kinds[-1] |= 0x80
        packets = [
            RTP.pack(0x80, kind, (first + place) & 0xFFFF, wrapped, self.ssrc) + payload
            for place, (kind, payload) in enumerate(zip(kinds, payloads, strict=True))
        ]
        self.packets += len(packets)
        self.bytes += sum(map(len, packets))
        return packets

    def report(self, now: float) -> bytes:
        """A sender report (RFC 3550, 6.4.1)."""
        seconds = now + NTP_EPOCH
        ntp = int(seconds), int(seconds % 1 * (1 << 32))
        return struct.pack(
            ">BBHIIIIII", 0x80, 200, 6, self.ssrc, *ntp, self.timestamp & 0xFFFF_FFFF,
            self.packets, self.bytes & 0xFFFF_FFFF,
        )  # fmt: skip

    def take_report(self, rtcp: bytes) -> None:
        """Take in how many packets the server says it misses (RFC 3550, 6.4.2)."""
        if len(rtcp) >= 32 and rtcp[1] == RECEIVER_REPORT:
            self.lost = int.from_bytes(rtcp[13:16], "big", signed=True)


class Publisher:
    """One stand-in publisher, from ANNOUNCE to its end."""

    def __init__(self, url: str, transport: Transport, style: Style, phase: float) -> None:
        """`phase`, from 0 to 1, is when it sends between two pictures of the first publisher."""
        self.session = session = Session(url, transport)
        try:
            session.announce(SDP, MEDIAS)
            session.setup(mode="record")
            self.recorded_at = time.monotonic()
            session.ask("RECORD")
        except BaseException:
            session.close()
            raise
        session.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, style.at_once)
        host = session.connection.getpeername()[0]
        for rtp, rtcp, port in session.sockets:
            rtp.connect((host, port - 1))
            rtcp.connect((host, port))
            rtcp.setblocking(False)
        self.tracks = [TrackSender(index) for index in range(len(MEDIAS))]
        self._sockets = [rtp for rtp, _, _ in session.sockets]
        self._style = style
        self._keyframe, self._picture, self._sound = (
            style.keyframe(), style.picture(), style.sound()
        )  # fmt: skip
        self._began = (time.monotonic() * FRAME_RATE // 1 + 1 + phase) / FRAME_RATE
        self._pictures = self._sounds = 0
        self._report_due = 0.0
        self._rest = b""

    @property
    def due(self) -> float:
        """When there is something to send."""
        picture = self._began + self._pictures / FRAME_RATE
        return picture if self._style.at_once else min(picture, self._sound_due)

    @property
    def _sound_due(self) -> float:
        return self._began + self._sounds * SAMPLES / SAMPLE_RATE

    def send(self, now: float) -> None:
        """Send what is due."""
        video, audio = self.tracks
        sounds: list[bytes] = []
        pictures: list[bytes] = []
        while self._sound_due <= now:
            sounds += audio.pack(self._sound, self._sounds * SAMPLES)
            self._sounds += self._style.sounds
        if self._began + self._pictures / FRAME_RATE <= now:
            payloads = self._picture if self._pictures % GOP else self._keyframe
            pictures = video.pack(payloads, self._pictures * 90_000 // FRAME_RATE)
            self._pictures += 1
        bursts = [(track, burst) for track, burst in ((audio, sounds), (video, pictures)) if burst]
        (self._send_datagrams if self._sockets else self._send_frames)(bursts)
        if now >= self._report_due:
            self._report_due = now + REPORT_S
            self._send_reports()

    def _send_datagrams(self, bursts: list[tuple[TrackSender, list[bytes]]]) -> None:
        for track, packets in bursts:
            rtp = self._sockets[track.channel // 2]
            if self._style.at_once:
                # The parameter sets are no full packet, and a shorter one ends a segmented send.
                cut = len(packets) > 1 and len(packets[0]) < len(packets[1])
                for run in (packets[:cut], packets[cut:]):
                    if run:
                        size = struct.pack("H", len(run[0]))
                        rtp.sendmsg([b"".join(run)], [(SOL_UDP, UDP_SEGMENT, size)])
            else:
                for packet in packets:
                    rtp.send(packet)

    def _send_frames(self, bursts: list[tuple[TrackSender, list[bytes]]]) -> None:
        frames = [
            FRAME.pack(b"$", track.channel, len(packet)) + packet
            for track, packets in bursts
            for packet in packets
        ]
        for data in [b"".join(frames)] if self._style.at_once else frames:
            self.session.connection.sendall(data)

    def _send_reports(self) -> None:
        now = time.time()
        for track in self.tracks:
            report = track.report(now)
            if self.session.sockets:
                self.session.sockets[track.channel // 2][1].send(report)
            else:
                header = FRAME.pack(b"$", track.channel + 1, len(report))
                self.session.connection.sendall(header + report)

    def read(self) -> bool:
        """Read the server's reports; False if it has closed the connection."""
        for track, (_, rtcp, _) in zip(self.tracks, self.session.sockets, strict=False):
            try:
                while True:
                    track.take_report(rtcp.recv(2048))
            except BlockingIOError:
                pass
        if not select.select([self.session.connection], [], [], 0)[0]:
            return True
        received = self.session.connection.recv(65536)
        data = self._rest + received
        while len(data) >= 4 and data[:1] == b"$":
            _, channel, length = FRAME.unpack_from(data)
            if len(data) < 4 + length:
                break
            if channel & 1:
                self.tracks[channel >> 1].take_report(data[4 : 4 + length])
            data = data[4 + length :]
        self._rest = data
        return bool(received)


class Newsroom:
    """The process's own side: the publishers, and the loop that lets each send when it is due."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._publishers: dict[int, Publisher] = {}
        self._agenda: list[tuple[float, int]] = []
        self._next_id = 0
        self._late_s = 0.0
        self._closed = 0

    def run(self) -> None:
        """Send, and obey the handle's commands, until it says stop or goes away."""
        read_at = 0.0
        while True:
            now = time.monotonic()
            if self._control.poll(max(0.0, min(0.1, self._next_due() - now))) and not obey(
                self._control, self
            ):
                return
            self._send_due()
            if now >= read_at:
                read_at = now + 0.5
                self._read()

    def begin(self, url: str, transport: Transport, style: Style) -> tuple[int, float]:
        """A publisher begins; its number, and when it sent RECORD (`time.monotonic()`)."""
        number = self._next_id
        publisher = Publisher(url, transport, style, number * GOLDEN_RATIO % 1)
        self._next_id += 1
        self._publishers[number] = publisher
        heapq.heappush(self._agenda, (publisher.due, number))
        return number, publisher.recorded_at

    def kill(self, number: int) -> None:
        """A publisher goes away without a word, as one whose process is killed."""
        self._publishers.pop(number).session.close(teardown=False)

    def sent(self) -> Sent:
        """What those who are there sent so far."""
        self._read()
        tracks = [track for each in self._publishers.values() for track in each.tracks]
        late_s, self._late_s = self._late_s, 0.0
        return Sent(
            publishers=len(self._publishers),
            packets=sum(track.packets for track in tracks),
            bytes=sum(track.bytes for track in tracks),
            lost=sum(track.lost or 0 for track in tracks),
            unreported=sum(track.lost is None for track in tracks),
            late_s=late_s,
            closed=self._closed,
        )

    def _next_due(self) -> float:
        return self._agenda[0][0] if self._agenda else float("inf")

    def _send_due(self) -> None:
        while self._agenda and self._agenda[0][0] <= (now := time.monotonic()):
            due, number = heapq.heappop(self._agenda)
            publisher = self._publishers.get(number)
            if publisher is None:
                continue
            self._late_s = max(self._late_s, now - due)
            try:
                publisher.send(now)
            except OSError:
                self._lose(number)
                continue
            heapq.heappush(self._agenda, (publisher.due, number))

    def _read(self) -> None:
        for number, publisher in tuple(self._publishers.items()):
            try:
                there = publisher.read()
            except OSError:
                there = False
            if not there:
                self._lose(number)

    def _lose(self, number: int) -> None:
        self._closed += 1
        self.kill(number)


def _publish(control: Connection) -> None:
    Newsroom(control).run()


class Publishers:
    """The measuring process's handle on stand-in publishers; a context manager."""

    def __init__(self) -> None:
        self._aside = Aside("publishers'", _publish)

    def __enter__(self) -> Self:
        self._aside.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._aside.__exit__(*raised)

    def begin(self, url: str, transport: Transport, style: Style) -> tuple[int, float]:
        """Let one begin to publish; its number, and when it sent RECORD (`time.monotonic()`)."""
        begun: tuple[int, float] = self._aside.call("begin", url, transport, style)
        return begun

    def kill(self, number: int) -> None:
        """Let one go away without a word."""
        self._aside.call("kill", number)

    def sent(self) -> Sent:
        """What those who are there sent so far."""
        sent: Sent = self._aside.call("sent")
        return sent
