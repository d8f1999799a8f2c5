"""VP9 over RTP, RFC 9628."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_media_vp9 import keyframe

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Vp9
from streamsocket.media.vp9 import superframe_index
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.vp9 import (
    Descriptor,
    Vp9Depacketizer,
    Vp9Normaliser,
    Vp9Packetizer,
    profile_from,
    read_descriptor,
)

KEYFRAME = keyframe(0, [(1, 3), (0, 1)], 320, 240) + bytes(5000)
OTHER = b"\x86" + bytes(3000)
SIZE = bytes.fromhex("10 0140 00f0")
"""The scalability structure that a keyframe is passed on with."""
B, E, P, V = 0x08, 0x04, 0x40, 0x02
"""Bits of the descriptor."""


def layer(
    frame: bytes, size: int, *, sid: int = 0, inter: bool = False, structure: bytes = b""
) -> list[bytes]:
    """A layer's frame as browsers send it, in non-flexible mode: I, L, the TL0PICIDX."""
    payloads = []
    for start in range(0, len(frame), size):
        flags = 0xA0 | (P if inter else 0) | (0 if start else B)
        flags |= E if start + size >= len(frame) else 0
        has_structure = structure and not start
        descriptor = bytes((flags | (V if has_structure else 0), 0x81, 0x23, sid << 1, 7))
        descriptor += structure if has_structure else b""
        payloads.append(descriptor + frame[start : start + size])
    return payloads


TWO_LAYERS = bytes.fromhex("38 0140 00f0 0280 01e0 02 04 05 01")
"""Two sizes and a picture group of two, which have one reference and none."""


def received(
    payloads: list[bytes], timestamp: int = 0, receiver: Vp9Depacketizer | None = None
) -> AccessUnit:
    """The one picture that these payloads are."""
    receiver = receiver or Vp9Depacketizer(Vp9())
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, timestamp, index == len(payloads) - 1, False)
    [unit] = units
    return unit


def passed(ingress: Vp9Normaliser, payloads: list[bytes], timestamp: int) -> list[Normalised]:
    """What a picture becomes, packet by packet."""
    parts = []
    for index, payload in enumerate(payloads):
        parts += ingress.push([payload], timestamp, index == len(payloads) - 1, False)
    return parts


def payloads_of(parts: list[Normalised]) -> list[bytes]:
    return [payload for part in parts for payload in part.payloads]


@pytest.mark.parametrize(
    ("payload", "descriptor"),
    [
        ("08 aa", Descriptor(1, True)),
        ("04 aa", Descriptor(1, False)),
        ("88 11 aa", Descriptor(2, True)),
        ("88 91 23 aa", Descriptor(3, True)),
        ("28 20 07 aa", Descriptor(3, True)),  # not flexible: with TL0PICIDX
        ("28 22 07 aa", Descriptor(3, True, 1)),
        ("38 26 aa", Descriptor(2, True, 3)),
        ("58 02 aa", Descriptor(2, True)),
        ("58 03 03 03 aa", Descriptor(4, True)),  # three references at most
        ("18 aa", Descriptor(1, True)),
        ("0a 00 aa", Descriptor(2, True)),
        ("0a 10 0140 00f0 aa", Descriptor(6, True, 0, (320, 240))),
        ("0a 10 0000 00f0 aa", Descriptor(6, True)),
        ("0a 38 0140 00f0 0280 01e0 02 04 05 01 aa", Descriptor(14, True, 0, (640, 480))),
        ("0a 08 01 0c 01 02 03 aa", Descriptor(7, True)),
        ("fa 91 23 20 03 02 00 aa", Descriptor(7, True)),
    ],
)
def test_every_kind_of_descriptor_is_read(payload: str, descriptor: Descriptor) -> None:
    data = bytes.fromhex(payload)
    assert read_descriptor(data) == read_descriptor(memoryview(data)) == descriptor
    assert data[descriptor.size :] == b"\xaa"
    for end in range(len(data)):
        with pytest.raises(ParseError, match="ends within"):
            read_descriptor(data[:end])


def test_only_the_base_layer_starts_a_picture() -> None:
    assert read_descriptor(b"\x28\x20\x07x").starts
    assert not read_descriptor(b"\x28\x22\x07x").starts
    assert not read_descriptor(b"\x20\x20\x07x").starts


