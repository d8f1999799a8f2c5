"""Publishing a stream of the hub on a WebRTC server by WHIP (RFC 9725)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

from streamsocket.errors import ConnectError, ParseError
from streamsocket.hub.output import Output
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.target import Target
from streamsocket.webrtc.client_offer import (
    AgreedTrack,
    Agreement,
    build_publishing,
    not_carried,
    published_as,
    read_answer,
)
from streamsocket.webrtc.client_peer import ClientPeer
from streamsocket.webrtc.endpoint import is_whip, parse_endpoint
from streamsocket.webrtc.header_extensions import ExtensionMap, HeaderExtensions
from streamsocket.webrtc.http_client import HttpSession
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.outgoing import answer_feedback, begin_behind_wrap
from streamsocket.webrtc.push_sender import PushSender, PushTarget
from streamsocket.wording import codec_name

SILENCE_S = 15.0
"""A server that has reported before and doesn't for so long is gone: ICE finds out after 30 s."""

_TICK_S = 1.0


def _objection(form: Form) -> str | None:
    if published_as(form.codec) is None:
        return not_carried(form.codec)
    if form.reorders:
        return "The pictures come in another order than they are shown in (B-frames)."
    return None


ABILITY = Ability(
    _objection,
    {"video": (Target("h264"), Target("vp8")), "audio": (Target("opus", channels=2),)},
)
"""What a WebRTC server is sent."""


async def push_whip(
    stream: Stream,
    tracks: Sequence[StreamTrack],
    url: str,
    *,
    ice_servers: Sequence[IceServer] = (),
    timeout_s: float = 10.0,
    on_live: Callable[[str | None], None],
) -> None:
    """Publish tracks of a stream at `url` until it ends.

    `on_live` is called once the server gets them, with a sentence about what it doesn't get of the
    stream. `ice_servers` are used instead of those that the server tells of. Raises ConnectError if
    the server refuses or vanishes, NothingFitsError for a codec that WebRTC has no place for.
    """
    push = _Push(stream, tracks, url, timeout_s)
    try:
        on_live(await push.begin(ice_servers))
        await push.last()
    finally:
        await push.close()


class _Push:
    """One session that publishes."""

    def __init__(
        self, stream: Stream, tracks: Sequence[StreamTrack], url: str, timeout_s: float
    ) -> None:
        self._stream = stream
        self._tracks = tracks
        self._timeout_s = timeout_s
        if not is_whip(url):
            raise ConnectError(
                f"{parse_endpoint(url).url} is no address to publish at by WebRTC: it has to end "
                "with /whip, as http://HOST:8080/NAME/whip does."
            )
        self._endpoint = parse_endpoint(url)
        self._http = HttpSession(self._endpoint, timeout_s=timeout_s)
        self._peer: ClientPeer | None = None
        self._ssrcs: set[int] = set()
        self._reported_at: float | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = Reader(stream, on_end=lambda: None, is_viewer=False)
        # Not by the reader: the stream may end before there is a connection.
        stream.on_end.append(self._stream_ended)

    async def begin(self, ice_servers: Sequence[IceServer]) -> str | None:
        """Connect, and send; returns what the server doesn't get, as a sentence."""
        servers = ice_servers or await self._http.ice_servers()
        peer = self._peer = ClientPeer(servers, self._received, self._lost)
        offered = [(track.index, track.track, track.ssrc) for track in self._tracks]
        offer = build_publishing(offered, await peer.gather(), secrets.randbits(62))
        answer = await self._http.offer(offer.text)
        try:
            agreement = read_answer(offer, answer)
        except ParseError as error:
            raise ConnectError(f"{self._endpoint.address}: {error}") from None
        await peer.connect(agreement.answer, self._timeout_s)
        if not self._over.done():
            self._send(peer, agreement)
        return self._told(agreement)

    async def last(self) -> None:
        """Wait for the end of the stream. Raises ConnectError if the server vanishes first."""
        while not self._over.done():
            await asyncio.wait((self._over,), timeout=_TICK_S)
            if self._server_is_silent():
                raise ConnectError(
                    f"{self._endpoint.address} has not answered for {SILENCE_S:g} s."
                )
        self._over.result()

    async def close(self) -> None:
        """Leave the server, in about a second at most, even if that is cancelled."""
        self._reader.close()
        with suppress(ValueError):
            self._stream.on_end.remove(self._stream_ended)
        if self._over.done() and not self._over.cancelled():
            self._over.exception()  # it has been raised, or something else has
        leaving = asyncio.create_task(self._leave())
        try:
            await asyncio.shield(leaving)
        except asyncio.CancelledError:
            await leaving
            raise

    async def _leave(self) -> None:
        if self._peer:
            await self._peer.close()
        await self._http.close()

    def _send(self, peer: ClientPeer, agreement: Agreement) -> None:
        """Send pictures from the newest keyframe on, as they were captured, and sound from now on.

        What plays it at once drops late pictures, but would hold back sound that came too early.
        """
        sender = PushSender(peer.protection, peer.send)
        taken: list[tuple[AgreedTrack, Output]] = []
        for agreed in agreement.tracks:
            assert agreed.track is not None
            taken.append((agreed, self._reader.add(agreed.track, sender, None)))
        for _, output in taken:
            self._reader.prepare([output.track.index], keep_timestamps=output.track.is_video)
        for agreed, output in taken:
            self._ssrcs.add(output.track.ssrc)
            rtx = agreed.format.rtx_payload_type
            extensions = ExtensionMap(agreed.extensions)
            output.target = PushTarget(
                peer.protection,
                agreed.format.payload_type,
                ssrc=output.track.ssrc,
                sequence=begin_behind_wrap(output),
                extension=extensions.build(HeaderExtensions(mid=agreed.mid)),
                rtx=(rtx, agreed.rtx_ssrc) if rtx and agreed.rtx_ssrc is not None else None,
            )
        self._reader.start()

    def _told(self, agreement: Agreement) -> str | None:
        sent = {track.track.kind for track in self._tracks}
        sentences = [
            not_carried(track.track.codec)
            for track in self._stream.tracks
            if track.track.kind not in sent
        ]
        sentences += [
            f"The server doesn't take {codec_name(track.track.codec.name)}."
            for track in self._tracks
            if track.track.kind in agreement.refused
        ]
        return " ".join(sentences) or None

    def _received(self, packet: bytes, rtcp: bool, arrival: float) -> None:
        if rtcp:
            self._reported_at = asyncio.get_running_loop().time()
            # Who has nothing to say goodbye to any more ends the session by DTLS.
            answer_feedback(packet, self._reader, self._ssrcs)

    def _server_is_silent(self) -> bool:
        """Whether it says nothing any more of what it is sent."""
        if self._reported_at is None or self._stream.silent_s > SILENCE_S / 2:
            return False
        return asyncio.get_running_loop().time() - self._reported_at > SILENCE_S

    def _lost(self, failure: ConnectError) -> None:
        if not self._over.done():
            self._over.set_exception(failure)

    def _stream_ended(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
