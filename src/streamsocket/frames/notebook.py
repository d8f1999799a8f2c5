"""A stream's picture below the cell of a Jupyter notebook."""

from __future__ import annotations

import io
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamsocket.errors import ArgumentError, StreamSocketError
from streamsocket.frames.frame import Frame

if TYPE_CHECKING:
    from streamsocket.frames.subscriber import Subscriber

_INTERVAL_S = 1 / 15
"""What a notebook is shown in a second goes through its server, and is kept until it is shown."""
_QUALITY = 80


def show(subscriber: Subscriber, *, width: int | None = None) -> None:
    """Show the newest picture, again and again, until the cell is interrupted.

    Raises StreamSocketError outside of a notebook, ArgumentError for a width that is none.
    """
    if width is not None and (not isinstance(width, int) or width < 1):
        raise ArgumentError(f"width: {width!r} is not a number of pixels from 1 on.")
    display, image = _notebook(subscriber.url)
    handle = None
    due = 0.0
    try:
        for frame in subscriber:
            picture = image(data=_jpeg(frame, width), format="jpeg")
            if handle is None:
                handle = display(picture, display_id=True)
            else:
                handle.update(picture)
            time.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + _INTERVAL_S
    except KeyboardInterrupt:
        pass  # that is how a cell is ended


def _notebook(url: str) -> tuple[Any, Any]:
    """IPython's `display` and `Image`."""
    try:
        shell = import_module("IPython").get_ipython()
    except ImportError:
        shell = None
    # A terminal's shell has no kernel, and shows no pictures.
    if getattr(shell, "kernel", None) is None:
        raise StreamSocketError(
            "show() needs a Jupyter notebook; in a terminal, this opens a window: "
            f"streamsocket play {url}"
        )
    shown = import_module("IPython.display")
    return shown.display, shown.Image


def _jpeg(frame: Frame, width: int | None) -> bytes:
    from PIL import Image

    picture = Image.fromarray(frame.image)
    if width is not None and width != frame.width:
        height = max(1, round(frame.height * width / frame.width))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
