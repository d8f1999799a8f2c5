"""`--ice-server`, for all commands that speak WebRTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

IceServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ice-server",
        metavar="SERVER",
        envvar="STREAMSOCKET_ICE_SERVERS",
        help="WebRTC: stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT; may be given for each. "
        "Without it, what the server tells of.",
    ),
]


def read_ice_servers(option: Sequence[str] | None) -> tuple[IceServer, ...]:
    """The option's servers. Raises ParseError, a sentence."""
    from streamsocket.webrtc.ice_server import parse_ice_servers

    return parse_ice_servers(" ".join(option or ()))
