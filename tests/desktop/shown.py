"""A window that a test has opened, and what is seen of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray
from tests.desktop.desktop import Display, wait_for

from streamsocket.desktop.backend import Event
from streamsocket.desktop.sdl.window import SdlWindow

_numbers = count()


class Shown:
    """A window that is open, and what is seen of it."""

    def __init__(self, display: Display, width: int, height: int) -> None:
        title = f"window – {next(_numbers)}"
        self.window = SdlWindow(title, width, height)
        self.display = display
        self.window.present()
        self.id = display.window(f"^{title}$")
        self.events()

    def events(self) -> list[Event]:
        return self.window.events(0)

    def seen(self) -> NDArray[np.uint8]:
        self.window.present()
        return self.display.picture_of(self.id)

    def wait_for_size(self, size: tuple[int, int]) -> None:
        wait_for(lambda: (self.events(), self.window.size == size)[1], f"the size of {size}", 5)

    def wait_for_events(self, *wanted: Event) -> None:
        """Until these have happened, in this order, with anything but keys in between."""
        found: list[Event] = []

        def look() -> bool:
            found.extend(event for event in self.window.events(0.05) if event in wanted)
            return found == list(wanted)

        wait_for(look, f"{wanted}; there were {found}", 5)


Open = Callable[..., Shown]
