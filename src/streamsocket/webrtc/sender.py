"""Sending to browsers: one UDP socket for all, packets put into shape once, encrypted for each."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from streamsocket.hub.datagrams import Address, DatagramSocket
from streamsocket.hub.sendmmsg import ManySends
from streamsocket.hub.waiting import WaitingRuns
from streamsocket.hub.wire import DatagramRun, joined, padded_alike
from streamsocket.rtp.batch import Batch
from streamsocket.webrtc.ice import IceLite
from streamsocket.webrtc.packet_shape import CAPTURE_TIME_S, PacketShape, retyped
from streamsocket.webrtc.rtx import RtxSender
from streamsocket.webrtc.srtp import Burst, SrtpError, SrtpSender, bursts

if TYPE_CHECKING:
    from streamsocket.hub.output import Output


class SrtpTarget:
    """One track of one viewer: how its packets are protected, and where they go."""

    __slots__ = ("_name", "_named", "_session", "_stream", "ice", "protect", "rtx", "shape")

    def __init__(
        self,
        ice: IceLite[Any],
        session: SrtpSender,
        shape: PacketShape,
        *,
        ssrc: int,
        sequence: int,
        rtx: tuple[int, int] | None = None,
    ) -> None:
        """`sequence` is the first packet's, unwrapped; `rtx` payload type and SSRC of repairs.

        Without `rtx`, what is lost is sent again as it was: its shape may have no extensions then,
        unless nothing of the track is sent again.
        """
        self.ice = ice
        self.shape = shape
        self.rtx: RtxSender | None = None
        if rtx:
            first = secrets.randbits(15)
            self.rtx = RtxSender(session.add_stream(rtx[1], first), *rtx, sequence=first)
        self._session = session
        self._stream = session.add_stream(ssrc, sequence)
        self._named: Address | None = None
        self._name = b""
        self.protect: Callable[..., Sequence[DatagramRun]] = self._stream.protect
        """Protects what wasn't sent before; the result may be a slot of the burst's."""

    @property
    def fills_slots(self) -> bool:
        """Whether what is protected is always in the burst's slot."""
        return self._stream.fills_slots

    def name(self, path: Address, many: ManySends) -> bytes:
        """The path as the kernel wants it; empty for what is no address."""
        if path is not self._named:
            self._name, self._named = many.name(path), path
        return self._name

    def protect_packets(self, buffer: bytes | bytearray, sizes: Sequence[int]) -> list[DatagramRun]:
        """Protect what this viewer alone is sent: the next packets, or one that it missed.

        They come as the hub has them. The result has memory of its own.
        """
        first = int.from_bytes(buffer[2:4])
        # The unwrapped number nearest to the one that follows is the one that is meant.
        following = self._stream.next_sequence
        sequence = following + ((first - following + 0x8000) & 0xFFFF) - 0x8000
        if sequence >= following:
            shaped = self.shape.shaped(buffer, sizes, time.monotonic())
            return [
                copied(run) for burst in bursts(*shaped, sequence) for run in self.protect(burst)
            ]
        if self.rtx:
            return self.rtx.protect(bytes(buffer), self.shape.extension(time.monotonic()))
        with suppress(SrtpError):  # it was sent too long ago
            packet = bytes(retyped(buffer, sizes, self.shape.payload_type))
            again = self._stream.protect_again(packet, sequence)
            return [DatagramRun(again, len(again), 1)]
        return []

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Protect a report."""
        return self._session.protect_rtcp(packet)


class BurstSender(Protocol):
    """What carries packets that are the same for many viewers."""

    def send_bursts(self, made: Sequence[Burst], targets: dict[Output, SrtpTarget]) -> None:
        """Send the same packets to every target, encrypted for each."""


class SrtpGroups:
    """The viewers that get one track by WebRTC, live: in a group, headers are the same bytes."""

    def __init__(self, sender: BurstSender, *, is_sound: bool) -> None:
        self._sender = sender
        self._is_sound = is_sound
        self._groups: dict[tuple[PacketShape, int], dict[Output, SrtpTarget]] = {}
        self._dated_at = 0.0

    def add(self, output: Output, target: SrtpTarget) -> None:
        """The output gets what its group gets, from the next batch on."""
        self._groups.setdefault((target.shape, output.sequence_delta), {})[output] = target

    def remove(self, output: Output, target: SrtpTarget) -> None:
        """The output gets nothing more."""
        key = (target.shape, output.sequence_delta)
        group = self._groups.get(key)
        if group and group.pop(output, None) and not group:
            del self._groups[key]

    def send(self, batches: list[Batch]) -> None:
        """Send batches of this track to every group."""
        if not self._groups:
            return
        now = time.monotonic()
        captured = self._captured(batches, now)
        for (shape, delta), targets in tuple(self._groups.items()):
            buffer, sizes = joined(batches, delta)
            # Sound is not repaired: nobody gets the same packet again with other padding.
            if self._is_sound and len(sizes) > 1 and (padded := padded_alike(buffer, sizes)):
                buffer, sizes = padded
            shaped, sizes = shape.shaped(buffer, sizes, now, captured)
            made = bursts(shaped, sizes, batches[0].sequence + delta, len(targets))
            self._sender.send_bursts(made, targets)

    def _captured(self, batches: list[Batch], now: float) -> list[float] | None:
        """When each packet was captured, if that is to be told now.

        All packets tell it, not the first alone: only packets of one size leave in one call.
        """
        is_due = now - self._dated_at >= CAPTURE_TIME_S
        if not is_due and not any(batch.keyframe for batch in batches):
            return None
        self._dated_at = now
        return [batch.capture_time for batch in batches for _ in batch.sizes]


_Blocked = list[tuple["Output", SrtpTarget, list[DatagramRun]]]
"""For whom the socket had no room, with what of theirs."""


class SrtpUdpSender:
    """Sends to any number of peers through one UDP socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        udp_socket: socket.socket,
        *,
        segmentation: bool | None = None,
    ) -> None:
        self._datagrams = DatagramSocket(udp_socket, segmentation)
        self._waiting = WaitingRuns(loop, self._datagrams, lambda output: _target(output).ice.path)

    # What the fan-out calls: many viewers at once.

    def send_bursts(self, made: Sequence[Burst], targets: dict[Output, SrtpTarget]) -> None:
        """Send the same packets to every target, encrypted for each."""
        for position, burst in enumerate(made):
            many = self._datagrams.many
            if many and burst.slots > 1:
                blocked = self._send_together(many, burst, targets)
            else:
                blocked = self._send_one_by_one(burst, targets.items())
            # Who blocks leaves the group: afterwards, since the loops go through it.
            for output, target, rest in blocked:
                for later in made[position + 1 :]:
                    rest += [copied(run) for run in target.protect(later)]
                self._leave_group(output)
                self._waiting.keep(output, rest)

    def _send_together(
        self, many: ManySends, burst: Burst, targets: dict[Output, SrtpTarget]
    ) -> _Blocked:
        """Send to some at once, as many as there are slots."""
        blocked: _Blocked = []
        alone: list[tuple[Output, SrtpTarget]] = []
        part: list[Output] = []
        names: list[bytes] = []
        slots = burst.slots
        for output, target in targets.items():
            path = target.ice.path
            name = target.name(path, many) if path else b""
            if not name or not target.fills_slots:
                alone.append((output, target))
                continue
            target.protect(burst, len(part))
            part.append(output)
            names.append(name)
            if len(part) == slots:
                self._send_part(many, burst, targets, part, names, blocked)
                part.clear()
                names.clear()
        if part:
            self._send_part(many, burst, targets, part, names, blocked)
        return blocked + self._send_one_by_one(burst, alone) if alone else blocked

    def _send_part(
        self,
        many: ManySends,
        burst: Burst,
        targets: dict[Output, SrtpTarget],
        part: list[Output],
        names: list[bytes],
        blocked: _Blocked,
    ) -> None:
        """Send what is in the slots."""
        layout = burst.gcm
        memory = layout.address
        unsent: dict[int, list[DatagramRun]] = {}
        for number, run in enumerate(layout.slots[0].runs):
            size = len(run.data)
            sent = many.send(names, memory, layout.slot_bytes, size, run.segment_size)
            memory += size
            # Whoever comes after one who is refused is not reached either.
            for place in range(sent, len(part)):
                unsent.setdefault(place, []).append(layout.slots[place].runs[number])
        for place, runs in unsent.items():
            output = part[place]
            target = targets[output]
            if (path := target.ice.path) and (rest := self._rest(output, path, runs)):
                blocked.append((output, target, rest))

    def _send_one_by_one(
        self, burst: Burst, targets: Iterable[tuple[Output, SrtpTarget]]
    ) -> _Blocked:
        blocked: _Blocked = []
        for output, target in targets:
            runs = target.protect(burst)
            path = target.ice.path
            if path is None:
                continue  # it is between two networks; what it misses, it asks for
            if rest := self._rest(output, path, self._datagrams.sendable(runs)):
                blocked.append((output, target, rest))
        return blocked

    def _rest(
        self, output: Output, address: Address, runs: Sequence[DatagramRun]
    ) -> list[DatagramRun]:
        """Send runs to one viewer; returns copies of those that the socket had no room for."""
        for position, run in enumerate(runs):
            if not self._datagrams.send(run, address, output):
                return [copied(rest) for rest in runs[position:]]
        return []

    # What an output calls: one viewer.

    def blocks(self, output: Output) -> bool:
        """Whether something of this output still waits for the socket."""
        return output in self._waiting

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to one viewer; what the socket doesn't take now is kept and sent later."""
        runs = _target(output).protect_packets(buffer, sizes)
        if not self._waiting.send(output, self._datagrams.sendable(runs)):
            self._leave_group(output)

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet to one viewer."""
        target = _target(output)
        self.send_datagram(target.protect_rtcp(rtcp), target.ice.path)

    def send_datagram(self, datagram: bytes, path: tuple[object, ...] | None) -> None:
        """Send what may get lost: reports, answers to checks, DTLS, which repeats itself."""
        if path is None:
            return
        try:
            self._datagrams.socket.sendto(datagram, path)
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
        self._waiting.forget(output)

    def close(self) -> None:
        """Stop watching the socket; closing it is for who opened it."""
        self._waiting.close()

    def _groups(self, output: Output) -> SrtpGroups:
        track = output.track
        groups = track.groups.get(self)
        if not isinstance(groups, SrtpGroups):
            groups = track.groups[self] = SrtpGroups(self, is_sound=not track.is_video)
        return groups

    def _leave_group(self, output: Output) -> None:
        """What waits goes first: the output sends on its own until then."""
        self._groups(output).remove(output, _target(output))
        output.hold()


def copied(run: DatagramRun) -> DatagramRun:
    """A run with memory of its own."""
    return run._replace(data=bytes(run.data))


def _target(output: Output) -> SrtpTarget:
    assert isinstance(output.target, SrtpTarget)
    return output.target
