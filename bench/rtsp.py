"""A small RTSP client of the bench's own, so that nothing is measured by what it measures.

Blocking: one request, one answer. What the server interleaves before an answer is kept for whoever
reads on (`Session.pending`).
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urljoin, urlsplit

Transport = Literal["udp", "tcp"]

TIMEOUT_S = 20.0
LARGEST_ANSWER = 256 * 1024
SO_TIMESTAMPNS = 35
"""Linux, asm-generic/socket.h: the kernel's time of arrival beside every datagram."""
FRAME = struct.Struct(">cBH")
"""An interleaved frame's header: `$`, channel, length (RFC 2326, 10.12)."""


class BenchError(Exception):
    """Something stood in the way of measuring; the message says what."""


@dataclass
class Media:
    """One m= section of an SDP."""

    kind: str
    clock_rate: int
    control: str
    fmtp: dict[str, str] = field(default_factory=dict)


def parse_sdp(text: str) -> tuple[str, list[Media]]:
    """The session's control URL and the media sections, of a well-behaved server's SDP."""
    control = "*"
    medias: list[Media] = []
    for line in text.splitlines():
        if line.startswith("m="):
            medias.append(Media(line[2:].split()[0], 0, ""))
        elif line.startswith("a=control:"):
            if medias:
                medias[-1].control = line[10:]
            else:
                control = line[10:]
        elif line.startswith("a=rtpmap:") and medias:
            medias[-1].clock_rate = int(line.split("/")[1])
        elif line.startswith("a=fmtp:") and medias:
            pairs = (pair.partition("=") for pair in line.partition(" ")[2].split(";"))
            medias[-1].fmtp.update({key.strip().lower(): value for key, _, value in pairs if key})
    return control, medias


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Session:
    """One viewer's RTSP session, from OPTIONS to TEARDOWN."""

    def __init__(self, url: str, transport: Transport) -> None:
        parts = urlsplit(url)
        self.url = url
        self.transport = transport
        self.medias: list[Media] = []
        self.pending = b""
        """What came on the connection behind or before an answer: interleaved frames."""
        self.sockets: list[tuple[socket.socket, socket.socket, int]] = []
        """UDP: a track's RTP socket, RTCP socket and the server's RTCP port."""
        self._base = url
        self._id = ""
        self._sequence = 0
        self._host = parts.hostname or ""
        self.connection = socket.create_connection(
            (self._host, parts.port or 554), timeout=TIMEOUT_S
        )
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method: str, url: str | None = None, headers: str = "") -> bytes:
        """The bytes of a request of this session; `headers` are whole lines."""
        self._sequence += 1
        if self._id:
            headers += f"Session: {self._id}\r\n"
        return (
            f"{method} {url or self._base} RTSP/1.0\r\nCSeq: {self._sequence}\r\n"
            f"User-Agent: streamsocket-bench\r\n{headers}\r\n"
        ).encode()

    def announce(self, sdp: str, medias: list[Media]) -> None:
        """ANNOUNCE of these medias, whose `control` is appended to the session's URL."""
        self.medias = [replace(media, control=resolve(self.url, media.control)) for media in medias]
        headers = f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n"
        self.ask("ANNOUNCE", headers=headers, body=sdp)

    def ask(self, method: str, url: str | None = None, headers: str = "", body: str = "") -> Answer:
        """Send a request and wait for its answer; raises BenchError unless it is 200."""
        self.connection.sendall(self.request(method, url, headers) + body.encode())
        answer = self._answer()
        if answer.status != 200:
            raise BenchError(f"{method} {url or self._base} was answered {answer.status}")
        return answer

    def describe(self) -> None:
        """DESCRIBE: fills `medias`."""
        answer = self.ask("DESCRIBE", headers="Accept: application/sdp\r\n")
        base = answer.headers.get("content-base", self.url)
        control, self.medias = parse_sdp(answer.body.decode())
        for media in self.medias:
            media.control = resolve(base, media.control)
        self._base = base if control == "*" else resolve(base, control)

    def setup(self, *, timestamps: bool = False, mode: str = "") -> None:
        """SETUP of every track; `timestamps` asks the kernel for each datagram's arrival."""
        for index, media in enumerate(self.medias):
            if self.transport == "tcp":
                wanted = f"RTP/AVP/TCP;unicast;interleaved={2 * index}-{2 * index + 1}"
            else:
                rtp, rtcp = port_pair(self.connection.getsockname()[0])
                port = rtp.getsockname()[1]
                wanted = f"RTP/AVP;unicast;client_port={port}-{port + 1}"
            wanted += f";mode={mode}" if mode else ""
            answer = self.ask("SETUP", media.control, f"Transport: {wanted}\r\n")
            self._id = answer.headers["session"].partition(";")[0]
            if self.transport == "udp":
                if timestamps:
                    rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                ports = re.search(r"server_port=(\d+)-(\d+)", answer.headers["transport"])
                self.sockets.append((rtp, rtcp, int(ports[2]) if ports else 0))

    def play(self) -> None:
        """PLAY from now on: gst-rtsp-server seeks for everybody where a range is asked for."""
        self.ask("PLAY", headers="Range: npt=now-\r\n")

    def close(self, *, teardown: bool = True) -> None:
        """End the session, politely or by just going away."""
        try:
            self.connection.settimeout(1.0)
            if teardown:
                self.connection.sendall(self.request("TEARDOWN"))
        except OSError:
            pass
        self.connection.close()
        for rtp, rtcp, _ in self.sockets:
            rtp.close()
            rtcp.close()

    def _answer(self) -> Answer:
        buffer = self.pending
        frames = b""
        while True:
            while buffer[:1] == b"$" and len(buffer) >= 4:
                end = 4 + FRAME.unpack_from(buffer)[2]
                if len(buffer) < end:
                    break
                frames += buffer[:end]
                buffer = buffer[end:]
            head, blank, rest = buffer.partition(b"\r\n\r\n")
            if buffer[:4] == b"RTSP" and blank:
                lines = head.decode("latin-1").split("\r\n")
                pairs = (line.partition(":") for line in lines[1:])
                headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
                length = int(headers.get("content-length", 0))
                if len(rest) >= length:
                    self.pending = frames + rest[length:]
                    return Answer(int(lines[0].split()[1]), headers, rest[:length])
            received = self.connection.recv(65536)
            if not received:
                raise BenchError(f"the server closed the connection of {self.url}")
            buffer += received
            if len(buffer) > LARGEST_ANSWER:
                raise BenchError(f"no RTSP answer in {len(buffer)} bytes from {self.url}")


def resolve(base: str, control: str) -> str:
    """A control attribute as an absolute URL (RFC 2326, C.1.1)."""
    if control.startswith("rtsp:"):
        return control
    base = base if base.endswith("/") else base + "/"
    return base if control in ("", "*") else "rtsp:" + urljoin(base[5:], control)


def port_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets, the first on an even port, the second on the next (RFC 3550, 11)."""
    for _ in range(200):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    raise BenchError("no even pair of UDP ports is free")
