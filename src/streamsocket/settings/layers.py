"""From options, environment variables and the file to one `Settings`, or one sentence why not.

Each layer is flattened to `path -> Value`, where a value knows where it was written. Laying the
layers over each other is then `dict.update`, and an error names the line, variable or option that
the offending value came from.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from streamsocket.auth.users import unusable_user_reason
from streamsocket.errors import SettingsError, SourceError
from streamsocket.settings.model import (
    LISTED_GROUPS,
    NAMED_GROUPS,
    KeyPath,
    Settings,
    settings_fields,
)
from streamsocket.sources.spec import parse_source

DEFAULT_FILE = Path("streamsocket.toml")
PREFIX = "STREAMSOCKET_"
_OF_OPTIONS = ("STREAMSOCKET_ICE_SERVERS", "STREAMSOCKET_SECRET")
"""Variables of commands that have no settings: options of theirs."""
MAX_FILE_BYTES = 1 << 20


class Value(NamedTuple):
    """A value, and what an error says it is called and where it was written."""

    value: Any
    name: str
    """`"rtsp.port"`, `"STREAMSOCKET_RTSP__PORT"`, `"--rtsp-port"`."""
    where: str = ""
    """`"streamsocket.toml, line 3: "`, empty where the name says it."""


Layer = dict[KeyPath, Value]


def load_settings(
    options: Layer | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings: options go over the environment, that over the file, that over defaults.

    `options` maps paths like `("rtsp", "port")` to values. Without `file`, `streamsocket.toml` in
    the working directory is read if there is one. Raises `SettingsError` for a file that cannot be
    read, an unknown name, an impossible value or a source that is not there.
    """
    values: Layer = {}
    if file is not None or DEFAULT_FILE.is_file():
        values.update(_file_layer(file or DEFAULT_FILE))
    values.update(_environment_layer(environ or {}))
    values.update(options or {})
    try:
        settings = Settings.model_validate(_nested(values))
    except ValidationError as error:
        raise SettingsError(_sentence(error, values)) from None
    for name, stream in settings.streams.items():
        try:
            parse_source(f"{name}={stream.source}")
        except SourceError as error:
            written = values["streams", name, "source"]
            raise SettingsError(f"{written.where}{written.name}: {error}") from None
    for name, user in settings.users.items():
        if reason := unusable_user_reason(name, has_password=user.password is not None):
            found = _value_at(("users", name), values)
            raise SettingsError(f"{found.where or found.name + ': '}{reason}")
    return settings


def _environment_layer(environ: Mapping[str, str]) -> Layer:
    """`STREAMSOCKET_RTSP__PORT=554` is the value 554 at `rtsp.port`."""
    return {
        tuple(name[len(PREFIX) :].lower().split("__")): Value(value, name)
        for name, value in environ.items()
        if name.upper().startswith(PREFIX) and name not in _OF_OPTIONS
    }


def _file_layer(file: Path) -> Layer:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SettingsError(
                f"The settings file {file} is larger than 1 MB: is it the right one?"
            )
        text = data.decode()
        values = tomllib.loads(text)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise SettingsError(f"The settings file {file} cannot be read: {reason}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"The settings file {file} is not text in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax_sentence(file, str(error))) from None
    lines = _lines(text)
    return {
        path: Value(value, _dotted(path), f"{file}, line {_line_of(path, lines)}: ")
        for path, value in _leaves(values)
    }


def _syntax_sentence(file: Path, message: str) -> str:
    """`Invalid value (at line 3, column 8)` → `streamsocket.toml, line 3: Invalid value.`"""
    if where := re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL):
        return f"{file}, line {where[2]}: this is not TOML: {where[1]}."
    return f"{file}: this is not TOML: {message}."


