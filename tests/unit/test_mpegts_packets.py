"""Transport packets: found, read, counted."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.multiplexer import Multiplexer, movie

from streamsocket.mpegts.packets import SIZE, Continuity, Packet, PacketReader

MOVIE = movie(0.4)


def read(*datagrams: bytes) -> list[Packet]:
    reader = PacketReader()
    return [packet for datagram in datagrams for packet in reader.feed(datagram)]


def packet(counter: int, payload: bytes = b"a", *, discontinuity: bool = False) -> Packet:
    return Packet(0x100, False, counter, payload, False, discontinuity, False)


def test_all_packets_are_read_in_order() -> None:
    found = read(MOVIE)
    assert len(found) == len(MOVIE) // SIZE
    assert [each.counter for each in found if each.pid == 0x101][:3] == [0, 1, 2]
    assert found[0].pid == 0
    assert found[0].begins


@given(st.lists(st.integers(1, len(MOVIE) - 1), max_size=30))
def test_any_cutting_gives_the_same_packets(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(MOVIE)]
    parts = [MOVIE[first:last] for first, last in pairwise(borders)]
    assert read(*parts) == read(MOVIE)


@given(st.binary(max_size=600), st.integers(0, 20))
def test_it_finds_back_after_whatever_was_no_packet(garbage: bytes, at: int) -> None:
    found = read(MOVIE[: at * SIZE] + garbage + MOVIE[at * SIZE :])
    whole = read(MOVIE)
    # Garbage can look like a packet, and can cost those at its borders.
    assert found[-(len(whole) - at - 4) :] == whole[at + 4 :]


def test_two_halves_with_a_hole_between_them_are_no_packet() -> None:
    hole = MOVIE[: 10 * SIZE + 80] + MOVIE[13 * SIZE + 100 :]
    found = read(hole)
    assert found == read(MOVIE)[:10] + read(MOVIE)[14:]


def test_what_is_around_the_packets_is_skipped() -> None:
    datagrams = [
        b"\x80\x21" + bytes(10) + MOVIE[start : start + 7 * SIZE]
        for start in range(0, len(MOVIE), 7 * SIZE)
    ]
    assert read(*datagrams)[7:] == read(MOVIE)[7:]


def test_a_packet_marked_as_broken_and_a_null_packet_are_left_out() -> None:
    packets = [bytearray(MOVIE[start : start + SIZE]) for start in range(0, 5 * SIZE, SIZE)]
    packets[1][1] |= 0x80
    packets[2][1:3] = b"\x1f\xff"
    assert len(read(b"".join(packets))) == 3


@pytest.mark.parametrize(
    ("field", "stuffed"),
    [
        (b"", False),
        (b"\x00", True),
        (b"\x01\x00", True),
        (b"\x01\x40", False),  # random access
        (b"\x07\x10" + bytes(6), False),  # a clock reference
        (b"\x08\x10" + bytes(6) + b"\xff", True),
        (b"\x05\x02\x03abc", False),  # private data
    ],
)
def test_stuffing_is_told_from_what_an_adaptation_field_needs(field: bytes, stuffed: bool) -> None:
    flags = 0x30 if field else 0x10
    data = (bytes([0x47, 1, 0, flags]) + field).ljust(SIZE, b"x")
    [found] = read(data * 3)[:1]
    assert found.stuffed is stuffed
    assert found.payload == b"x" * (184 - len(field))


def test_an_adaptation_field_longer_than_its_packet_breaks_it() -> None:
    assert read(bytes([0x47, 1, 0, 0x30, 184]).ljust(SIZE) * 3) == []


def test_the_counter_tells_what_is_lost_and_what_comes_twice() -> None:
    continuity = Continuity()
    verdicts = [
        continuity.check(each)
        for each in (
            packet(14),
            packet(15),
            packet(0),
            packet(0),  # once more
            packet(1),
            packet(3),
            packet(4),
            packet(4, b"another"),  # sixteen later
            packet(9, discontinuity=True),
            packet(10),
        )
    ]
    assert verdicts == [
        *("next", "next", "next", "repeated", "next", "lost", "next", "lost", "next", "next")
    ]


def test_the_multiplexer_of_these_tests_fills_packets_up() -> None:
    mux = Multiplexer()
    for size in range(160, 200):
        assert len(mux.pes(0x101, bytes(size), 0)) % SIZE == 0
