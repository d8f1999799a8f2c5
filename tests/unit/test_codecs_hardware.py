"""Hardware's encoders, tried with software's: what is fit for live pictures, and what is not."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from av.video.frame import VideoFrame

from streamsocket.codecs.hardware import HARDWARE, HardwareError, HardwareH264Encoder
from streamsocket.frames import presets
from streamsocket.frames.presets import BT601, VideoOptions, open_video_encoder
from streamsocket.media.codec import H264

LIVE = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}


def opened(name: str = "libx264", options: dict[str, str] | None = None) -> HardwareH264Encoder:
    return HardwareH264Encoder(
        name,
        64,
        48,
        Fraction(30),
        keyframe_every_s=3600,
        options=LIVE if options is None else options,
    )


def test_one_that_holds_nothing_back_is_taken() -> None:
    encoder = opened()
    assert encoder.codec.size == (64, 48)
    decoder = av.CodecContext.create("h264", "r")
    start = b"\0\0\0\1"
    decoder.extradata = start + encoder.codec.sps + start + encoder.codec.pps
    decoder.thread_type = "SLICE"
    for number in range(4):
        picture = VideoFrame(64, 48, "yuv420p")
        [coded] = encoder.encode(picture, Fraction(number, 30), keyframe=number == 2)
        assert coded.keyframe == (number in (0, 2))
        packet = av.Packet(b"".join(start + unit for unit in coded.units))
        assert len(decoder.decode(packet)) == 1  # type: ignore[attr-defined]


def test_one_that_holds_pictures_back_is_not() -> None:
    with pytest.raises(HardwareError, match="libx264 holds pictures back"):
        opened(options={"preset": "medium"})


def test_one_that_is_not_there_is_told_of() -> None:
    with pytest.raises(HardwareError, match="The encoder h264_magic cannot be used here"):
        opened("h264_magic")


def test_the_first_that_works_is_chosen_and_software_where_none_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def choose() -> str:
        presets._hardware_here.cache_clear()
        return open_video_encoder(VideoOptions(), (64, 48), BT601)[1]

    try:
        monkeypatch.setattr(presets, "HARDWARE", {"h264_magic": {}})
        assert choose() == "libx264"
        monkeypatch.setattr(presets, "HARDWARE", {"h264_magic": {}, "libx264": LIVE})
        monkeypatch.setitem(HARDWARE, "libx264", LIVE)  # type: ignore[arg-type]
        presets._hardware_here.cache_clear()
        encoder, name = open_video_encoder(VideoOptions(), (64, 48), BT601)
        assert name == "libx264"
        assert isinstance(encoder, HardwareH264Encoder)
        encoder, _ = open_video_encoder(VideoOptions(encoder="software"), (64, 48), BT601)
        assert not isinstance(encoder, HardwareH264Encoder)
        assert isinstance(encoder.codec, H264)
    finally:
        presets._hardware_here.cache_clear()


def test_one_asked_for_by_name_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(HardwareError, match="h264_magic cannot be used here"):
        open_video_encoder(VideoOptions(encoder="h264_magic"), (64, 48), BT601)
