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
from streamsocket.codecs.encode import SAMPLE_RATE, AudioEncoder, VideoEncoder
from streamsocket.codecs.transcode import TranscodedVideo
from streamsocket.media.access_unit import START_CODE
from streamsocket.media.codec import H264
from streamsocket.sources import yardstick
from streamsocket.sources.beeper import Beeper, flash_number
from streamsocket.sources.movie import make_movie
from streamsocket.sources.picture import PictureDrawer

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


def test_every_picture_comes_out_at_once_and_a_keyframe_when_it_is_asked_for() -> None:
    encoder = VideoEncoder(320, 180, _RATE, preset="superfast")
    drawer = PictureDrawer(320, 180)
    keyframes = []
    for number in range(60):
        frame = VideoFrame.from_ndarray(drawer.draw(number, number / 25), "yuv420p")
        [coded] = encoder.encode(frame, number / _RATE, keyframe=number == 7)
        assert coded.pts == coded.dts == number / _RATE
        if coded.keyframe:
            keyframes.append(number)
    assert keyframes == [0, 7, 57]  # two seconds after the one before
    assert encoder.flush() == []


def test_sounds_times_are_those_of_what_is_heard() -> None:
    encoder, beeper = AudioEncoder(), Beeper(_RATE)
    coded: list[Coded] = []
    for _ in range(60):
        coded += encoder.encode(beeper.next_frame())
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = encoder.codec.config
    samples = np.concatenate(
        [frame.to_ndarray()[0] for each in coded for frame in decoder.decode(Packet(each.units[0]))]
    )
    onsets = yardstick.beep_onsets(samples, SAMPLE_RATE)
    heard = coded[0].pts * SAMPLE_RATE + onsets[0]
    flash = flash_number(0, _RATE) / _RATE * SAMPLE_RATE
    assert abs(heard - flash) < SAMPLE_RATE / 1000
