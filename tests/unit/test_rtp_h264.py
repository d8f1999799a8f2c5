"""H.264 in RTP: packetizing, and putting together what arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264
from streamsocket.rtp.h264 import MAX_ACCESS_UNIT, H264Depacketizer, H264Packetizer, fragment, pack
from streamsocket.rtp.packet import MAX_PAYLOAD

SPS, PPS = b"\x67\x42\xc0\x1f\xda\x01", b"\x68\xce\x38\x80"
AUD, SEI = b"\x09\xf0", b"\x06\x05\x02ab\x80"
CODEC = H264(SPS, PPS)
IDR, PICTURE = b"\x65\x88" + b"i" * 5000, b"\x41\x9a" + b"p" * 3000

slices = st.builds(
    lambda header, size: header + b"\x9a" + bytes(size),
    st.sampled_from([b"\x41", b"\x01", b"\x65", b"\x61"]),
    st.integers(0, 4000),
)
others = st.sampled_from([AUD, SEI, SPS, PPS, b"\x06\x05" + bytes(1198), b"\x0c\xff\x80"])
pictures = st.lists(st.one_of(slices, others), max_size=6).flatmap(
    lambda units: slices.map(lambda last: [*units, last])
)


def received(
    payloads: list[bytes], receiver: H264Depacketizer | None = None, timestamp: int = 0
) -> list[AccessUnit]:
    """What comes out of an access unit's payloads, the last with the marker."""
    receiver = receiver or H264Depacketizer(CODEC)
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, timestamp, index == len(payloads) - 1, gap=False)
    return units


@given(pictures)
def test_what_is_cut_is_put_together_again(units: list[bytes]) -> None:
    payloads = pack(units)
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    [unit] = received(payloads)
    assert unit.units == units
    assert not unit.damaged
    assert unit.keyframe == any(u[0] & 0x1F == 5 for u in units)


@given(pictures)
def test_views_are_put_together_as_bytes_are(units: list[bytes]) -> None:
    buffer = bytearray(MAX_PAYLOAD)  # as a socket's, used again for each packet
    receiver = H264Depacketizer(CODEC)
    payloads = pack(units)
    finished = []
    for payload in payloads:
        buffer[: len(payload)] = payload
        view = memoryview(buffer)[: len(payload)]
        finished += receiver.push(view, 0, payload is payloads[-1], gap=False)
    assert [unit.units for unit in finished] == [units]


def test_fragments_have_one_length_but_the_last_which_is_shorter() -> None:
    for size in (1201, 2397, 2398, 5000):
        *equal, last = [len(payload) for payload in pack([bytes((0x65,)) + bytes(size - 1)])]
        assert set(equal) == {MAX_PAYLOAD}
        assert 2 < last <= MAX_PAYLOAD


def test_fragments_tell_where_a_unit_begins_and_ends() -> None:
    headers = [payload[:2] for payload in pack([IDR])]
    assert headers == [b"\x7c\x85", *[b"\x7c\x05"] * 3, b"\x7c\x45"]
    [part] = fragment(0x65, b"data", first=False, last=False)
    assert part == b"\x7c\x05data"


def test_small_units_share_a_packet_and_slices_do_not() -> None:
    payloads = pack([AUD, SPS, PPS, SEI, b"\x65\x88", b"\x65\x40"])
    assert [payload[0] & 0x1F for payload in payloads] == [24, 5, 5]
    assert payloads[0][0] == 0x60 | 24  # as important as the most important of them


def test_what_has_no_meaning_in_a_stream_is_left_out() -> None:
    assert pack([b"", b"\x00abc", b"\x18abc", b"\x1fabc", b"\x41\x9a"]) == [b"\x41\x9a"]
    assert pack([]) == []


@pytest.mark.parametrize(
    ("units", "sent"),
    [
        ([IDR], [SPS, PPS, IDR]),
        ([AUD, SEI, IDR], [AUD, SPS, PPS, SEI, IDR]),
        ([AUD, SPS, PPS, IDR], [AUD, SPS, PPS, IDR]),
        ([SPS, SEI, IDR], [SPS, PPS, SEI, IDR]),
        ([PPS, IDR], [SPS, PPS, IDR]),
    ],
)
def test_keyframes_get_the_parameter_sets_they_lack(units: list[bytes], sent: list[bytes]) -> None:
    payloads = H264Packetizer(CODEC).packetize(AccessUnit(units, 0, keyframe=True))
    assert received(payloads)[0].units == sent


def test_other_pictures_are_sent_as_they_are() -> None:
    payloads = H264Packetizer(CODEC).packetize(AccessUnit([PICTURE], 0, keyframe=False))
    assert received(payloads)[0].units == [PICTURE]


def test_an_access_unit_is_there_with_its_marker() -> None:
    receiver = H264Depacketizer(CODEC)
    assert receiver.push(b"\x41\x9a", 10, False, False) == []
    [unit] = receiver.push(b"\x41\x40", 10, True, False)
    assert unit == AccessUnit([b"\x41\x9a", b"\x41\x40"], 10, keyframe=False)


def test_a_missing_marker_is_made_up_for_by_the_next_timestamp() -> None:
    receiver = H264Depacketizer(CODEC)
    assert receiver.push(b"\x65\x88", 10, False, False) == []
    [unit] = receiver.push(b"\x41\x9a", 20, False, False)
    assert (unit.timestamp, unit.keyframe, unit.damaged) == (10, True, False)
    [unit] = receiver.flush()
    assert (unit.timestamp, unit.keyframe, unit.damaged) == (20, False, False)
    assert receiver.flush() == []


