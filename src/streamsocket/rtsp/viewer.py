"""A viewer's session on the server: its reader in the hub, and where its reports come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.hub.tcp import TcpSender, TcpTarget
from streamsocket.hub.udp import Address, UdpTarget
from streamsocket.rtp.rtcp import Nack, Pli, parse_rtcp
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.multicast import MulticastGroups, MulticastTrack

if TYPE_CHECKING:
    from streamsocket.rtsp.connection import RtspConnection
    from streamsocket.rtsp.server import RtspServer


class Viewer:
    """What one connection watches, from its first SETUP to its end."""

    def __init__(
        self,
        server: RtspServer,
        connection: RtspConnection,
        stream: Stream,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called when the stream is over."""
        self.stream = stream
        self._server = server
        self._connection = connection
        self._reader = Reader(stream, on_end)
        self._rtcp_addresses: dict[int, Address] = {}
        self._multicast: dict[int, MulticastTrack] = {}

    def set_up_udp(self, track: int, address: Address, ports: tuple[int, int]) -> tuple[int, int]:
        """Prepare to send a track to these ports of the viewer; return the ports it comes from."""
        host, rest = address[0], address[2:]
        target = UdpTarget((host, ports[0], *rest), (host, ports[1], *rest))
        self._reader.add(track, self._server.udp, target)
        self._forget_rtcp_address(track)
        self._rtcp_addresses[track] = target.rtcp
        self._server.expect_reports(target.rtcp, self._connection)
        return self._server.udp_ports

    def set_up_tcp(self, track: int, sender: TcpSender, transport: TransportSpec) -> None:
        """Prepare to send a track over the connection."""
        assert transport.interleaved is not None
        self._reader.add(track, sender, TcpTarget(*transport.interleaved))

    def set_up_multicast(
        self, track: int, groups: MulticastGroups, transport: TransportSpec
    ) -> TransportSpec:
        """Prepare to send a track to its group; return the transport with the group's address.

        Raises `StreamSocketError` if no group is free.
        """
        sent = self._multicast[track] = groups.set_up(self.stream, track)
        self._reader.add(track, sent, None, leader=sent.output)
        return replace(transport, destination=sent.host, ports=sent.ports, ttl=groups.options.ttl)

    def prepare(
        self, tracks: Iterable[int], *, keep_timestamps: bool = False
    ) -> dict[int, tuple[int, int]]:
        """Choose where tracks begin: the sequence number and timestamp of each."""
        beginnings = self._reader.prepare(tracks, keep_timestamps=keep_timestamps)
        return {each.track: (each.sequence, each.timestamp) for each in beginnings}

    def start(self, tracks: Iterable[int]) -> None:
        """Send tracks from there."""
        self._reader.start(tracks)

    def pause(self, tracks: Iterable[int]) -> None:
        """Send nothing of these tracks any more."""
        self._reader.pause(tracks)

    def remove(self, tracks: Iterable[int]) -> None:
        """Give tracks up."""
        for track in tracks:
            self._forget_rtcp_address(track)
            self._reader.remove(track)
            self._release_group(track)

    def takes_all_through(self, sender: TcpSender) -> bool:
        """Whether a track plays over that connection, and its peer reads what it is sent."""
        return self._reader.sends_through(sender) and not sender.stalled

    def take_rtcp(self, data: bytes) -> None:
        """Take RTCP from the viewer. Raises `ParseError`."""
        for packet in parse_rtcp(data):
            match packet:
                case Nack(media_ssrc=ssrc, sequences=sequences):
                    self._reader.resend(ssrc, sequences)
                case Pli():
                    self._reader.request_keyframe()
                case _:
                    pass  # reports: that they come is all that matters

    def close(self) -> None:
        """Leave the stream."""
        self._reader.close()
        for track in tuple(self._rtcp_addresses):
            self._forget_rtcp_address(track)
        for track in tuple(self._multicast):
            self._release_group(track)

    def _release_group(self, track: int) -> None:
        if sent := self._multicast.pop(track, None):
            sent.release()

    def _forget_rtcp_address(self, track: int) -> None:
        if address := self._rtcp_addresses.pop(track, None):
            self._server.expect_no_reports(address)
