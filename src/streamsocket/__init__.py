"""Live audio and video: one source in, any number of viewers out, in sync.

    import streamsocket as ss

Everything here is loaded when it is first used: numpy and FFmpeg only with what needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from streamsocket.version import __version__

if TYPE_CHECKING:
    from streamsocket.errors import (
        ArgumentError,
        ClosedError,
        ConnectError,
        SettingsError,
        SourceError,
        StreamSocketError,
        TimedOutError,
    )
    from streamsocket.frames import aio
    from streamsocket.frames.frame import AudioBlock, Frame
    from streamsocket.frames.process import process
    from streamsocket.frames.publisher import Publisher
    from streamsocket.frames.server import Server
    from streamsocket.frames.states import State, StateChange
    from streamsocket.frames.subscriber import Subscriber
    from streamsocket.frames.synchronized import FrameSet, synchronized

__all__ = [
    "ArgumentError",
    "AudioBlock",
    "ClosedError",
    "ConnectError",
    "Frame",
    "FrameSet",
    "Publisher",
    "Server",
    "SettingsError",
    "SourceError",
    "State",
    "StateChange",
    "StreamSocketError",
    "Subscriber",
    "TimedOutError",
    "__version__",
    "aio",
    "process",
    "synchronized",
]

_HOMES = {
    "ArgumentError": "errors",
    "AudioBlock": "frames.frame",
    "ClosedError": "errors",
    "ConnectError": "errors",
    "Frame": "frames.frame",
    "FrameSet": "frames.synchronized",
    "Publisher": "frames.publisher",
    "Server": "frames.server",
    "SettingsError": "errors",
    "SourceError": "errors",
    "State": "frames.states",
    "StateChange": "frames.states",
    "StreamSocketError": "errors",
    "Subscriber": "frames.subscriber",
    "TimedOutError": "errors",
    "process": "frames.process",
    "synchronized": "frames.synchronized",
}


def __getattr__(name: str) -> object:
    if name == "aio":
        value: object = importlib.import_module("streamsocket.frames.aio")
    elif name in _HOMES:
        home = importlib.import_module(f"streamsocket.{_HOMES[name]}")
        value = getattr(home, name)
    else:
        raise AttributeError(f"module 'streamsocket' has no attribute '{name}'")
    globals()[name] = value  # found without this the next time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
