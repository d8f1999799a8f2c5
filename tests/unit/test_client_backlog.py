"""The bounded queue between the network and a slow reader."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.client.backlog import Backlog
from streamsocket.client.receiver import Received
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Kind

KINDS: list[Kind] = ["video", "audio"]
PICTURE, SOUND = 0, 1


def unit(track: int, timestamp: int, *, keyframe: bool = False, size: int = 10) -> Received:
    return Received(track, AccessUnit([bytes(size)], timestamp, track == SOUND or keyframe), 0.0)


def drain(backlog: Backlog) -> list[tuple[int, int]]:
    async def take() -> list[tuple[int, int]]:
        units = [await backlog.get() for _ in range(len(backlog))]
        return [(each.track, each.unit.timestamp) for each in units if each]

    return asyncio.run(take())


def test_units_come_out_as_they_went_in() -> None:
    backlog = Backlog(KINDS)
    backlog.put([unit(PICTURE, 0, keyframe=True), unit(SOUND, 0)])
    backlog.put([unit(PICTURE, 1)])
    assert drain(backlog) == [(PICTURE, 0), (SOUND, 0), (PICTURE, 1)]
    assert not backlog.dropped


def test_what_is_before_the_newest_keyframe_goes_when_it_is_full() -> None:
    backlog = Backlog(KINDS, max_units=4)
    backlog.put([unit(PICTURE, 0, keyframe=True), unit(SOUND, 0), unit(PICTURE, 1)])
    backlog.put([unit(PICTURE, 2, keyframe=True), unit(PICTURE, 3)])
    assert drain(backlog) == [(PICTURE, 2), (PICTURE, 3)]
    assert backlog.dropped == {PICTURE: 2, SOUND: 1}


def test_without_a_newer_keyframe_pictures_wait_for_the_next() -> None:
    backlog = Backlog(KINDS, max_units=2)
    backlog.put([unit(PICTURE, 0, keyframe=True), unit(PICTURE, 1), unit(PICTURE, 2)])
    backlog.put([unit(PICTURE, 3), unit(SOUND, 3), unit(PICTURE, 4, keyframe=True)])
    assert drain(backlog) == [(SOUND, 3), (PICTURE, 4)]
    assert backlog.dropped == {PICTURE: 4}


def test_bytes_are_bounded_too() -> None:
    backlog = Backlog(KINDS, max_bytes=100)
    backlog.put([unit(PICTURE, 0, keyframe=True, size=60), unit(PICTURE, 1, size=60)])
    assert len(backlog) == 0
    backlog.put([unit(PICTURE, 2, keyframe=True, size=60)])
    assert drain(backlog) == [(PICTURE, 2)]


def test_what_waits_can_be_read_after_the_end() -> None:
    async def scenario() -> None:
        backlog = Backlog(KINDS)
        backlog.put([unit(SOUND, 0)])
        backlog.close()
        assert await backlog.get() is not None
        assert await backlog.get() is None

    asyncio.run(scenario())


@pytest.mark.parametrize("ending", [False, True])
def test_a_reader_is_woken(ending: bool) -> None:
    async def scenario() -> None:
        backlog = Backlog(KINDS)
        reader = asyncio.ensure_future(backlog.get())
        await asyncio.sleep(0)
        backlog.put([])
        await asyncio.sleep(0)
        assert not reader.done()
        if ending:
            backlog.close()
        else:
            backlog.put([unit(SOUND, 7)])
        received = await reader
        assert (received is None) == ending

    asyncio.run(scenario())


@given(st.lists(st.tuples(st.sampled_from([PICTURE, SOUND]), st.booleans())))
def test_no_picture_comes_out_after_a_hole(put: list[tuple[int, bool]]) -> None:
    backlog = Backlog(KINDS, max_units=5)
    expected = None
    for number, (track, keyframe) in enumerate(put):
        backlog.put([unit(track, number, keyframe=keyframe)])
        assert len(backlog) <= 5
    pictures = [number for number, (track, _) in enumerate(put) if track == PICTURE]
    for track, number in drain(backlog):
        if track == PICTURE:
            if expected is not None and number != expected:
                assert put[number][1]
            following = pictures.index(number) + 1
            expected = pictures[following] if following < len(pictures) else None
    assert sum(backlog.dropped.values()) <= len(put)
