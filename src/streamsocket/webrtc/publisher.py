"""Who publishes: packets of a peer on their way into the hub, and what the peer is told of them."""

from __future__ import annotations

import logging
import secrets
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence
from functools import partial

from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.hub.intake import Intake
from streamsocket.hub.stream import Publication
from streamsocket.media.codec import Track
from streamsocket.rtp.rtcp import ReceiverReport, build_receiver_report
from streamsocket.webrtc.header_extensions import ExtensionMap, ExtensionUri
from streamsocket.webrtc.negotiation import Published
from streamsocket.webrtc.rtx import unwrap
from streamsocket.webrtc.srtp import SrtpSender
from streamsocket.webrtc.transport_feedback import ArrivalRecorder

# How often what is missing is given up.
_TURN_S = 0.05
# Every so many turns the peer is told when its packets came: as often as browsers tell each other.
_FEEDBACK_TURNS = 2

_REPORTS = (200, 201)  # what a compound packet begins with (RFC 3550, 6.1)

_log = logging.getLogger("streamsocket.webrtc")

Publish = Callable[[Sequence[Track], Callable[[], None], Callable[[], None]], Publication]
"""Takes tracks, what asks for a keyframe, and what tells that another has taken the place."""


class Publisher:
    """One peer that publishes a stream."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        tracks: Sequence[Published],
        publish: Publish,
        send: Callable[[bytes], None],
        on_end: Callable[[], None],
        *,
        timeout_s: float,
    ) -> None:
        """`tracks` have the picture first. `send` takes RTCP, protected.

        `on_end` is called when the peer has said goodbye, is silent for `timeout_s`, or may not
        publish any more.
        """
        self._loop = loop
        self._tracks = tracks
        self._publish = publish
        self._send = send
        self._on_end = on_end
        self._timeout_s = timeout_s
        self._last_arrival = time.monotonic()
        self._own_ssrc = secrets.randbits(32)
        self._protection: SrtpSender | None = None
        self._publication: Publication | None = None
        self._intakes: dict[int, Intake] = {}
        self._repairs: dict[int, int] = {}
        """By the payload type of retransmissions, what they repair."""
        self._ssrcs: dict[int, int] = {}
        self._arrivals: ArrivalRecorder | None = None
        ids = next((each.extensions for each in tracks), {})
        self._extensions = ExtensionMap(ids)
        if ExtensionUri.TRANSPORT_SEQUENCE in ids:
            self._arrivals = ArrivalRecorder(self._own_ssrc)
        self._timer: TimerHandle | None = None
        self._turns = 0

    def connected(self, protection: SrtpSender) -> None:
        """Publish."""
        self._protection = protection
        self._last_arrival = time.monotonic()
        codecs = [Track(each.codec) for each in self._tracks]
        try:
            self._publication = self._publish(codecs, self._request_keyframe, self._on_end)
        except StreamSocketError as error:
            _log.warning("%s", error)
            self._on_end()
            return
        for index, each in enumerate(self._tracks):
            offered = each.choice.format
            self._intakes[offered.payload_type] = Intake(
                self._publication,
                index,
                each.codec,
                offered.parameters,
                payload_type=offered.payload_type,
                ordered=False,
                answers_nack=each.kind == "video" and "nack" in offered.feedback,
                bundled=True,
                announced_ssrc=each.ssrc,
                send_rtcp=partial(self._send_rtcp, reduced=each.takes_reduced),
            )
            if each.choice.rtx:
                self._repairs[each.choice.rtx.payload_type] = offered.payload_type
        self._turn()

    def receive(self, packets: list[bytes]) -> None:
        """Take RTP packets, and send them on."""
        now = time.monotonic()
        self._last_arrival = now
        by_type: dict[int, list[bytes]] = {}
        for packet in packets:
            payload_type = packet[1] & 0x7F
            if self._arrivals:
                self._note_arrival(packet, now)
            if payload_type in self._intakes:
                self._ssrcs[payload_type] = int.from_bytes(packet[8:12])
                by_type.setdefault(payload_type, []).append(packet)
            elif repaired := self._repaired(packet, payload_type):
                by_type.setdefault(self._repairs[payload_type], []).append(repaired)
        arrival = time.time()
        for payload_type, own in by_type.items():
            self._intakes[payload_type].receive(own, arrival)
        if self._publication:
            self._publication.flush()

    def receive_rtcp(self, data: bytes) -> None:
        """Take the peer's reports."""
        arrival = time.time()
        for intake in self._intakes.values():
            intake.receive_rtcp(data, arrival)
        if self._intakes and all(intake.ended for intake in self._intakes.values()):
            self._on_end()

    def moved(self) -> None:
        """What little is sent goes by whatever path there is."""

    def tick(self, now: float) -> None:
        """Report, every second; give up a peer that is silent."""
        if now - self._last_arrival > self._timeout_s:
            self._on_end()
            return
        for intake in self._intakes.values():
            intake.report(time.time())

    def close(self) -> None:
        """The peer is gone. The stream's viewers wait for it to return."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._publication:
            self._publication.close()
            self._publication = None
        self._intakes.clear()

    def _turn(self) -> None:
        arrival, now = time.time(), time.monotonic()
        for intake in self._intakes.values():
            if intake.waiting:
                intake.tick(arrival)
        if self._publication:
            self._publication.flush()
        self._turns += 1
        if self._arrivals and self._ssrcs and not self._turns % _FEEDBACK_TURNS:
            for message in self._arrivals.build(next(iter(self._ssrcs.values())), now):
                self._send_rtcp(message, reduced=self._tracks[0].takes_reduced)
        self._timer = self._loop.call_later(_TURN_S, self._turn)

    def _note_arrival(self, packet: bytes, now: float) -> None:
        try:
            sequence = self._extensions.transport_sequence(packet)
        except ParseError:
            return
        if sequence is not None and self._arrivals:
            self._arrivals.received(sequence, now)

    def _repaired(self, packet: bytes, payload_type: int) -> bytes | None:
        """The packet that a retransmission brings; None where it is none, or padding."""
        original = self._repairs.get(payload_type)
        ssrc = self._ssrcs.get(original) if original is not None else None
        if original is None or ssrc is None:
            return None
        try:
            return unwrap(packet, original, ssrc)
        except ParseError:
            return None

    def _request_keyframe(self) -> None:
        for each in self._tracks:
            intake = self._intakes.get(each.choice.payload_type)
            if intake and "nack pli" in each.choice.format.feedback:
                intake.request_keyframe()

    def _send_rtcp(self, data: bytes, *, reduced: bool) -> None:
        if not reduced and data[1] not in _REPORTS:
            data = build_receiver_report(ReceiverReport(self._own_ssrc), "streamsocket") + data
        if self._protection:
            self._send(self._protection.protect_rtcp(data))
