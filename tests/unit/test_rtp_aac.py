"""AAC in RTP, one access unit a packet or otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Aac
from streamsocket.rtp.aac import MAX_ACCESS_UNIT, AacDepacketizer, AacPacketizer
from streamsocket.rtp.packet import MAX_PAYLOAD

CODEC = Aac(bytes.fromhex("1190"))


def aggregate(
    frames: list[bytes], *, size_bits: int = 13, index_bits: int = 3, delta_bits: int = 3
) -> bytes:
    """A payload with several access units."""
    bits = ""
    for index, frame in enumerate(frames):
        width = delta_bits if index else index_bits
        bits += f"{len(frame):0{size_bits}b}" + "0" * width
    octets = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return len(bits).to_bytes(2, "big") + octets + b"".join(frames)


@given(st.binary(min_size=1, max_size=MAX_ACCESS_UNIT))
def test_what_is_cut_is_put_together_again(frame: bytes) -> None:
    payloads = AacPacketizer().packetize(AccessUnit([frame], 0))
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    receiver = AacDepacketizer(CODEC)
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, 1024, index == len(payloads) - 1, False)
    assert units == [AccessUnit([frame], 1024)]


def test_a_frame_that_fits_goes_in_one_packet() -> None:
    assert AacPacketizer().packetize(AccessUnit([b"frame"], 0)) == [b"\x00\x10\x00\x28frame"]


@pytest.mark.parametrize("size", [0, MAX_ACCESS_UNIT + 1])
def test_a_frame_that_the_format_cannot_hold_is_refused(size: int) -> None:
    with pytest.raises(ParseError):
        AacPacketizer().packetize(AccessUnit([bytes(size)], 0))


@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8),
    st.sampled_from([(13, 3, 3), (6, 2, 2), (16, 0, 0), (12, 5, 1)]),
)
def test_several_frames_a_packet_have_their_own_times(
    frames: list[bytes], layout: tuple[int, int, int]
) -> None:
    names = ("sizelength", "indexlength", "indexdeltalength")
    fmtp = dict(zip(names, map(str, layout), strict=True))
    size_bits, index_bits, delta_bits = layout
    payload = aggregate(frames, size_bits=size_bits, index_bits=index_bits, delta_bits=delta_bits)
    units = AacDepacketizer(CODEC, fmtp).push(payload, 5000, True, False)
    assert units == [AccessUnit([f], 5000 + 1024 * n) for n, f in enumerate(frames)]


def test_fragments_are_dropped_where_one_is_lost() -> None:
    first, second, third = AacPacketizer().packetize(AccessUnit([bytes(3000)], 0))
    following = AacPacketizer().packetize(AccessUnit([b"next"], 0))[0]
    receiver = AacDepacketizer(CODEC)
    assert receiver.push(first, 0, False, False) == []
    assert receiver.push(third, 0, True, True) == []
    assert receiver.push(following, 1024, True, False) == [AccessUnit([b"next"], 1024)]
    assert receiver.push(first, 2048, False, False) == []
    assert receiver.push(second, 3072, False, False) == []  # of another frame
    assert receiver.push(following, 4096, True, False) == [AccessUnit([b"next"], 4096)]


def test_fragments_that_are_more_than_the_whole_are_refused() -> None:
    receiver = AacDepacketizer(CODEC)
    assert receiver.push(b"\x00\x10\x00\x28abc", 0, False, False) == []
    with pytest.raises(ParseError, match="add up"):
        receiver.push(b"\x00\x10\x00\x28defg", 0, True, False)
    assert receiver.push(b"\x00\x10\x00\x08a", 0, True, False) == [AccessUnit([b"a"], 0)]


def test_flushing_forgets_what_is_not_whole() -> None:
    receiver = AacDepacketizer(CODEC)
    receiver.push(b"\x00\x10\x00\x28abc", 0, False, False)
    assert receiver.flush() == []
    assert receiver.push(b"\x00\x10\x00\x28de", 0, False, False) == []


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\x00", b"\x00\x00", b"\x00\x08\x00", b"\x00\x10\x00", b"\xff\xff" + bytes(50)),
        b"\x00\x10\x00\x00",  # an empty frame
        b"\x00\x20\x00\x08\x00\x09ab",  # interleaved
        b"\x00\x20\x00\x08\x00\x10ab",  # too few bytes
        aggregate([b"x"] * 257),
    ],
)
def test_broken_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(ParseError):
        AacDepacketizer(CODEC).push(payload, 0, True, False)


@pytest.mark.parametrize(
    "fmtp",
    [
        {"sizelength": "x"},
        {"sizelength": "0"},
        {"indexlength": "-1"},
        {"indexdeltalength": "33"},
        {"constantsize": "4"},
        {"ctsdeltalength": "8"},
        {"auxiliarydatasizelength": "1"},
    ],
)
def test_layouts_that_nobody_uses_are_refused(fmtp: dict[str, str]) -> None:
    with pytest.raises(ParseError):
        AacDepacketizer(CODEC, fmtp)
