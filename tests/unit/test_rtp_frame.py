"""Frames that are one run of bytes: cut, put together, passed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtp.frame import MAX_FRAME, Frame, FrameAssembler, FrameCutter
from streamsocket.rtp.packet import MAX_PAYLOAD


def cutter() -> FrameCutter:
    return FrameCutter(lambda offset: b"head" if offset else b"long head")


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=8))
def test_nothing_is_lost_or_too_long_however_a_frame_comes(sizes: list[int]) -> None:
    frame = bytes(index % 251 for index in range(sum(sizes)))
    cut, payloads, position = cutter(), [], 0
    for index, size in enumerate(sizes):
        payloads += cut.cut(frame[position : position + size], last=index == len(sizes) - 1)
        position += size
        assert cut.taken == position
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert payloads[0].startswith(b"long head")
    heads = [len(b"long head")] + [len(b"head")] * (len(payloads) - 1)
    assert b"".join(part[head:] for part, head in zip(payloads, heads, strict=True)) == frame


def test_all_payloads_of_a_whole_frame_but_the_last_are_full() -> None:
    payloads = cutter().cut(bytes(5000), last=True)
    assert [len(payload) for payload in payloads] == [1200] * 4 + [5000 + 5 + 5 * 4 - 4 * 1200]


def test_pieces_that_fit_do_not_wait() -> None:
    cut = cutter()
    for size in (1000, 1, 1196):
        [payload] = cut.cut(bytes(size), last=False)
        assert payload[-size:] == bytes(size)


def test_of_longer_pieces_what_fills_no_payload_waits_for_the_next() -> None:
    cut = cutter()
    sizes = [
        [len(payload) for payload in cut.cut(bytes(1300), last=last)]
        for last in (False, False, True)
    ]
    assert sizes == [[1200], [1200], [1200, 3900 - 1191 - 2 * 1196 + 4]]


def test_a_frame_begins_and_ends() -> None:
    frames = FrameAssembler()
    assert frames.push(b"a", 1, starts=True, marker=False, gap=False) == []
    assert frames.push(b"b", 1, starts=False, marker=True, gap=False) == [Frame(b"ab", 1, False)]
    assert frames.flush() == []


def test_missing_markers_are_made_up_for() -> None:
    frames = FrameAssembler()
    frames.push(b"a", 1, starts=True, marker=False, gap=False)
    assert frames.push(b"b", 2, starts=True, marker=False, gap=False) == [Frame(b"a", 1, False)]
    assert frames.push(b"c", 2, starts=True, marker=True, gap=False) == [
        Frame(b"b", 2, False),
        Frame(b"c", 2, False),
    ]


@pytest.mark.parametrize("ends", [True, False])
def test_what_follows_a_loss_within_a_frame_is_left_out(ends: bool) -> None:
    frames = FrameAssembler()
    frames.push(b"a", 1, starts=True, marker=False, gap=False)
    finished = frames.push(b"c", 1, starts=False, marker=False, gap=True)
    finished += frames.push(b"d", 1, starts=False, marker=ends, gap=False)
    finished += frames.push(b"e", 2, starts=True, marker=True, gap=False)
    assert finished == [Frame(b"a", 1, True), Frame(b"e", 2, False)]


def test_a_frame_whose_end_is_lost_is_damaged_and_the_next_is_not() -> None:
    frames = FrameAssembler()
    frames.push(b"a", 1, starts=True, marker=False, gap=False)
    assert frames.push(b"b", 2, starts=True, marker=True, gap=True) == [
        Frame(b"a", 1, True),
        Frame(b"b", 2, False),
    ]


def test_a_frame_without_its_beginning_is_left_out() -> None:
    frames = FrameAssembler()
    frames.push(b"a", 1, starts=True, marker=True, gap=False)
    assert frames.push(b"b", 2, starts=False, marker=False, gap=True) == []
    assert frames.push(b"b", 2, starts=False, marker=True, gap=False) == []
    assert frames.push(b"c", 3, starts=True, marker=True, gap=False) == [Frame(b"c", 3, False)]


def test_a_loss_between_frames_damages_none() -> None:
    frames = FrameAssembler()
    frames.push(b"a", 1, starts=True, marker=True, gap=False)
    assert frames.push(b"c", 3, starts=True, marker=True, gap=True) == [Frame(b"c", 3, False)]


@pytest.mark.parametrize("size", [0, 1, 60_000])
def test_a_frame_without_end_is_given_up(size: int) -> None:
    frames = FrameAssembler()
    frames.push(b"a", 1, starts=True, marker=False, gap=False)

    def go_on() -> None:
        for _ in range(MAX_FRAME // 64):
            frames.push(bytes(size), 1, starts=False, marker=False, gap=False)

    with pytest.raises(ParseError, match="longer than"):
        go_on()
    [broken] = frames.push(b"z", 1, starts=False, marker=True, gap=False)
    assert broken.damaged
    assert len(broken.data) <= MAX_FRAME
    assert frames.push(b"b", 2, starts=True, marker=True, gap=False) == [Frame(b"b", 2, False)]
