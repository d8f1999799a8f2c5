"""Several cameras at once: sets of pictures that were captured at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Literal, get_args

from streamsocket.errors import ArgumentError, TimedOutError
from streamsocket.frames import aio_subscriber as aio
from streamsocket.frames.aio_subscriber import check_timeout
from streamsocket.frames.background import Background
from streamsocket.frames.frame import Frame
from streamsocket.frames.matching import Matcher
from streamsocket.frames.subscriber import Subscriber

Missing = Literal["wait", "none"]
"""What to do without a camera: wait for it, or have None in its place."""

_LOOK_S = 0.1
"""How often it is looked whether a camera is away."""


class FrameSet(tuple[Frame | None, ...]):
    """Pictures that belong together, in the order of the cameras; None for one that is away."""

    __slots__ = ()

    @property
    def spread(self) -> float:
        """Seconds from the capture of the earliest to that of the latest.

        It is as true as the cameras' clocks agree: see each frame's `capture_clock`.
        """
        times = [frame.capture_time for frame in self if frame is not None]
        return max(times) - min(times)


def synchronized(
    cameras: Sequence[Subscriber | str],
    *,
    tolerance: float | None = None,
    timeout: float | None = 10.0,
    missing: Missing = "wait",
) -> Generator[FrameSet]:
    """Sets of pictures of several cameras that were captured at the same time, the newest each.

        for left, right in ss.synchronized(["rtsp://host/left", "rtsp://host/right"]):
            …

    `cameras` are URLs, connected to by the first set and left by the end of the iteration, or
    Subscribers, which have to be open and are to be read by nobody else meanwhile. Sets come at the
    slowest camera's rate, each with those of the others that were captured nearest to its picture;
    a picture is in one set at most, and `frame.dropped` counts from set to set. Cameras may differ
    in latency by 48 pictures.

    `tolerance`: the largest spread of a set, in seconds; others are left out. `timeout`: how many
    seconds a set is waited for, None for ever. `missing`: what becomes of the others while a camera
    is away, having brought nothing for a second, or three of its pictures: `wait` for it; or `none`
    to go on with None in its place.

    Ends when a stream does (with `missing="none"`, when all have). Raises ArgumentError at once;
    during the iteration TimedOutError, with the cameras that are away, and ConnectError where one
    refuses us or was lost for good.
    """
    _check(cameras, Subscriber, tolerance, timeout, missing)
    inner = [each if isinstance(each, str) else each._subscriber for each in cameras]
    for each in cameras:
        if isinstance(each, Subscriber):
            each._running().check()
    return _blocking(_sets(inner, tolerance, timeout, missing))


def synchronized_async(
    cameras: Sequence[aio.Subscriber | str],
    *,
    tolerance: float | None = None,
    timeout: float | None = 10.0,
    missing: Missing = "wait",
) -> AsyncGenerator[FrameSet]:
    """As `ss.synchronized`, for asyncio; leave a loop early within `contextlib.aclosing`."""
    _check(cameras, aio.Subscriber, tolerance, timeout, missing)
    return _sets(list(cameras), tolerance, timeout, missing)


def _check(
    cameras: Sequence[object],
    kind: type,
    tolerance: float | None,
    timeout: float | None,
    missing: Missing,
) -> None:
    if isinstance(cameras, str) or len(cameras) < 1:
        raise ArgumentError(f"cameras: {cameras!r} is not a list of URLs or Subscribers.")
    for camera in cameras:
        if not isinstance(camera, (str, kind)):
            raise ArgumentError(f"cameras: {camera!r} is neither a URL nor a Subscriber.")
    if len(set(map(id, cameras))) < len(cameras):
        raise ArgumentError("cameras: one of them is there twice.")
    if tolerance is not None and not tolerance >= 0:
        raise ArgumentError(f"tolerance: {tolerance!r} is not a number of seconds from 0 on.")
    if timeout is not None:
        check_timeout(timeout)
    if missing not in get_args(Missing):
        raise ArgumentError(f"missing: {missing!r} is none of {', '.join(get_args(Missing))}.")


def _blocking(sets: AsyncGenerator[FrameSet]) -> Generator[FrameSet]:
    background = Background("synchronized")

    async def following() -> FrameSet | None:
        return await anext(sets, None)

    try:
        while (frames := background.run(following())) is not None:
            yield frames
    finally:
        background.close()  # which ends `sets`, also in the middle of a wait


async def _sets(
    cameras: list[aio.Subscriber | str],
    tolerance: float | None,
    timeout: float | None,  # noqa: ASYNC109
    missing: Missing,
) -> AsyncGenerator[FrameSet]:
    async with AsyncExitStack() as stack:
        subscribers = [
            await stack.enter_async_context(aio.Subscriber(each, wait=False))
            if isinstance(each, str)
            else each
            for each in cameras
        ]
        gathering = _Gathering(subscribers, tolerance, partial=missing == "none")
        await stack.enter_async_context(aclosing(gathering))
        while True:
            deadline = None if timeout is None else time.monotonic() + timeout
            while (frames := gathering.take()) is None:
                if gathering.over:
                    return
                if deadline is not None and time.monotonic() > deadline:
                    silent = ", ".join(subscribers[place].url for place in gathering.away())
                    reason = f"nothing comes from {silent}" if silent else "they are too far apart"
                    raise TimedOutError(
                        f"There was no set of pictures within {timeout:g} s: {reason}."
                    )
                await gathering.changed(_LOOK_S)
            yield frames


class _Gathering:
    """Reads all cameras at once, and keeps the newest set."""

    def __init__(
        self, subscribers: list[aio.Subscriber], tolerance: float | None, *, partial: bool
    ) -> None:
        self._partial = partial
        self._matcher = Matcher[tuple[Frame, int]](
            len(subscribers), tolerance=tolerance, partial=partial
        )
        self._newest: list[tuple[Frame, int] | None] | None = None
        self._arrived = [0] * len(subscribers)
        self._handed_out = [0] * len(subscribers)
        self._changed = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._read(place, subscriber))
            for place, subscriber in enumerate(subscribers)
        ]

    @property
    def over(self) -> bool:
        """No set will come any more."""
        ended = [task.done() for task in self._tasks]
        return all(ended) if self._partial else any(ended)

    def take(self) -> FrameSet | None:
        """The newest set if there is one that was not handed out yet; raises what a camera did."""
        for task in self._tasks:
            if task.done():
                task.result()
        self._match()  # who is away is known by time alone
        numbered, self._newest = self._newest, None
        if numbered is None:
            return None
        now = time.time()
        for place, each in enumerate(numbered):
            if each is None:
                continue
            frame, number = each
            before, self._handed_out[place] = self._handed_out[place], number
            frame.dropped = number - before - 1 if before else 0
            frame.handed_out = now
        return FrameSet(each[0] if each else None for each in numbered)

    async def changed(self, longest_s: float) -> None:
        """Wait until something happens."""
        try:
            async with asyncio.timeout(longest_s):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def away(self) -> list[int]:
        """The cameras that bring nothing."""
        return self._matcher.away(time.monotonic())

    async def aclose(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _read(self, place: int, subscriber: aio.Subscriber) -> None:
        try:
            async for frame in subscriber:
                self._arrived[place] += 1 + frame.dropped
                numbered = frame, self._arrived[place]
                self._matcher.put(place, frame.capture_time, numbered, time.monotonic())
                self._match()
                self._changed.set()
        finally:
            self._changed.set()

    def _match(self) -> None:
        while (found := self._matcher.match(time.monotonic())) is not None:
            self._newest = found
