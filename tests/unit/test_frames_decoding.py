"""The decoder's thread and its shelf: newest or every picture, one thread or many."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from frames_helpers import TICKS, coded_pictures, connection, until

from streamsocket.frames.coded_queue import Coded, CodedQueue
from streamsocket.frames.decoders import PictureDecoder
from streamsocket.frames.decoding import AHEAD, Decoding
from streamsocket.frames.frame import Frame
from streamsocket.media.codec import Codec


class Counting(PictureDecoder):
    """Counts how many pictures have been decoded, by all of its kind."""

    decoded = 0

    def decode(self, coded: Coded) -> list[Frame]:
        frames = super().decode(coded)
        Counting.decoded += len(frames)
        return frames


@contextmanager
def decoding(*, newest: bool, max_units: int = 100) -> Iterator[Decoding[Frame]]:
    Counting.decoded = 0
    made = Decoding(
        "decode video",
        partial(Counting, decoder="software", damaged=False),
        CodedQueue(pictures=True, max_units=max_units),
        newest=newest,
    )
    try:
        yield made
    finally:
        made.close()


def number(frame: Frame | None) -> int | None:
    return None if frame is None else frame.rtp_timestamp // TICKS


def test_the_newest_only() -> None:
    with decoding(newest=True) as made:
        for each in coded_pictures():
            made.put(each)
        until(lambda: Counting.decoded >= 20)
        made.finish()
        until(lambda: made._over)
        before = time.time()
        frame = made.take()
        assert number(frame) == 29
        assert frame is not None
        assert before <= frame.handed_out <= time.time()
        assert frame.dropped == 0, "before the first there was nothing to be missed"
        assert made.take() is None
        assert made.over
        assert made.decoder == "h264"


def test_what_was_overtaken_is_counted() -> None:
    pictures = coded_pictures(keyframe_every=1)
    with decoding(newest=True) as made:
        made.put(pictures[0])
        assert number(asyncio.run(made.next())) == 0
        for each in pictures[1:10]:
            made.put(each)
        until(lambda: Counting.decoded == 10)
        until(lambda: bool(made._shelf) and number(made._shelf[-1]) == 9)
        frame = made.take()
        assert frame is not None
        assert (number(frame), frame.dropped) == (9, 8)
        made.put(pictures[10])
        until(lambda: made._shelf)
        made.clear()
        assert made.take() is None
        made.put(pictures[11])
        until(lambda: Counting.decoded == 12)
        assert made.take() is None, "nothing of a connection that is lost"
        made.put(coded_pictures(connection(), keyframe_every=1)[12])
        frame = asyncio.run(made.next())
        assert frame is not None
        assert (number(frame), frame.dropped) == (12, 2)


def test_every_picture_with_few_of_them_decoded() -> None:
    with decoding(newest=False) as made:
        for each in coded_pictures():
            made.put(each)
        until(lambda: Counting.decoded >= AHEAD)
        time.sleep(0.05)
        assert Counting.decoded <= AHEAD + 1, "the others wait as they came"
        made.finish()
        frames = []
        while (frame := asyncio.run(made.next())) is not None:
            frames.append(frame)
        assert [number(frame) for frame in frames] == list(range(30))
        assert sum(frame.dropped for frame in frames) == 0
        assert made.over


def test_who_takes_every_picture_too_slowly_goes_on_at_a_keyframe() -> None:
    with decoding(newest=False, max_units=12) as made:
        pictures = coded_pictures()
        for each in pictures[:2]:
            made.put(each)
        first = asyncio.run(made.next())
        until(lambda: Counting.decoded >= 2)
        for each in pictures[2:]:
            made.put(each)
        made.finish()
        frames = [first]
        while (frame := asyncio.run(made.next())) is not None:
            frames.append(frame)
        gap = next(each for each in frames if each and each.dropped)
        assert number(gap) in (10, 20)
        assert gap.keyframe
        assert len(frames) + sum(each.dropped for each in frames if each) == 30


def test_another_connection_has_another_decoder() -> None:
    with decoding(newest=False) as made:
        for each in coded_pictures(connection())[:7]:
            made.put(each)
        for each in coded_pictures(connection())[5:15]:
            made.put(each)  # not decodable before the keyframe that is its tenth
        made.finish()
        taken = []
        while (frame := asyncio.run(made.next())) is not None:
            taken.append(number(frame))
        assert taken == [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14]


def test_many_may_wait_and_each_picture_goes_to_one() -> None:
    with decoding(newest=False) as made:
        taken: list[int | None] = []

        def consume() -> None:
            while (frame := asyncio.run(made.next())) is not None:
                taken.append(number(frame))

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        for each in coded_pictures():
            made.put(each)
        made.finish()
        for thread in threads:
            thread.join(5)
        assert sorted(each for each in taken if each is not None) == list(range(30))


def test_closing_wakes_those_who_wait() -> None:
    with decoding(newest=True) as made:
        results: list[Frame | None] = []
        waiting = threading.Thread(target=lambda: results.append(asyncio.run(made.next())))
        waiting.start()
        until(lambda: made._wakers)
        made.close()
        waiting.join(5)
        assert results == [None]
        assert made.over


def test_who_stops_waiting_is_forgotten() -> None:
    async def give_up(made: Decoding[Frame]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await made.next()

    with decoding(newest=True) as made:
        asyncio.run(give_up(made))
        assert not made._wakers


def test_a_decoder_that_fails_is_told() -> None:
    def fail(codec: Codec) -> PictureDecoder:
        raise ValueError("no decoder")

    made = Decoding("decode video", fail, CodedQueue(pictures=True, max_units=5), newest=True)
    try:
        made.put(coded_pictures()[0])
        assert asyncio.run(made.next()) is None
        assert isinstance(made.failure, ValueError)
    finally:
        made.close()
