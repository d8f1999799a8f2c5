"""Staying with a stream: connected to again whenever it is lost, for as long as one wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamsocket.backoff import Backoff
from streamsocket.client.opening import stream_name
from streamsocket.client.receiver import Received
from streamsocket.client.session import BOTH, Session, TransportWish, open_url
from streamsocket.errors import ConnectError, ParseError
from streamsocket.media.codec import Kind
from streamsocket.rtsp.dialogue import RefusedError
from streamsocket.webrtc.http_client import HttpRefusedError

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

FIRST_RETRY_S, LAST_RETRY_S = 0.25, 4.0
"""A lost stream is tried again after a pause that grows from the one to the other: somebody is
looking at it."""

# A wrong password; and what HTTP servers answer that know nothing of WebRTC.
_IN_VAIN = (401, 403, 405, 501)


@dataclass(frozen=True, slots=True)
class Live:
    """The server plays the stream."""

    session: Session


@dataclass(frozen=True, slots=True)
class Away:
    """The stream is not there, or not any more; it is tried again by itself."""

    sentence: str
    """Why."""
    ended: bool
    """It came to its end, as streams do; else the server is gone, or refuses."""


Event = Live | Away | Received


async def follow(
    url: str,
    *,
    transport: TransportWish = "auto",
    timeout_s: float = 10.0,
    kinds: Collection[Kind] = BOTH,
    keep_timestamps: bool = False,
    longest_retry_s: float = LAST_RETRY_S,
    ice_servers: Sequence[IceServer] = (),
) -> AsyncGenerator[Event]:
    """What happens to a stream, one after the other: `Live`, what arrives, `Away`, `Live` again …

    Raises ConnectError for what trying again cannot mend: a URL that is none, a wrong password.
    Pauses between tries grow up to `longest_retry_s`; the other parameters are those of `open_url`.
    """
    try:
        stream_name(url)
    except ParseError as error:
        raise ConnectError(str(error)) from error
    backoff = Backoff(FIRST_RETRY_S, longest_retry_s)
    wish = transport
    while True:
        tried, wish = wish, transport
        try:
            async with open_url(
                url,
                transport=tried,
                timeout_s=timeout_s,
                kinds=kinds,
                keep_timestamps=keep_timestamps,
                ice_servers=ice_servers,
            ) as session:
                if session.fallback and all(t.transport == "tcp" for t in session.tracks):
                    tried = "tcp"  # UDP was waited for once: it won't come the next time either
                wish = tried
                yield Live(session)
                async for received in session:
                    backoff.reset()
                    yield received
            away = Away(f"{session.url} has ended.", ended=True)
        except ConnectError as error:
            if isinstance(error, RefusedError | HttpRefusedError) and error.status in _IN_VAIN:
                raise
            away = Away(str(error), ended=False)
        yield away
        await asyncio.sleep(backoff.next_s())
