"""Sending to WebRTC peers over TCP that read slowly, or no more."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hub_helpers import batch, hub_under_test
from test_webrtc_server import ServerUnderTest, sequences
from webrtc_tcp_helpers import goes_by_tcp, outputs, tcp_sender

from streamsocket.auth.access import Access
from streamsocket.hub.limits import Limits

MAX_AGE_S = 0.3


@pytest.fixture
def under_test(request: pytest.FixtureRequest) -> Iterator[ServerUnderTest]:
    access = Access({})
    with hub_under_test(getattr(request, "param", None)) as hub:
        made = ServerUnderTest(hub, access)
        yield made
        made.close()
    access.close()


impatient = pytest.mark.parametrize(
    "under_test", [Limits(reader_max_age_s=MAX_AGE_S)], indirect=True
)


@impatient
def test_a_slow_reader_is_bounded_and_goes_on_at_a_keyframe(under_test: ServerUnderTest) -> None:
    """It misses pictures, without a gap in sequence numbers; nobody else misses anything."""
    video = under_test.hub.stream.tracks[0]
    slow = under_test.viewer(tcp=True, receive_buffer=4096)
    others = [under_test.viewer(tcp=True), under_test.viewer()]
    under_test.send(keyframe=True)
    under_test.until(lambda: all(len(peer.rtp) == 3 for peer in under_test.peers))
    output = outputs(under_test)[0]
    sender = tcp_sender(output)
    under_test.peers.remove(slow)
    sent, most = 3, 0
    deadline = time.monotonic() + 10
    while video.skipped_packets == 0:
        assert time.monotonic() < deadline
        under_test.send(packets=60)
        under_test.send(packets=1, track=1)
        sent += 61
        most = max(most, sum(map(len, sender._waiting)))
        under_test.until(lambda sent=sent: all(len(each.rtp) == sent for each in others))  # type: ignore[misc]
    assert output.state == "queued"
    assert most < 50_000  # no more than the batch that found the buffer full
    under_test.peers.append(slow)
    under_test.send(packets=5, keyframe=True)
    under_test.send(packets=1, track=1)
    last = video.next_sequence
    under_test.until(lambda: output.state == "live")
    under_test.until(lambda: all(len(peer.rtp) == sent + 6 for peer in others))
    under_test.send(packets=2)
    under_test.until(lambda: slow.rtp[-1].sequence == (last + 1 + output.sequence_delta) & 0xFFFF)
    for track in under_test.hub.stream.tracks:
        found = sequences(slow, track.ssrc)
        assert found == list(range(found[0], found[0] + len(found)))
    assert len(slow.rtp) < sent


@impatient
def test_who_reads_nothing_and_keeps_asking_is_closed(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer(tcp=True, receive_buffer=4096)
    under_test.peers.remove(peer)
    peer.socket.settimeout(1)
    deadline = time.monotonic() + 20
    while len(under_test.server._tcp):
        assert time.monotonic() < deadline
        try:
            for _ in range(50):
                peer.check()
        except OSError:
            pass
        under_test.hub.run(0.001)
    peer.close()
    assert under_test.server.sessions == 1  # it may come back by another way


def test_what_the_kernel_took_half_of_is_finished_as_it_was(under_test: ServerUnderTest) -> None:
    """With the same bytes: an index is not encrypted again. Here to one who came over UDP first."""
    peer = under_test.viewer()
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    peer.connect()
    peer.check()
    under_test.until(lambda: goes_by_tcp(under_test))
    sender = tcp_sender(outputs(under_test)[0])
    send = sender.socket_send
    takes = iter([137, 0, 5])

    def reluctant(data: bytes | memoryview) -> int:
        size = next(takes, None)
        if size == 0:
            raise BlockingIOError
        return send(memoryview(data)[:size])

    sender.socket_send = reluctant
    under_test.send(1, track=1)
    under_test.send(packets=80)
    under_test.send()
    under_test.send(1, track=1)
    under_test.until(lambda: len(peer.rtp) == 88)
    for track in under_test.hub.stream.tracks:
        found = sequences(peer, track.ssrc)
        assert found == list(range(found[0], found[0] + len(found)))
    assert {output.state for track in (0, 1) for output in outputs(under_test, track)} == {"live"}


def test_sound_that_blocks_costs_no_picture(under_test: ServerUnderTest) -> None:
    """Both come in one flush: the picture is still in its group when sound fills the socket."""
    peer = under_test.viewer(tcp=True)
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    sender = tcp_sender(outputs(under_test)[0])
    send = sender.socket_send
    sender.socket_send = lambda data: 0
    publication = under_test.hub.publication
    publication.write(1, batch(timestamp=960))
    publication.write(0, batch(timestamp=6000, packets=4))
    publication.flush()
    assert {output.state for track in (0, 1) for output in outputs(under_test, track)} == {"queued"}
    sender.socket_send = send
    under_test.until(lambda: len(peer.rtp) == 8)


def test_a_connection_that_breaks_while_it_is_sent_to_is_closed(
    under_test: ServerUnderTest,
) -> None:
    peer = under_test.viewer(tcp=True)
    other = under_test.viewer(tcp=True)
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == len(other.rtp) == 3)
    sender = tcp_sender(outputs(under_test)[0])

    def broken(data: bytes | memoryview) -> int:
        raise ConnectionResetError

    sender.socket_send = broken
    under_test.send()
    under_test.send()
    under_test.until(lambda: peer.ended and len(other.rtp) == 9)
    assert len(under_test.server._tcp) == 1


def test_nothing_is_sent_behind_what_was_cut_off(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer(tcp=True)
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    tcp_sender(outputs(under_test)[0]).fail()
    under_test.send()
    under_test.until(lambda: peer.ended)
    assert len(peer.rtp) == 3
