"""PES packets, put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.multiplexer import AUDIO_PID, SECOND, VIDEO_PID, Multiplexer, pes

from streamsocket.mpegts.packets import Continuity, PacketReader
from streamsocket.mpegts.pes import MAX_PES, Pes, PesReader


class Receiver:
    """The PES packets in transport packets of one PID, with what is missing taken from counters."""

    def __init__(self) -> None:
        self.reader = PesReader()
        self._packets = PacketReader()
        self._continuity = Continuity()

    def feed(self, data: bytes) -> list[Pes]:
        found = []
        for packet in self._packets.feed(data):
            lost = self._continuity.check(packet) == "lost"
            found += self.reader.push(packet, lost=lost)
        return found


def warmed_up(mux: Multiplexer) -> Receiver:
    """A receiver that has seen how packets end."""
    receiver = Receiver()
    for number in range(9):
        receiver.feed(mux.pes(VIDEO_PID, bytes(500), number * SECOND))
    return receiver


@given(st.integers(0, (1 << 33) - 1), st.integers(0, (1 << 33) - 1))
def test_times_are_read(pts: int, dts: int) -> None:
    mux, receiver = Multiplexer(), Receiver()
    [found] = receiver.feed(mux.pes(AUDIO_PID, b"sound" * 100, pts, dts) * 3)[:1]
    assert (found.pts, found.dts, found.data) == (pts, dts, b"sound" * 100)


def test_a_packet_without_times_has_none() -> None:
    [found] = Receiver().feed(Multiplexer().pes(AUDIO_PID, b"sound" * 100))
    assert (found.pts, found.dts) == (None, None)


def test_one_with_a_length_is_complete_at_once() -> None:
    mux, receiver = Multiplexer(), Receiver()
    data = mux.pes(AUDIO_PID, b"sound" * 100, 0) + mux.pes(AUDIO_PID, b"more" * 100, 0)
    assert [each.data for each in receiver.feed(data)] == [b"sound" * 100, b"more" * 100]


def test_one_without_a_length_ends_with_the_next() -> None:
    mux, receiver = Multiplexer(), Receiver()
    assert receiver.feed(mux.pes(VIDEO_PID, b"first" * 100, 0)) == []
    [found] = receiver.feed(mux.pes(VIDEO_PID, b"second" * 100, 0))
    assert found.data == b"first" * 100
    assert found.hole is None


def test_once_it_knows_how_they_end_a_picture_is_complete_at_once() -> None:
    mux = Multiplexer()
    receiver = warmed_up(mux)
    found = receiver.feed(mux.pes(VIDEO_PID, b"picture" * 100, 0))
    assert [each.data for each in found] == [b"picture" * 100]
    # One that fills its last packet by itself still ends with the next.
    assert receiver.feed(mux.pes(VIDEO_PID, bytes(4 * 184 - 14), 0)) == []
    found = receiver.feed(mux.pes(VIDEO_PID, b"picture" * 100, 0))
    assert [each.data for each in found] == [bytes(4 * 184 - 14), b"picture" * 100]


def test_a_sender_that_stuffs_elsewhere_is_not_trusted_again() -> None:
    mux = Multiplexer()
    receiver = warmed_up(mux)
    whole = pes(b"in two pieces" * 30, 0, bounded=False)
    receiver.feed(mux.packets(VIDEO_PID, whole[:200]))
    rest = bytearray(mux.packets(VIDEO_PID, whole[200:]))
    for start in range(0, len(rest), 188):
        rest[start + 1] &= ~0x40  # it begins nothing
    receiver.feed(bytes(rest))
    assert receiver.feed(mux.pes(VIDEO_PID, b"next" * 100, 0)) == []
    [found] = receiver.feed(mux.pes(VIDEO_PID, b"one more" * 100, 0))
    assert found.data == b"next" * 100


def test_a_loss_after_an_end_says_nothing_about_stuffing() -> None:
    mux, receiver = Multiplexer(), Receiver()
    for number in range(20):
        data = mux.pes(VIDEO_PID, bytes(500), number * SECOND)
        receiver.feed(data if number != 4 else data[188:])  # what begins it is lost
    [found] = receiver.feed(mux.pes(VIDEO_PID, b"at once" * 100, 0))
    assert found.data == b"at once" * 100


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_hole_is_told(missing: int) -> None:
    mux, receiver = Multiplexer(), Receiver()
    receiver.feed(mux.pes(VIDEO_PID, bytes(500), 0))
    damaged = mux.pes(VIDEO_PID, b"a hole in it" * 40, SECOND)
    damaged = damaged[: missing * 188] + damaged[missing * 188 + 188 :]
    found = receiver.feed(damaged + mux.pes(VIDEO_PID, bytes(500), 2 * SECOND))
    found += receiver.feed(mux.pes(VIDEO_PID, bytes(500), 3 * SECOND))
    # Where the beginning is missing, nobody can tell whether the one before had ended.
    times = {each.pts: each.hole is not None for each in found}
    assert times == (
        {0: True, 2 * SECOND: False} if not missing else {0: False, SECOND: True, 2 * SECOND: False}
    )


def test_one_that_is_shorter_than_its_length_is_damaged() -> None:
    mux, receiver = Multiplexer(), Receiver()
    cut = pes(b"sound" * 100, 0)[:300]
    found = receiver.feed(mux.packets(AUDIO_PID, cut) + mux.pes(AUDIO_PID, b"whole" * 100, 1))
    assert [each.hole for each in found] == [286, None]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x00\x00\x01",
        b"\x00\x00\x02\xe0\x00\x00\x80\x00\x00",
        b"\x00\x00\x01\xbe\x00\x00abc",
        b"\x00\x00\x01\xe0\x00\x00\x80\x80\xff",
        b"\x00\x00\x01\xe0\x00\x00\x00\x80\x00",
    ],
)
def test_what_is_no_pes_packet_is_left_out(broken: bytes) -> None:
    mux, receiver = Multiplexer(), Receiver()
    receiver.feed(mux.packets(VIDEO_PID, broken) + mux.pes(VIDEO_PID, bytes(300), 0))
    assert receiver.reader.malformed == 1


def test_one_without_an_end_is_given_up() -> None:
    mux, receiver = Multiplexer(), Receiver()
    data = mux.pes(VIDEO_PID, bytes(MAX_PES + 1000), 0)
    assert receiver.feed(data + mux.pes(VIDEO_PID, bytes(300), 0)) == []
    assert receiver.reader.malformed == 1
