"""Sound between samples."""

from __future__ import annotations

import numpy as np
import pytest

from streamsocket.player.stretch import AFTER, BEFORE, stretch

RATE = 48_000


def sine(frequency: float, at: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * at / RATE)


@pytest.mark.parametrize("ratio", [0.995, 0.9998, 1.0, 1.0003, 1.005])
@pytest.mark.parametrize("frequency", [50, 1000, 7000, 16_000])
def test_every_sample_is_what_the_sound_is_at_its_position(frequency: int, ratio: float) -> None:
    samples = sine(frequency, np.arange(3000))[None].astype(np.float32)
    played = stretch(samples, BEFORE + 0.3, ratio, 2500)
    exact = sine(frequency, BEFORE + 0.3 + np.arange(2500) * ratio)
    wrong = np.sqrt(np.mean((played[0] - exact) ** 2) / 0.5)
    assert 20 * np.log10(wrong) < -80


def test_whole_positions_return_the_samples_themselves() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (2, 200)).astype(np.float32)
    played = stretch(samples, BEFORE, 1.0, 200 - BEFORE - AFTER)
    # Those at a whole position are made by the polynomials' ends, where they are least exact.
    assert np.abs(played - samples[:, BEFORE : 200 - AFTER]).max() < 1e-3


def test_pieces_join_without_a_seam() -> None:
    samples = np.stack([sine(997, np.arange(5000)), sine(440, np.arange(5000))]).astype(np.float32)
    whole = stretch(samples, 20.25, 1.003, 4000)
    position, pieces = 20.25, []
    for count in (1, 479, 13, 480, 1027, 2000):
        start = int(position) - BEFORE
        window = samples[:, start : int(position + count * 1.003) + AFTER + 2]
        pieces.append(stretch(window, position - start, 1.003, count))
        position += count * 1.003
    assert np.abs(np.concatenate(pieces, axis=1) - whole).max() < 1e-4


def test_channels_stay_apart() -> None:
    samples = np.zeros((2, 600), np.float32)
    samples[0] = 1
    played = stretch(samples, BEFORE, 1.001, 500)
    assert np.abs(played[0] - 1).max() < 1e-4
    assert not played[1].any()
