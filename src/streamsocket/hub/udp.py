"""Sending over UDP: one pair of sockets for all viewers, batched by GSO where the kernel has it."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from streamsocket.hub.datagrams import Address, DatagramSocket, has_segmentation
from streamsocket.hub.waiting import WaitingRuns
from streamsocket.hub.wire import DatagramRun, datagram_runs

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

__all__ = ["Address", "UdpSender", "UdpTarget", "has_segmentation"]


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
        self._datagrams = DatagramSocket(rtp_socket, segmentation)
        self._rtcp = rtcp_socket
        self._waiting = WaitingRuns(loop, self._datagrams, lambda output: _target(output).rtp)

    # What the fan-out calls: many viewers at once.

    def send_runs(self, runs: Sequence[DatagramRun], targets: dict[Output, Address]) -> None:
        """Send the same runs of packets to every target."""
        runs = self._datagrams.sendable(runs)
        for position, run in enumerate(runs):
            for output in self._datagrams.send_to_all(run, targets):
                self._leave_group(output)
                self._waiting.keep(output, runs[position:])

    # What an output calls: one viewer.

    def blocks(self, output: Output) -> bool:
        """Whether something of this output still waits for the socket."""
        return output in self._waiting

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to one viewer; what the socket doesn't take now is kept and sent later."""
        runs = self._datagrams.sendable(datagram_runs(buffer, sizes))
        if not self._waiting.send(output, runs):
            self._leave_group(output)

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
        self._waiting.forget(output)

    def close(self) -> None:
        """Stop watching the socket; closing it is for who opened it."""
        self._waiting.close()

    def _leave_group(self, output: Output) -> None:
        """What waits goes first: the output sends on its own until then."""
        output.track.datagrams.remove(self, output)
        output.hold()


def _target(output: Output) -> UdpTarget:
    assert isinstance(output.target, UdpTarget)
    return output.target
