"""Cameras as Linux tells of them: Video4Linux 2, by its system calls (linux/videodev2.h)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from streamsocket.sources.devices.formats import Format

_SYSFS = Path("/sys/class/video4linux")

# _IOR and _IOWR of asm-generic/ioctl.h: direction, size, 'V', number.
_QUERYCAP = 2 << 30 | 104 << 16 | ord("V") << 8 | 0
_ENUM_FMT = 3 << 30 | 64 << 16 | ord("V") << 8 | 2
_ENUM_FRAMESIZES = 3 << 30 | 44 << 16 | ord("V") << 8 | 74
_ENUM_FRAMEINTERVALS = 3 << 30 | 52 << 16 | ord("V") << 8 | 75

_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_FORMAT = struct.Struct("=III32sI16x")
_FRAME_SIZE = struct.Struct("=III24x8x")
_FRAME_INTERVAL = struct.Struct("=IIIII24x8x")

_CAPTURE = 1
_VIDEO_CAPTURE = 0x1
_STREAMING = 0x04000000
_DEVICE_CAPS = 0x80000000
_DISCRETE = 1

# A driver that never comes to an end is not listened to for ever.
_MOST_ENTRIES = 256

# What FFmpeg's v4l2 and our decoding take, by V4L2's four characters.
_PIXELS = {
    b"MJPG": "mjpeg",
    b"JPEG": "mjpeg",
    b"H264": "h264",
    b"YUYV": "yuyv422",
    b"UYVY": "uyvy422",
    b"NV12": "nv12",
    b"YU12": "yuv420p",
    b"RGB3": "rgb24",
    b"BGR3": "bgr24",
    b"GREY": "gray",
}

# Of a size or a rate that can be chosen freely, these are considered.
_USUAL_SIZES = ((320, 180), (640, 360), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
_USUAL_RATES = (Fraction(15), Fraction(25), Fraction(30), Fraction(60))

Call = Callable[[int, bytes], bytes]
"""ioctl on the device: the request's number and its argument, to the argument as it comes back."""


class Capability(NamedTuple):
    """What a device says it is."""

    name: str
    captures: bool
    """Pictures can be streamed from it. A camera has other devices too, for its metadata."""


class Range(NamedTuple):
    """From, to, in steps of."""

    least: int
    most: int
    step: int

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and self.least <= value <= self.most
            and not (value - self.least) % max(1, self.step)
        )


def devices() -> Iterator[tuple[str, str]]:
    """Path and name of each camera, in the order of their numbers."""
    for entry in sorted(_SYSFS.glob("video*"), key=lambda path: (len(path.name), path.name)):
        path = f"/dev/{entry.name}"
        try:
            with _Opened(path) as call:
                capability = parse_capability(call(_QUERYCAP, bytes(_CAPABILITY.size)))
            if capability.captures:
                yield path, capability.name
        except (OSError, ValueError):
            # It may not be looked into. The first device of a driver is the one with the pictures.
            if _read(entry / "index") in ("0", ""):
                yield path, _read(entry / "name") or path


def formats(path: str) -> list[Format]:
    """What the camera at that path offers; nothing where it can't be asked."""
    try:
        with _Opened(path) as call:
            return list(enumerate_formats(call))
    except (OSError, ValueError):
        return []


def enumerate_formats(call: Call) -> Iterator[Format]:
    """Ask for every format, its sizes, and their rates. Raises OSError where it fails."""
    for answer in _each(call, _ENUM_FMT, lambda index: _FORMAT.pack(index, _CAPTURE, 0, b"", 0)):
        four = _FORMAT.unpack(answer)[4].to_bytes(4, "little")
        pixels = _PIXELS.get(four)
        if pixels is None:
            continue
        code = int.from_bytes(four, "little")
        for width, height in _sizes(call, code):
            for rate in _rates(call, code, width, height):
                yield Format(pixels, width, height, rate)


def _sizes(call: Call, code: int) -> Iterator[tuple[int, int]]:
    request = _FRAME_SIZE
    for answer in _each(call, _ENUM_FRAMESIZES, lambda index: request.pack(index, code, 0)):
        kind, sides = parse_frame_size(answer)
        if kind == _DISCRETE:
            yield sides[0].least, sides[1].least
        else:
            wide, high = sides
            yield from (size for size in _USUAL_SIZES if size[0] in wide and size[1] in high)
            yield wide.most, high.most
            return


def _rates(call: Call, code: int, width: int, height: int) -> Iterator[Fraction]:
    def request(index: int) -> bytes:
        return _FRAME_INTERVAL.pack(index, code, width, height, 0)

    found = False
    for answer in _each(call, _ENUM_FRAMEINTERVALS, request):
        found = True
        kind, shortest, longest = parse_frame_interval(answer)
        if kind == _DISCRETE:
            yield 1 / shortest
        else:
            yield from (rate for rate in _USUAL_RATES if shortest <= 1 / rate <= longest)
            yield 1 / shortest
            return
    if not found:
        yield Fraction(30)  # a driver that doesn't tell


def parse_capability(answer: bytes) -> Capability:
    """Read `struct v4l2_capability`. Raises ValueError."""
    _, card, _, _, all_of_it, own = _unpack(_CAPABILITY, answer)
    capabilities = own if all_of_it & _DEVICE_CAPS else all_of_it
    captures = bool(capabilities & _VIDEO_CAPTURE and capabilities & _STREAMING)
    return Capability(card.split(b"\0")[0].decode(errors="replace"), captures)


def parse_frame_size(answer: bytes) -> tuple[int, tuple[Range, Range]]:
    """Read `struct v4l2_frmsizeenum`: its type, width and height. Raises ValueError."""
    kind: int = _unpack(_FRAME_SIZE, answer)[2]
    if kind == _DISCRETE:
        width, height = struct.unpack_from("=II", answer, 12)
        return kind, (Range(width, width, 1), Range(height, height, 1))
    wide_and_high = struct.unpack_from("=6I", answer, 12)
    return kind, (Range(*wide_and_high[:3]), Range(*wide_and_high[3:]))


def parse_frame_interval(answer: bytes) -> tuple[int, Fraction, Fraction]:
    """Read `struct v4l2_frmivalenum`: its type, the shortest and the longest interval in seconds.

    Raises ValueError.
    """
    kind: int = _unpack(_FRAME_INTERVAL, answer)[4]
    count = 2 if kind == _DISCRETE else 4
    numbers = struct.unpack_from(f"={count}I", answer, 20)
    if 0 in numbers:
        raise ValueError("a frame interval of nothing")
    shortest = Fraction(numbers[0], numbers[1])
    return kind, shortest, Fraction(*numbers[2:]) if kind != _DISCRETE else shortest


def _unpack(form: struct.Struct, answer: bytes) -> tuple[Any, ...]:
    if len(answer) != form.size:
        raise ValueError("an answer of the wrong size")
    return form.unpack(answer)


def _each(call: Call, number: int, request: Callable[[int], bytes]) -> Iterator[bytes]:
    """The answers for index 0, 1, … until there are no more."""
    for index in range(_MOST_ENTRIES):
        try:
            yield call(number, request(index))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise


class _Opened:
    """The device, opened for questions; reading from it is not disturbed by that."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> Call:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        return self._call

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _call(self, number: int, argument: bytes) -> bytes:
        import fcntl  # not on Windows

        return fcntl.ioctl(self._descriptor, number, argument)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