def test_a_picture_is_cut_into_equal_payloads_with_the_shortest_descriptor() -> None:
    payloads = Vp9Packetizer().packetize(AccessUnit([KEYFRAME], 0))
    assert payloads[0].startswith(bytes((B | V,)) + SIZE + KEYFRAME[:10])
    assert [payload[0] for payload in payloads[1:]] == [0, 0, 0, E]
    assert [len(payload) for payload in payloads[:-1]] == [1200] * 4
    payloads = Vp9Packetizer().packetize(AccessUnit([OTHER], 0))
    assert [payload[0] for payload in payloads] == [P | B, P, P | E]
    [payload] = Vp9Packetizer().packetize(AccessUnit([OTHER[:9]], 0))
    assert payload == bytes((P | B | E,)) + OTHER[:9]
    assert Vp9Packetizer.marker


def test_a_keyframe_too_large_for_its_descriptor_goes_without_its_size() -> None:
    large = keyframe(0, [(1, 3), (0, 1)], 65_536, 240)
    assert Vp9Packetizer().packetize(AccessUnit([large], 0)) == [bytes((B | E,)) + large]


@given(st.binary(min_size=1, max_size=5000), st.booleans())
def test_what_was_cut_is_put_together(data: bytes, is_keyframe: bool) -> None:
    frame = (KEYFRAME[:11] if is_keyframe else b"\x86") + data
    payloads = Vp9Packetizer().packetize(AccessUnit([frame], 0))
    assert received(payloads, 7) == AccessUnit([frame], 7, keyframe=is_keyframe)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(ParseError, match="empty"):
        Vp9Packetizer().packetize(AccessUnit([b""], 0))


def test_size_and_profile_are_learnt_from_keyframes() -> None:
    receiver = Vp9Depacketizer(Vp9())
    assert not received([b"\x4c" + OTHER], 0, receiver).keyframe
    assert receiver.codec == Vp9()
    assert received([b"\x0c" + KEYFRAME], 1, receiver).keyframe
    assert receiver.codec == Vp9((320, 240))
    before = receiver.codec
    received([b"\x0c" + KEYFRAME], 2, receiver)
    assert receiver.codec is before
    ten_bits = keyframe(2, [(0, 1), (1, 3), (0, 1)], 640, 480)
    received([b"\x0c" + ten_bits], 3, receiver)
    assert receiver.codec == Vp9((640, 480), 2)


def test_layers_come_as_one_superframe() -> None:
    base, upper = KEYFRAME, OTHER
    payloads = layer(base, 1000, structure=TWO_LAYERS) + layer(upper, 900, sid=1)
    receiver = Vp9Depacketizer(Vp9())
    superframe = base + upper + superframe_index([len(base), len(upper)])
    assert received(payloads, 0, receiver) == AccessUnit([superframe], 0, keyframe=True)
    assert receiver.codec == Vp9((640, 480))
    # Another picture, and one of which the last packet has lost its marker.
    for payload in layer(OTHER, 1000, inter=True) + layer(OTHER, 1000, sid=1, inter=True):
        assert receiver.push(payload, 1, False, False) == []
    [last] = receiver.push(layer(OTHER, 5000, inter=True)[0], 2, False, False)
    assert last.units == [OTHER + OTHER + superframe_index([len(OTHER)] * 2)]
    assert receiver.flush() == [AccessUnit([OTHER], 2, keyframe=False)]


def test_an_upper_layer_alone_is_no_picture() -> None:
    receiver = Vp9Depacketizer(Vp9())
    [payload] = layer(OTHER, 5000, sid=1)
    assert receiver.push(payload, 0, False, True) == []
    assert receiver.push(payload, 0, True, False) == []
    assert received(layer(OTHER, 1000, inter=True), 1, receiver).units == [OTHER]


def test_more_layers_than_a_superframe_holds_are_damage() -> None:
    payloads = [layer(OTHER, 5000, sid=sid % 8)[0] for sid in range(8)]
    payloads += [layer(OTHER, 5000, sid=7)[0]] * 200
    assert received(payloads).damaged


def test_a_picture_that_lost_its_end_is_damaged() -> None:
    receiver = Vp9Depacketizer(Vp9())
    first, *_, last = layer(KEYFRAME, 1000)
    assert receiver.push(first, 0, False, False) == []
    assert receiver.push(last, 0, True, True) == [AccessUnit([KEYFRAME[:1000]], 0, damaged=True)]
    assert receiver.flush() == []


def test_a_keyframe_cut_off_in_its_header_is_none() -> None:
    receiver = Vp9Depacketizer(Vp9())
    receiver.push(b"\x08" + KEYFRAME[:5], 0, False, False)
    [unit] = receiver.flush()
    assert (unit.keyframe, unit.damaged) == (False, True)


