"""`docs/settings.md`, made from the model: `python -m streamsocket.settings.reference`."""

from __future__ import annotations

import json
import sys

from pydantic import BaseModel

from streamsocket.settings.layers import PREFIX
from streamsocket.settings.model import LISTED_GROUPS, NAMED_GROUPS, Settings

_INTRODUCTION = """\
# Settings

Made from the settings' own model by `python -m streamsocket.settings.reference`: change it there.

Everything has a sensible value without any of this. What is set where goes by this order, the
first that says something wins:

1. options of the command: `streamsocket serve --rtsp-port 554`
2. environment variables: `STREAMSOCKET_RTSP__PORT=554`, with two underscores between group and name
3. the file `streamsocket.toml` in the working directory, or the one given by `--config FILE`
4. the defaults below

Unknown names and impossible values are refused, with the line, the variable or the option they
were found at. A stream's name in an environment variable is read in lower case. Kubernetes sets
variables that begin with `STREAMSOCKET_` by itself beside a service called `streamsocket`: give
the service another name, or the pod `enableServiceLinks: false`.

    host = "0.0.0.0"

    [rtsp]
    port = 554

    [streams.lobby]
    source = "lobby.mp4"

    [streams."live/yard"]
    source = "test:1920x1080@60"

    [[record]]
    streams = "live/*"
    keep_days = 7
"""


def settings_reference() -> str:
    """Return the text of `docs/settings.md`."""
    sections = [_INTRODUCTION, _section("At the top", Settings, ())]
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append(_section(f"[{name}]", field.annotation, (name,)))
    for name, group in NAMED_GROUPS.items():
        sections.append(_section(f"[{name}.NAME]", group, (name, "NAME")))
    for name, group in LISTED_GROUPS.items():
        sections.append(_section(f"[[{name}]]", group, (name, "0")))
    return "\n".join(sections)


def _section(title: str, group: type[BaseModel], path: tuple[str, ...]) -> str:
    rows = []
    for name, field in group.model_fields.items():
        if field.description is None:  # a group, which has a section of its own
            continue
        if field.is_required():
            default = "none, required"
        else:
            default = "none" if field.default is None else f"`{json.dumps(field.default)}`"
        variable = PREFIX + "__".join((*path, name)).upper()
        rows.append(f"| `{name}` | {default} | {field.description} | `{variable}` |")
    return "\n".join(
        (
            f"## {title}",
            "",
            " ".join((group.__doc__ or "").split()),
            "",
            "| name | default | what it is | environment |",
            "|---|---|---|---|",
            *rows,
            "",
        )
    )


if __name__ == "__main__":
    sys.stdout.write(settings_reference())
