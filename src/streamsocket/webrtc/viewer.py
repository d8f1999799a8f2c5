"""Who watches: a reader of the stream, and what the viewer asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamsocket.hub.output import Output, Sender
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.webrtc.ice import IceLite
from streamsocket.webrtc.negotiation import Watched
from streamsocket.webrtc.outgoing import answer_feedback, begin_behind_wrap
from streamsocket.webrtc.packet_shape import PacketShape
from streamsocket.webrtc.peer import Peer
from streamsocket.webrtc.sender import SrtpTarget, SrtpUdpSender
from streamsocket.webrtc.srtp import SrtpSender
from streamsocket.webrtc.tcp import TcpPath


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
        self._repaired = {each.ssrc for each in tracks if stream.track(each.track).is_video}
        self._ice = ice
        self._sender = sender
        self._on_end = on_end
        self._outputs: list[Output] = []
        # Not by the reader: the stream may end before the viewer has connected.
        self._reader = Reader(stream, lambda: None)
        stream.on_end.append(on_end)

    def connected(self, protection: SrtpSender) -> None:
        """Send from the newest keyframe on."""
        sender = self._current_sender()
        host = self._ice.path[0] if self._ice.path else ""
        self._outputs = [self._reader.add(each.track, sender, None) for each in self._tracks]
        self._reader.prepare()
        for each, output in zip(self._tracks, self._outputs, strict=True):
            output.target = SrtpTarget(
                self._ice,
                protection,
                PacketShape.of(each.choice.payload_type, each.extensions, host),
                ssrc=each.ssrc,
                sequence=begin_behind_wrap(output),
                rtx=each.rtx,
            )
        self._reader.start()

    def receive(self, packets: list[bytes]) -> None:
        """Who watches sends nothing."""

    def receive_rtcp(self, data: bytes) -> None:
        """Repair what the viewer missed, and ask for keyframes for it."""
        if answer_feedback(data, self._reader, self._repaired):
            self._on_end()

    def moved(self) -> None:
        """Send by the path that media goes by now: over UDP, or over a TCP connection."""
        sender = self._current_sender()
        for output in self._outputs:
            if output.sender is not sender:
                output.move(sender)

    def _current_sender(self) -> Sender:
        path = self._ice.path
        # Without a path over UDP too, where what is sent to nowhere is dropped: the peer asks for
        # what it missed when it is back.
        return path.connection.sender if isinstance(path, TcpPath) else self._sender

    def tick(self, now: float) -> None:
        """The hub's clock sends the reports."""

    def close(self) -> None:
        """Leave the stream."""
        self._reader.close()
        self._outputs.clear()
        if self._on_end in self._stream.on_end:
            self._stream.on_end.remove(self._on_end)
