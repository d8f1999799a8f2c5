"""What keeps a device from being used."""

from __future__ import annotations

import errno
import sys

from streamsocket.errors import SourceError

_LISTED = "`streamsocket devices` lists them"


class DeviceAwayError(SourceError):
    """It is missing, busy or gone, which may change: it is worth trying again."""


class NoDeviceError(DeviceAwayError):
    """There is none that the user could mean."""


def opening_error(kind: str, name: str, number: int, reason: str) -> SourceError:
    """Why a device cannot be opened, as a sentence; a `DeviceAwayError` if that may change.

    `kind` is what it is, "camera" or "screen"; `number` the system's number of the error, and
    `reason` its text.
    """
    it = f"The {kind} {name}"
    match number:
        case errno.EBUSY:
            return DeviceAwayError(
                f"{it} is in use by another program: close that, or choose another ({_LISTED})."
            )
        case errno.EACCES | errno.EPERM:
            return SourceError(f"{it} is not yours to use: {_permission()}.")
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return DeviceAwayError(f"{it} is not there: plug it in, or choose another ({_LISTED}).")
    return DeviceAwayError(
        f"{it} cannot be opened ({reason}): {_permission_hint()}it is tried again every second."
    )


def lost_error(kind: str, name: str) -> DeviceAwayError:
    """A device that was there a moment ago."""
    return DeviceAwayError(f"The {kind} {name} is gone: it goes on once it is back.")


def _permission() -> str:
    if sys.platform == "linux":
        return "add yourself to the group video (sudo usermod -aG video $USER) and log in again"
    return "allow it in the system's settings, under privacy"


def _permission_hint() -> str:
    # FFmpeg's devices there have one error for everything.
    if sys.platform == "darwin":
        return "allow this terminal to use it in System Settings, Privacy & Security; "
    if sys.platform == "win32":
        return "allow it in Settings, Privacy, and close programs that use it; "
    return ""
