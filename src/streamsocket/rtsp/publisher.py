"""A publisher's session on the server: its tracks, how they come, and their way into the hub."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Collection
from functools import partial

from streamsocket.errors import StreamSocketError
from streamsocket.hub.hub import Hub
from streamsocket.hub.intake import REORDER_S, Intake
from streamsocket.hub.stream import Publication
from streamsocket.hub.udp import Address
from streamsocket.media.codec import Track
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.sdp import Media, SessionDescription
from streamsocket.rtsp.udp_intake import UdpIntake

MAX_TRACKS = 8

_REPORT_INTERVAL_S = 5.0


class UnsupportedMediaError(StreamSocketError):
    """What is announced cannot be passed on; the message says what of it."""


class Publisher:
    """What one connection publishes, from ANNOUNCE to its end."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        name: str,
        description: SessionDescription,
        send_frame: Callable[[int, bytes], None],
    ) -> None:
        """`send_frame` sends RTCP on a channel of the connection.

        Raises `UnsupportedMediaError` where a track is of a codec that is not known here.
        """
        self.name = name
        self.last_arrival = time.monotonic()
        """When the last packet came, in seconds of `time.monotonic()`."""
        self._loop = loop
        self._medias = [_supported(media) for media in description.medias]
        if len(self._medias) > MAX_TRACKS:
            raise UnsupportedMediaError(f"{MAX_TRACKS} tracks are the most a stream can have")
        self._send_frame = send_frame
        self._transports: dict[int, TransportSpec] = {}
        self._udp: dict[int, UdpIntake] = {}
        self._intakes: dict[int, Intake] = {}
        self._publication: Publication | None = None
        self._expiry: TimerHandle | None = None
        self._report_due = 0.0

    def set_up(
        self, track: int, transport: TransportSpec, own_host: str, peer: Address
    ) -> tuple[int, int] | None:
        """Prepare to receive a track; return the ports to send to, if that is over UDP.

        `peer` is the publisher's RTCP address. Raises `StreamSocketError` where no port is free.
        """
        ports = None
        if transport.protocol == "udp":
            self._udp[track] = UdpIntake(
                self._loop,
                own_host,
                peer,
                on_packets=partial(self._receive_datagrams, track),
                on_rtcp=partial(self.receive_rtcp, track),
            )
            ports = self._udp[track].ports
        self._transports[track] = transport
        return ports

    def record(self, hub: Hub, *, replace: bool, on_replaced: Callable[[], None]) -> None:
        """Publish the tracks that were set up.

        Raises `StreamTakenError` where somebody else publishes under the name.
        """
        # Pictures first, as viewers expect it, whatever the publisher's order was.
        order = sorted(self._transports, key=lambda track: self._medias[track].kind != "video")
        tracks = [_track(self._medias[track]) for track in order]
        self._publication = publication = hub.publish(
            self.name,
            tracks,
            self._keyframe_request(order),
            on_replaced=on_replaced,
            guest=True,
            origin="RTSP",
            replace=replace,
        )
        for index, track in enumerate(order):
            media = self._medias[track]
            self._intakes[track] = Intake(
                publication,
                index,
                tracks[index].codec,
                media.fmtp,
                payload_type=media.payload_type,
                ordered=track not in self._udp,
                answers_nack="nack" in media.feedback,
                send_rtcp=partial(self._send_rtcp, track),
            )

    def receive(self, track: int, packets: list[bytes], arrival: float) -> None:
        """Take RTP packets of a track; `flush` sends them on."""
        if intake := self._intakes.get(track):
            self.last_arrival = time.monotonic()
            intake.receive(packets, arrival)

    def receive_rtcp(self, track: int, data: bytes, arrival: float) -> None:
        """Take RTCP about a track."""
        if intake := self._intakes.get(track):
            intake.receive_rtcp(data, arrival)

    def flush(self) -> None:
        """Send on what has been received."""
        if self._publication:
            self._publication.flush()

    def sweep(self, now: float) -> None:
        """Report to the publisher how its packets come, every few seconds."""
        if now >= self._report_due:
            self._report_due = now + _REPORT_INTERVAL_S
            for intake in self._intakes.values():
                intake.report(time.time())

    @property
    def ended(self) -> bool:
        """Whether the publisher has said goodbye for every track."""
        return bool(self._intakes) and all(each.ended for each in self._intakes.values())

    def close(self) -> None:
        """The publisher is gone. Its stream's viewers wait for it to return."""
        if self._expiry:
            self._expiry.cancel()
        for udp in self._udp.values():
            udp.close()
        self._udp.clear()
        self._intakes.clear()
        if self._publication:
            self._publication.close()
            self._publication = None

    def _receive_datagrams(self, track: int, packets: list[bytes], arrival: float) -> None:
        intake = self._intakes.get(track)
        if intake is None:
            return  # they come before RECORD
        self.last_arrival = time.monotonic()
        intake.receive(packets, arrival)
        self.flush()
        if intake.waiting and self._expiry is None:
            self._expiry = self._loop.call_later(REORDER_S, self._expire)

    def _expire(self) -> None:
        """Give up what has been missing for too long."""
        self._expiry = None
        arrival = time.time()
        for intake in self._intakes.values():
            intake.tick(arrival)
        self.flush()
        if any(intake.waiting for intake in self._intakes.values()):
            self._expiry = self._loop.call_later(REORDER_S / 4, self._expire)

    def _send_rtcp(self, track: int, data: bytes) -> None:
        if udp := self._udp.get(track):
            udp.send_rtcp(data)
        elif channels := self._transports[track].interleaved:
            self._send_frame(channels[1], data)

    def _keyframe_request(self, tracks: Collection[int]) -> Callable[[], None] | None:
        """What asks the publisher for a keyframe, if it said that it makes them when asked."""
        if not any("nack pli" in self._medias[track].feedback for track in tracks):
            return None
        return self._request_keyframe

    def _request_keyframe(self) -> None:
        for track, intake in self._intakes.items():
            if "nack pli" in self._medias[track].feedback:
                intake.request_keyframe()


def _supported(media: Media) -> Media:
    if media.kind not in ("video", "audio"):
        raise UnsupportedMediaError(f"m={media.kind[:20]} is neither picture nor sound")
    if media.codec is None:
        raise UnsupportedMediaError(media.unsupported or "a track is of no codec known here")
    return media


def _track(media: Media) -> Track:
    assert media.codec is not None
    return Track(media.codec, media.frame_rate)
