"""STUN messages: the RFC's own, what is built, and what is refused."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.webrtc import stun
from streamsocket.webrtc.stun import IntegrityError, MessageClass, StunMessage

# RFC 5769, 2.1 to 2.3.
PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)

numbers = st.integers(0, 2**64 - 1)
texts = st.text(max_size=100)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
messages = st.builds(
    StunMessage,
    st.sampled_from(MessageClass),
    st.binary(min_size=12, max_size=12),
    st.integers(0, 0xFF),  # more would not be told from DTLS
    st.none() | texts,
    st.none() | st.integers(0, 2**32 - 1),
    st.booleans(),
    st.none() | numbers,
    st.none() | numbers,
    st.none() | st.tuples(addresses, st.integers(0, 65535)),
    st.none() | st.integers(300, 699),
    st.just(""),
    st.lists(st.integers(0, 65535), max_size=5).map(tuple),
    st.none() | texts,
)


def test_the_rfcs_request() -> None:
    message = stun.parse(REQUEST)
    assert message.message_class == MessageClass.REQUEST
    assert message.method == stun.BINDING
    assert message.transaction_id == bytes.fromhex("b7e7a701bc34d686fa87dfae")
    assert message.username == "evtj:h6vY"
    assert message.priority == 0x6E0001FF
    assert message.ice_controlled == 0x932FF9B151263B36
    assert message.software == "STUN test client"
    assert not message.use_candidate
    assert not message.not_understood
    stun.check_integrity(REQUEST, PASSWORD)


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (RESPONSE_IPV4, ("192.0.2.1", 32853)),
        (RESPONSE_IPV6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_rfcs_responses(data: bytes, address: tuple[str, int]) -> None:
    message = stun.parse(data)
    assert message.message_class == MessageClass.SUCCESS
    assert message.mapped_address == address
    assert message.software == "test vector"
    stun.check_integrity(data, PASSWORD)


@given(messages)
def test_what_is_built_comes_back(message: StunMessage) -> None:
    data = stun.build(message, PASSWORD)
    assert stun.is_stun(data)
    expected = message
    if message.mapped_address:
        host, port = message.mapped_address
        expected = dataclasses.replace(
            message, mapped_address=(str(ipaddress.ip_address(host)), port)
        )
    assert stun.parse(data) == expected
    stun.check_integrity(data, PASSWORD)
    with pytest.raises(IntegrityError):
        stun.check_integrity(data, PASSWORD + "x")


@given(st.integers(20, len(REQUEST) - 9), st.integers(1, 255))
def test_changed_bytes_fail_the_fingerprint(position: int, change: int) -> None:
    data = bytearray(REQUEST)
    data[position] ^= change
    with pytest.raises(ParseError):
        stun.parse(data)


def _without_fingerprint(data: bytes) -> bytes:
    data = data[:-8]
    return data[:2] + (len(data) - 20).to_bytes(2) + data[4:]


def test_integrity_is_checked_without_a_fingerprint_too() -> None:
    data = bytearray(_without_fingerprint(REQUEST))
    stun.check_integrity(data, PASSWORD)
    data[30] ^= 1
    stun.parse(data)
    with pytest.raises(IntegrityError, match="another password"):
        stun.check_integrity(data, PASSWORD)


def test_a_message_without_integrity_proves_nothing() -> None:
    data = stun.build(StunMessage(MessageClass.REQUEST, bytes(12), username="a:b"))
    with pytest.raises(IntegrityError, match="lacks the proof"):
        stun.check_integrity(data, "")


def test_what_follows_the_integrity_is_not_read() -> None:
    request = StunMessage(MessageClass.REQUEST, bytes(12), username="a:b")
    data = _without_fingerprint(stun.build(request, PASSWORD)) + bytes.fromhex("00250000")
    data = data[:2] + (len(data) - 20).to_bytes(2) + data[4:]
    stun.check_integrity(data, PASSWORD)
    assert not stun.parse(data).use_candidate


def test_unknown_attributes_are_named_if_they_have_to_be_understood() -> None:
    body = bytes.fromhex("7777000400000000c001000400000001")
    data = stun.build(StunMessage(MessageClass.REQUEST, bytes(12)))[:20] + body
    data = data[:2] + len(body).to_bytes(2) + data[4:]
    assert stun.parse(data).not_understood == (0x7777,)


def test_an_error_has_its_code_and_reason() -> None:
    error = StunMessage(
        MessageClass.ERROR,
        bytes(12),
        error_code=stun.UNKNOWN_ATTRIBUTE,
        reason="Unknown Attribute",
        unknown_attributes=(0x7777, 0x1234, 1),
    )
    assert stun.parse(stun.build(error, PASSWORD)) == error


@pytest.mark.parametrize(
    "body",
    [
        "0006",
        "00060005616263",
        "0020000400010000",
        "00200008000300000000000000",
        "002000080002000000000000",
        "0024000200000000",
        "8029000400000000",
        "0009000200000000",
        "0009000400000000",
        "0009000400000164",
        "000a000100000000",
        "00060001ff000000",
        "8028000400000000",
    ],
)
def test_broken_attributes_are_refused(body: str) -> None:
    content = bytes.fromhex(body)
    with pytest.raises(ParseError):
        stun.parse(
            b"\0\1" + len(content).to_bytes(2) + stun.MAGIC_COOKIE.to_bytes(4) + bytes(12) + content
        )


@pytest.mark.parametrize(
    "data",
    [b"", REQUEST[:19], REQUEST[:-4], REQUEST + b"\0\0\0\0", b"\x40" + REQUEST[1:], bytes(2000)],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        stun.parse(data)
