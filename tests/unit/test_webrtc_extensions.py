"""RTP header extensions: what is built is read, and what is broken is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtp.packet import parse_rtp
from streamsocket.webrtc.header_extensions import (
    CaptureTime,
    ExtensionMap,
    ExtensionUri,
    HeaderExtensions,
    build_elements,
    packet_elements,
    parse_elements,
)

IDS = {uri: number for number, uri in enumerate(ExtensionUri, 1)}
HEADER = bytes.fromhex("80600001000000020000000a")

names = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=20)
times = st.floats(1, 4e9).map(lambda time: round(time, 3))
extensions = st.builds(
    HeaderExtensions,
    st.none() | names,
    st.none() | names,
    st.none() | names,
    st.none() | st.integers(0, 2**24 - 1).map(lambda ticks: ticks / 2**18),
    st.none() | st.builds(CaptureTime, times, st.none() | st.floats(-1e6, 1e6)),
    st.none() | st.integers(0, 65535),
)


def _packet(extension: bytes) -> bytes:
    first = HEADER[0] | (0x10 if extension else 0)
    return bytes((first,)) + HEADER[1:] + extension + b"payload"


@given(extensions)
def test_what_is_built_comes_back(written: HeaderExtensions) -> None:
    session = ExtensionMap(IDS)
    packet = _packet(session.build(written))
    read = session.parse(memoryview(packet))
    assert (read.mid, read.rid, read.repaired_rid) == (
        written.mid,
        written.rid,
        written.repaired_rid,
    )
    assert read.abs_send_time == written.abs_send_time
    assert read.transport_sequence == written.transport_sequence
    before, after = written.abs_capture_time, read.abs_capture_time
    assert (before is None) == (after is None)
    if before and after:
        assert after.time == pytest.approx(before.time, abs=1e-6)
        assert after.clock_offset == pytest.approx(before.clock_offset, abs=1e-6)
    assert parse_rtp(packet).payload == b"payload"


@given(st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=6))
def test_elements_come_back_with_one_or_two_bytes_of_header(elements: dict[int, bytes]) -> None:
    assert packet_elements(_packet(build_elements(elements))) == elements


def test_elements_that_fit_have_one_byte_of_header() -> None:
    assert build_elements({1: b"\x01\x02\x03"}) == bytes.fromhex("bede000112010203")
    assert build_elements({15: b"\x01"}) == bytes.fromhex("100000010f010100")
    assert build_elements({}) == b""


def test_send_times_are_seconds_modulo_64() -> None:
    session = ExtensionMap({ExtensionUri.ABS_SEND_TIME: 2})
    built = session.build(HeaderExtensions(abs_send_time=64 + 1.5))
    assert built == bytes.fromhex("bede000122060000")
    assert session.parse(_packet(built)).abs_send_time == 1.5


def test_capture_times_are_ntp() -> None:
    session = ExtensionMap({ExtensionUri.ABS_CAPTURE_TIME: 3})
    built = session.build(HeaderExtensions(abs_capture_time=CaptureTime(0.5, -0.25)))
    assert built.hex() == "bede00053f83aa7e8080000000ffffffffc0000000000000"


def test_padding_and_what_follows_the_reserved_id_are_skipped() -> None:
    assert parse_elements(0xBEDE, bytes.fromhex("0010aa0020bb0000")) == {1: b"\xaa", 2: b"\xbb"}
    assert parse_elements(0xBEDE, bytes.fromhex("10aaf0bb20cc")) == {1: b"\xaa"}
    assert parse_elements(0x1000, bytes.fromhex("000100000201aa00")) == {1: b"", 2: b"\xaa"}
    assert parse_elements(0xABCD, b"1234") == {}


def test_what_has_no_id_is_left_out_and_passed_over() -> None:
    all_of_them, one = ExtensionMap(IDS), ExtensionMap({ExtensionUri.MID: 1, "urn:other": 2})
    packet = _packet(all_of_them.build(HeaderExtensions(mid="0", transport_sequence=7)))
    assert one.parse(packet) == HeaderExtensions(mid="0")
    assert one.build(HeaderExtensions(transport_sequence=7)) == b""
    assert one.parse(_packet(b"")) == HeaderExtensions()


def test_the_second_version_of_a_transport_sequence_asks_for_feedback() -> None:
    session = ExtensionMap(IDS)
    number = IDS[ExtensionUri.TRANSPORT_SEQUENCE]
    packet = _packet(build_elements({number: b"\x01\x02\x80\x05"}))
    assert session.parse(packet).transport_sequence == 0x0102


@pytest.mark.parametrize(
    "extension",
    [
        "bede",
        "bede000210aa0000",
        "bede000113aabbcc",
        "100000010104aabb",
        "100000010000000f",
        "bede000110ff0000",
        "bede000141aabb00",
        "bede000251aabb0000000000",
        "bede000162aabbcc",
    ],
)
def test_broken_extensions_are_refused(extension: str) -> None:
    packet = bytes((0x90,)) + HEADER[1:] + bytes.fromhex(extension)
    with pytest.raises(ParseError):
        ExtensionMap(IDS).parse(packet)


def test_what_is_no_rtp_is_refused() -> None:
    for packet in (b"", HEADER[:11], bytes(20)):
        with pytest.raises(ParseError, match="no RTP packet"):
            packet_elements(packet)


@given(
    st.integers(0, 65_535),
    st.integers(1, 14),
    st.lists(st.tuples(st.integers(0, 14), st.binary(min_size=1, max_size=16)), max_size=5),
    st.binary(max_size=6),
)
def test_the_transport_s_sequence_number_is_found_among_others(
    sequence: int, number: int, others: list[tuple[int, bytes]], rest: bytes
) -> None:
    elements = {other: value for other, value in others if other not in (0, number)}
    session = ExtensionMap({ExtensionUri.TRANSPORT_SEQUENCE: number})
    elements |= {number: sequence.to_bytes(2)}
    packet = b"\x90" + bytes(11) + build_elements(elements) + rest
    assert session.transport_sequence(packet) == session.parse(packet).transport_sequence
    assert session.transport_sequence(packet) == sequence
    assert ExtensionMap({}).transport_sequence(packet) is None


@given(st.binary(max_size=12))
def test_a_broken_extension_has_no_sequence_number(data: bytes) -> None:
    packet = b"\x90" + bytes(11) + b"\xbe\xde" + data
    session = ExtensionMap({ExtensionUri.TRANSPORT_SEQUENCE: 4})
    try:
        expected = session.parse(packet).transport_sequence
    except ParseError:
        return
    assert session.transport_sequence(packet) == expected
