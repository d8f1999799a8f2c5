"""The names of keys."""

from __future__ import annotations

import pytest

from streamsocket.desktop.sdl.keys import key_name


def name(
    label: str,
    scancode: int = 0,
    *,
    shift: bool = False,
    command: bool = False,
    repeat: bool = False,
) -> str | None:
    return key_name(label, scancode, shift=shift, command=command, repeat=repeat)


@pytest.mark.parametrize(
    ("label", "called"),
    [
        ("Q", "q"),
        ("7", "7"),
        ("-", "-"),
        ("Space", "space"),
        ("Return", "return"),
        ("Keypad Enter", "return"),
        ("Keypad +", "+"),
        ("Keypad 5", "5"),
        ("Escape", "escape"),
        ("PageUp", "pageup"),
        ("F11", "f11"),
        ("Ö", "ö"),
    ],
)
def test_names(label: str, called: str) -> None:
    assert name(label) == called


@pytest.mark.parametrize("label", ["Left Shift", "CapsLock", "VolumeUp", "Keypad 00", "F13", ""])
def test_keys_that_mean_nothing(label: str) -> None:
    assert name(label) is None


def test_characters_under_shift() -> None:
    assert name("/", shift=True) == "?"
    assert name("=", shift=True) == "+"
    assert name("M", shift=True) == "m"
    assert name("/") == "/"


def test_shortcuts_of_the_desktop() -> None:
    assert name("Q", command=True) is None
    assert name("F4", command=True) is None


def test_held_keys() -> None:
    for label in ("Up", "Down", "Left", "Right", "+", "=", "-", "Keypad +"):
        assert name(label, repeat=True) == name(label)
    for label in ("F", "Space", "F11", "Escape"):
        assert name(label, repeat=True) is None


def test_letters_of_other_alphabets() -> None:
    """By their place on the keyboard: й is where q is."""
    assert name("Й", 20) == "q"
    assert name("μ", 16) == "m"
    assert name("ö", 51) == "ö"