def test_a_broken_payload_costs_the_rest_of_its_picture_and_no_other() -> None:
    receiver = Vp9Depacketizer(Vp9())
    receiver.push(b"\x48" + OTHER, 0, False, False)
    with pytest.raises(ParseError):
        receiver.push(b"\x80", 0, False, False)
    [broken] = receiver.push(b"\x44more", 0, True, False)
    assert broken == AccessUnit([OTHER], 0, keyframe=False, damaged=True)
    assert not received([b"\x4c" + OTHER], 1, receiver).damaged


# From a publisher to viewers.


@pytest.mark.parametrize("size", [5, 700, 1190])
def test_packets_that_fit_pass_one_by_one(size: int) -> None:
    payloads = layer(OTHER, size, inter=True)
    parts = passed(Vp9Normaliser(Vp9()), payloads, 0)
    flags = [P | B, *[P] * (len(payloads) - 2), P | E]
    assert [part.payloads for part in parts] == [
        [bytes((flag,)) + payload[5:]] for flag, payload in zip(flags, payloads, strict=True)
    ]
    ends = [False] * (len(parts) - 1) + [True]
    assert [part.marker for part in parts] == [part.complete for part in parts] == ends
    assert not any(part.keyframe for part in parts)


def test_a_keyframe_is_marked_at_its_first_packet() -> None:
    ingress = Vp9Normaliser(Vp9())
    parts = passed(ingress, layer(KEYFRAME, 1000), 0)
    assert [part.keyframe for part in parts] == [True] + [False] * 5
    assert parts[0].payloads[0].startswith(bytes((B | V,)) + SIZE + KEYFRAME[:20])
    assert ingress.codec == Vp9((320, 240))
    before = ingress.codec
    passed(ingress, layer(KEYFRAME, 1000), 1)
    assert ingress.codec is before


@pytest.mark.parametrize("size", [30, 1000, 1400, 6000])
def test_layers_become_one(size: int) -> None:
    ingress = Vp9Normaliser(Vp9())
    viewer = Vp9Depacketizer(Vp9())
    payloads = layer(KEYFRAME, size, structure=TWO_LAYERS) + layer(OTHER, size, sid=1)
    parts = passed(ingress, payloads, 0)
    assert [part.keyframe for part in parts] == [True] + [False] * (len(parts) - 1)
    assert ingress.codec == Vp9((640, 480))
    sent = payloads_of(parts)
    assert all(len(payload) <= MAX_PAYLOAD for payload in sent)
    begin_and_end = [payload[0] & (B | E) for payload in sent]
    assert begin_and_end == [B, *[0] * (len(sent) - 2), E]
    superframe = KEYFRAME + OTHER + superframe_index([len(KEYFRAME), len(OTHER)])
    assert received(sent, 0, viewer) == AccessUnit([superframe], 0, keyframe=True)
    assert viewer.codec == Vp9((640, 480))


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_whatever_the_packets_sizes_viewers_get_the_picture(length: int, size: int) -> None:
    frame = b"\x86" + bytes(range(256)) * 12
    frame = frame[: length + 1]
    sent = payloads_of(passed(Vp9Normaliser(Vp9()), layer(frame, size, inter=True), 0))
    assert all(len(payload) <= MAX_PAYLOAD for payload in sent)
    assert received(sent).units == [frame]


def test_what_follows_a_loss_within_a_picture_is_dropped() -> None:
    ingress = Vp9Normaliser(Vp9())
    first, second, third = layer(OTHER, 1100, inter=True)
    assert ingress.push([first], 0, False, False)
    assert ingress.push([third], 0, True, True) == []
    assert ingress.push([second], 1, False, False) == []
    upper = layer(OTHER, 5000, sid=1, inter=True)
    assert ingress.push(upper, 2, True, True) == []
    [part] = ingress.push([first], 3, False, True)
    assert part.payloads == [bytes((P | B,)) + OTHER[:1100]]


@pytest.mark.parametrize(
    ("fmtp", "profile"), [({}, 0), ({"profile-id": "2"}, 2), ({"profile-id": " 1 "}, 1)]
)
def test_the_profile_is_a_parameter(fmtp: dict[str, str], profile: int) -> None:
    assert profile_from(fmtp) == profile


@pytest.mark.parametrize("profile", ["4", "-1", "high", ""])
def test_a_profile_that_there_is_not_is_refused(profile: str) -> None:
    with pytest.raises(ParseError, match="no profile"):
        profile_from({"profile-id": profile})
