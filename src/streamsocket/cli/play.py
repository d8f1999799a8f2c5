"""`streamsocket play`: a stream in a window, with its sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamsocket.cli.ice_option import IceServerOption, read_ice_servers

if TYPE_CHECKING:
    from streamsocket.media.codec import Kind

_MAX_LATENCY_MS = 10_000
_MAX_OFFSET_MS = 2_000


def play(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="What to play: rtsp://HOST/NAME or rtsps://…; by WebRTC http(s)://HOST/NAME/whep.",
        ),
    ],
    latency: Annotated[
        int | None,
        typer.Option(
            metavar="MS",
            min=0,
            max=_MAX_LATENCY_MS,
            help="Milliseconds held in store. By itself, as few as the network allows.",
        ),
    ] = None,
    transport: Annotated[
        Literal["auto", "mixed", "udp", "tcp", "multicast"],
        typer.Option(help="auto asks for the picture over UDP and the sound over TCP."),
    ] = "auto",
    ice_server: IceServerOption = None,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Play the sound.")] = True,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Show the picture.")] = True,
    audio_offset: Annotated[
        int,
        typer.Option(
            metavar="MS",
            min=-_MAX_OFFSET_MS,
            max=_MAX_OFFSET_MS,
            help="Sound so many milliseconds later; below 0 earlier.",
        ),
    ] = 0,
    volume: Annotated[int, typer.Option(min=0, max=150, help="In per cent.")] = 100,
    mute: Annotated[
        bool, typer.Option("--mute", help="Begin without sound; m lets it in.")
    ] = False,
    full_screen: Annotated[bool, typer.Option("--full-screen", help="Fill the screen.")] = False,
    title: Annotated[str | None, typer.Option(help="The window's title.")] = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where s saves the picture; the current folder else."),
    ] = None,
) -> None:
    """Watch a stream in a window. Press h there for the keys.

    A stream that is lost is connected to again, until the window is closed.
    """
    from streamsocket.errors import SettingsError

    wanted: dict[Kind, bool] = {"video": video, "audio": audio}
    kinds = tuple(kind for kind, is_wanted in wanted.items() if is_wanted)
    if not kinds:
        raise SettingsError("Neither picture nor sound would be left: drop one of the two options.")
    if snapshots and not snapshots.is_dir():
        raise SettingsError(f"There is no folder '{snapshots}' for snapshots: make it first.")
    from streamsocket.player.player import Loudness
    from streamsocket.player.reception import Wishes
    from streamsocket.player.session import play_in_window

    wishes = Wishes(
        url,
        kinds=kinds,
        transport=transport,
        latency_s=None if latency is None else latency / 1000,
        ice_servers=read_ice_servers(ice_server),
    )
    loudness = Loudness(volume / 100, mute, audio_offset / 1000)
    play_in_window(
        wishes,
        loudness,
        title=title,
        full_screen=full_screen,
        snapshots=snapshots,
        say=lambda sentence: typer.echo(sentence),
    )
