"""Sending to browsers: one UDP socket for all, packets put into shape once, encrypted for each."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamsocket.hub.datagrams import DatagramSocket
from streamsocket.hub.wire import DatagramRun, joined, padded_alike
from streamsocket.rtp.batch import Batch
from streamsocket.webrtc.ice import IceLite
from streamsocket.webrtc.rtx import RtxSender
from streamsocket.webrtc.srtp import Burst, SrtpError, SrtpSender, bursts

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

# What a full send buffer holds at most for one viewer, beside its queue of batches.
_MAX_WAITING_RUNS = 256

_PAYLOAD_TYPE = 0x7F


class SrtpTarget:
    """One track of one viewer: how its packets are protected, and where they go."""

    __slots__ = ("_next", "_session", "_stream", "ice", "payload_type", "rtx")

    def __init__(
        self,
        ice: IceLite[Any],
        session: SrtpSender,
        payload_type: int,
        *,
        ssrc: int,
        sequence: int,
        rtx: tuple[int, int] | None = None,
    ) -> None:
        """`sequence` is the first packet's, unwrapped; `rtx` payload type and SSRC of repairs.

        Without `rtx`, what is lost is sent again as it was.
        """
        self.ice = ice
        self.payload_type = payload_type
        self.rtx: RtxSender | None = None
        if rtx:
            first = secrets.randbits(15)
            self.rtx = RtxSender(session.add_stream(rtx[1], first), *rtx, sequence=first)
        self._session = session
        self._stream = session.add_stream(ssrc, sequence)
        self._next = sequence

    def protect(self, burst: Burst) -> Sequence[DatagramRun]:
        """Protect what wasn't sent before. The result may be the burst's memory."""
        self._next = burst.sequence + burst.count
        return self._stream.protect(burst)

    def protect_packets(self, buffer: bytearray, sizes: Sequence[int]) -> list[DatagramRun]:
        """Protect what this viewer alone is sent: the next packets, or one that it missed."""
        first = int.from_bytes(buffer[2:4])
        # The unwrapped number nearest to the one that follows is the one that is meant.
        sequence = self._next + ((first - self._next + 0x8000) & 0xFFFF) - 0x8000
        if sequence >= self._next:
            return [
                copied(run)
                for burst in bursts(buffer, sizes, sequence)
                for run in self.protect(burst)
            ]
        packet = bytes(buffer)
        if self.rtx:
            return self.rtx.protect(packet)
        with suppress(SrtpError):  # it was sent too long ago
            again = self._stream.protect_again(packet, sequence)
            return [DatagramRun(again, len(again), 1)]
        return []

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Protect a report."""
        return self._session.protect_rtcp(packet)


class SrtpGroups:
    """The viewers that get one track by WebRTC, live: in a group, headers are the same bytes."""

    def __init__(self, sender: SrtpUdpSender, *, is_sound: bool) -> None:
        self._sender = sender
        self._is_sound = is_sound
        self._groups: dict[tuple[int, int], dict[Output, SrtpTarget]] = {}

    def add(self, output: Output, target: SrtpTarget) -> None:
        """The output gets what its group gets, from the next batch on."""
        key = (target.payload_type, output.sequence_delta)
        self._groups.setdefault(key, {})[output] = target

    def remove(self, output: Output, target: SrtpTarget) -> None:
        """The output gets nothing more."""
        key = (target.payload_type, output.sequence_delta)
        group = self._groups.get(key)
        if group and group.pop(output, None) and not group:
            del self._groups[key]

    def send(self, batches: list[Batch]) -> None:
        """Send batches of this track to every group."""
        for (payload_type, delta), targets in tuple(self._groups.items()):
            buffer, sizes = joined(batches, delta)
            # Sound is not repaired: nobody gets the same packet again with other padding.
            if self._is_sound and len(sizes) > 1 and (padded := padded_alike(buffer, sizes)):
                buffer, sizes = padded
            buffer = retyped(buffer, sizes, payload_type)
            made = bursts(buffer, sizes, batches[0].sequence + delta)
            self._sender.send_bursts(made, targets)


