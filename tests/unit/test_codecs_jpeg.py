"""Motion JPEG straight from RGB: what decodes it sees the same, at the bits that were asked for."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame

from streamsocket.codecs.jpeg import RgbJpegEncoder
from streamsocket.media.codec import Mjpeg
from streamsocket.sources.packing import Packer

SIZE = 320, 240


def encoded(encoder: RgbJpegEncoder, image: npt.NDArray[np.uint8], number: int = 0) -> bytes:
    frame = VideoFrame.from_numpy_buffer(image, "rgb24")
    [coded] = encoder.encode(frame, Fraction(number, 30))
    assert coded.keyframe
    assert coded.pts == Fraction(number, 30)
    return coded.units[0]


def noise(seed: int = 0) -> npt.NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return small.repeat(4, axis=0).repeat(4, axis=1)


def test_what_is_decoded_is_what_was_encoded() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :160] = (200, 40, 90)
    data = encoded(RgbJpegEncoder(*SIZE, Fraction(30)), image)
    decoder = av.CodecContext.create("mjpeg", "r")
    [frame] = decoder.decode(av.Packet(data))  # type: ignore[attr-defined]
    assert frame.format.name == "yuvj420p"
    shown = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown[100, 80] - (200, 40, 90)).max() <= 4
    assert shown[100, 240].max() <= 4


def test_rtp_can_carry_it() -> None:
    data = encoded(RgbJpegEncoder(*SIZE, Fraction(30)), noise())
    from streamsocket.codecs.coded import Coded

    batch = Packer(Mjpeg(SIZE)).pack(
        Coded([data], Fraction(0), Fraction(0), Fraction(1, 30)), Fraction(0)
    )
    assert batch is not None
    assert batch.keyframe
    assert len(batch.buffer) > len(data) * 0.9


@pytest.mark.parametrize("bit_rate", [2_000_000, 6_000_000])
def test_it_keeps_to_its_rate_within_a_second(bit_rate: int) -> None:
    encoder = RgbJpegEncoder(*SIZE, Fraction(30), bit_rate=bit_rate)
    sizes = [len(encoded(encoder, noise(number), number)) for number in range(60)]
    assert sum(sizes[30:]) * 8 == pytest.approx(bit_rate, rel=0.1)


def test_what_is_beyond_its_scale_stays_at_the_end_of_it() -> None:
    for bit_rate, quiet in ((10_000, noise()), (100_000_000, np.zeros((240, 320, 3), np.uint8))):
        encoder = RgbJpegEncoder(*SIZE, Fraction(30), bit_rate=bit_rate)
        for number in range(30):
            encoded(encoder, quiet, number)
