"""The stand-in publishers: what they send is what they say they send."""

from __future__ import annotations

import pytest
from bench.publishing import (
    FFMPEG,
    GOP,
    KEYFRAME_BYTES,
    OURS,
    PICTURE_BYTES,
    SDP,
    SOUND_BYTES,
    Style,
    TrackSender,
)

from streamsocket.media.codec import H264, Aac
from streamsocket.rtp.payload import depacketizer
from streamsocket.rtp.rtcp import ReceiverReport, ReportBlock, build_receiver_report
from streamsocket.rtsp import sdp


@pytest.mark.parametrize("style", [FFMPEG, OURS])
def test_pictures_and_sound_are_whole(style: Style) -> None:
    video, audio = (media.codec for media in sdp.parse(SDP).medias)
    assert isinstance(video, H264)
    assert isinstance(audio, Aac)
    for payloads, size, keyframe in (
        (style.keyframe(), KEYFRAME_BYTES, True),
        (style.picture(), PICTURE_BYTES, False),
    ):
        assert max(map(len, payloads)) == style.payload
        receiver = depacketizer(video)
        units = [
            unit
            for index, payload in enumerate(payloads)
            for unit in receiver.push(payload, 0, index == len(payloads) - 1, gap=False)
        ]
        assert [unit.keyframe for unit in units] == [keyframe]
        assert len(units[0].units[-1]) == size + 1
        assert (len(units[0].units) > 1) == (keyframe and style.in_band)
    frames = depacketizer(audio).push(style.sound()[0], 0, True, gap=False)
    assert [len(frame.units[0]) for frame in frames] == [SOUND_BYTES] * style.sounds
    assert pytest.approx(2.5e6, rel=1e-3) == (KEYFRAME_BYTES + (GOP - 1) * PICTURE_BYTES) * 8 / 2


def test_numbers_follow_and_losses_are_taken_from_reports() -> None:
    sender = TrackSender(1)
    packets = sender.pack([b"a", b"b"], 5) + sender.pack([b"c"], 1 << 32)
    assert [(packet[1], packet[3], packet[7]) for packet in packets] == [
        (97, 0, 5),
        (97 | 0x80, 1, 5),
        (97 | 0x80, 2, 0),
    ]
    assert sender.lost is None
    block = ReportBlock(sender.ssrc, 0, 3, 2, 0, 0, 0)
    sender.take_report(build_receiver_report(ReceiverReport(9, (block,)), "cname"))
    assert sender.lost == 3
