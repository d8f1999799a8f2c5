"""Sending to a peer over TCP (RFC 6544): packets are framed and queued, not dropped.

The packets are those that others get over UDP, put into shape and laid out for encryption once for
all. What they are for one viewer is made once and kept until the kernel has taken all of it: an
index is never encrypted a second time.
"""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from streamsocket.hub.tcp import TcpSender
from streamsocket.hub.wire import DatagramRun
from streamsocket.webrtc.framing import frame
from streamsocket.webrtc.sender import SrtpGroups, SrtpTarget
from streamsocket.webrtc.srtp import Burst

if TYPE_CHECKING:
    from streamsocket.hub.output import Output


# What the kernel holds beside what is under way: more only makes it later, for a viewer whose
# network is too narrow. It is a keyframe, and less than a second of a stream of 1 Mbit/s.
_UNSENT_BYTES = 96 * 1024


class SrtpTcpSender(TcpSender):
    """Owns the writing side of one peer's connection: checks, DTLS, reports and media share it."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        connection: socket.socket,
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__(loop, connection, on_failure)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)

    def send_datagram(self, datagram: bytes) -> None:
        """Send what would be one datagram over UDP, after whatever waits already."""
        self.write(frame(datagram))

    def take(self, data: bytes) -> bool:
        """Send framed packets, or keep what the socket doesn't take; returns whether it took all.

        If not, the output they are for has to leave its group.
        """
        if self._failed:
            return True  # its owner is told of it, and sees to what comes
        self._send(data)
        return not self._waiting

    def keep(self, data: bytes, sent: int) -> None:
        """The socket took only the first `sent` bytes: the rest waits."""
        # The other outputs stay in their groups until their own turn: a batch that another track
        # has at this moment would be missed by one that was held after it became pending.
        if not self._waiting:
            self._loop.add_writer(self._socket, self._writable)
        self._waiting.append(memoryview(data)[sent:])

    # What an output calls.

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to the viewer alone; what the socket doesn't take now is sent later."""
        self.take(framed(_target(output).protect_packets(buffer, sizes)))

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet."""
        self.send_datagram(_target(output).protect_rtcp(rtcp))

    def go_live(self, output: Output) -> None:
        """From now on the output gets what its group gets."""
        _groups(output).add(output, _target(output))

    def leave(self, output: Output) -> None:
        """The output stops: take it out of its group."""
        _groups(output).remove(output, _target(output))
        self._outputs.pop(output, None)


class TcpFanout:
    """The fan-out's half: the same packets for many viewers, each with a connection of its own."""

    def send_bursts(self, made: Sequence[Burst], targets: dict[Output, SrtpTarget]) -> None:
        """Send the same packets to every target, encrypted for each, in one call each."""
        # Who blocks leaves the group: afterwards, since the loop goes through it.
        blocked = [
            (output, target)
            for output, target in targets.items()
            if not _sender(output).take(
                framed(run for burst in made for run in target.protect(burst))
            )
        ]
        for output, target in blocked:
            _groups(output).remove(output, target)
            output.hold()


def framed(runs: Iterable[DatagramRun]) -> bytes:
    """The packets of these runs as they go into the stream, in memory of their own."""
    parts: list[bytes | memoryview] = []
    for run in runs:
        view = memoryview(run.data)
        for start in range(0, len(view), run.segment_size):
            packet = view[start : start + run.segment_size]
            parts.append(len(packet).to_bytes(2))
            parts.append(packet)
    return b"".join(parts)


_FANOUT = TcpFanout()


def _groups(output: Output) -> SrtpGroups:
    track = output.track
    groups = track.groups.get(_FANOUT)
    if not isinstance(groups, SrtpGroups):
        groups = track.groups[_FANOUT] = SrtpGroups(_FANOUT, is_sound=not track.is_video)
    return groups


def _sender(output: Output) -> SrtpTcpSender:
    assert isinstance(output.sender, SrtpTcpSender)
    return output.sender


def _target(output: Output) -> SrtpTarget:
    assert isinstance(output.target, SrtpTarget)
    return output.target
