"""Encoding, and decoding and encoding again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsocket.codecs.coded import Coded
from streamsocket.codecs.transcode import TranscodedVideo
from streamsocket.media.access_unit import START_CODE
from streamsocket.media.codec import H264
from streamsocket.sources.movie import make_movie

_RATE = Fraction(25)


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray()[: frame.height], np.uint8)


def _decode(codec: H264, coded: list[Coded]) -> list[NDArray[np.uint8]]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = START_CODE + codec.sps + START_CODE + codec.pps
    frames: list[VideoFrame] = []
    for each in coded:
        frames += decoder.decode(Packet(b"".join(START_CODE + unit for unit in each.units)))
    return [_luma(frame) for frame in [*frames, *decoder.decode(None)]]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_picture_is_turned_against_the_clock(tmp_path: Path, rotation: int) -> None:
    path = str(tmp_path / "movie.mp4")
    make_movie(path, seconds=0.2, size=(320, 180), rate=_RATE, audio=None)
    with av.open(path) as movie:
        expected = np.rot90(_luma(next(movie.decode(video=0))), rotation // 90)
    coded: list[Coded] = []
    with av.open(path) as movie:
        transcoded = TranscodedVideo(movie.streams.video[0], rotation)
        for packet in movie.demux():
            if packet.size:
                coded += transcoded.take(packet)
        coded += transcoded.flush()
    assert isinstance(transcoded.codec, H264)
    pictures = _decode(transcoded.codec, coded)
    assert len(pictures) == len(coded) == 5
    assert [each.pts for each in coded] == [number / _RATE for number in range(5)]
    assert np.mean(np.abs(pictures[0].astype(int) - expected)) < 5
