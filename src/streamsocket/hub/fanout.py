"""Fan-out: the loops that hand one batch to everybody who is live.

Viewers whose packets are the same bytes stand in one group. A group's bytes are made once, and what
is left to do for each viewer is one system call. Nothing else belongs into these loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from streamsocket.hub.wire import DatagramRun, datagram_runs, interleaved, joined, padded_alike
from streamsocket.rtp.batch import Batch

if TYPE_CHECKING:
    from streamsocket.hub.output import Output
    from streamsocket.hub.tcp import TcpSender
    from streamsocket.hub.track import StreamTrack
    from streamsocket.hub.udp import Address, UdpSender


class LiveGroups(Protocol):
    """Those who get one track live by a protocol that knows itself what is theirs."""

    def send(self, batches: list[Batch]) -> None:
        """Send batches of this track to all of them."""


class DatagramGroups:
    """The viewers that get one track over UDP, live, grouped by sequence delta."""

    def __init__(self, *, is_sound: bool) -> None:
        self._is_sound = is_sound
        self._groups: dict[tuple[UdpSender, int], dict[Output, Address]] = {}

    def add(self, sender: UdpSender, output: Output, address: Address) -> None:
        """The output gets what its group gets, from the next batch on."""
        self._groups.setdefault((sender, output.sequence_delta), {})[output] = address

    def remove(self, sender: UdpSender, output: Output) -> None:
        """The output gets nothing more."""
        key = (sender, output.sequence_delta)
        group = self._groups.get(key)
        if group and group.pop(output, None) and not group:
            del self._groups[key]

    def send(self, batches: list[Batch]) -> None:
        """Send batches of this track to every group."""
        for (sender, delta), targets in tuple(self._groups.items()):
            sender.send_runs(self._runs(batches, delta), targets)

    def _runs(self, batches: list[Batch], delta: int) -> list[DatagramRun]:
        buffer, sizes = joined(batches, delta)
        if self._is_sound and len(sizes) > 1 and (padded := padded_alike(buffer, sizes)):
            buffer, sizes = padded
        return datagram_runs(buffer, sizes)


InterleavedKey = tuple[tuple[int, int, int], ...]
"""For each live track, sound first: its index, its channel, the sequence delta."""


class InterleavedGroups:
    """The viewers that get a stream over TCP, live, grouped by what their connections carry.

    All that one flush has for a connection, sound and picture, goes out in one send.
    """

    def __init__(self) -> None:
        self._live: dict[TcpSender, dict[Output, int]] = {}
        self._groups: dict[InterleavedKey, dict[TcpSender, Callable[[bytes], int]]] = {}

    def add(self, sender: TcpSender, output: Output, channel: int) -> None:
        """The output gets what its group gets, from the next flush on."""
        self._leave_group(sender)
        self._live.setdefault(sender, {})[output] = channel
        self._enter_group(sender)

    def remove(self, sender: TcpSender, output: Output) -> None:
        """The output gets nothing more."""
        outputs = self._live.get(sender)
        if not outputs or output not in outputs:
            return
        self._leave_group(sender)
        del outputs[output]
        self._enter_group(sender)

    @property
    def empty(self) -> bool:
        """Whether nobody gets anything."""
        return not self._groups

    def send(self, tracks: Sequence[StreamTrack]) -> None:
        """Send what is pending of these tracks, given sound first, to every group."""
        pending = {track.index: track.pending for track in tracks}
        framed: dict[tuple[int, int, int], bytes] = {}
        for key, members in tuple(self._groups.items()):
            parts = []
            for entry in key:
                index, channel, delta = entry
                if batches := pending.get(index):
                    if entry not in framed:
                        framed[entry] = interleaved(*joined(batches, delta), channel)
                    parts.append(framed[entry])
            if parts:
                _send_to_all(b"".join(parts), members)

    def _key(self, sender: TcpSender) -> InterleavedKey:
        outputs = self._live.get(sender, {})
        entries = [
            (output.track.is_video, output.track.index, channel, output.sequence_delta)
            for output, channel in outputs.items()
        ]
        return tuple(entry[1:] for entry in sorted(entries))

    def _enter_group(self, sender: TcpSender) -> None:
        if key := self._key(sender):
            self._groups.setdefault(key, {})[sender] = sender.socket_send
        else:
            self._live.pop(sender, None)

    def _leave_group(self, sender: TcpSender) -> None:
        key = self._key(sender)
        group = self._groups.get(key)
        if group and group.pop(sender, None) and not group:
            del self._groups[key]


def _send_to_all(data: bytes, members: dict[TcpSender, Callable[[bytes], int]]) -> None:
    size = len(data)
    # Who takes less than all leaves the group: afterwards, since the loop goes through it.
    stalled: list[tuple[TcpSender, int]] = []
    broken: list[TcpSender] = []
    todo = iter(members.items())
    while True:
        try:
            for sender, send in todo:
                sent = send(data)
                if sent != size:
                    stalled.append((sender, sent))
            break
        except BlockingIOError:
            stalled.append((sender, 0))
        except OSError:
            broken.append(sender)
    for sender, sent in stalled:
        sender.keep(data, sent)
    for sender in broken:
        sender.fail()
