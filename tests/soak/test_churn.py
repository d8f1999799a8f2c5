"""Viewers that come and go for minutes: nothing is left of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.raw_rtsp import RawRtsp
from tests.interop.serving import RunningServer, serving
from tests.interop.witness import MIXED, Witness

pytestmark = pytest.mark.slow

WARM_UP = 300
SESSIONS = 1_000
AT_ONCE = 20
NOT_MORE_BYTES = 2_000_000


@pytest.fixture
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(f"movie={movies['pal']}") as running:
        yield running


def come_and_go(server: RunningServer, sessions: int) -> None:
    """Let so many viewers watch for a moment, in groups; every other one leaves without a word."""
    for first in range(0, sessions, AT_ONCE):
        viewers = [RawRtsp(server.url("movie")) for _ in range(AT_ONCE)]
        for number, viewer in enumerate(viewers, first):
            viewer.describe()
            for index, media in enumerate(viewer.medias):
                tcp = f"RTP/AVP/TCP;unicast;interleaved={2 * index}-{2 * index + 1}"
                udp = f"RTP/AVP;unicast;client_port={5000 + 2 * index}-{5001 + 2 * index}"
                assert viewer.setup(media, udp if number % 3 == 0 else tcp).status == 200
            assert viewer.ask("PLAY").status == 200
        time.sleep(0.1)
        for number, viewer in enumerate(viewers, first):
            if number % 2:
                viewer.send("TEARDOWN")
            viewer.socket.close()


def settled(server: RunningServer) -> tuple[int, int]:
    """Memory in bytes and open files, once the server has noticed that everybody has left."""
    deadline = time.monotonic() + 10
    while server.metrics()["streamsocket_connections"] > 1:
        assert time.monotonic() < deadline, "connections stay"
        time.sleep(0.2)
    time.sleep(6)  # HTTP's idle connections are kept for 5 s
    return server.resident_bytes(), server.descriptors()


def test_a_thousand_sessions_leave_nothing_and_disturb_nobody(server: RunningServer) -> None:
    with Witness(server.url("movie"), MIXED) as witness:
        come_and_go(server, WARM_UP)
        memory, files = settled(server)
        come_and_go(server, SESSIONS)
        memory_after, files_after = settled(server)
    assert files_after == files
    assert memory_after - memory < NOT_MORE_BYTES
    witness.has_seen_all()