class SrtpUdpSender:
    """Sends to any number of peers through one UDP socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        udp_socket: socket.socket,
        *,
        segmentation: bool | None = None,
    ) -> None:
        self._loop = loop
        self._socket = DatagramSocket(udp_socket, segmentation)
        self._waiting: dict[Output, deque[DatagramRun]] = {}

    # What the fan-out calls: many viewers at once.

    def send_bursts(self, made: Sequence[Burst], targets: dict[Output, SrtpTarget]) -> None:
        """Send the same packets to every target, encrypted for each."""
        datagrams = self._socket
        for position, burst in enumerate(made):
            # Who blocks leaves the group: afterwards, since the loop goes through it.
            blocked: list[tuple[Output, SrtpTarget, list[DatagramRun]]] = []
            for output, target in targets.items():
                path = target.ice.path
                runs = target.protect(burst)
                if path is None:
                    continue  # it is between two networks; what it misses, it asks for
                if not datagrams.segmentation:
                    runs = datagrams.sendable(runs)
                for sent, run in enumerate(runs):
                    if not datagrams.send(run, path, output):
                        blocked.append((output, target, [copied(rest) for rest in runs[sent:]]))
                        break
            for output, target, rest in blocked:
                for later in made[position + 1 :]:
                    rest += [copied(run) for run in target.protect(later)]
                self._wait(output, rest)

    # What an output calls: one viewer.

    def blocks(self, output: Output) -> bool:
        """Whether something of this output still waits for the socket."""
        return output in self._waiting

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to one viewer; what the socket doesn't take now is kept and sent later."""
        target = _target(output)
        shaped = retyped(buffer, sizes, target.payload_type)
        runs = target.protect_packets(shaped, sizes)
        path = target.ice.path
        if path is None:
            return
        runs = list(self._socket.sendable(runs))
        if output in self._waiting:
            self._wait(output, runs)
            return
        for position, run in enumerate(runs):
            if not self._socket.send(run, path, output):
                self._wait(output, runs[position:])
                return

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet to one viewer."""
        target = _target(output)
        self.send_datagram(target.protect_rtcp(rtcp), target.ice.path)

    def send_datagram(self, datagram: bytes, path: tuple[object, ...] | None) -> None:
        """Send what may get lost: reports, answers to checks, DTLS, which repeats itself."""
        if path is None:
            return
        try:
            self._socket.socket.sendto(datagram, path)
        except OSError:
            pass  # the buffer is full, or there is no route

    def enter(self, output: Output) -> None:
        """Nothing to prepare: the socket is everybody's."""

    def go_live(self, output: Output) -> None:
        """From now on the output gets what its group gets."""
        self._groups(output).add(output, _target(output))

    def leave(self, output: Output) -> None:
        """The output stops: forget what waits for it and take it out of its group."""
        self._groups(output).remove(output, _target(output))
        self._waiting.pop(output, None)

    def close(self) -> None:
        """Stop watching the socket; closing it is for who opened it."""
        if self._waiting:
            self._loop.remove_writer(self._socket.socket)
            self._waiting.clear()

    def _groups(self, output: Output) -> SrtpGroups:
        track = output.track
        groups = track.groups.get(self)
        if not isinstance(groups, SrtpGroups):
            groups = track.groups[self] = SrtpGroups(self, is_sound=not track.is_video)
        return groups

    def _wait(self, output: Output, runs: Sequence[DatagramRun]) -> None:
        """Keep runs until the socket has room, and take the output out of its group."""
        if not self._waiting:
            self._loop.add_writer(self._socket.socket, self._writable)
        self._groups(output).remove(output, _target(output))
        output.hold()
        waiting = self._waiting.setdefault(output, deque())
        if len(waiting) + len(runs) <= _MAX_WAITING_RUNS:
            waiting.extend(runs)
        else:
            output.track.unsent_packets += sum(run.packets for run in runs)

    def _writable(self) -> None:
        for output, runs in tuple(self._waiting.items()):
            path = _target(output).ice.path
            while runs and path is not None:
                if not self._socket.send(runs[0], path, output):
                    return
                runs.popleft()
            self._waiting.pop(output, None)
            output.pump(time.monotonic())
        if not self._waiting:
            self._loop.remove_writer(self._socket.socket)


def retyped(buffer: bytes | bytearray, sizes: Sequence[int], payload_type: int) -> bytearray:
    """The packets with another payload type."""
    packets = bytearray(buffer)
    start = 1
    for size in sizes:
        packets[start] = packets[start] & ~_PAYLOAD_TYPE | payload_type
        start += size
    return packets


def copied(run: DatagramRun) -> DatagramRun:
    """A run with memory of its own."""
    return run._replace(data=bytes(run.data))


def _target(output: Output) -> SrtpTarget:
    assert isinstance(output.target, SrtpTarget)
    return output.target
