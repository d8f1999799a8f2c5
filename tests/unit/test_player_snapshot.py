"""Pictures of the stream as files: their colours, names, and what goes wrong."""

from __future__ import annotations

import errno
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import PIL.Image
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from streamsocket.desktop.sdl.colours import for_sdl
from streamsocket.errors import StreamSocketError
from streamsocket.player.snapshot import save_snapshot

CAPTURED = datetime(2026, 11, 21, 16, 45, 30, 250_000).timestamp()
NAME = "lobby-2026-11-21-164530"

_BT709, _UNSPECIFIED, _BT601 = 1, 2, 5
_LIMITED, _FULL = 1, 2

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]


def grey(width: int = 64, height: int = 48) -> VideoFrame:
    frame = VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def plain(
    rgb: tuple[int, int, int],
    *,
    matrix: int,
    full: bool,
    size: tuple[int, int] = (64, 48),
    declared: bool = True,
    pixel_format: str = "yuv420p",
) -> VideoFrame:
    """A picture of one colour, computed by the definition of the matrix (ITU-R BT.601, BT.709)."""
    red, green, blue = (part / 255 for part in rgb)
    of_red, of_blue = (0.2126, 0.0722) if matrix == _BT709 else (0.299, 0.114)
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    differences = [(blue - luma) / (2 - 2 * of_blue), (red - luma) / (2 - 2 * of_red)]
    values = (
        [255 * luma, *(128 + 255 * part for part in differences)]
        if full
        else [16 + 219 * luma, *(128 + 224 * part for part in differences)]
    )
    frame = VideoFrame(*size, pixel_format)
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([min(255, max(0, round(value)))]) * plane.buffer_size)
    if declared:
        frame.colorspace = matrix
        frame.color_range = _FULL if full else _LIMITED
    return frame


def size_of(path: Path) -> tuple[int, int]:
    with PIL.Image.open(path) as image:
        return image.size


def colour_of(path: Path) -> np.ndarray:
    pixels = np.asarray(PIL.Image.open(path)).reshape(-1, 3).astype(int)
    assert np.ptp(pixels, axis=0).max() <= 1
    return pixels[0]


@pytest.mark.parametrize("rgb", COLOURS)
@pytest.mark.parametrize("matrix", [_BT601, _BT709])
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_right(
    rgb: tuple[int, int, int], matrix: int, full: bool, tmp_path: Path
) -> None:
    frame = plain(rgb, matrix=matrix, full=full)
    path = save_snapshot(frame, tmp_path, "lobby", CAPTURED)
    assert np.abs(colour_of(path) - rgb).max() <= 3
    assert (frame.colorspace, frame.color_range) == (matrix, _FULL if full else _LIMITED)


@pytest.mark.parametrize("rgb", COLOURS)
def test_pictures_of_motion_jpeg_have_full_range(rgb: tuple[int, int, int], tmp_path: Path) -> None:
    frame = plain(rgb, matrix=_BT601, full=True, declared=False, pixel_format="yuvj420p")
    path = save_snapshot(frame, tmp_path, "lobby", CAPTURED)
    assert np.abs(colour_of(path) - rgb).max() <= 3


@pytest.mark.parametrize(
    ("size", "matrix"), [((640, 480), _BT601), ((720, 576), _BT601), ((1280, 720), _BT709)]
)
def test_who_doesnt_say_means_what_is_usual_for_the_size(
    size: tuple[int, int], matrix: int, tmp_path: Path
) -> None:
    frame = plain((200, 120, 40), matrix=matrix, full=False, size=size, declared=False)
    assert frame.colorspace == _UNSPECIFIED
    assert for_sdl(frame).conversion == ("bt709" if matrix == _BT709 else "bt601")  # as shown
    path = save_snapshot(frame, tmp_path, "lobby", CAPTURED)
    assert np.abs(colour_of(path) - (200, 120, 40)).max() <= 3


@pytest.mark.parametrize(
    "pixel_format", ["rgb24", "bgra", "gbrp", "nv12", "yuv444p", "yuv422p10le"]
)
def test_other_pixel_formats(pixel_format: str, tmp_path: Path) -> None:
    pixels = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    frame = VideoFrame.from_ndarray(pixels).reformat(
        format=pixel_format, dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
    )
    path = save_snapshot(frame, tmp_path, "lobby", CAPTURED)
    assert np.abs(colour_of(path) - (200, 120, 40)).max() <= 3


