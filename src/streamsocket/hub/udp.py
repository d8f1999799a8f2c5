"""Sending over UDP: one pair of sockets for all viewers, batched by GSO where the kernel has it."""

from __future__ import annotations

import socket
import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from streamsocket.hub.datagrams import Address, DatagramSocket, has_segmentation, segment
from streamsocket.hub.wire import DatagramRun, datagram_runs

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

__all__ = ["Address", "UdpSender", "UdpTarget", "has_segmentation"]

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
        self._datagrams = DatagramSocket(rtp_socket, segmentation)
        self._rtp = rtp_socket
        self._rtcp = rtcp_socket
        self._waiting: dict[Output, deque[DatagramRun]] = {}

    # What the fan-out calls: many viewers at once.

    def send_runs(self, runs: Sequence[DatagramRun], targets: dict[Output, Address]) -> None:
        """Send the same runs of packets to every target."""
        runs = self._datagrams.sendable(runs)
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
                        ancillary = segment(run)
                        for output, address in todo:  # noqa: B007 - the except clause wants it
                            send_message(buffers, ancillary, 0, address)
                    break
                except BlockingIOError:
                    blocked.append(output)
                except OSError as error:
                    self._datagrams.refused(run, address, output, error)
            for output in blocked:
                self._wait(output, runs[position:])

    # What an output calls: one viewer.

    def blocks(self, output: Output) -> bool:
        """Whether something of this output still waits for the socket."""
        return output in self._waiting

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to one viewer; what the socket doesn't take now is kept and sent later."""
        runs = self._datagrams.sendable(datagram_runs(buffer, sizes))
        if output in self._waiting:
            self._wait(output, runs)
            return
        for position, run in enumerate(runs):
            if not self._datagrams.send(run, _target(output).rtp, output):
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
                if not self._datagrams.send(runs[0], _target(output).rtp, output):
                    return
                runs.popleft()
            self._waiting.pop(output, None)
            output.pump(time.monotonic())
        if not self._waiting:
            self._loop.remove_writer(self._rtp)


def _target(output: Output) -> UdpTarget:
    assert isinstance(output.target, UdpTarget)
    return output.target
