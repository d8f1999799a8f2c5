"""The test pattern: what is drawn and sounded can be read again."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsocket.codecs.audio import SAMPLE_RATE
from streamsocket.sources import yardstick
from streamsocket.sources.beeper import Beeper, flash_number, is_flash_number
from streamsocket.sources.picture import PictureDrawer

_NOW = 1_795_253_604.217
_SIZES = [(160, 90), (320, 180), (642, 362), (1280, 720), (1920, 1080)]


def _luma(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return drawn[: len(drawn) * 2 // 3]


def _gray(frame: VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray()[: frame.height], np.uint8)


@pytest.mark.parametrize("size", _SIZES)
def test_a_picture_says_its_number_and_its_time(size: tuple[int, int]) -> None:
    drawer = PictureDrawer(*size)
    for number in (0, 1, 123_456, 2**32 - 1):
        reading = yardstick.read(_luma(drawer.draw(number, _NOW)))
        assert reading == yardstick.Reading(number, _NOW)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**47))
def test_any_number_and_any_time_can_be_read(number: int, milliseconds: int) -> None:
    luma = np.full((90, 160), 128, np.uint8)
    yardstick.draw_code(luma, number, milliseconds / 1000)
    assert yardstick.read(luma) == yardstick.Reading(number, milliseconds / 1000)


@pytest.mark.parametrize("scaled", [(640, 360), (320, 180), (1920, 1080), (854, 480)])
def test_a_scaled_picture_can_be_read(scaled: tuple[int, int]) -> None:
    frame = VideoFrame.from_ndarray(PictureDrawer(1280, 720).draw(77, _NOW), "yuv420p")
    assert yardstick.read(_gray(frame.reformat(*scaled))) == yardstick.Reading(77, _NOW)


def test_a_picture_can_be_read_after_coding_at_a_very_low_rate() -> None:
    drawer = PictureDrawer(640, 360)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 360, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"preset": "superfast", "tune": "zerolatency", "crf": "45"}
    decoder = av.CodecContext.create("h264", "r")
    readings = []
    for number in range(10):
        frame = VideoFrame.from_ndarray(drawer.draw(number, _NOW + number / 30), "yuv420p")
        frame.pts = number
        for packet in encoder.encode(frame):
            readings += [yardstick.read(_gray(f)) for f in decoder.decode(packet)]
    readings += [yardstick.read(_gray(f)) for f in decoder.decode(None)]
    assert [reading and reading.frame_number for reading in readings] == list(range(10))


def test_a_damaged_code_is_not_read() -> None:
    luma = _luma(PictureDrawer(320, 180).draw(5, _NOW)).copy()
    luma[-yardstick.code_height(180) :, 100:130] = 255
    assert yardstick.read(luma) is None


@pytest.mark.parametrize("shape", [(0, 0), (10, 2000), (2000, 10), (180, 320)])
def test_a_picture_without_code_is_not_read(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert yardstick.read(noise) is None


def test_only_the_flash_is_a_flash() -> None:
    drawer = PictureDrawer(320, 180)
    assert yardstick.is_flash(_luma(drawer.flash()))
    assert not any(yardstick.is_flash(_luma(drawer.draw(n, n / 30))) for n in range(60))
    assert not yardstick.is_flash(np.zeros((180, 320), np.uint8))


def test_the_picture_moves() -> None:
    drawer = PictureDrawer(320, 180)
    first = drawer.draw(0, 0.0).copy()
    assert np.mean(first != drawer.draw(1, 1 / 30)) > 0.01
    assert np.mean(first != drawer.draw(10, 10 / 30)) > 0.3


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(24_000, 1001), Fraction(15), Fraction(5)])
def test_there_is_one_flash_in_every_second(rate: Fraction) -> None:
    flashes = [n for n in range(round(100 * rate)) if is_flash_number(n, rate)]
    assert flashes == [n for s in range(101) if (n := flash_number(s, rate)) < round(100 * rate)]
    assert len(flashes) in (99, 100)


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(24_000, 1001), Fraction(60)])
def test_a_beep_begins_with_every_flash_to_the_sample(rate: Fraction) -> None:
    beeper = Beeper(rate)
    samples = np.concatenate([beeper.next_frame(1024).to_ndarray()[0] for _ in range(240)])
    seconds = len(samples) // SAMPLE_RATE
    flashes = [round(flash_number(s, rate) / rate * SAMPLE_RATE) for s in range(seconds)]
    assert yardstick.beep_onsets(samples, SAMPLE_RATE) == flashes


def test_silence_has_no_beeps() -> None:
    assert yardstick.beep_onsets(np.zeros(1000, np.float32), SAMPLE_RATE) == []
