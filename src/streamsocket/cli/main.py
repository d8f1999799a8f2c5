"""The command `streamsocket`."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from streamsocket.cli.auth import app as auth
from streamsocket.cli.call import call
from streamsocket.cli.devices import devices
from streamsocket.cli.forward import forward
from streamsocket.cli.play import play
from streamsocket.cli.probe import probe
from streamsocket.cli.publish import publish
from streamsocket.cli.record import record
from streamsocket.cli.serve import serve
from streamsocket.errors import StreamSocketError
from streamsocket.version import __version__


class _Commands(TyperGroup):
    """The commands, with one sentence instead of a traceback for what is raised on purpose."""

    # Typer brings its own copy of click since 0.26, so the context's type has no lasting name.
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StreamSocketError as error:
            typer.echo(f"streamsocket: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None  # 128 + SIGINT, as shells have it


app = typer.Typer(
    cls=_Commands,
    help="Live audio and video: one source in, any number of viewers out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamsocket {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


app.command()(serve)
app.command()(play)
app.command()(call)
app.command()(probe)
app.command()(record)
app.command()(publish)
app.command()(forward)
app.command()(devices)
app.add_typer(auth, name="auth")


def main() -> None:
    """Run the command line. The exit code is 1 for a failure, 2 for wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a file's name need not be printable here
    app()