def _lines(text: str) -> dict[KeyPath, int]:
    """Where each key and table of a valid TOML document stands, by line number.

    `tomllib` does not say, so the document is taken statement by statement: a statement ends at
    the first line at which it can be parsed by itself, since an open string or array cannot.
    """
    lines: dict[KeyPath, int] = {(): 1}
    table: KeyPath = ()
    listed: Counter[str] = Counter()
    statement = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not statement:
            start = number
        statement += line + "\n"
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        is_table = statement.lstrip().startswith("[")
        statement = ""
        for path, _ in _leaves(values):
            if is_table:
                table = path
                if path[0] in LISTED_GROUPS and path[1:] == ("0",):
                    table = path[0], str(listed[path[0]])
                    listed[path[0]] += 1
                lines.setdefault(table, start)
            else:
                lines.setdefault(table + path, start)
    return lines


def _leaves(values: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is no table, and every empty table, with its path."""
    for key, value in values.items():
        if not path and key in LISTED_GROUPS and _is_list_of_tables(value):
            value = {str(number): table for number, table in enumerate(value)}
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _nested(values: Layer) -> dict[str, Any]:
    """The opposite of `_leaves`. The validation tells where one value stands in another's way."""
    root: dict[str, Any] = {}
    for path, (value, _, _) in values.items():
        group: Any = root
        for key in path[:-1]:
            group = group.setdefault(key, {}) if isinstance(group, dict) else group
        if isinstance(group, dict) and not (value == {} and path[-1] in group):
            group[path[-1]] = value
    for name in LISTED_GROUPS:
        tables = root.get(name)
        if isinstance(tables, dict) and all(str(n) in tables for n in range(len(tables))):
            root[name] = [tables[str(number)] for number in range(len(tables))]
    return root


def _dotted(path: KeyPath) -> str:
    """The path as TOML writes it, `streams."live/lobby".source`; `record.path` in a list."""
    if path[0] in LISTED_GROUPS and path[1:2] and path[1].isdigit():
        path = path[:1] + path[2:]
    return ".".join(key if re.fullmatch(r"[\w-]+", key) else f'"{key}"' for key in path)


def _line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """The line of the path or, for what stands inside an array, of the closest group around it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _sentence(error: ValidationError, values: Layer) -> str:
    """Say what is wrong with the first offending value, in the words the user wrote it in."""
    first = error.errors(include_url=False)[0]
    location = tuple(str(key) for key in first["loc"])
    found = _value_at(location, values)
    name, where = found.name, found.where
    if first["type"] == "extra_forbidden":
        return f"{where}{name} is no setting: {_suggestion(location, found)}"
    if first["type"] == "missing":
        return f"{where or name + ': '}{_dotted(location)} is missing."
    if location[-1] in LISTED_GROUPS and first["type"] == "tuple_type":
        return f"{where}{name}: write [[{location[-1]}]], in two pairs of brackets."
    if first["type"] in ("model_type", "dict_type"):
        return f"{where}{name} is a group of settings and has no value of its own."
    reason = first["msg"].removeprefix("Value error, ")
    reason, count = re.subn(r"^(Input|String) (should [^,]*).*", r"\2", reason, flags=re.DOTALL)
    if not count:
        return f"{where}{name}: {reason.removesuffix('.')}."
    return f"{where}{name} {reason}, not {_shortened(first['input'])}."


def _value_at(location: KeyPath, values: Layer) -> Value:
    """The value at the location or inside it; else one close by, in the same group."""
    while True:
        if location in values:
            return values[location]
        for path in reversed(values):
            if path[: len(location)] == location:
                return values[path]
        location = location[:-1]


def _suggestion(location: KeyPath, unknown: Value) -> str:
    """The known setting that looks most like it, written the way the user wrote the unknown one."""
    named = location[1] if location[0] in NAMED_GROUPS and len(location) > 2 else "NAME"
    paths = [path for path, _ in settings_fields(named)]
    names = [_dotted(path) for path in paths]
    if unknown.name.startswith(PREFIX):
        names = [PREFIX + "__".join(path).upper() for path in paths]
    matches = difflib.get_close_matches(unknown.name, names, n=1)
    return f"did you mean {matches[0]}?" if matches else "docs/settings.md lists them all."


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
