"""What the bench of arrays measures with."""

from __future__ import annotations

import io

import numpy as np
import pytest
from bench.frames import ages_ms, growth, settled
from bench.pictures import SIZE, Pictures, number_of
from PIL import Image


def test_a_picture_tells_its_number_after_coding() -> None:
    pictures = Pictures()
    for number in (0, 1, 341, 1023, 0x5555, 0xFFFF):
        image = pictures.draw(number)
        assert image.shape == (SIZE[1], SIZE[0], 3)
        assert number_of(image) == number
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=10)
        with Image.open(file) as coded:
            assert number_of(np.asarray(coded)) == number


def test_pictures_differ_even_where_they_look_alike() -> None:
    pictures = Pictures()
    first, second = (pictures.draw(number)[100:].astype(int) for number in (0, 1))
    assert 1 < np.abs(first - second).mean() < 60


def test_ages_are_by_number_and_count_from_when_it_was_written() -> None:
    seen = [[3, 10.0, 0.0], [4, 12.0, 0.0], [7, 13.5, 0.0]]
    written = [0.0, 0.0, 0.0, 9.9, 11.8, 0.0, 0.0, 13.0]
    assert ages_ms(seen, written) == pytest.approx([100, 200, 500])
    assert [number for number, _, _ in settled(seen)] == [7]


def test_growth_is_what_came_after_the_first_tenth() -> None:
    left = [
        {"threads": 3, "descriptors": 9, "memory_kb": 1024},
        {"threads": 4, "descriptors": 8, "memory_kb": 3072},
    ]
    threads, memory = growth("it", 100, left)
    assert (threads.value, threads.passed) == (1, False)
    assert memory.value == 2
    assert "10th" in memory.conditions
