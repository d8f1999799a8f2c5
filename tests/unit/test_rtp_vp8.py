"""VP8 over RTP, RFC 7741."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Vp8
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.vp8 import (
    Descriptor,
    Vp8Depacketizer,
    Vp8Normaliser,
    Vp8Packetizer,
    read_descriptor,
)

KEYFRAME = bytes.fromhex("5042009d012a8002e001") + bytes(5000)
OTHER = b"\x31" + bytes(3000)


def published(frame: bytes, size: int, *, descriptor: bytes = b"\x90\x80\x81\x00") -> list[bytes]:
    """A frame as browsers send it: with a PictureID in every packet."""
    following = bytes((descriptor[0] & ~0x10,)) + descriptor[1:]
    return [
        (following if start else descriptor) + frame[start : start + size]
        for start in range(0, len(frame), size)
    ]


def received(payloads: list[bytes], timestamp: int = 0, codec: Vp8 | None = None) -> AccessUnit:
    """The one frame that these payloads are."""
    receiver = Vp8Depacketizer(codec or Vp8())
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, timestamp, index == len(payloads) - 1, False)
    [unit] = units
    return unit


@pytest.mark.parametrize(
    ("payload", "descriptor"),
    [
        ("10 aa", Descriptor(1, True, False)),
        ("00 aa", Descriptor(1, False, False)),
        ("30 aa", Descriptor(1, True, True)),
        ("11 aa", Descriptor(1, False, False)),  # another partition begins, no frame
        ("90 00 aa", Descriptor(2, True, False)),
        ("90 80 11 aa", Descriptor(3, True, False)),
        ("90 80 91 23 aa", Descriptor(4, True, False)),
        ("90 c0 91 23 01 aa", Descriptor(5, True, False)),
        ("90 e0 91 23 01 40 aa", Descriptor(6, True, False)),
        ("90 f0 11 01 40 aa", Descriptor(5, True, False)),
        ("90 10 01 aa", Descriptor(3, True, False)),
    ],
)
def test_every_kind_of_descriptor_is_read(payload: str, descriptor: Descriptor) -> None:
    data = bytes.fromhex(payload)
    assert read_descriptor(data) == descriptor
    assert data[descriptor.size :] == b"\xaa"
    for end in range(len(data)):
        with pytest.raises(ParseError, match="ends within"):
            read_descriptor(data[:end])


def test_a_frame_is_cut_into_equal_payloads_with_the_shortest_descriptor() -> None:
    payloads = Vp8Packetizer().packetize(AccessUnit([KEYFRAME], 0))
    assert [payload[0] for payload in payloads] == [0x10, 0, 0, 0, 0]
    assert [len(payload) for payload in payloads] == [1200] * 4 + [5010 - 4 * 1199 + 1]
    assert Vp8Packetizer.marker


@given(st.binary(min_size=10, max_size=5000).map(lambda data: KEYFRAME[:10] + data))
def test_what_was_cut_is_put_together(frame: bytes) -> None:
    payloads = Vp8Packetizer().packetize(AccessUnit([frame], 0))
    assert received(payloads, 7) == AccessUnit([frame], 7, keyframe=True)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(ParseError, match="empty"):
        Vp8Packetizer().packetize(AccessUnit([b""], 0))


def test_the_size_is_learnt_from_keyframes() -> None:
    receiver = Vp8Depacketizer(Vp8())
    [unit] = receiver.push(b"\x10" + OTHER, 0, True, False)
    assert not unit.keyframe
    assert receiver.codec == Vp8()
    [unit] = receiver.push(b"\x10" + KEYFRAME, 1, True, False)
    assert unit.keyframe
    assert receiver.codec == Vp8((640, 480))
    before = receiver.codec
    receiver.push(b"\x10" + KEYFRAME, 2, True, False)
    assert receiver.codec is before


def test_a_frame_that_lost_its_end_is_damaged() -> None:
    receiver = Vp8Depacketizer(Vp8())
    first, *_, last = published(KEYFRAME, 1000)
    assert receiver.push(first, 0, False, False) == []
    assert receiver.push(last, 0, True, True) == [AccessUnit([KEYFRAME[:1000]], 0, damaged=True)]
    assert receiver.flush() == []


def test_a_keyframe_cut_off_in_its_header_is_none() -> None:
    receiver = Vp8Depacketizer(Vp8())
    receiver.push(b"\x10" + KEYFRAME[:5], 0, False, False)
    [unit] = receiver.flush()
    assert (unit.keyframe, unit.damaged) == (False, True)


def test_a_broken_payload_costs_the_rest_of_its_frame_and_no_other() -> None:
    receiver = Vp8Depacketizer(Vp8())
    receiver.push(b"\x10" + OTHER, 0, False, False)
    with pytest.raises(ParseError):
        receiver.push(b"\x80", 0, False, False)
    [broken] = receiver.push(b"\x00more", 0, True, False)
    assert broken == AccessUnit([OTHER], 0, keyframe=False, damaged=True)
    [whole] = receiver.push(b"\x10" + OTHER, 1, True, False)
    assert not whole.damaged


# From a publisher to viewers.


def passed(ingress: Vp8Normaliser, payloads: list[bytes], timestamp: int) -> list[Normalised]:
    """What a frame becomes, packet by packet."""
    parts = []
    for index, payload in enumerate(payloads):
        parts += ingress.push([payload], timestamp, index == len(payloads) - 1, False)
    return parts


@pytest.mark.parametrize("size", [5, 700, 1195, 1199])
def test_packets_that_fit_pass_one_by_one(size: int) -> None:
    payloads = published(KEYFRAME, size)
    parts = passed(Vp8Normaliser(Vp8()), payloads, 0)
    assert [part.payloads for part in parts] == [
        [bytes((0 if index else 0x10,)) + payload[4:]] for index, payload in enumerate(payloads)
    ]
    assert [part.keyframe for part in parts] == [True] + [False] * (len(parts) - 1)
    ends = [False] * (len(parts) - 1) + [True]
    assert [part.marker for part in parts] == [part.complete for part in parts] == ends


@pytest.mark.parametrize("size", [1200, 1400, 3000, 9000])
def test_longer_packets_become_full_ones(size: int) -> None:
    parts = passed(Vp8Normaliser(Vp8()), published(KEYFRAME, size), 0)
    payloads = [payload for part in parts for payload in part.payloads]
    assert payloads == Vp8Packetizer().packetize(AccessUnit([KEYFRAME], 0))
    assert [part.keyframe for part in parts] == [True] + [False] * (len(parts) - 1)
    assert parts[-1].complete


def test_a_run_of_packets_becomes_one_part() -> None:
    ingress = Vp8Normaliser(Vp8())
    [part] = ingress.push(published(KEYFRAME, 1000), 0, True, False)
    assert (part.keyframe, part.marker, part.complete) == (True, True, True)
    assert received(part.payloads).units == [KEYFRAME]
    [part] = ingress.push(published(OTHER, 1000), 1, True, False)
    assert not part.keyframe
    assert received(part.payloads).units == [OTHER]


def test_frames_without_a_marker_between_them_are_parts_of_their_own() -> None:
    ingress = Vp8Normaliser(Vp8())
    parts = ingress.push([b"\x10" + OTHER[:9], b"\x10" + KEYFRAME[:20]], 0, True, False)
    assert [(part.keyframe, part.complete) for part in parts] == [(False, False), (True, True)]


def test_that_nobody_needs_a_frame_is_passed_on() -> None:
    [part] = Vp8Normaliser(Vp8()).push(
        published(OTHER, 2000, descriptor=b"\xb0\x80\x01"), 0, True, False
    )
    assert [payload[0] for payload in part.payloads] == [0x30, 0x20, 0x20]


def test_partitions_are_not_taken_for_frames() -> None:
    payloads = [b"\x10" + OTHER[:500], b"\x11" + OTHER[500:900], b"\x12" + OTHER[900:1000]]
    [part] = Vp8Normaliser(Vp8()).push(payloads, 0, True, False)
    assert received(part.payloads).units == [OTHER[:1000]]


def test_a_new_size_is_told_by_a_new_codec() -> None:
    ingress = Vp8Normaliser(Vp8())
    passed(ingress, published(OTHER, 1000), 0)
    assert ingress.codec == Vp8()
    passed(ingress, published(KEYFRAME, 1000), 1)
    before = ingress.codec
    assert before == Vp8((640, 480))
    passed(ingress, published(KEYFRAME, 1000), 2)
    assert ingress.codec is before
    passed(ingress, published(KEYFRAME[:6] + b"\x40\x01" + KEYFRAME[8:], 1000), 3)
    assert ingress.codec == Vp8((320, 480))


@pytest.mark.parametrize("size", [1000, 1400])
def test_what_follows_a_loss_within_a_frame_is_dropped(size: int) -> None:
    ingress = Vp8Normaliser(Vp8())
    first, _, *rest = published(KEYFRAME, size)
    [part] = ingress.push([first], 0, False, False)
    assert part.keyframe
    assert not part.complete
    assert ingress.push(rest, 0, True, True) == []
    assert ingress.push([rest[0]], 1, False, True) == []
    [part] = ingress.push(published(KEYFRAME, size), 2, True, False)
    assert received(part.payloads).units == [KEYFRAME]


def test_a_frame_that_is_never_ended_is_not_mixed_up_with_the_next() -> None:
    ingress = Vp8Normaliser(Vp8())
    first, second, *_ = published(KEYFRAME, 1400)
    ingress.push([first], 0, False, False)
    assert ingress.push([second], 1, False, False) == []


@pytest.mark.parametrize("payload", [b"\x90", b"\x10", b"\x10\x00\x00\x00" + bytes(20)])
def test_a_broken_packet_costs_the_rest_of_its_frame_and_no_other(payload: bytes) -> None:
    ingress = Vp8Normaliser(Vp8())
    first, second, *_ = published(KEYFRAME, 1000)
    ingress.push([first], 0, False, False)
    with pytest.raises(ParseError):
        ingress.push([payload], 0, False, False)
    assert ingress.push([second], 0, False, False) == []
    assert len(ingress.push(published(OTHER, 1000), 1, True, False)) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(10, 4000), st.integers(10, 3000)), max_size=5))
def test_viewers_see_what_was_published(frames: list[tuple[bool, int, int]]) -> None:
    ingress, viewer = Vp8Normaliser(Vp8()), Vp8Depacketizer(Vp8())
    units: list[AccessUnit] = []
    expected = []
    for timestamp, (keyframe, length, size) in enumerate(frames):
        frame = (KEYFRAME if keyframe else OTHER)[:10] + bytes(length)
        expected.append(AccessUnit([frame], timestamp, keyframe))
        for part in passed(ingress, published(frame, size), timestamp):
            ends = [*[False] * (len(part.payloads) - 1), part.marker]
            for payload, end in zip(part.payloads, ends, strict=True):
                assert len(payload) <= MAX_PAYLOAD
                units += viewer.push(payload, part.timestamp, end, False)
    assert units == expected
    assert all(earlier.timestamp < later.timestamp for earlier, later in pairwise(units))
