"""Sending over UDP: one pair of sockets for all viewers, batched by GSO where the kernel has it."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from streamsocket.hub.wire import DatagramRun, datagram_runs

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

Address = tuple[Any, ...]
"""A socket address as `socket.sendto` takes it: (host, port) or IPv6's four values."""

SOL_UDP = 17
UDP_SEGMENT = 103

# What a full send buffer holds at most for one viewer, beside its queue of batches.
_MAX_WAITING_RUNS = 256


class UdpTarget(NamedTuple):
    """Where one track of one viewer goes."""

    rtp: Address
    rtcp: Address


class UdpSender:
    """Sends packets to any number of viewers through one RTP and one RTCP socket."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        rtp_socket: socket.socket,
        rtcp_socket: socket.socket,
        *,
        segmentation: bool | None = None,
    ) -> None:
        self._loop = loop
        self._rtp = rtp_socket
        self._rtcp = rtcp_socket
        self._segmentation = has_segmentation(rtp_socket) if segmentation is None else segmentation
        self._waiting: dict[Output, deque[DatagramRun]] = {}

    # What the fan-out calls: many viewers at once.

    def send_runs(self, runs: Sequence[DatagramRun], targets: dict[Output, Address]) -> None:
        """Send the same runs of packets to every target."""
        if not self._segmentation:
            runs = _singles(runs)
        for position, run in enumerate(runs):
            # Who blocks leaves the group: afterwards, since the loop goes through it.
            blocked: list[Output] = []
            todo = iter(targets.items())
            while True:
                try:
                    if run.packets == 1:
                        send, data = self._rtp.sendto, run.data
                        for output, address in todo:  # noqa: B007 - the except clause wants it
                            send(data, address)
                    else:
                        send_message, buffers = self._rtp.sendmsg, (run.data,)
                        ancillary = _segment(run)
                        for output, address in todo:  # noqa: B007 - the except clause wants it
                            send_message(buffers, ancillary, 0, address)
                    break
                except BlockingIOError:
                    blocked.append(output)
                except OSError as error:
                    self._send_refused(run, output, address, error)
            for output in blocked:
                self._wait(output, runs[position:])

    # What an output calls: one viewer.

    def blocks(self, output: Output) -> bool:
        """Whether something of this output still waits for the socket."""
        return output in self._waiting

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to one viewer; what the socket doesn't take now is kept and sent later."""
        runs: Sequence[DatagramRun] = datagram_runs(buffer, sizes)
        if not self._segmentation:
            runs = _singles(runs)
        if output in self._waiting:
            self._wait(output, runs)
            return
        for position, run in enumerate(runs):
            if not self._send_run(run, output):
                self._wait(output, runs[position:])
                return

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet to one viewer."""
        try:
            self._rtcp.sendto(rtcp, _target(output).rtcp)
        except OSError:
            pass  # the next report follows in a few seconds

    def enter(self, output: Output) -> None:
        """Nothing to prepare: the socket is everybody's."""

    def go_live(self, output: Output) -> None:
        """From now on the output gets what its group gets."""
        output.track.datagrams.add(self, output, _target(output).rtp)

    def leave(self, output: Output) -> None:
        """The output stops: forget what waits for it and take it out of its group."""
        output.track.datagrams.remove(self, output)
        self._waiting.pop(output, None)

    def close(self) -> None:
        """Stop watching the socket; closing it is for who opened it."""
        if self._waiting:
            self._loop.remove_writer(self._rtp)
            self._waiting.clear()

    def _send_run(self, run: DatagramRun, output: Output) -> bool:
        """Send one run to one viewer; False if the socket's buffer is full."""
        address = _target(output).rtp
        try:
            if run.packets == 1:
                self._rtp.sendto(run.data, address)
            else:
                self._rtp.sendmsg((run.data,), _segment(run), 0, address)
        except BlockingIOError:
            return False
        except OSError as error:
            self._send_refused(run, output, address, error)
        return True

    def _send_refused(
        self, run: DatagramRun, output: Output, address: Address, error: OSError
    ) -> None:
        """The kernel refused a run: without segmentation it may still go."""
        if run.packets == 1:
            output.track.unsent_packets += 1
            return
        if error.errno == errno.EIO:
            # The device cannot compute the segments' checksums (udp_send_skb in the kernel).
            self._segmentation = False
        for single in _singles([run]):
            try:
                self._rtp.sendto(single.data, address)
            except OSError:
                output.track.unsent_packets += 1

    def _wait(self, output: Output, runs: Sequence[DatagramRun]) -> None:
        """Keep runs until the socket has room, and take the output out of its group."""
        if not self._waiting:
            self._loop.add_writer(self._rtp, self._writable)
        output.track.datagrams.remove(self, output)
        output.hold()
        waiting = self._waiting.setdefault(output, deque())
        if len(waiting) + len(runs) <= _MAX_WAITING_RUNS:
            waiting.extend(runs)
        else:
            output.track.unsent_packets += sum(run.packets for run in runs)

    def _writable(self) -> None:
        for output, runs in tuple(self._waiting.items()):
            while runs:
                if not self._send_run(runs[0], output):
                    return
                runs.popleft()
            self._waiting.pop(output, None)
            output.pump(time.monotonic())
        if not self._waiting:
            self._loop.remove_writer(self._rtp)


def has_segmentation(udp_socket: socket.socket) -> bool:
    """Whether this kernel cuts one send into many datagrams (UDP GSO, Linux 4.18 and later)."""
    if sys.platform != "linux":
        return False
    try:
        udp_socket.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def _target(output: Output) -> UdpTarget:
    assert isinstance(output.target, UdpTarget)
    return output.target


def _segment(run: DatagramRun) -> list[tuple[int, int, bytes]]:
    # As a control message, not as a socket option: that would cut other datagrams as well.
    return [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", run.segment_size))]


def _singles(runs: Sequence[DatagramRun]) -> list[DatagramRun]:
    """The same packets, each a run of its own."""
    return [
        DatagramRun(run.data[start : start + run.segment_size], run.segment_size, 1)
        for run in runs
        for start in range(0, len(run.data), run.segment_size)
    ]
