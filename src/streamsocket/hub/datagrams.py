"""A UDP socket that sends runs of packets: by generic segmentation offload where there is any."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamsocket.hub.sendmmsg import (
    MAX_MESSAGES,
    SOL_UDP,
    UDP_SEGMENT,
    ManySends,
    address_of,
)
from streamsocket.hub.wire import DatagramRun

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

Address = tuple[Any, ...]
"""A socket address as `socket.sendto` takes it: (host, port) or IPv6's four values."""


class DatagramSocket:
    """Sends runs through one socket; closing it is for who opened it."""

    def __init__(self, udp_socket: socket.socket, segmentation: bool | None = None) -> None:
        """Whether there is `segmentation` is asked of the kernel, unless it is said here."""
        self.socket = udp_socket
        self.segmentation = has_segmentation(udp_socket) if segmentation is None else segmentation
        self.many: ManySends | None = None
        """Sends to many at once; None where the kernel doesn't cut runs, or takes one at a time."""
        if self.segmentation:
            try:
                self.many = ManySends(udp_socket)
            except OSError:
                pass  # one by one, then

    def sendable(self, runs: Sequence[DatagramRun]) -> Sequence[DatagramRun]:
        """The runs, cut into single packets where the kernel doesn't do that."""
        return runs if self.segmentation else singles(runs)

    def send(self, run: DatagramRun, address: Address, output: Output) -> bool:
        """Send one run to one viewer; False if the socket's buffer is full."""
        try:
            if run.packets == 1:
                self.socket.sendto(run.data, address)
            else:
                self.socket.sendmsg((run.data,), segment(run), 0, address)
        except BlockingIOError:
            return False
        except OSError as error:
            self.refused(run, address, output, error)
        return True

    def send_to_all(self, run: DatagramRun, targets: dict[Output, Address]) -> list[Output]:
        """Send one run to many viewers; returns those for whom the socket's buffer was full."""
        many = self.many
        if many is None:
            return [output for output in targets if not self.send(run, targets[output], output)]
        blocked: list[Output] = []
        memory = bytearray(run.data)
        at, size = address_of(memory), len(memory)
        outputs = tuple(targets)
        for start in range(0, len(outputs), MAX_MESSAGES):
            part = outputs[start : start + MAX_MESSAGES]
            names = [many.name(targets[output]) for output in part]
            sent = many.send(names, at, 0, size, run.segment_size) if all(names) else 0
            # Whoever comes after one who is refused is not reached either.
            blocked += [
                output for output in part[sent:] if not self.send(run, targets[output], output)
            ]
        return blocked

    def refused(self, run: DatagramRun, address: Address, output: Output, error: OSError) -> None:
        """The kernel refused a run: without segmentation it may still go."""
        if run.packets == 1:
            output.track.unsent_packets += 1
            return
        if error.errno == errno.EIO:
            # The device cannot compute the segments' checksums (udp_send_skb in the kernel).
            self.segmentation = False
            self.many = None
        for single in singles([run]):
            try:
                self.socket.sendto(single.data, address)
            except OSError:
                output.track.unsent_packets += 1


def has_segmentation(udp_socket: socket.socket) -> bool:
    """Whether this kernel cuts one send into many datagrams (UDP GSO, Linux 4.18 and later)."""
    if sys.platform != "linux":
        return False
    try:
        udp_socket.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def segment(run: DatagramRun) -> list[tuple[int, int, bytes]]:
    """The control message that has `sendmsg` cut a run into its packets."""
    # As a control message, not as a socket option: that would cut other datagrams as well.
    return [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", run.segment_size))]


def singles(runs: Sequence[DatagramRun]) -> list[DatagramRun]:
    """The same packets, each a run of its own."""
    return [
        DatagramRun(run.data[start : start + run.segment_size], run.segment_size, 1)
        for run in runs
        for start in range(0, len(run.data), run.segment_size)
    ]
