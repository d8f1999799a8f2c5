"""Who watches: a reader of the stream, and what the viewer asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamsocket.errors import ParseError
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.rtp.rtcp import Bye, Nack, Pli, Unknown, parse_rtcp
from streamsocket.webrtc.feedback import Fir, parse_feedback
from streamsocket.webrtc.ice import IceLite
from streamsocket.webrtc.negotiation import Watched
from streamsocket.webrtc.peer import Peer
from streamsocket.webrtc.sender import SrtpTarget, SrtpUdpSender
from streamsocket.webrtc.srtp import SrtpSender

# Who misses the first packets, up to where sequence numbers wrap, would never find out with which
# roll-over counter to decrypt (RFC 3711, 3.3.1): they begin behind that.
_NEAR_WRAP = 512


class Viewer:
    """One peer that watches a stream."""

    def __init__(
        self,
        stream: Stream,
        tracks: Sequence[Watched],
        ice: IceLite[Peer],
        sender: SrtpUdpSender,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called when the stream is over, or the viewer has said goodbye."""
        self._stream = stream
        self._tracks = tracks
        # Whatever else is asked for: what was sent padded may not be sent without (SrtpGroups).
        self._repaired = {each.ssrc for each in tracks if stream.tracks[each.track].is_video}
        self._ice = ice
        self._sender = sender
        self._on_end = on_end
        # Not by the reader: the stream may end before the viewer has connected.
        self._reader = Reader(stream, lambda: None)
        stream.on_end.append(on_end)

    def connected(self, protection: SrtpSender) -> None:
        """Send from the newest keyframe on."""
        outputs = {
            each.track: self._reader.add(each.track, self._sender, None) for each in self._tracks
        }
        self._reader.prepare()
        for each in self._tracks:
            output = outputs[each.track]
            if output.position[0] & 0xFFFF > 0xFFFF - _NEAR_WRAP:
                output.sequence_delta += _NEAR_WRAP
            output.target = SrtpTarget(
                self._ice,
                protection,
                each.choice.payload_type,
                ssrc=each.ssrc,
                sequence=output.position[0],
                rtx=each.rtx,
            )
        self._reader.start()

    def receive(self, packets: list[bytes]) -> None:
        """Who watches sends nothing."""

    def receive_rtcp(self, data: bytes) -> None:
        """Repair what the viewer missed, and ask for keyframes for it."""
        try:
            for packet in parse_rtcp(data):
                match packet:
                    case Nack(media_ssrc=ssrc, sequences=sequences) if ssrc in self._repaired:
                        self._reader.resend(ssrc, sequences)
                    case Pli():
                        self._stream.request_keyframe()
                    case Unknown() if isinstance(parse_feedback(packet), Fir):
                        self._stream.request_keyframe()
                    case Bye():
                        self._on_end()
                        return
                    case _:
                        pass  # reports: that they come is all that matters
        except ParseError:
            pass  # it came with the session's key: the peer's mistake, and only its own loss

    def tick(self, now: float) -> None:
        """The hub's clock sends the reports."""

    def close(self) -> None:
        """Leave the stream."""
        self._reader.close()
        if self._on_end in self._stream.on_end:
            self._stream.on_end.remove(self._on_end)
