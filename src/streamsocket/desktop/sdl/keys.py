"""The names of keys."""

from __future__ import annotations

_REPEATING = frozenset(("up", "down", "left", "right", "+", "=", "-"))
"""Keys that count again while they are held."""

_NAMED = frozenset(
    (
        *("escape", "space", "return", "tab", "backspace", "delete", "insert", "home", "end"),
        *("pageup", "pagedown", "up", "down", "left", "right"),
        *(f"f{number}" for number in range(1, 13)),
    )
)
"""Keys that are known by a word rather than by the character they write."""

_SHIFTED = {"/": "?", "=": "+"}
"""Where the character under Shift is a command of its own. It is the American keyboard's, as on
others the two are on different keys, or differently paired."""

_SCANCODE_A, _SCANCODE_Z = 4, 29  # USB HID usage tables, 10: keyboard page


def key_name(label: str, scancode: int, *, shift: bool, command: bool, repeat: bool) -> str | None:
    """What `backend.Key` calls a key that was pressed; None if it means nothing to us.

    `label` is SDL's name of it in the keyboard's layout, `scancode` its place on the keyboard;
    `command` says that Control, Alt or the logo key is held: that is the desktop's, not ours.
    """
    name = label.lower().removeprefix("keypad ")
    name = "return" if name == "enter" else name
    if not name.isascii() and _SCANCODE_A <= scancode <= _SCANCODE_Z:
        # Who writes Greek or Russian finds the letters where they are on a Latin keyboard.
        name = chr(ord("a") + scancode - _SCANCODE_A)
    if shift:
        name = _SHIFTED.get(name, name)
    if command or (len(name) != 1 and name not in _NAMED):
        return None
    return None if repeat and name not in _REPEATING else name
