"""WebRTC peers of our own that talk to a server process; one of them notes whatever it misses."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from dataclasses import dataclass
from itertools import pairwise

from tests.interop.serving import RunningServer
from tests.unit.webrtc_peer import PythonPeer

from streamsocket.webrtc.server import Answer

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"

_CONSENT_S = 4.0
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What HTTP answered."""

    status: int
    headers: dict[str, str]
    body: str


def ask(
    server: RunningServer,
    method: str,
    path: str,
    body: str | bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    source: str = "127.0.0.1",
) -> Reply:
    """Ask over HTTP, from the address `source`."""
    connection = http.client.HTTPConnection(
        server.host, server.http_port, timeout=15, source_address=(source, 0)
    )
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, names, answer.read().decode())
    finally:
        connection.close()


def offer(
    server: RunningServer,
    peer: PythonPeer,
    name: str,
    kind: str = "whep",
    *,
    source: str = "127.0.0.1",
) -> Reply:
    """Offer, to watch or to publish."""
    headers = {"Content-Type": SDP}
    return ask(server, "POST", f"/{name}/{kind}", peer.offer, headers, source=source)


def told(reply: Reply) -> Answer:
    """The answer, as a peer takes it."""
    assert reply.status == 201, reply
    session = reply.headers["location"].rpartition("/")[2]
    return Answer(session, reply.headers["etag"].strip('"'), reply.body)


def connect(peer: PythonPeer, *, timeout_s: float = 10.0) -> None:
    """Wait until a peer that has its answer is connected."""
    deadline = time.monotonic() + timeout_s
    while not peer.connected:
        assert time.monotonic() < deadline, "no connection"
        wait_for(peer, 0.05)


def wait_for(peer: PythonPeer, timeout_s: float) -> None:
    """Wait until something comes for a peer, or the time is over, and take it."""
    select.select([peer.socket], [], [], timeout_s)
    peer.poll()


class WebRtcWitness:
    """A viewer in a thread of its own that has to get every packet, once and in order."""

    def __init__(self, server: RunningServer, name: str) -> None:
        self._peer = PythonPeer()
        self._peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._peer.take(told(offer(server, self._peer, name)))
        self._arrivals: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")

    def __enter__(self) -> WebRtcWitness:
        connect(self._peer)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._peer.close()

    def has_seen_all(self, *, silence_s: float = 0.5) -> None:
        """Assert that nothing is missing, neither picture nor sound, and that none was late."""
        by_source: dict[int, list[int]] = {}
        for packet in self._peer.rtp:
            by_source.setdefault(packet.ssrc, []).append(packet.sequence)
        assert len(by_source) == 2, "picture and sound"
        for sequences in by_source.values():
            steps = [(after - before) & 0xFFFF for before, after in pairwise(sequences)]
            assert set(steps) == {1}, f"of {len(sequences)} packets"
        longest = max(after - before for before, after in pairwise(self._arrivals))
        assert longest < silence_s, f"{longest:.2f} s without a packet"

    def _watch(self) -> None:
        checked = time.monotonic()
        while not self._ended.is_set():
            before = len(self._peer.rtp)
            wait_for(self._peer, 0.1)
            now = time.monotonic()
            if len(self._peer.rtp) > before:
                self._arrivals.append(now)
            if now - checked > _CONSENT_S:
                checked = now
                self._peer.check()
