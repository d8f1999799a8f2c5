"""Small streams that can be decoded, and a server for them beside a test that blocks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache

import av
import client_helpers
import numpy as np
import pytest
from client_helpers import SOUND, FakeServer

from streamsocket.client.receiver import Received
from streamsocket.frames.background import Background
from streamsocket.frames.coded_queue import Coded, Connection
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Track

SIZE = 64, 48
TICKS = 3_000
"""Between two pictures, of a clock rate of 90,000."""


@cache
def nal_units(count: int = 30, keyframe_every: int = 10, b_frames: int = 0) -> list[list[bytes]]:
    """H.264 pictures, the number of each in its gray: 8 times it, from 16 on."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = SIZE
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, 30)
    context.options = {
        "preset": "ultrafast",
        "x264-params": f"keyint={keyframe_every}:scenecut=0:bframes={b_frames}:b-adapt=0:qp=4",
    }
    packets = []
    for number in range(count):
        picture = av.VideoFrame(*SIZE, "yuv420p")
        for plane, value in zip(picture.planes, (16 + number * 8 % 220, 128, 128), strict=True):
            np.frombuffer(plane, np.uint8)[:] = value  # type: ignore[call-overload]
        picture.pts = number
        packets += context.encode(picture)
    packets += context.encode(None)
    return [
        [bytes(unit).rstrip(b"\0") for unit in re.split(b"\0\0\0?\1", bytes(packet)) if unit]
        for packet in packets
    ]


def sets_and_idr() -> tuple[bytes, bytes, bytes]:
    """A sequence and a picture parameter set, and a keyframe of that stream."""
    by_type = {unit[0] & 31: unit for unit in nal_units()[0]}
    return by_type[7], by_type[8], by_type[5]


def connection() -> Connection:
    sps, pps, _ = sets_and_idr()
    return Connection(H264(sps, pps))


def coded_pictures(of: Connection | None = None, **wishes: int) -> list[Coded]:
    """The stream as it arrives, 30 a second; timestamps in the order of decoding."""
    of = of or connection()
    made = []
    for number, units in enumerate(nal_units(**wishes)):
        keyframe = any(unit[0] & 31 == 5 for unit in units)
        unit = AccessUnit(units, number * TICKS, keyframe, 1_000 + number / 30)
        made.append(Coded(Received(0, unit, 1_000 + number / 30), "sender", of))
    return made


@contextmanager
def fake_server(
    monkeypatch: pytest.MonkeyPatch, *, sound: bool = True, **behaviour: object
) -> Iterator[tuple[FakeServer, Background]]:
    """A server of 100 decodable keyframes a second, and the thread it lives in."""
    sps, pps, idr = sets_and_idr()
    assert len(idr) < 1_200
    monkeypatch.setattr(client_helpers, "PICTURE", idr)
    tracks = [Track(H264(sps, pps))] + ([SOUND] if sound else [])
    server = FakeServer(tracks, **behaviour)  # type: ignore[arg-type]
    running = server.running()
    background = Background("fake server")
    try:
        background.run(running.__aenter__(), 5)
        yield server, background
        background.run(running.__aexit__(None, None, None), 5)
    finally:
        background.close()


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for it, but not for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.005)
