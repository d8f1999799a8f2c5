"""JPEG headers, held against what libjpeg (OpenCV) and FFmpeg write."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamsocket.errors import ParseError
from streamsocket.media.jpeg import EOI, Headers, build_headers, parse_jpeg

PICTURE = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)


def libjpeg(picture: NDArray[Any] = PICTURE, **options: int) -> bytes:
    """A JPEG by libjpeg-turbo; options by the names of OpenCV's flags."""
    flags = [each for name, value in options.items() for each in (getattr(cv2, name), value)]
    done, data = cv2.imencode(".jpg", picture, flags)
    assert done
    return data.tobytes()


def ffmpeg(pixels: str = "yuvj420p", **options: str) -> bytes:
    """A JPEG by FFmpeg."""
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    frame = av.VideoFrame.from_ndarray(PICTURE, "bgr24").reformat(format=pixels)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pixels
    encoder.framerate, encoder.thread_count = (
        Fraction(25),
        1,
    )  # each thread would begin with a restart
    encoder.options = options
    frame.pts = 0
    return bytes(encoder.encode(frame)[0])


def decoded(data: bytes) -> NDArray[Any]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


SAMPLED_422 = {"IMWRITE_JPEG_SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422}
SAMPLED_444 = {"IMWRITE_JPEG_SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}


@pytest.mark.parametrize(
    ("data", "subsampling", "restarts", "usual"),
    [
        (libjpeg(), "4:2:0", 0, True),
        (libjpeg(PICTURE, **SAMPLED_422), "4:2:2", 0, True),
        (libjpeg(IMWRITE_JPEG_RST_INTERVAL=3), "4:2:0", 3, True),
        (libjpeg(IMWRITE_JPEG_OPTIMIZE=1), "4:2:0", 0, False),
        (ffmpeg(), "4:2:0", 0, False),
        (ffmpeg(huffman="default"), "4:2:0", 0, True),
        (ffmpeg(huffman="default", force_duplicated_matrix="1"), "4:2:0", 0, True),
    ],
)
def test_what_encoders_write_is_read(
    data: bytes, subsampling: str, restarts: int, usual: bool
) -> None:
    headers, scan = parse_jpeg(data)
    assert (headers.width, headers.height) == (120, 90)
    assert (headers.subsampling, headers.restart_interval) == (subsampling, restarts)
    assert headers.usual_huffman_tables == usual
    assert len(headers.tables) == 128
    assert data.endswith(scan + EOI)
    if usual:
        rebuilt = build_headers(headers) + scan + EOI
        assert np.array_equal(decoded(rebuilt), decoded(data))
        assert parse_jpeg(rebuilt) == (headers, scan)


def test_huffman_tables_that_are_left_out_are_the_usual_ones() -> None:
    data = re.sub(rb"(?s)\xff\xc4\x01\xa2.{416}", b"", build_headers(parse_jpeg(libjpeg())[0]))
    headers, _ = parse_jpeg(data + b"scan" + EOI)
    assert headers.usual_huffman_tables
    assert len(data) < 300


def test_what_comes_after_the_end_is_left() -> None:
    data = libjpeg()
    assert parse_jpeg(data + b"\xff\xd8padding") == parse_jpeg(data)
    assert parse_jpeg(data[:-2]) == parse_jpeg(data)


def test_escaped_bytes_and_restarts_belong_to_the_scan() -> None:
    headers, _ = parse_jpeg(libjpeg())
    scan = b"\x00\xff\x00\xff\xd0\xff\xff\x00\xff\xd7a"
    assert parse_jpeg(build_headers(headers) + scan + EOI) == (headers, scan)


HEADERS = Headers(120, 90, "4:2:0", bytes(range(1, 129)))
START = build_headers(HEADERS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "doesn't begin with SOI"),
        (b"\x89PNG", "doesn't begin with SOI"),
        (b"\xff\xd8", "no marker where one must be"),
        (b"\xff\xd8\xff\xff", "ends before its scan"),
        (b"\xff\xd8\xff\xd9", "ends before its scan"),
        (b"\xff\xd8\xff\xdb\x00", "within a segment"),
        (b"\xff\xd8\xff\xdb\x00\x01", "within a segment"),
        (b"\xff\xd8\xff\xdb\x00\x09a", "within a segment"),
        (b"\xff\xd8\xff\xdb\x00\x03\x00", "quantisation table is cut off"),
        (b"\xff\xd8\xff\xdb\x00\x03\x10", "16 bits"),
        (b"\xff\xd8\xff\xc4\x00\x03\x00", "Huffman table is cut off"),
        (b"\xff\xd8\xff\xdd\x00\x03\x00", "restart interval"),
        (b"\xff\xd8\xff\xda\x00\x02", "no frame header"),
        (START.replace(b"\xff\xc0", b"\xff\xc1"), "of process 1"),
        (START.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "12 bits a sample"),
        (START.replace(b"\xff\xc0\x00\x11\x08\x00\x5a", b"\xff\xc0\x00\x11\x08\x00\x00"), "size"),
        (START.replace(b"\x00\x5a\x00\x78\x03", b"\x00\x5a\x00\x78\x02"), "header is cut off"),
        (START.replace(b"\x01\x03\x11\x01\xff", b"\x01\x03\x11\x02\xff"), "lacks a quantisation"),
        (START.replace(b"\x01\x03\x11\x01\xff", b"\x01\x03\x11\x00\xff"), "two chroma components"),
        (START.replace(b"\x00\x3f\x00", b"\x00\x05\x00"), "not that of a baseline"),
        (START.replace(b"\xff\xda\x00\x0c\x03", b"\xff\xda\x00\x0c\x01"), "several scans"),
        (START.replace(b"\x00\x02\x11\x03\x11\x00", b"\x00\x02\x00\x03\x00\x00"), "alike"),
        (START + b"scan\xff\xda", "several scans"),
        (libjpeg(IMWRITE_JPEG_PROGRESSIVE=1), "progressive"),
        (libjpeg(PICTURE, **SAMPLED_444), "sampled 1x1, 1x1, 1x1"),
        (libjpeg(PICTURE[:, :, 0]), "sampled 1x1 is not supported"),
        (ffmpeg("yuvj422p"), "sampled 2x2, 1x2, 1x2"),
    ],
)
def test_other_pictures_are_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse_jpeg(data)


def test_every_beginning_of_a_jpeg_is_refused_or_read() -> None:
    data = libjpeg(IMWRITE_JPEG_RST_INTERVAL=1)
    start = data.index(b"\xff\xda")
    for end in range(start):
        with pytest.raises(ParseError):
            parse_jpeg(data[:end])


def test_restarts_are_written() -> None:
    headers = replace(HEADERS, restart_interval=513)
    assert b"\xff\xdd\x00\x04\x02\x01" in build_headers(headers)
    assert b"\xff\xdd" not in START
