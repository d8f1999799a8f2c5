"""What a window, a speaker and a microphone are to the rest of the program.

`desktop/sdl/` is the one implementation; tests bring their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    """Sound, samples by channels, from −1 to 1."""
    Image = NDArray[np.uint8]
    """A drawn picture, height by width by 4: red, green, blue, alpha (not premultiplied)."""

Slot = Literal["main", "inset"]
"""Where a picture is shown: in the whole window, or small in its lower right corner."""

Layer = Literal["card", "top-left", "top-right", "bottom", "centre"]
"""Where something drawn lies over the picture. A card, in the window's own size, covers all of it
but the small picture."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed."""

    name: str
    """The character it writes, in lower case, or `escape`, `space`, `return`, `backspace`, `up`,
    `down`, `left`, `right`, `f11` and the like."""


@dataclass(frozen=True, slots=True)
class DoubleClick:
    """The picture was clicked twice."""


@dataclass(frozen=True, slots=True)
class Resized:
    """The window has another size in pixels now, or has to be drawn again."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The window was closed."""


Event = Key | DoubleClick | Resized | Quit


class Window(Protocol):
    """A window, to be used by the main thread alone (macOS insists)."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what can be drawn on, in pixels."""

    @property
    def scale(self) -> float:
        """How much larger than at 96 dots an inch things have to be drawn to look the same."""

    def set_picture(self, slot: Slot, frame: VideoFrame | None, pixel_aspect: float = 1.0) -> None:
        """The picture of that slot from now on, whatever its size and pixel format; None: none.

        It keeps its shape between black bars; `pixel_aspect` is a pixel's width by its height.
        """

    def set_layer(self, layer: Layer, image: Image | None) -> None:
        """What is drawn over the picture there from now on, pixel by pixel; None: nothing."""

    def present(self) -> float:
        """Bring all of it to the screen; return when, of `time.monotonic()`."""

    def events(self, timeout_s: float) -> list[Event]:
        """What has happened, after at most so many seconds; returns at once if something has."""

    def wake(self) -> None:
        """Make `events` return now. May be called by any thread."""

    def toggle_full_screen(self) -> None:
        """Fill the screen, or go back."""

    def close(self) -> None:
        """Close it."""


class Speaker(Protocol):
    """A sound output that is fed ahead of time. To be used by one thread."""

    rate: int
    """Samples a second."""
    channels: int

    @property
    def queued_s(self) -> float:
        """Seconds of sound that were queued and that the device has not taken yet."""

    @property
    def latency_s(self) -> float:
        """Seconds from when the device takes a sample to when it is heard, as far as is known."""

    @property
    def lost(self) -> bool:
        """The device is gone: nothing that is queued will be heard."""

    def queue(self, samples: Samples) -> None:
        """Play these after what is queued."""

    def clear(self) -> None:
        """Forget what is queued."""

    def close(self) -> None:
        """Give the device back."""


class Microphone(Protocol):
    """A sound input that gathers what it hears. To be used by one thread."""

    rate: int
    channels: int

    @property
    def lost(self) -> bool:
        """The device is gone: nothing will come any more."""

    def read(self) -> Samples:
        """What has been heard since the last time, possibly nothing. Never waits."""

    def close(self) -> None:
        """Give the device back."""
