"""What the server and a transcoder's process say to each other, and what is known beforehand."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from tests.unit.hub_helpers import SOUND, VIDEO, batch
from tests.unit.record_helpers import video

from streamsocket.codecs.audio import AacEncoder
from streamsocket.errors import ParseError
from streamsocket.matching.target import Target
from streamsocket.media.codec import H264, L16, Aac, Mjpeg, Opus, Track, Vp8
from streamsocket.taps.packets import Packets, batch_header
from streamsocket.transcode.link import (
    Begin,
    Decoder,
    Event,
    Failed,
    KeyframeWanted,
    Made,
    MakeKeyframe,
    Skipped,
    Trouble,
    encode_event,
    task_from_json,
    task_to_json,
)
from streamsocket.transcode.outcome import channels_of, known_outcome

EVENTS: list[Event] = [
    Begin(Track(VIDEO.codec, Fraction(30))),
    MakeKeyframe(),
    Skipped(7),
    Made(SOUND),
    KeyframeWanted(),
    Trouble("The machine is too slow."),
    Trouble(None),
    Failed("ValueError"),
]


def test_messages_come_out_as_they_went_in_however_they_are_cut() -> None:
    picture = batch(timestamp=-312, packets=3, keyframe=True, capture_time=1234.5)
    picture.sequence = 1 << 34
    data = batch_header(0, 0, picture) + picture.buffer
    data += b"".join(encode_event(event) for event in EVENTS)
    for step in (1, 100, len(data)):
        decoder = Decoder()
        parts = [data[start : start + step] for start in range(0, len(data), step)]
        packets, *rest = [message for part in parts for message in decoder.feed(part)]
        assert rest == EVENTS
        assert isinstance(packets, Packets)
        assert packets[2:7] == (True, -312, 1 << 34, 1234.5, (200, 200, 200))


@pytest.mark.parametrize("body", [b'["Begin", {}]', b'["Lost", {}]', b'["Skipped", 3]', b"[]"])
def test_what_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        Decoder().feed(struct.pack("!cI", b"E", len(body)) + body)


def test_the_task_travels() -> None:
    assert task_from_json(task_to_json("live/lobby", Target("opus", 2))) == (
        "live/lobby",
        Target("opus", 2),
    )


def test_what_comes_out_is_known_where_no_encoder_has_to_say_it() -> None:
    track, _ = video("libx264", seconds=0.1)
    assert known_outcome(track, Target("h264")) is None
    assert known_outcome(track, Target("vp8")) == Track(Vp8((160, 96)), Fraction(25))
    assert known_outcome(Track(Mjpeg((161, 97))), Target("vp8")) == Track(Vp8((160, 96)))
    assert known_outcome(Track(H264(b"", b"")), Target("vp8")) == Track(Vp8())
    assert known_outcome(SOUND, Target("opus")) == Track(Opus(2))


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "5.1")])
def test_the_parameters_of_aac_are_what_the_encoder_says(channels: int, layout: str) -> None:
    made = known_outcome(Track(L16(48_000, channels)), Target("aac"))
    assert made == Track(AacEncoder(layout).codec)


def test_channels_are_as_many_as_there_are_and_may_be() -> None:
    counts = {1: 1, 2: 2, 3: 2, 4: 2, 5: 2, 6: 6, 8: 6}
    for given, made in counts.items():
        assert channels_of(L16(48_000, given), Target("aac")) == made
        assert channels_of(L16(48_000, given), Target("opus")) == min(made, 2)
        assert channels_of(L16(48_000, given), Target("aac", 1)) == 1
    assert channels_of(Aac(bytes.fromhex("119056e500")), Target("aac", 6)) == 2
