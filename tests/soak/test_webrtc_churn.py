"""WebRTC viewers that come and go: nothing is left of them, and who stays misses nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.serving import RunningServer, serving
from tests.interop.webrtc_witness import WebRtcWitness, ask, connect, offer, told
from tests.unit.webrtc_peer import PythonPeer

AT_ONCE = 20
MOST_AT_ONCE = 150
NOT_MORE_BYTES = 6_000_000
"""One connection's OpenSSL alone has 80 KB: of 300 that stayed it would be 24 MB."""
CONSENT_S = 30.0


@pytest.fixture
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(
        f"movie={movies['opus']}", options=("--webrtc-port", "0", "--rtmp-port", "0")
    ) as running:
        yield running


def come_and_go(server: RunningServer, sessions: int, *, silently: bool) -> None:
    """Let so many connect and watch for a moment, in groups; they leave in different ways."""
    left: deque[PythonPeer] = deque()
    for first in range(0, sessions, AT_ONCE):
        while silently and server.metrics()["streamsocket_sessions"] > MOST_AT_ONCE:
            time.sleep(0.2)  # the same number always, however fast this machine is
        viewers = [PythonPeer() for _ in range(AT_ONCE)]
        for viewer in viewers:
            viewer.take(told(offer(server, viewer, "movie")))
        for viewer in viewers:
            connect(viewer)
        for number, viewer in enumerate(viewers, first):
            viewer.poll()
            if number % 10 == 0 and silently:
                pass  # its 30 s of consent run out
            elif number % 2:
                assert viewer.dtls
                viewer.dtls.close()
                viewer.poll()  # says goodbye
            else:
                path = f"/movie/whep/{viewer.told.session}"
                assert ask(server, "DELETE", path).status == 200
        left += viewers
        # Their ports are used again only when the server has nothing more to send there.
        while len(left) > 2 * MOST_AT_ONCE:
            left.popleft().close()
    for viewer in left:
        viewer.close()


def settled(server: RunningServer, files: int, *, staying: int = 0) -> int:
    """Memory in bytes, once all but a few have left and no more than so many files are open."""
    deadline = time.monotonic() + CONSENT_S + 15
    while server.metrics()["streamsocket_sessions"] > staying or server.descriptors() > files:
        assert time.monotonic() < deadline, f"sessions stay, or {server.descriptors()} files"
        time.sleep(0.2)
    return server.resident_bytes()


def test_three_hundred_sessions_leave_nothing(server: RunningServer) -> None:
    with WebRtcWitness(server, "movie") as witness:
        files = server.descriptors()
        come_and_go(server, 100, silently=False)
        memory = settled(server, files, staying=1)
        come_and_go(server, 300, silently=False)
        assert settled(server, files, staying=1) - memory < NOT_MORE_BYTES
    witness.has_seen_all()


@pytest.mark.slow
def test_ten_thousand_sessions_leave_nothing(server: RunningServer) -> None:
    files = server.descriptors()
    come_and_go(server, 3_000, silently=True)
    memory = settled(server, files)
    come_and_go(server, 10_000, silently=True)
    assert settled(server, files) - memory < NOT_MORE_BYTES
