"""A stream, its publisher and viewers on real sockets, for the tests of the hub."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamsocket.hub.hub import Hub
from streamsocket.hub.limits import Limits
from streamsocket.hub.stream import Publication, Stream
from streamsocket.hub.udp import UdpSender, UdpTarget
from streamsocket.media.codec import H264, Opus, Track
from streamsocket.rtp.batch import Batch

VIDEO = Track(H264(sps=b"\x67\x42\xc0\x1f", pps=b"\x68\xce\x3c\x80"))
SOUND = Track(Opus())


def batch(
    *,
    timestamp: int,
    packets: int = 1,
    size: int = 200,
    keyframe: bool = False,
    capture_time: float | None = None,
) -> Batch:
    """One access unit as a publisher writes it."""
    header = struct.pack("!BBHII", 0x80, 0, 0, 0, 0)
    last = struct.pack("!BBHII", 0x80, 0x80, 0, 0, 0)
    body = bytes(size - 12)
    buffer = (header + body) * (packets - 1) + last + body
    captured = time.time() if capture_time is None else capture_time
    return Batch(buffer, (size,) * packets, timestamp, captured, keyframe, True)


@dataclass
class Packet:
    """What a viewer received."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    size: int


def parse(data: bytes) -> Packet:
    _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    return Packet(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, len(data))


class Viewer:
    """A viewer's UDP sockets."""

    def __init__(self) -> None:
        self.rtp = _bound()
        self.rtcp = _bound()

    @property
    def target(self) -> UdpTarget:
        return UdpTarget(self.rtp.getsockname(), self.rtcp.getsockname())

    def packets(self) -> list[Packet]:
        return [parse(data) for data in drain(self.rtp)]

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def drain(udp_socket: socket.socket) -> list[bytes]:
    received = []
    while True:
        try:
            received.append(udp_socket.recv(2048))
        except BlockingIOError:
            return received


def _bound() -> socket.socket:
    udp_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp_socket.bind(("127.0.0.1", 0))
    udp_socket.setblocking(False)
    return udp_socket


class HubUnderTest:
    """A hub with one stream and a UDP sender, on a loop that runs when told to."""

    def __init__(self, limits: Limits, segmentation: bool | None) -> None:
        self.loop = asyncio.new_event_loop()
        self.hub = Hub(self.loop, limits)
        self.sockets = [_bound(), _bound()]
        self.udp = UdpSender(self.loop, *self.sockets, segmentation=segmentation)
        self.keyframe_requests = 0
        self.publication = self.publish()

    def publish(self) -> Publication:
        def count() -> None:
            self.keyframe_requests += 1

        return self.hub.publish("lobby", [VIDEO, SOUND], count)

    @property
    def stream(self) -> Stream:
        stream = self.hub.find("lobby")
        assert stream is not None
        return stream

    def send(self, track: int, *batches: Batch) -> None:
        for one in batches:
            self.publication.write(track, one)
        self.publication.flush()

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        self.hub.close()
        self.udp.close()
        for udp_socket in self.sockets:
            udp_socket.close()
        self.loop.close()


@contextmanager
def hub_under_test(
    limits: Limits | None = None, *, segmentation: bool | None = None
) -> Iterator[HubUnderTest]:
    under_test = HubUnderTest(limits or Limits(), segmentation)
    try:
        yield under_test
    finally:
        under_test.close()