def test_a_decoded_picture_looks_like_what_was_encoded(tmp_path: Path) -> None:
    pixels = np.zeros((144, 176, 3), np.uint8)
    pixels[:, :88] = (220, 40, 40)
    pixels[:72, 88:] = (40, 200, 60)
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 176, 144, "yuvj420p"
    encoder.time_base = 1  # type: ignore[assignment]
    source = VideoFrame.from_ndarray(pixels).reformat(format="yuvj420p")
    source.pts = 0
    packets = [*encoder.encode(source), *encoder.encode(None)]
    decoder = av.CodecContext.create("mjpeg", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frame = decoder.decode(packets[0])[0]
    saved = np.asarray(PIL.Image.open(save_snapshot(frame, tmp_path, "lobby", CAPTURED)))
    assert saved.shape == pixels.shape
    for row, column in ((70, 40), (40, 130), (110, 130)):
        assert np.abs(saved[row, column].astype(int) - pixels[row, column]).max() <= 12


def test_the_picture_has_its_own_size(tmp_path: Path) -> None:
    path = save_snapshot(grey(322, 242), tmp_path, "lobby", CAPTURED)
    assert size_of(path) == (322, 242)


@pytest.mark.parametrize(
    ("pixel_aspect", "size"),
    [(1.0, (720, 576)), (16 / 15, (768, 576)), (64 / 45, (1024, 576)), (0.0, (720, 576)),
     (1e9, (720, 576)), (float("nan"), (720, 576))],
)  # fmt: skip
def test_pixels_become_square(pixel_aspect: float, size: tuple[int, int], tmp_path: Path) -> None:
    path = save_snapshot(grey(720, 576), tmp_path, "lobby", CAPTURED, pixel_aspect=pixel_aspect)
    assert size_of(path) == size


def test_the_name_has_stream_and_local_time(tmp_path: Path) -> None:
    assert save_snapshot(grey(), tmp_path, "lobby", CAPTURED) == tmp_path / f"{NAME}.png"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    names = [save_snapshot(grey(), tmp_path, "lobby", CAPTURED).name for _ in range(3)]
    assert names == [f"{NAME}.png", f"{NAME}-2.png", f"{NAME}-3.png"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("stream", "safe"),
    [
        ("live/lobby", "live-lobby"),
        ("../../etc/passwd", "etc-passwd"),
        ('a<b>:"|?*\\c', "a-b-c"),
        ("Küche 2", "Küche-2"),
        ("..", "snapshot"),
        ("", "snapshot"),
        ("a\x00\nb\ud800", "a-b"),
        (".hidden", "hidden"),
        ("ü" * 300, "ü" * 40),
        ("\U0001f389", "snapshot"),
    ],
)
def test_names_are_safe_for_file_systems(stream: str, safe: str, tmp_path: Path) -> None:
    path = save_snapshot(grey(), tmp_path, stream, CAPTURED)
    assert path == tmp_path / f"{safe}-2026-11-21-164530.png"
    assert path.exists()


def test_the_file_says_when_it_was_captured(tmp_path: Path) -> None:
    with PIL.Image.open(save_snapshot(grey(), tmp_path, "live/lobby", CAPTURED)) as image:
        details: dict[str, str] = image.text  # type: ignore[attr-defined]
    assert datetime.fromisoformat(details["Creation Time"]).timestamp() == CAPTURED
    assert details["Creation Time"].startswith("2026-11-21T16:45:30.250")
    assert details["Title"] == "live/lobby"
    assert details["Software"] == "StreamSocket"


@pytest.mark.parametrize("captured", [None, 1e30, float("nan"), float("-inf")])
def test_without_a_time_of_capture_it_is_now(captured: float | None, tmp_path: Path) -> None:
    before = int(time.time())
    path = save_snapshot(grey(), tmp_path, "lobby", captured)
    named = datetime.strptime(path.stem, "lobby-%Y-%m-%d-%H%M%S").timestamp()
    assert before <= named <= time.time()
    with PIL.Image.open(path) as image:
        assert "Creation Time" not in image.text  # type: ignore[attr-defined]


def test_the_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "streams"
    assert save_snapshot(grey(), folder, "lobby", CAPTURED).parent == folder


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StreamSocketError, match=r"cannot be saved in .*file: .*\?$"):
        save_snapshot(grey(), tmp_path / "file", "lobby", CAPTURED)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A file on a disk that is full."""

        def __init__(self, file: IO[bytes]) -> None:
            self._file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def write(self, data: bytes) -> int:
            self._file.write(data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    real_open = Path.open

    def open_full(self: Path, *arguments: Any) -> Full:
        return Full(real_open(self, *arguments))

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(StreamSocketError, match="No space left on device"):
        save_snapshot(grey(), tmp_path, "lobby", CAPTURED)
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_the_same_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exists(self: Path, *_: Any) -> None:
        raise FileExistsError(errno.EEXIST, "File exists", str(self))

    monkeypatch.setattr(Path, "open", exists)
    with pytest.raises(StreamSocketError, match="1000 files named like lobby"):
        save_snapshot(grey(), tmp_path, "lobby", CAPTURED)
