"""AV1 over RTP: aggregation, fragmentation, and what viewers are passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_media_av1 import LAYERED, sequence_header

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.av1 import leb128, with_size
from streamsocket.media.codec import Av1
from streamsocket.rtp.av1 import (
    Av1Depacketizer,
    Av1Normaliser,
    Av1Packetizer,
    fmtp,
    read_payload,
)
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD

Z, Y, N = 0x80, 0x40, 0x08
"""Bits of the aggregation header."""
HEADER = sequence_header(size=(640, 480))
CODEC = Av1(HEADER)
KEY = b"\x30\x10" + bytes(range(256)) * 16
OTHER = b"\x30\x30" + bytes(range(256)) * 10
UPPER = LAYERED + b"\x30" + b"upper" * 300
DELIMITER = b"\x10"


def unit(*obus: bytes, timestamp: int = 0, keyframe: bool = False) -> AccessUnit:
    return AccessUnit([b"".join(map(with_size, obus))], timestamp, keyframe=keyframe)


def elements(*each: bytes, flags: int = 0, counted: bool = True) -> bytes:
    """A payload with these OBU elements."""
    if not counted:
        return bytes((flags,)) + b"".join(leb128(len(one)) + one for one in each)
    sized = b"".join(leb128(len(one)) + one for one in each[:-1])
    return bytes((flags | len(each) << 4,)) + sized + each[-1]


def fragments(
    obu: bytes, size: int, *, before: tuple[bytes, ...] = (), flags: int = 0
) -> list[bytes]:
    """An OBU in payloads with so many bytes of it each, the first behind other OBUs."""
    parts = [obu[start : start + size] for start in range(0, len(obu), size)]
    payloads = []
    for index, part in enumerate(parts):
        more = (Z if index else flags) | (Y if index < len(parts) - 1 else 0)
        payloads.append(elements(*(() if index else before), part, flags=more))
    return payloads


def received(
    payloads: list[bytes], timestamp: int = 0, receiver: Av1Depacketizer | None = None
) -> AccessUnit:
    """The one temporal unit that these payloads are."""
    receiver = receiver or Av1Depacketizer(Av1())
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, timestamp, index == len(payloads) - 1, False)
    [only] = units
    return only


def passed(ingress: Av1Normaliser, payloads: list[bytes], timestamp: int = 0) -> list[Normalised]:
    """What a temporal unit becomes, packet by packet."""
    parts = []
    for index, payload in enumerate(payloads):
        parts += ingress.push([payload], timestamp, index == len(payloads) - 1, False)
    return parts


def payloads_of(parts: list[Normalised]) -> list[bytes]:
    return [payload for part in parts for payload in part.payloads]


@pytest.mark.parametrize("counted", [True, False])
def test_elements_are_read_with_a_count_and_without(counted: bool) -> None:
    payload = elements(b"\x08one", b"\x30" + bytes(200), b"\x30three", counted=counted)
    packet = read_payload(memoryview(payload))
    assert packet.elements == [b"\x08one", b"\x30" + bytes(200), b"\x30three"]
    assert (packet.continues, packet.goes_on, packet.new_sequence) == (False, False, False)
    flagged = read_payload(bytes((payload[0] | Z | Y,)) + payload[1:])
    assert (flagged.continues, flagged.goes_on) == (True, True)
    assert read_payload(bytes((payload[0] | N,)) + payload[1:]).new_sequence


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x10",
        b"\x00\x05abcd",  # longer than the payload
        b"\x00\x00",  # empty
        b"\x20\x03abc",  # two are told of, and there is one
        b"\x30\x01a\x01b",
        b"\x20\x00ab",
        b"\x98a",  # a new sequence that goes on with an OBU
        b"\x00\xff",
    ],
)
def test_broken_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(ParseError, match="AV1"):
        read_payload(payload)


def test_a_temporal_unit_is_cut_into_equal_payloads() -> None:
    temporal_unit = unit(DELIMITER, HEADER, KEY, keyframe=True)
    payloads = Av1Packetizer().packetize(temporal_unit)
    assert payloads[0][0] == N | Y | 2 << 4
    assert payloads[0][1 : 2 + len(HEADER)] == bytes((len(HEADER),)) + HEADER
    assert [payload[0] for payload in payloads[1:]] == [Z | Y | 0x10, Z | Y | 0x10, Z | 0x10]
    assert [len(payload) for payload in payloads[:-1]] == [MAX_PAYLOAD] * 3
    [payload] = Av1Packetizer().packetize(unit(DELIMITER, OTHER[:50]))
    assert payload == b"\x10" + OTHER[:50]
    assert Av1Packetizer.marker


def test_the_last_byte_goes_with_what_follows() -> None:
    """Only the last payload ends where an OBU does."""
    first = b"\x30\x30" + bytes(MAX_PAYLOAD - 3)
    payloads = Av1Packetizer().packetize(unit(first, UPPER))
    assert [payload[0] & Y for payload in payloads[:-1]] == [Y] * (len(payloads) - 1)
    assert payloads[-1][0] & Y == 0
    small = [b"\x28ab"] * 5
    assert Av1Packetizer().packetize(unit(*small)) == [
        elements(small[0], small[1], small[2][:-1], flags=Y),
        elements(small[2][-1:], small[3], small[4], flags=Z),
    ]


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (b"\x12\x00", "empty"), (b"\x32\x05ab", "longer")]
)
def test_what_is_no_temporal_unit_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        Av1Packetizer().packetize(AccessUnit([data], 0))


OBUS = st.lists(
    st.tuples(st.sampled_from([b"\x30\x30", b"\x18\x30", b"\x28"]), st.binary(max_size=3000)).map(
        b"".join
    ),
    min_size=1,
    max_size=9,
).filter(lambda obus: obus[0][0] != 0x28 or len(obus[0]) > 1)


@given(OBUS)
def test_what_was_cut_is_put_together(obus: list[bytes]) -> None:
    payloads = Av1Packetizer().packetize(unit(b"\x28meta", *obus))
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert received(payloads) == unit(b"\x28meta", *obus)


def test_the_sequence_header_is_learnt_from_keyframes() -> None:
    receiver = Av1Depacketizer(Av1())
    assert received([elements(OTHER)], 0, receiver) == unit(OTHER)
    assert receiver.codec == Av1()
    key = received([elements(HEADER, KEY, flags=N)], 1, receiver)
    assert key == unit(HEADER, KEY, timestamp=1, keyframe=True)
    assert receiver.codec == CODEC
    before = receiver.codec
    received([elements(with_size(HEADER), KEY)], 2, receiver)  # with a size that it needn't have
    assert receiver.codec is before


def test_a_sequence_header_without_a_keyframe_is_no_beginning() -> None:
    receiver = Av1Depacketizer(Av1())
    assert not received([elements(HEADER, OTHER)], 0, receiver).keyframe
    still = sequence_header(reduced=True)
    assert received([elements(still, OTHER)], 1, receiver).keyframe


def test_delimiters_are_left_out() -> None:
    receiver = Av1Depacketizer(Av1())
    assert receiver.push(elements(DELIMITER), 0, True, False) == []
    payloads = [elements(DELIMITER), elements(b"\x12\x00", HEADER, KEY, flags=N)]
    assert received(payloads, 1, receiver) == unit(HEADER, KEY, timestamp=1, keyframe=True)


def test_a_unit_that_lost_its_end_is_damaged() -> None:
    receiver = Av1Depacketizer(Av1())
    first, *_, last = fragments(KEY, 1000, before=(HEADER,), flags=N)
    assert receiver.push(first, 0, False, False) == []
    [damaged] = receiver.push(last, 0, True, True)
    assert damaged == AccessUnit([with_size(HEADER)], 0, keyframe=True, damaged=True)
    # A packet that is missing without a gap in the numbers: it was lost before they were given.
    receiver.push(first, 1, False, False)
    receiver.push(elements(OTHER), 1, False, False)
    [damaged] = receiver.push(elements(OTHER), 2, False, False)
    assert damaged.damaged
    assert receiver.flush() == [unit(OTHER, timestamp=2)]
    # The marker is missing, and the rest of an OBU.
    receiver.push(first, 3, False, False)
    [damaged] = receiver.flush()
    assert damaged.damaged
    assert receiver.flush() == []


def test_a_unit_without_its_beginning_is_none() -> None:
    receiver = Av1Depacketizer(Av1())
    *_, last = fragments(KEY, 1000)
    assert receiver.push(last, 0, True, True) == []
    assert receiver.push(elements(b"\x20tiles"), 1, True, True) == []
    assert receiver.push(elements(UPPER), 2, True, True) == []
    assert received([elements(OTHER)], 3, receiver) == unit(OTHER, timestamp=3)


def test_a_broken_payload_costs_the_rest_of_its_unit_and_no_other() -> None:
    receiver = Av1Depacketizer(Av1())
    first, second, *_ = fragments(OTHER, 1000, before=(b"\x28meta",))
    receiver.push(first, 0, False, False)
    with pytest.raises(ParseError):
        receiver.push(b"", 0, False, False)
    assert receiver.push(second, 0, True, False) == [
        AccessUnit([with_size(b"\x28meta")], 0, keyframe=False, damaged=True)
    ]
    assert receiver.push(elements(b"\x32\x7fno such size"), 1, True, False) == []
    assert receiver.push(elements(b"\x08\xe0", KEY, flags=N), 2, True, False) == []
    assert received([elements(b"\x28meta", b"\x32\x7fno such size")], 2, receiver).damaged
    assert received([elements(OTHER)], 3, receiver) == unit(OTHER, timestamp=3)


def test_a_unit_grows_to_a_bound() -> None:
    receiver = Av1Depacketizer(Av1())
    receiver.push(elements(b"\x30\x30", flags=Y), 0, False, False)
    for _ in range(200):
        assert receiver.push(elements(bytes(60_000), flags=Z | Y), 0, False, False) == []
    assert receiver.push(elements(bytes(60_000), flags=Z), 0, True, False) == []
    assert received([elements(OTHER)], 1, receiver) == unit(OTHER, timestamp=1)


# From a publisher to viewers.


def test_packets_that_fit_pass_as_they_are() -> None:
    ingress = Av1Normaliser(Av1())
    payloads = fragments(KEY, 700, before=(HEADER,), flags=N)
    parts = passed(ingress, payloads)
    assert [part.payloads for part in parts] == [[payload] for payload in payloads]
    assert [part.keyframe for part in parts] == [True] + [False] * (len(parts) - 1)
    ends = [False] * (len(parts) - 1) + [True]
    assert [part.marker for part in parts] == [part.complete for part in parts] == ends
    assert ingress.codec == CODEC
    before = ingress.codec
    payloads = fragments(OTHER, 1100)
    parts = passed(ingress, payloads, 1)
    assert payloads_of(parts) == payloads
    assert not any(part.keyframe for part in parts)
    assert ingress.codec is before


def test_a_keyframe_is_flagged_for_viewers_where_its_publisher_did_not() -> None:
    payloads = fragments(KEY, 700, before=(HEADER,))
    parts = passed(Av1Normaliser(Av1()), payloads)
    assert parts[0].keyframe
    assert payloads_of(parts) == [bytes((payloads[0][0] | N,)) + payloads[0][1:], *payloads[1:]]


@pytest.mark.parametrize("alone", [True, False])
def test_delimiters_are_not_passed_on(alone: bool) -> None:
    ingress = Av1Normaliser(Av1())
    if alone:
        payloads = [elements(DELIMITER), elements(HEADER, KEY[:500], flags=N)]
    else:
        payloads = [elements(b"\x12\x00", HEADER, KEY[:500], flags=N)]
    parts = passed(ingress, payloads)
    assert payloads_of(parts) == [elements(HEADER, KEY[:500], flags=N)]
    assert parts[0].keyframe


@pytest.mark.parametrize("size", [30, 800, 1150, 1400, 6000])
def test_layers_become_one_picture_for_browsers(size: int) -> None:
    """Between first and last payload none ends where an OBU does."""
    payloads = fragments(KEY, size, before=(HEADER,), flags=N) + fragments(UPPER, size)
    parts = passed(Av1Normaliser(Av1()), payloads)
    sent = payloads_of(parts)
    assert all(len(payload) <= MAX_PAYLOAD for payload in sent)
    assert [payload[0] & (Z | Y) for payload in sent] == [Y, *[Z | Y] * (len(sent) - 2), Z]
    assert received(sent) == unit(HEADER, KEY, UPPER, keyframe=True)


def test_long_packets_are_cut_anew_and_what_is_left_waits() -> None:
    parts = passed(Av1Normaliser(Av1()), fragments(OTHER, 1300))
    assert [[len(payload) for payload in part.payloads] for part in parts] == [
        [MAX_PAYLOAD],
        [MAX_PAYLOAD, len(OTHER) - 2 * (MAX_PAYLOAD - 1) + 1],
    ]
    assert received(payloads_of(parts)) == unit(OTHER)


@given(OBUS, st.integers(1, 3000), st.data())
def test_whatever_the_packets_sizes_viewers_get_the_unit(
    obus: list[bytes], size: int, data: st.DataObject
) -> None:
    payloads: list[bytes] = []
    for index, obu in enumerate([b"\x28meta", *obus]):
        with_delimiter = index and data.draw(st.booleans())
        payloads += fragments(obu, size, before=(DELIMITER,) if with_delimiter else ())
    sent = payloads_of(passed(Av1Normaliser(Av1()), payloads))
    assert all(len(payload) <= MAX_PAYLOAD for payload in sent)
    assert received(sent) == unit(b"\x28meta", *obus)


def test_what_follows_a_loss_within_a_unit_is_dropped() -> None:
    ingress = Av1Normaliser(Av1())
    first, second, third = fragments(OTHER, 900)
    assert ingress.push([first], 0, False, False)
    assert ingress.push([third], 0, True, True) == []
    assert ingress.push([second], 1, False, False) == []
    [part] = ingress.push([first, second], 2, False, True)
    assert part.payloads == [first, second]
    long = fragments(OTHER, 1300)
    assert ingress.push([long[0]], 3, False, False)
    with pytest.raises(ParseError, match="does not go on"):
        ingress.push([elements(OTHER)], 3, True, False)
    assert ingress.push([long[1]], 3, True, False) == []


def test_a_new_sequence_header_is_another_codec() -> None:
    ingress = Av1Normaliser(CODEC)
    larger = sequence_header(size=(1280, 720))
    passed(ingress, [elements(larger, KEY[:100], flags=N)])
    assert ingress.codec == Av1(larger)
    assert ingress.codec.size == (1280, 720)


def test_the_parameters_are_the_sequence_headers() -> None:
    assert fmtp(Av1()) == "profile=0"
    assert fmtp(CODEC) == "profile=0;level-idx=8;tier=1"
