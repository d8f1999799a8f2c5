"""What Linux answers about a camera, in the bytes of its structs (linux/videodev2.h)."""

from __future__ import annotations

import errno
import struct
from fractions import Fraction

import pytest

from streamsocket.sources.devices import v4l2
from streamsocket.sources.devices.formats import Format

QUERYCAP, ENUM_FMT, SIZES, INTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
DISCRETE, CONTINUOUS, STEPWISE = 1, 2, 3


def _capability(capabilities: int, device_caps: int) -> bytes:
    head = b"uvcvideo".ljust(16, b"\0") + b"HD Webcam: HD".ljust(32, b"\0") + b"usb-1".ljust(32)
    return head + struct.pack("=III", 0x060C00, capabilities, device_caps) + bytes(12)


class _Camera:
    """Answers as the driver of a webcam does."""

    def __init__(self) -> None:
        self.formats = [b"YUYV", b"MJPG", b"Z16 "]
        self.sizes = {
            b"YUYV": [struct.pack("=IIIII", 0, 0, DISCRETE, 640, 480)],
            b"MJPG": [
                struct.pack("=IIIII", 0, 0, DISCRETE, 1280, 720),
                struct.pack("=IIIII", 1, 0, DISCRETE, 1920, 1080),
            ],
        }
        self.intervals = {
            (640, 480): [(DISCRETE, 1, 30), (DISCRETE, 1, 15)],
            (1280, 720): [(DISCRETE, 333_333, 10_000_000)],
            (1920, 1080): [],
        }

    def __call__(self, number: int, argument: bytes) -> bytes:
        try:
            [index] = struct.unpack_from("=I", argument)
            if number == ENUM_FMT:
                assert struct.unpack_from("=I", argument, 4) == (1,)  # VIDEO_CAPTURE
                four = self.formats[index]
                return struct.pack("=III32s4s16x", index, 1, 0, b"a format", four)
            four = argument[4:8]
            if number == SIZES:
                return self.sizes[four][index].ljust(44, b"\0")
            assert number == INTERVALS
            kind, *numbers = self.intervals[struct.unpack_from("=II", argument, 8)][index]
            answer = argument[:16] + struct.pack(f"=I{len(numbers)}I", kind, *numbers)
            return answer.ljust(52, b"\0")
        except LookupError:
            raise OSError(errno.EINVAL, "no more") from None


def test_the_formats_of_a_webcam() -> None:
    assert list(v4l2.enumerate_formats(_Camera())) == [
        Format("yuyv422", 640, 480, Fraction(30)),
        Format("yuyv422", 640, 480, Fraction(15)),
        Format("mjpeg", 1280, 720, Fraction(10_000_000, 333_333)),
        Format("mjpeg", 1920, 1080, Fraction(30)),  # it doesn't tell
    ]


def test_sizes_and_rates_in_steps() -> None:
    camera = _Camera()
    camera.formats = [b"NV12"]
    camera.sizes[b"NV12"] = [struct.pack("=9I", 0, 0, STEPWISE, 160, 1600, 16, 120, 1200, 4)]
    camera.intervals = {
        (640, 480): [(STEPWISE, 1, 50, 1, 10, 1, 1000)],
        (1600, 1200): [(CONTINUOUS, 1, 12, 1, 1, 1, 1)],
    }
    found = list(v4l2.enumerate_formats(camera))
    assert {(each.width, each.height) for each in found} == {
        *[(320, 180), (640, 480), (640, 360), (1280, 720), (1600, 1200)]
    }
    rates = [each.rate for each in found if (each.width, each.height) == (640, 480)]
    assert rates == [15, 25, 30, 50]
    rates = [each.rate for each in found if (each.width, each.height) == (1600, 1200)]
    assert rates == [12]


def test_what_a_device_is() -> None:
    metadata = _capability(0x84A00001, 0x04A00000)
    assert v4l2.parse_capability(_capability(0x84A00001, 0x04200001)) == ("HD Webcam: HD", True)
    assert v4l2.parse_capability(metadata) == ("HD Webcam: HD", False)
    assert v4l2.parse_capability(_capability(0x04000001, 0)).captures  # before Linux 3.4


def test_nonsense_is_refused_and_no_end_has_an_end() -> None:
    for parse in (v4l2.parse_capability, v4l2.parse_frame_size, v4l2.parse_frame_interval):
        with pytest.raises(ValueError, match="wrong size"):
            parse(b"\0" * 10)
    with pytest.raises(ValueError, match="nothing"):
        v4l2.parse_frame_interval(bytes(52))

    def endless(number: int, argument: bytes) -> bytes:
        return struct.pack("=III32s4s16x", 0, 1, 0, b"", b"????")

    assert list(v4l2.enumerate_formats(endless)) == []


def test_other_failures_are_not_the_end_of_a_list() -> None:
    def broken(number: int, argument: bytes) -> bytes:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        list(v4l2.enumerate_formats(broken))


def test_a_device_that_is_not_there_offers_nothing() -> None:
    assert v4l2.formats("/dev/no-such-video") == []
    assert v4l2.formats("/dev/null") == []
