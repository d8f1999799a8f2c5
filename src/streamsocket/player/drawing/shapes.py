"""Smooth shapes as coverage, from 0 to 255: made once for each size, then kept."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import ceil, pi
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import PIL.ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.floating]

_KEPT = 64
_FINER = 4


@lru_cache(maxsize=_KEPT)
def rounded(width: int, height: int, radius: int) -> PIL.Image.Image:
    """A rectangle with round corners."""
    return _mask(_box_distance(width, height, radius))


@lru_cache(maxsize=_KEPT)
def outline(width: int, height: int, radius: int, thickness: int) -> PIL.Image.Image:
    """The line along the inside of a rectangle with round corners."""
    distance = _box_distance(width, height, radius)
    return _mask(np.maximum(distance, -distance - thickness))


@lru_cache(maxsize=_KEPT)
def arc(side: int, radius: float, thickness: float, middle: float, sweep: float) -> PIL.Image.Image:
    """A part of a circle with round ends, in the middle of a square.

    `middle` and `sweep` in turns, clockwise from the right.
    """
    x, y = _plane(side, side)
    angle = middle * 2 * pi
    along = x * np.cos(angle) + y * np.sin(angle)
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    half = sweep * pi
    end = np.hypot(along - radius * np.cos(half), across - radius * np.sin(half))
    inside = np.arctan2(across, along) <= half
    distance = np.where(inside, np.abs(np.hypot(x, y) - radius), end)
    return _mask(distance - thickness / 2)


@lru_cache(maxsize=_KEPT)
def disc(side: int, radius: float) -> PIL.Image.Image:
    """A full circle in the middle of a square."""
    x, y = _plane(side, side)
    return _mask(np.hypot(x, y) - radius)


@lru_cache(maxsize=_KEPT)
def polyline(
    side: int, points: tuple[tuple[float, float], ...], thickness: float
) -> PIL.Image.Image:
    """Lines with round ends from point to point, within a square of -1 to 1."""
    x, y = _plane(side, side)
    nearest = np.full((side, side), np.inf, np.float32)
    corners = [(px * side / 2, py * side / 2) for px, py in points]
    for (ax, ay), (bx, by) in pairwise(corners):
        dx, dy = bx - ax, by - ay
        part = np.clip(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - part * dx, y - ay - part * dy))
    return _mask(nearest - thickness / 2)


@lru_cache(maxsize=_KEPT)
def polygon(side: int, points: tuple[tuple[float, float], ...]) -> PIL.Image.Image:
    """What lies between points of a square of -1 to 1."""
    fine = side * _FINER
    mask = PIL.Image.new("L", (fine, fine))
    corners = [((x + 1) * fine / 2, (y + 1) * fine / 2) for x, y in points]
    PIL.ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask.reduce(_FINER)


def comet(side: int, radius: float, thickness: float, head: float) -> PIL.Image.Image:
    """A ring that is bright at its head and fades away behind it, clockwise.

    `head` in turns from the top.
    """
    coverage, turn = _ring(side, radius, thickness)
    behind = np.mod(head - turn, 1.0)
    tail = np.clip(1 - behind * 1.35, 0, 1) ** 1.5
    return PIL.Image.fromarray(np.round(coverage * tail * 255).astype(np.uint8))


@lru_cache(maxsize=8)
def _ring(side: int, radius: float, thickness: float) -> tuple[Field, Field]:
    """A ring's coverage, and for each point by how many turns it is away from the top."""
    x, y = _plane(side, side)
    coverage = np.clip(thickness / 2 + 0.5 - np.abs(np.hypot(x, y) - radius), 0, 1)
    turn = np.mod(np.arctan2(x, -y) / (2 * pi), 1.0)
    return coverage.astype(np.float32), turn.astype(np.float32)


def _box_distance(width: int, height: int, radius: int) -> Field:
    """How far outside of the rounded rectangle each pixel's middle is; negative inside."""
    radius = min(radius, ceil(min(width, height) / 2))
    x, y = _plane(width, height)
    dx, dy = np.abs(x) - (width / 2 - radius), np.abs(y) - (height / 2 - radius)
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0) - radius, np.float32)


def _plane(width: int, height: int) -> tuple[Field, Field]:
    """The pixels' middles, seen from the middle of all."""
    x = np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2)
    y = np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2)
    return x[np.newaxis, :], y[:, np.newaxis]


def _mask(distance: Field) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.round(np.clip(0.5 - distance, 0, 1) * 255).astype(np.uint8))