def test_parameter_sets_on_their_own_come_with_the_next_picture() -> None:
    receiver = H264Depacketizer(CODEC)
    assert receiver.push(SPS, 10, True, False) == []
    assert receiver.push(PPS, 11, True, False) == []
    [unit] = receiver.push(b"\x65\x88", 20, True, False)
    assert (unit.units, unit.timestamp) == ([SPS, PPS, b"\x65\x88"], 20)


def test_parameter_sets_are_learnt_in_band() -> None:
    receiver = H264Depacketizer(H264(b"", b""))
    received(pack([SPS, PPS, b"\x65\x88"]), receiver)
    assert receiver.codec == CODEC


def test_a_recovery_point_makes_a_keyframe() -> None:
    [unit] = received([b"\x06\x06\x01\xc4\x80", b"\x41\x9a"])
    assert unit.keyframe


@given(st.integers(0, 8), pictures, pictures)
def test_a_lost_packet_damages_its_access_unit_and_no_other(
    lost: int, first: list[bytes], second: list[bytes]
) -> None:
    first, second = [b"\x65\x88", *first], [b"\x41\x9a", *second]
    receiver = H264Depacketizer(CODEC)
    payloads = pack(first)
    lost %= len(payloads)
    units: list[AccessUnit] = []
    gap = False
    for index, payload in enumerate(payloads):
        if index == lost:
            gap = True
            continue
        units += receiver.push(payload, 1, index == len(payloads) - 1, gap)
        gap = False
    for index, payload in enumerate(again := pack(second)):
        units += receiver.push(payload, 2, index == len(again) - 1, gap)
        gap = False
    *damaged, whole = units
    assert whole == AccessUnit(second, 2, whole.keyframe, damaged=False)
    # Where the first packet is lost, nothing tells whose it was; where all are, nothing is left.
    assert all(unit.damaged for unit in damaged) or lost == 0
    assert all(set(unit.units) <= set(first) for unit in damaged)


def test_a_unit_that_lost_a_fragment_is_left_out() -> None:
    receiver = H264Depacketizer(CODEC)
    start, _, *rest = pack([PICTURE])
    assert receiver.push(b"\x41\x9a", 1, False, False) == []
    assert receiver.push(start, 1, False, False) == []
    assert receiver.push(rest[0], 1, False, True) == []
    [unit] = receiver.push(b"\x41\x40", 1, True, False)
    assert unit.units == [b"\x41\x9a", b"\x41\x40"]
    assert unit.damaged


def test_a_unit_whose_end_never_comes_is_left_out() -> None:
    start = pack([PICTURE])[0]
    for following in (b"\x41\x40", start):
        receiver = H264Depacketizer(CODEC)
        receiver.push(b"\x41\x9a", 1, False, False)
        receiver.push(start, 1, False, False)
        [unit] = receiver.push(following, 1, True, False)
        assert start not in unit.units
        assert unit.damaged


def test_a_picture_that_lost_its_first_slice_is_damaged() -> None:
    together = b"\x18\x00\x02\x41\x40\x00\x02\x41\x20"
    fragments = fragment(0x41, b"\x40" + bytes(2000))
    for begin in (b"\x41\x40", together, fragments[0], pack([PICTURE])[1]):
        receiver = H264Depacketizer(CODEC)
        assert len(received([b"\x65\x88"], receiver, timestamp=1)) == 1
        receiver.push(begin, 2, False, gap=True)
        [unit] = receiver.push(b"\x41\x20", 2, True, False)
        assert unit.damaged


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\x7c", b"\x7c\x85", b"\x00abc", b"\x1eabc"),
        *(b"\x19\x00\x00\x00\x01a", b"\x1a\x00", b"\x1b\x00", b"\x1d\x85\x00\x00a"),
        *(b"\x18\x00", b"\x18\x00\x00", b"\x18\x00\x05abc", b"\x18\x00\x01aa"),
    ],
)
def test_what_breaks_the_rules_is_refused_and_the_next_picture_is_fine(payload: bytes) -> None:
    receiver = H264Depacketizer(CODEC)
    receiver.push(b"\x41\x9a", 1, False, False)
    with pytest.raises(ParseError):
        receiver.push(payload, 1, False, False)
    [unit] = receiver.push(b"\x41\x40", 1, True, False)
    assert unit.damaged
    assert not received([b"\x41\x9a"], receiver, timestamp=2)[0].damaged


def test_nonsense_does_not_cost_the_picture_before_it() -> None:
    receiver = H264Depacketizer(CODEC)
    receiver.push(b"\x41\x9a", 1, False, False)
    assert len(receiver.push(b"\x1f", 2, False, False)) == 1


@pytest.mark.parametrize(
    "payload", [b"\x7c\x05" + bytes(1198), b"\x41" + bytes(1199), b"\x18" + b"\x00\x01\x41" * 399]
)
def test_an_endless_access_unit_is_given_up(payload: bytes) -> None:
    receiver = H264Depacketizer(CODEC)

    def send_on() -> None:
        receiver.push(b"\x7c\x85" + bytes(1198), 1, False, False)
        for _ in range(MAX_ACCESS_UNIT // len(payload)):
            receiver.push(payload, 1, False, False)

    with pytest.raises(ParseError, match="longer than"):
        send_on()
    assert not received([b"\x41\x9a"], receiver, timestamp=2)[-1].damaged
