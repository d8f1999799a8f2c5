"""`streamsocket call`: two people, one of whom listens."""

from __future__ import annotations

from typing import Annotated

import typer

from streamsocket.cli.ice_option import IceServerOption, read_ice_servers
from streamsocket.errors import SettingsError

_DEFAULT_PORT = 8554
_ADVICE = "Use headphones, or the other hears an echo."


def call(
    other: Annotated[
        str | None,
        typer.Argument(
            metavar="[HOST[:PORT]]", help="Who to call: the address that the other one shows."
        ),
    ] = None,
    listen: Annotated[bool, typer.Option("--listen", help="Wait to be called.")] = False,
    source: Annotated[
        str,
        typer.Option(help="What you send: camera+mic, screen+mic, mic, camera:1, test, …"),
    ] = "camera+mic",
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMSOCKET_SECRET",
            help="What opens the call; made up by who listens, and asked for, unless given.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on, with --listen.")] = "0.0.0.0",
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="The port to listen on, with --listen.")
    ] = _DEFAULT_PORT,
    ice_server: IceServerOption = None,
) -> None:
    """See and hear somebody: one types `call --listen`, the other `call HOST`.

    In the window m switches the microphone off and on, c the camera, q hangs up.
    """
    if listen == (other is not None):
        raise SettingsError(
            "Either wait with 'streamsocket call --listen', or call somebody with "
            "'streamsocket call HOST'."
        )
    from streamsocket.call.secret import make_secret
    from streamsocket.call.session import Party, hold_call
    from streamsocket.cli.addresses import reachable_hosts
    from streamsocket.player.front import Waiting
    from streamsocket.sources.spec import parse_source

    parse_source(source)
    read_ice_servers(ice_server)
    if secret is not None:
        _check_secret(secret)
    typer.echo(_ADVICE)
    if other is None:
        secret = secret or make_secret()
        shown = reachable_hosts(host)[0]
        if port == _DEFAULT_PORT:
            address = shown
        else:
            address = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
        typer.echo(f"The other types:  streamsocket call {address}")
        typer.echo(f"The secret is:    {secret}")
        waiting = Waiting(
            "Waiting to be called", f"streamsocket call {address}\nSecret: {secret}", "Q ends"
        )
        hold_call(Party(host, port, secret, source, True, waiting), say=typer.echo)
        return
    called, called_port = _parse_other(other)
    if secret is None:
        secret = str(typer.prompt("The secret that the other one sees", hide_input=False))
        _check_secret(secret)
    waiting = Waiting("Calling", other, "Q hangs up")
    servers = tuple(ice_server or ())
    hold_call(Party(called, called_port, secret, source, False, waiting, servers), say=typer.echo)


def _check_secret(secret: str) -> None:
    from streamsocket.call.secret import SHORTEST, password

    if len(password(secret)) < SHORTEST:
        raise SettingsError(f"A secret has at least {SHORTEST} letters or digits.")


def _parse_other(text: str) -> tuple[str, int]:
    """The host and port of `HOST`, `HOST:PORT`, `[IPV6]:PORT` or a bare IPv6 address."""
    from urllib.parse import urlsplit

    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    try:
        parts = urlsplit(f"//{bracketed}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or not text.isprintable() or set(text) & set(" /?#@\\"):
        raise SettingsError(
            f"'{text}' is nobody's address: write HOST or HOST:PORT, such as 192.168.1.20."
        )
    return host, port or _DEFAULT_PORT
