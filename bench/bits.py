"""Bits: our encoder against a base64 JPEG a picture, as the tutorials send them, at equal SSIM.

Both begin with the same BGR pictures, which is what a camera gives in OpenCV; x264 gets them as
4:2:0, and SSIM is taken there, of the luma. The JPEG's quality is 80, libjpeg's scale. Our encoder,
with the settings that sources use, is tried at one bit rate after the other until its mean SSIM
meets the JPEG's; between the two nearest tries the bits are interpolated.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from av.filter import Graph
from av.video import VideoFrame
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from bench.harness import Figure
from bench.movies import graph
from bench.rtsp import BenchError
from streamsocket.codecs.h26x import H264Encoder
from streamsocket.sources.picture import PictureDrawer

WIDTH, HEIGHT, RATE = 1280, 720, Fraction(30)
QUALITY = 80
STEPS = 6
LOWEST, HIGHEST = 100_000, 30_000_000
SUBJECTS: dict[str, tuple[str, float | None]] = {
    "test picture": ("superfast", 7),
    "mandelbrot": ("veryfast", 3.5),
    "testsrc2": ("veryfast", None),
}
"""x264's preset (the `test` source's, or transcoding's), and how many times fewer bits it needs."""


def run(quick: bool) -> list[Figure]:
    """Our bits as a share of the JPEGs' bits."""
    count = 45 if quick else 180
    figures = []
    for name, (preset, times) in SUBJECTS.items():
        made = drawn(count) if name == "test picture" else filtered(name, count)
        colours = [reformatted(frame, "bgr24") for frame in made]
        originals = [reformatted(frame, "yuv420p") for frame in colours]
        theirs, ssim = jpeg(colours, originals)
        ours = bits_at(ssim, originals, preset)
        seconds = count / float(RATE)
        said = (
            f"x264 {preset} {ours / seconds / 1e6:.2f} Mbit/s, JPEG {QUALITY} in base64 "
            f"{theirs / seconds / 1e6:.2f} Mbit/s, SSIM {ssim:.4f}, {count} pictures: "
            f"1/{theirs / ours:.1f}"
        )
        limit = 1 / times if times else None
        figures.append(Figure(f"bits, {name}", ours / theirs, "of JPEG's", limit, said))
    return figures


def drawn(count: int) -> list[VideoFrame]:
    """The `test` source's pictures, with a flash once a second."""
    drawer = PictureDrawer(WIDTH, HEIGHT)
    pictures = []
    for number in range(count):
        flash = number % RATE == 0
        plane = drawer.flash() if flash else drawer.draw(number, float(number / RATE))
        pictures.append(VideoFrame.from_ndarray(plane, format="yuv420p"))
    return pictures


def filtered(name: str, count: int) -> list[VideoFrame]:
    """Pictures that one of FFmpeg's filters draws."""
    source = graph(f"{name}=size={WIDTH}x{HEIGHT}:rate={RATE},format=yuv420p")
    return [source.vpull() for _ in range(count)]


def reformatted(frame: VideoFrame, pixels: str) -> VideoFrame:
    """The picture in another pixel format."""
    return VideoReformatter().reformat(frame, format=pixels)


def jpeg(colours: list[VideoFrame], originals: list[VideoFrame]) -> tuple[int, float]:
    """Bits of all pictures as base64 JPEGs, and their mean SSIM."""
    bits = 0
    decoded = []
    for colour in colours:
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        coded, data = cv2.imencode(".jpg", colour.to_ndarray(), quality)
        if not coded:
            raise BenchError("OpenCV could not make a JPEG")
        bits += 8 * len(base64.b64encode(data.tobytes()))
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        frame = VideoFrame.from_ndarray(picture, format="bgr24")
        decoded.append(reformatted(frame, "yuv420p"))
    return bits, mean_ssim(originals, decoded)


def bits_at(ssim: float, originals: list[VideoFrame], preset: str) -> float:
    """Bits that our encoder needs for this mean SSIM."""
    low, high = float(LOWEST), float(HIGHEST)
    below, above = encoded(originals, preset, LOWEST), encoded(originals, preset, HIGHEST)
    if not below[1] < ssim < above[1]:
        raise BenchError(f"SSIM {ssim:.4f} is not between {below[1]:.4f} and {above[1]:.4f}")
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        tried = encoded(originals, preset, int(middle))
        if tried[1] < ssim:
            low, below = middle, tried
        else:
            high, above = middle, tried
    part = (ssim - below[1]) / (above[1] - below[1])
    return math.exp(math.log(below[0]) * (1 - part) + math.log(above[0]) * part)


def encoded(originals: list[VideoFrame], preset: str, bit_rate: int) -> tuple[int, float]:
    """Bits and mean SSIM of our encoder at a bit rate."""
    encoder = H264Encoder(WIDTH, HEIGHT, RATE, bit_rate=bit_rate, preset=preset)
    coded = []
    for number, original in enumerate(originals):
        coded += encoder.encode(original, number / RATE)
    coded += encoder.flush()
    streams = [b"".join(b"\0\0\0\1" + unit for unit in each.units) for each in coded]
    parameters = b"\0\0\0\1" + encoder.codec.sps + b"\0\0\0\1" + encoder.codec.pps
    bits = 8 * (len(parameters) + sum(len(stream) for stream in streams))
    return bits, mean_ssim(originals, decode([parameters + streams[0], *streams[1:]]))


def decode(units: list[bytes]) -> Iterator[VideoFrame]:
    """Pictures of access units in Annex B form."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    for unit in units:
        yield from decoder.decode(av.Packet(unit))
    yield from decoder.decode(None)


def mean_ssim(originals: list[VideoFrame], others: Iterable[VideoFrame]) -> float:
    """FFmpeg's SSIM of the luma, mean over the pictures."""
    compared = Graph()
    sources = [
        compared.add(
            "buffer",
            f"video_size={WIDTH}x{HEIGHT}:pix_fmt=yuv420p:time_base=1/{RATE}",
        )
        for _ in range(2)
    ]
    ssim, sink = compared.add("ssim"), compared.add("buffersink")
    for index, source in enumerate(sources):
        source.link_to(ssim, 0, index)
    ssim.link_to(sink)
    compared.configure()
    values = []
    for number, (original, other) in enumerate(zip(originals, others, strict=True)):
        for source, frame in zip(sources, (other, original), strict=True):
            frame.pts, frame.time_base = number, 1 / RATE
            source.push(frame)
        try:
            values.append(float(sink.pull().metadata["lavfi.ssim.Y"]))
        except av.error.BlockingIOError:
            pass  # the filter holds one pair back
    return sum(values) / len(values)
