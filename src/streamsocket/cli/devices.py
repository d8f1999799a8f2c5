"""`streamsocket devices`: cameras, microphones, speakers and screens, and the words for them."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamsocket.sources.devices.listing import Device

_KINDS = {
    "camera": ("Cameras", "There is no camera here."),
    "microphone": ("Microphones", "There is no microphone here; mic is the system's choice."),
    "speaker": ("Speakers", "There is no speaker here."),
    "screen": ("Screens", "There is no screen here."),
}
_HEADINGS = {"microphone": "Microphones (mic alone is the system's choice)"}


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List cameras, microphones, speakers and screens with the words to use for them."""
    from streamsocket.sources.devices.listing import list_devices

    there = list_devices()
    if as_json:
        typer.echo(json.dumps([asdict(device) for device in there], indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _print_table(there)
    else:
        typer.echo("\n".join(plain_lines(there)))


def plain_lines(there: list[Device]) -> list[str]:
    """One line a device: its kind, the word for it, its name and more, with tabs in between."""
    lines = []
    for kind, (_, none) in _KINDS.items():
        of_kind = [device for device in there if device.kind == kind]
        lines += ["\t".join((kind, each.word, each.name, each.detail)).rstrip() for each in of_kind]
        lines += [] if of_kind else [f"{kind}\t{none}"]
    return lines


def _print_table(there: list[Device]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for kind, (heading, none) in _KINDS.items():
        of_kind = [device for device in there if device.kind == kind]
        console.print(Text(_HEADINGS.get(kind, heading), "bold"))
        if not of_kind:
            console.print(Text(f"  {none}\n", "dim"))
            continue
        table = Table(box=None, show_header=False, padding=(0, 2))
        for each in of_kind:
            word = Text(shlex.quote(each.word), "cyan")
            name = each.name if each.name not in each.word else ""
            table.add_row(word, name, Text(each.detail, "dim"))
        console.print(table, "")
