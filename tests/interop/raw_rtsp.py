"""An RTSP client of the tests' own, written from the RFC and sharing nothing with the package.

It says exactly what a test wants said, and it does not forgive.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    reason: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Media:
    """One m= section of an SDP."""

    kind: str
    control: str
    clock_rate: int


@dataclass
class RawRtsp:
    """One RTSP connection; blocking, one request at a time."""

    url: str
    session: str | None = None
    medias: list[Media] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        self.socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
        self.buffer = b""
        """Received and not looked at yet: interleaved frames, after PLAY."""
        self._cseq = 0

    def __enter__(self) -> RawRtsp:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, method: str, url: str | None = None, **headers: str) -> None:
        """Send a request, and don't wait for its answer."""
        self._cseq += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._cseq}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.session:
            lines.append(f"Session: {self.session}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def ask(self, method: str, url: str | None = None, **headers: str) -> Answer:
        """Send a request and return its answer."""
        self.send(method, url, **headers)
        answer = self.answer()
        assert answer.headers.get("cseq") == str(self._cseq), answer
        return answer

    def answer(self) -> Answer:
        """The next answer, which must come before any interleaved frame."""
        while b"\r\n\r\n" not in self.buffer:
            self._receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        version, status, reason = first.split(" ", 2)
        assert version == "RTSP/1.0", first
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            self._receive()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(int(status), reason, headers, body.decode())

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self.buffer += data

    def describe(self) -> Answer:
        """DESCRIBE, and read what is in the description."""
        answer = self.ask("DESCRIBE", Accept="application/sdp")
        if answer.status == 200:
            base = answer.headers["content-base"]
            for section in answer.body.split("\r\nm=")[1:]:
                control = re.search(r"^a=control:(\S+)", section, re.MULTILINE)
                clock = re.search(r"^a=rtpmap:\d+ [^/\s]+/(\d+)", section, re.MULTILINE)
                assert control, section
                assert clock, section
                is_absolute = control[1].startswith("rtsp:")
                media_url = control[1] if is_absolute else base + control[1]
                self.medias.append(Media(section.split(" ")[0], media_url, int(clock[1])))
        return answer

    def setup(self, media: Media, transport: str) -> Answer:
        """SETUP with this Transport header."""
        answer = self.ask("SETUP", media.control, Transport=transport)
        if answer.status == 200:
            self.session = answer.headers["session"].partition(";")[0]
        return answer
