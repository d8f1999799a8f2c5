"""G.711 and L16 over RTP, RFC 3551."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, L16
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.pcm import (
    Pcm,
    PcmDepacketizer,
    PcmNormaliser,
    PcmPacketizer,
    checked,
    split,
)

CODECS: list[tuple[Pcm, int]] = [
    (G711("pcmu"), 1),
    (G711("pcma", 16_000, 2), 2),
    (L16(48_000, 1), 2),
    (L16(44_100, 2), 4),
    (L16(48_000, 6), 12),
]
"""With the bytes of one sample of all channels."""


@pytest.mark.parametrize(("codec", "frame"), CODECS)
def test_samples_travel_as_they_are(codec: Pcm, frame: int) -> None:
    sender, receiver = PcmPacketizer(codec), PcmDepacketizer(codec)
    samples = bytes(range(96))
    assert len(samples) % frame == 0
    assert sender.packetize(AccessUnit([samples], 5)) == [samples]
    assert receiver.push(memoryview(samples), 5, False, True) == [AccessUnit([samples], 5)]
    assert receiver.flush() == []
    assert not PcmPacketizer.marker


@pytest.mark.parametrize(("codec", "frame"), CODECS)
@given(count=st.integers(1, 5000))
def test_long_ones_are_split_evenly_between_samples(codec: Pcm, frame: int, count: int) -> None:
    data = bytes(index % 251 for index in range(count * frame))
    parts = split(codec, AccessUnit([data], 1000, capture_time=10.0))
    assert b"".join(part.units[0] for part in parts) == data
    sizes = [len(part.units[0]) for part in parts]
    assert max(sizes) <= MAX_PAYLOAD
    assert max(sizes) - min(sizes) <= frame
    assert len(sizes) == -(-len(data) // (MAX_PAYLOAD // frame * frame))
    timestamp = 1000
    for part, size in zip(parts, sizes, strict=True):
        assert size % frame == 0
        assert part.timestamp == timestamp
        assert part.capture_time == pytest.approx(10 + (timestamp - 1000) / codec.clock_rate)
        timestamp += size // frame


def test_what_no_packet_holds_is_to_be_split_before() -> None:
    with pytest.raises(ParseError, match="split them"):
        PcmPacketizer(G711("pcmu")).packetize(AccessUnit([bytes(MAX_PAYLOAD + 1)], 0))


@pytest.mark.parametrize(
    ("codec", "size"), [(G711("pcmu"), 0), (G711("pcmu", 8000, 2), 3), (L16(), 0), (L16(), 6)]
)
def test_samples_that_are_not_whole_are_refused(codec: Pcm, size: int) -> None:
    for refused in (
        lambda: PcmPacketizer(codec).packetize(AccessUnit([bytes(size)], 0)),
        lambda: PcmDepacketizer(codec).push(bytes(size), 0, False, False),
        lambda: PcmNormaliser(codec).push([bytes(size)], 0, False, False),
    ):
        with pytest.raises(ParseError, match=f"{size} bytes"):
            refused()


def test_packets_of_publishers_pass_as_they_are() -> None:
    ingress = PcmNormaliser(G711("pcmu"))
    assert ingress.push([b"speech"], 160, True, False) == [
        Normalised([b"speech"], 160, keyframe=True, marker=True, complete=True)
    ]
    assert ingress.push([b"speech"], 320, False, True) == [
        Normalised([b"speech"], 320, keyframe=True, marker=False, complete=True)
    ]


def test_long_packets_of_publishers_become_several_each_with_its_time() -> None:
    data = bytes(index % 251 for index in range(1440))
    assert PcmNormaliser(L16(48_000, 2)).push([data], 960, True, False) == [
        Normalised([data[:720]], 960, keyframe=True, marker=True, complete=True),
        Normalised([data[720:]], 1140, keyframe=True, marker=False, complete=True),
    ]


@pytest.mark.parametrize(
    "codec", [L16(0), L16(192_001), L16(48_000, 0), L16(48_000, 9), G711("pcma", 8000, 999)]
)
def test_sound_that_nobody_has_is_refused(codec: Pcm) -> None:
    with pytest.raises(ParseError, match="not supported: up to 8 channels at up to 192000 Hz"):
        checked(codec)


def test_sound_that_somebody_has_is_not() -> None:
    assert checked(L16(192_000, 8)) == L16(192_000, 8)
