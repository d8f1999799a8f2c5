"""A publisher's packets over UDP: one pair of ports for each of its tracks."""

from __future__ import annotations

import socket
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable

from streamsocket.hub.udp import Address
from streamsocket.rtsp.udp_ports import bind_pair

RECEIVE_BUFFER_BYTES = 4 << 20
"""Asked of the kernel, which gives 208 KB unless its administrator allows more."""

# A publisher in a rush leaves the loop to others too.
_DATAGRAMS_PER_WAKEUP = 256

# A jumbo frame's worth; what is longer than any packet that crosses a network is none of ours.
_DATAGRAM_BYTES = 9216


class UdpIntake:
    """Two sockets that take what comes from one publisher, and send it reports.

    The port that its first packet comes from is its port: behind an address translation that is
    another than the one it announced. From then on the kernel drops what others send.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        host: str,
        peer: Address,
        on_packets: Callable[[list[bytes], float], None],
        on_rtcp: Callable[[bytes, float], None],
    ) -> None:
        """`peer` is the address that RTCP goes to, and whose host packets come from.

        Raises `StreamSocketError` where no pair of ports is free.
        """
        self._loop = loop
        self._peer = peer
        self._on_packets = on_packets
        self._on_rtcp = on_rtcp
        self._connected = False
        self._rtp, self._rtcp = bind_pair(host, 0)
        self._rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        loop.add_reader(self._rtp, self._read_rtp)
        loop.add_reader(self._rtcp, self._read_rtcp)

    @property
    def ports(self) -> tuple[int, int]:
        """Where the publisher is to send RTP and RTCP."""
        return self._rtp.getsockname()[1], self._rtcp.getsockname()[1]

    def send_rtcp(self, data: bytes) -> None:
        """Send RTCP to the publisher; what the network refuses is lost."""
        try:
            self._rtcp.sendto(data, self._peer)
        except OSError:
            pass  # the next report will tell the same

    def close(self) -> None:
        """Give the ports back."""
        for each in (self._rtp, self._rtcp):
            self._loop.remove_reader(each)
            each.close()

    def _read_rtp(self) -> None:
        arrival = time.time()
        if not self._connected and not self._connect():
            return
        packets: list[bytes] = []
        receive = self._rtp.recv
        try:
            for _ in range(_DATAGRAMS_PER_WAKEUP):
                packets.append(receive(_DATAGRAM_BYTES))  # noqa: PERF401 - it ends by raising
        except OSError:
            pass  # nothing more is there, or the publisher's port is closed: silence will tell
        if packets:
            self._on_packets(packets, arrival)

    def _connect(self) -> bool:
        """Take the first packet that comes from the publisher's host."""
        try:
            data, address = self._rtp.recvfrom(_DATAGRAM_BYTES)
            if address[0] != self._peer[0]:
                return False
            self._rtp.connect(address)
        except OSError:
            return False
        self._connected = True
        self._on_packets([data], time.time())
        return True

    def _read_rtcp(self) -> None:
        for _ in range(_DATAGRAMS_PER_WAKEUP):
            try:
                data, address = self._rtcp.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier report was answered "port unreachable"
            if address[0] == self._peer[0]:
                self._peer = address
                self._on_rtcp(data, time.time())
