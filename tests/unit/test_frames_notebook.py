"""`show()` in a notebook, and outside of one; the notebook's display is a stand-in."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Iterator

import av
import numpy as np
import pytest
from PIL import Image

from streamsocket.errors import ArgumentError, StreamSocketError
from streamsocket.frames import notebook
from streamsocket.frames.frame import Frame
from streamsocket.frames.subscriber import Subscriber


class Interrupted(Subscriber):
    """Gives three pictures; then the user interrupts the cell."""

    def __next__(self) -> Frame:
        self.given = getattr(self, "given", 0) + 1
        if self.given > 3:
            raise KeyboardInterrupt
        image = np.full((48, 64, 3), (255, 0, 50 * self.given), np.uint8)
        return Frame(
            av.VideoFrame.from_ndarray(image, "rgb24"),
            capture_time=1_000.0,
            capture_clock="sender",
            rtp_timestamp=0,
            keyframe=True,
            intact=True,
        )


class Notebook:
    """What is displayed, and what it is changed to."""

    def __init__(self, *, kernel: bool) -> None:
        self.displayed: list[bytes] = []
        self.updated: list[bytes] = []
        self.shell = types.SimpleNamespace(**({"kernel": object()} if kernel else {}))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        main, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        main.get_ipython = lambda: self.shell  # type: ignore[attr-defined]
        display.display = self.display  # type: ignore[attr-defined]
        display.Image = lambda data, format: (format, data)  # type: ignore[attr-defined] # noqa: A006
        monkeypatch.setitem(sys.modules, "IPython", main)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, picture: tuple[str, bytes], *, display_id: bool) -> object:
        assert display_id
        assert picture[0] == "jpeg"
        self.displayed.append(picture[1])
        return types.SimpleNamespace(update=lambda picture: self.updated.append(picture[1]))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(notebook, "_INTERVAL_S", 0.01)
    return


def test_one_picture_is_changed_until_the_cell_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Notebook(kernel=True)
    shown.install(monkeypatch)
    Interrupted("rtsp://127.0.0.1/x").show()
    assert len(shown.displayed) == 1
    assert len(shown.updated) == 2
    picture = Image.open(io.BytesIO(shown.updated[-1]))
    assert picture.size == (64, 48)
    red, green, blue = picture.getpixel((32, 24))  # type: ignore[misc]
    assert (red > 240, green < 20, 130 < blue < 170) == (True, True, True)


def test_it_is_as_wide_as_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Notebook(kernel=True)
    shown.install(monkeypatch)
    Interrupted("rtsp://127.0.0.1/x").show(width=32)
    assert Image.open(io.BytesIO(shown.displayed[0])).size == (32, 24)


@pytest.mark.parametrize("width", [0, -1, 1.5, "wide"])
def test_a_width_that_is_none(width: int) -> None:
    with pytest.raises(ArgumentError, match=r"^width: "):
        Interrupted("rtsp://127.0.0.1/x").show(width=width)


def test_outside_of_a_notebook_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(StreamSocketError, match=r"streamsocket play rtsp://127\.0\.0\.1/x"):
        Interrupted("rtsp://127.0.0.1/x").show()
    Notebook(kernel=False).install(monkeypatch)
    with pytest.raises(StreamSocketError, match="a Jupyter notebook"):
        Interrupted("rtsp://127.0.0.1/x").show()
