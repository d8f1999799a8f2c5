"""RTP packets and numbers that wrap."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtp.packet import HEADER, RtpPacket, Unwrapper, is_rtcp, parse_rtp


def packet(
    payload: bytes,
    *,
    csrcs: int = 0,
    extension: bytes | None = None,
    padding: int = 0,
    marker: bool = True,
) -> bytes:
    flags = 0x80 | (0x20 if padding else 0) | (0x10 if extension is not None else 0) | csrcs
    data = HEADER.pack(flags, marker << 7 | 96, 7, 90_000, 0xDEADBEEF) + bytes(4 * csrcs)
    if extension is not None:
        data += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    data += payload
    return data + bytes(max(0, padding - 1)) + bytes((padding,)) * bool(padding)


@given(
    st.binary(max_size=40),
    st.integers(0, 15),
    st.none() | st.integers(0, 5).map(lambda words: bytes(4 * words)),
    st.integers(0, 255),
    st.booleans(),
)
def test_payload_is_what_is_left_of_header_and_padding(
    payload: bytes, csrcs: int, extension: bytes | None, padding: int, marker: bool
) -> None:
    data = packet(payload, csrcs=csrcs, extension=extension, padding=padding, marker=marker)
    expected = RtpPacket(96, marker, 7, 90_000, 0xDEADBEEF, payload)
    assert parse_rtp(data) == expected
    assert parse_rtp(memoryview(data)) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet(b"")[:11],
        b"\x40" + packet(b"payload")[1:],
        packet(b"", csrcs=3)[:-1],
        packet(b"", extension=b"")[:-1],
        packet(b"", extension=bytes(8))[:-1],
        b"\xa0" + packet(b"payload\x00")[1:],
        b"\xa0" + packet(b"payload\x09")[1:],
    ],
    ids=[
        *("nothing", "short", "version", "CSRCs", "extension header", "extension"),
        *("no padding", "long padding"),
    ],
)
def test_broken_packets_are_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_rtp(data)


def test_rtcp_is_told_from_rtp_by_its_type() -> None:
    assert all(is_rtcp(bytes((0x80, kind))) for kind in range(192, 224))
    for payload_type in (*range(64), *range(96, 128)):
        assert not is_rtcp(bytes((0x80, payload_type)))
        assert not is_rtcp(bytes((0x80, 0x80 | payload_type)))
    assert not is_rtcp(b"\x80")


@pytest.mark.parametrize("bits", [16, 32])
@given(first=st.integers(0, 2**40), seed=st.integers(0, 1000))
def test_numbers_are_unwrapped_over_several_rounds_and_out_of_order(
    bits: int, first: int, seed: int
) -> None:
    rng = random.Random(seed)
    unwrapper = Unwrapper(bits)
    offset = unwrapper.unwrap(first % 2**bits) - first
    number = first
    for _ in range(50):
        number += rng.randrange(-(2 ** (bits - 3)), 2 ** (bits - 2))
        assert unwrapper.unwrap(number % 2**bits) == number + offset


def test_what_precedes_the_first_number_can_be_negative() -> None:
    unwrapper = Unwrapper(16)
    assert [unwrapper.unwrap(value) for value in (1, 65_535, 2)] == [1, -1, 2]
