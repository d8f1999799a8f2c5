"""`streamsocket forward`: a stream of one server, pushed on to another."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from streamsocket.cli.ice_option import IceServerOption, read_ice_servers
from streamsocket.cli.publish import keep_publishing


def forward(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The stream: rtsp://HOST/NAME, a camera's too.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Where to: rtsp://HOST/NAME, rtmp://HOST/NAME, http://HOST/NAME/whip.",
        ),
    ],
    transport: Annotated[
        Literal["auto", "mixed", "udp", "tcp"],
        typer.Option(help="To the target: auto sends the picture over UDP, the sound over TCP."),
    ] = "auto",
    ice_server: IceServerOption = None,
) -> None:
    """Push a stream on to another server, as it is, until Ctrl-C; reconnects to both."""
    from streamsocket.errors import SourceError
    from streamsocket.sources.spec import PulledSpec, parse_source

    _, spec = parse_source(url)
    if not isinstance(spec, PulledSpec):
        raise SourceError(
            f"'{url}' is no stream of a server: write rtsp://HOST/NAME, or publish it by "
            "`streamsocket publish`."
        )
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        ice_servers = read_ice_servers(ice_server)
        runner.run(keep_publishing(spec, target, transport, ice_servers))
