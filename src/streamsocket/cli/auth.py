"""`streamsocket auth`: make what the settings keep of a password, and try whether one fits."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from streamsocket.errors import StreamSocketError

app = typer.Typer(help="Users and their passwords.", no_args_is_help=True, rich_markup_mode=None)


@app.command("hash")
def hash_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")],
    digest: Annotated[
        bool,
        typer.Option(
            "--digest",
            help="Let the user log in by Digest too, so that RTSP players need not send the "
            "password itself. Worth it only if all users have it.",
        ),
    ] = False,
    publish: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Streams the user may publish: 'lobby', 'live/*', '*'. May repeat.",
        ),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Streams the user may watch; all, unless some are given. May repeat.",
        ),
    ] = None,
) -> None:
    """Ask for a password and print the user's settings, to be put into streamsocket.toml.

    The password is read without echo, twice; or as one line of standard input.
    """
    from streamsocket.auth.passwords import digest_ha1, hash_password
    from streamsocket.auth.users import unusable_user_reason

    if reason := unusable_user_reason(name, has_password=True):
        raise StreamSocketError(reason)
    password = _new_password(name)
    lines = [f"[users.{_key(name)}]", f"password = {json.dumps(hash_password(password))}"]
    if digest:
        lines.append(f'digest_md5 = "{digest_ha1("MD5", name, password)}"')
        lines.append(f'digest_sha256 = "{digest_ha1("SHA-256", name, password)}"')
    lines.append(f"publish = {json.dumps(publish or [], ensure_ascii=False)}")
    lines.append(f"watch = {json.dumps(watch or ['*'], ensure_ascii=False)}")
    typer.echo("\n".join(lines))


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")],
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file.  [streamsocket.toml, where there is one]"),
    ] = None,
) -> None:
    """Ask for a password and say whether it is the one in the settings."""
    from streamsocket.auth.passwords import digest_ha1, verify_password
    from streamsocket.auth.users import ANYBODY, harmless
    from streamsocket.settings import load_settings

    user = load_settings(file=config, environ=os.environ).users.get(name)
    if user is None or name == ANYBODY:
        raise StreamSocketError(f"The settings have no user '{harmless(name)}' with a password.")
    password = _read_password(f"Password of {name}: ")
    if not verify_password(user.password, password):
        raise StreamSocketError(f"That is not the password of '{name}'.")
    for setting, algorithm, ha1 in (
        ("digest_md5", "MD5", user.digest_md5),
        ("digest_sha256", "SHA-256", user.digest_sha256),
    ):
        if ha1 is not None and ha1 != digest_ha1(algorithm, name, password):
            raise StreamSocketError(
                f"That is the password of '{name}', but {setting} is of another name or password: "
                f"run 'streamsocket auth hash {name} --digest' again."
            )
    typer.echo(f"That is the password of '{name}'.")


def _new_password(name: str) -> str:
    from streamsocket.auth.passwords import MAX_PASSWORD

    password = _read_password(f"Password for {name}: ")
    if not password or len(password) > MAX_PASSWORD:
        raise StreamSocketError(f"A password has 1 to {MAX_PASSWORD} characters.")
    if sys.stdin.isatty() and getpass.getpass("The same again: ") != password:
        raise StreamSocketError("The two passwords differ: try again.")
    return password


def _read_password(prompt: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise StreamSocketError("The password on standard input is not in UTF-8.") from None


def _key(name: str) -> str:
    """The name as a key in TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
