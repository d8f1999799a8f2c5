"""Sending to the one peer of a connection of our own: a server that we publish on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from streamsocket.hub.wire import DatagramRun, joined
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import HEADER
from streamsocket.webrtc.rtx import RtxSender
from streamsocket.webrtc.srtp import SrtpError, SrtpSender, bursts

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

_EXTENSION = 0x10
_MARKER = 0x80


class PushTarget:
    """One track on its way to the server: how its packets are put into shape and protected."""

    def __init__(
        self,
        protection: SrtpSender,
        payload_type: int,
        *,
        ssrc: int,
        sequence: int,
        extension: bytes = b"",
        rtx: tuple[int, int] | None = None,
    ) -> None:
        """`sequence` is the first packet's, unwrapped; `rtx` payload type and SSRC of repairs.

        Each packet gets the header `extension`. Without `rtx`, what is lost is sent again as it
        was.
        """
        self._payload_type = payload_type
        self._extension = extension
        self._rtx: RtxSender | None = None
        if rtx:
            first = secrets.randbits(15)
            self._rtx = RtxSender(protection.add_stream(rtx[1], first), *rtx, sequence=first)
        self._stream = protection.add_stream(ssrc, sequence)
        self._next = sequence

    def protect(self, buffer: bytes | bytearray, sizes: Sequence[int]) -> Iterator[bytes]:
        """The datagrams for these packets: the next ones, or what the server has missed."""
        first = int.from_bytes(buffer[2:4])
        # The unwrapped number nearest to the one that follows is the one that is meant.
        sequence = self._next + ((first - self._next + 0x8000) & 0xFFFF) - 0x8000
        if sequence < self._next:
            yield from self._repairs(bytes(buffer), sequence)
            return
        shaped, own_sizes = self._shaped(buffer, sizes)
        self._next = sequence + len(sizes)
        for burst in bursts(shaped, own_sizes, sequence):
            for run in self._stream.protect(burst):
                yield from _datagrams(run)

    def _repairs(self, packet: bytes, sequence: int) -> Iterator[bytes]:
        if self._rtx:
            for run in self._rtx.protect(packet):
                yield from _datagrams(run)
            return
        with suppress(SrtpError):  # it was sent too long ago
            yield self._stream.protect_again(
                bytes(self._shaped(packet, (len(packet),))[0]), sequence
            )

    def _shaped(
        self, buffer: bytes | bytearray, sizes: Sequence[int]
    ) -> tuple[bytearray, list[int]]:
        """The packets with this session's payload type and header extension: always the same."""
        extension = self._extension
        shaped = bytearray()
        start = 0
        for size in sizes:
            flags = buffer[start] | _EXTENSION if extension else buffer[start]
            shaped += bytes((flags, buffer[start + 1] & _MARKER | self._payload_type))
            shaped += buffer[start + 2 : start + HEADER.size]
            shaped += extension
            shaped += buffer[start + HEADER.size : start + size]
            start += size
        return shaped, [size + len(extension) for size in sizes]


class PushSender:
    """What the outputs of a reader send through, all to the same peer."""

    def __init__(self, protection: SrtpSender, send: Callable[[bytes], None]) -> None:
        """`send` takes datagrams, and never blocks."""
        self._protection = protection
        self._send = send

    # What an output calls.

    def blocks(self, output: Output) -> bool:
        """Never: what the system doesn't take is lost, as on the way, and asked for again."""
        return False

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets of a track."""
        assert isinstance(output.target, PushTarget)
        for datagram in output.target.protect(buffer, sizes):
            self._send(datagram)

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet."""
        self._send(self._protection.protect_rtcp(rtcp))

    def enter(self, output: Output) -> None:
        """Nothing to prepare."""

    def go_live(self, output: Output) -> None:
        """From now on the output gets what comes."""
        output.track.groups[self] = PushGroups(self, output)

    def leave(self, output: Output) -> None:
        """The output stops."""
        output.track.groups.pop(self, None)


class PushGroups:
    """The one output that gets a track by such a sender, live."""

    def __init__(self, sender: PushSender, output: Output) -> None:
        self._sender = sender
        self._output = output

    def send(self, batches: list[Batch]) -> None:
        """Send batches of this track."""
        output = self._output
        self._sender.send_packets(output, *joined(batches, output.sequence_delta))


def _datagrams(run: DatagramRun) -> Iterator[bytes]:
    """The packets of a run, each in memory of its own."""
    view = memoryview(run.data)
    for start in range(0, len(view), run.segment_size):
        yield bytes(view[start : start + run.segment_size])
