"""Multicast: a track that leaves once, for all viewers who asked for it that way (RFC 2326, 12.39).

A stream has a group address of its own while somebody has it set up, and each of its tracks a pair
of ports there. What is sent is sent by a reader of the group's own, from the first viewer's PLAY to
the last one's end. The viewers are readers too, so that they are counted and told when the stream
ends; their outputs follow the group's and send nothing.
"""

from __future__ import annotations

import socket
import struct
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from streamsocket.errors import StreamSocketError
from streamsocket.hub.output import Output
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.hub.udp import UdpSender, UdpTarget
from streamsocket.rtsp.udp_ports import bind_pair

_SEND_BUFFER_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MulticastOptions:
    """What of multicast can be set."""

    network: IPv4Network
    """Where the groups' addresses come from."""
    port: int = 8002
    """The even port of a stream's first track; the others follow in pairs."""
    ttl: int = 1
    """How many networks packets may pass through; 1: this one alone."""
    interface: str | None = None
    """The address of the interface to send from; None leaves it to the system's routes."""


class MulticastGroups:
    """All groups of a server, and the sockets they are sent through."""

    def __init__(self, loop: AbstractEventLoop, options: MulticastOptions) -> None:
        self.options = options
        self._loop = loop
        self._sockets: tuple[socket.socket, ...] = ()
        self._sender: UdpSender | None = None
        self._groups: dict[Stream, _Group] = {}
        self._last_given = 0

    def open(self) -> None:
        """Open the sockets. Raises `StreamSocketError` if there is no such interface."""
        options = self.options
        rtp, rtcp = self._sockets = bind_pair("0.0.0.0")
        rtp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        try:
            for each in self._sockets:
                _prepare(each, options)
        except OSError as error:
            self.close()
            raise StreamSocketError(
                f"Multicast cannot be sent from {options.interface} ({error.strerror}): set "
                "multicast.interface to an address of this machine."
            ) from error
        self._sender = UdpSender(self._loop, rtp, rtcp)

    def close(self) -> None:
        """Close the sockets, once all viewers are gone."""
        if self._sender:
            self._sender.close()
        for each in self._sockets:
            each.close()
        self._sockets = ()

    @property
    def sender(self) -> UdpSender:
        """What all groups are sent through."""
        assert self._sender is not None
        return self._sender

    def set_up(self, stream: Stream, track: int) -> MulticastTrack:
        """A track in its group, for one more viewer, who shall `release` it.

        Raises `StreamSocketError` if all groups are taken.
        """
        group = self._groups.get(stream)
        if group is None:
            group = self._groups[stream] = _Group(self, stream, self._free_address())
        return group.set_up(track)

    def forget(self, stream: Stream) -> None:
        """Nobody has anything of the stream set up any more."""
        del self._groups[stream]

    def _free_address(self) -> str:
        """The next address in turn that nobody uses: late packets of one group reach no other."""
        taken = {group.host for group in self._groups.values()}
        size = self.options.network.num_addresses
        for step in range(1, min(len(taken) + 1, size) + 1):
            number = (self._last_given + step) % size
            address = str(self.options.network[number])
            if address not in taken:
                self._last_given = number
                return address
        raise StreamSocketError(f"all {size} multicast groups are taken")


class _Group:
    """The group of one stream."""

    def __init__(self, groups: MulticastGroups, stream: Stream, host: str) -> None:
        self.host = host
        self.reader = Reader(stream, on_end=self._end, is_viewer=False)
        self.is_over = False
        """The stream has ended. Its viewers' own readers tell them."""
        self._groups = groups
        self._tracks: dict[int, MulticastTrack] = {}

    def set_up(self, index: int) -> MulticastTrack:
        track = self._tracks.get(index)
        if track is None:
            track = self._tracks[index] = self._make(index)
        track.users += 1
        return track

    def forget(self, index: int) -> None:
        """Nobody has this track set up any more."""
        del self._tracks[index]
        if not self._tracks:
            self._groups.forget(self.reader.stream)

    def _end(self) -> None:
        self.is_over = True

    def _make(self, index: int) -> MulticastTrack:
        rtp_port = self._groups.options.port + 2 * index
        ports = rtp_port, rtp_port + 1
        target = UdpTarget((self.host, ports[0]), (self.host, ports[1]))
        output = self.reader.add(index, self._groups.sender, target)
        return MulticastTrack(self, index, output, ports)


class MulticastTrack:
    """A track on its way to its group. To the viewers' outputs it is the `Sender` they have.

    The group is sent to while there is a viewer whose output plays.
    """

    def __init__(self, group: _Group, index: int, output: Output, ports: tuple[int, int]) -> None:
        self.host = group.host
        self.ports = ports
        """Of RTP and RTCP."""
        self.output = output
        """What the viewers' outputs follow."""
        self.users = 0
        """How many viewers have it set up."""
        self._group = group
        self._index = index
        self._playing: dict[Output, None] = {}

    def release(self) -> None:
        """One viewer, whose output has stopped, does without it from now on."""
        self.users -= 1
        if not self.users:
            self._group.forget(self._index)

    # What a viewer's output calls.

    def blocks(self, output: Output) -> bool:
        """Never: what waits for the socket waits in the group's own output."""
        return False

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Nothing is sent to one viewer alone."""

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """The group's own output gets the reports."""

    def enter(self, output: Output) -> None:
        """A viewer plays: the first one starts the sending, the others join it."""
        self._playing[output] = None
        if self._group.is_over:
            return
        if self.output.state == "idle":
            self._group.reader.start([self._index])
            return
        self.output.report_due = 0.0
        if output.track.is_video:
            self._group.reader.request_keyframe()

    def go_live(self, output: Output) -> None:
        """Its packets are the group's: there is no list to put it on."""

    def leave(self, output: Output) -> None:
        """A viewer stops: with the last one, the sending ends."""
        self._playing.pop(output, None)
        if not self._playing and self.output.state != "idle":
            self._group.reader.pause([self._index])


def _prepare(udp_socket: socket.socket, options: MulticastOptions) -> None:
    ip = socket.IPPROTO_IP
    udp_socket.setsockopt(ip, socket.IP_MULTICAST_TTL, struct.pack("B", options.ttl))
    # Viewers on this machine are viewers too.
    udp_socket.setsockopt(ip, socket.IP_MULTICAST_LOOP, struct.pack("B", 1))
    if options.interface:
        interface = IPv4Address(options.interface).packed
        udp_socket.setsockopt(ip, socket.IP_MULTICAST_IF, interface)
