"""Ingress: one track's RTP from a publisher's session into its publication."""

from __future__ import annotations

from collections.abc import Mapping

from streamsocket.hub.stream import Publication
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import Codec
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.normalise import Normalised, normaliser
from streamsocket.rtp.packet import Unwrapper, parse_rtp


class Ingress:
    """Parses, normalises and dates what a publisher sends for one track.

    Packets come in order: over UDP, a `ReorderBuffer` goes before. What one wakeup brought of an
    access unit leaves as one batch at `flush`; nothing waits for the rest.
    """

    def __init__(
        self,
        publication: Publication,
        track: int,
        codec: Codec,
        fmtp: Mapping[str, str] | None = None,
    ) -> None:
        self._publication = publication
        self._track = track
        self._normaliser = normaliser(codec, fmtp)
        self._clock = CaptureClock(codec.clock_rate)
        self._timestamps = Unwrapper(32)
        self._gathered: Normalised | None = None

    @property
    def codec(self) -> Codec:
        """The codec, with the parameter sets last seen in band."""
        return self._normaliser.codec

    def packet(self, data: bytes | memoryview, arrival: float) -> None:
        """Take an RTP packet that arrived then, in seconds since the epoch.

        Raises `ParseError` for one that breaks the rules; the next may be given all the same.
        """
        packet = parse_rtp(data)
        timestamp = self._timestamps.unwrap(packet.timestamp)
        self._clock.packet(timestamp, arrival)
        for piece in self._normaliser.push(packet, timestamp):
            self._gather(piece)

    def sender_report(self, ntp_time: float, rtp_timestamp: int, arrival: float) -> None:
        """Take the publisher's word for when something was captured."""
        self._clock.sender_report(ntp_time, self._timestamps.unwrap(rtp_timestamp), arrival)

    def flush(self) -> None:
        """Hand on what the wakeup brought. The publication's own flush sends it."""
        gathered, self._gathered = self._gathered, None
        if gathered is None or not gathered.payloads:
            return
        batch = build_batch(
            gathered.payloads,
            timestamp=gathered.timestamp,
            capture_time=self._clock.capture_time(gathered.timestamp),
            keyframe=gathered.keyframe,
            marker=gathered.marker,
            complete=gathered.complete,
        )
        self._publication.write(self._track, batch)

    def _gather(self, piece: Normalised) -> None:
        gathered = self._gathered
        continues = (
            gathered is not None
            and not gathered.complete
            and not piece.keyframe
            and gathered.timestamp == piece.timestamp
        )
        if gathered is None or not continues:
            self.flush()
            self._gathered = piece
            return
        self._gathered = gathered._replace(
            payloads=gathered.payloads + piece.payloads,
            marker=piece.marker,
            complete=piece.complete,
        )
