"""A function between two streams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from streamsocket.errors import ArgumentError, ClosedError, TimedOutError
from streamsocket.frames.frame import Frame
from streamsocket.frames.pictures_in import PixelFormat
from streamsocket.frames.publisher import Publisher
from streamsocket.frames.subscriber import Sound, Subscriber

Function = Callable[[Frame], object]
"""Given a picture, returns the one to publish, as `Publisher.write` takes it; None for none."""

_LOOK_S = 0.25
"""How often it is looked whether it is to stop."""
_FIRST_SOUND_S = 2.0
_MAX_CHANNELS = 2


def process(
    src: str | Subscriber,
    dst: str | Publisher,
    fn: Function,
    *,
    fps: float | None = None,
    format: PixelFormat = "rgb24",  # noqa: A002 - FFmpeg's word
    audio: bool = True,
    stop: threading.Event | None = None,
    **options: Any,
) -> None:
    """Publish what a function makes of a stream's pictures, until it is stopped.

        def mirrored(frame):
            return frame.image[:, ::-1]

        ss.process("rtsp://host/cam", "rtsp://host/mirror", mirrored)

    `fn(frame)` is called for the newest picture each time, in the calling thread: while it is slow,
    pictures are left out (`frame.dropped`). What it returns is published with the picture's time of
    capture, so that latency is still known and the streams stay in sync; where it returns None,
    nothing is. `format` is that of the arrays it returns, as of `Publisher.write`.

    The sound of `src` goes along unless `audio=False`, the first two channels of it; only if both
    are URLs. `fps` and the other `options` are the Publisher's. A Subscriber or Publisher of your
    own has to be open, and is not closed.

    Ends, without an error, when `stop` is set or `src` is closed or over. Raises what `fn` raises,
    and ArgumentError, ConnectError and TimedOutError as `Subscriber.open` and `Publisher.write` do.
    """
    if not isinstance(src, str | Subscriber):
        raise ArgumentError(f"src: {src!r} is neither a URL nor a Subscriber.")
    if not isinstance(dst, str | Publisher):
        raise ArgumentError(f"dst: {dst!r} is neither a URL nor a Publisher.")
    if not callable(fn):
        raise ArgumentError(f"fn: {fn!r} cannot be called.")
    if isinstance(dst, Publisher) and (fps is not None or options):
        raise ArgumentError("dst: a Publisher of your own has its options already.")
    audio = audio and isinstance(src, str) and isinstance(dst, str)
    stop = stop or threading.Event()
    with ExitStack() as stack:
        subscriber = (
            stack.enter_context(Subscriber(src, audio=audio)) if isinstance(src, str) else src
        )
        sound = _first_sound(subscriber) if audio else None
        if isinstance(dst, str):
            dst = stack.enter_context(Publisher(dst, fps=fps, audio=sound, **options))
        if sound:
            over = threading.Event()
            passing = threading.Thread(
                target=_pass_sound, args=(subscriber.audio, dst, sound, over), name="pass sound"
            )
            stack.callback(passing.join)
            stack.callback(over.set)
            passing.start()
        while not stop.is_set():
            try:
                frame = subscriber.read(_LOOK_S)
            except TimedOutError:
                continue
            except ClosedError:
                return
            made = fn(frame)
            if made is not None:
                dst.write(made, frame.capture_time, format)


async def process_async(
    src: str | Subscriber, dst: str | Publisher, fn: Function, **options: Any
) -> None:
    """As `ss.process`, for asyncio: cancel it to end it.

    The function is called in a thread of its own; Subscribers and Publishers are those that block.
    """
    stop = options.pop("stop", None) or threading.Event()
    with ThreadPoolExecutor(1, "process") as executor:
        work = asyncio.get_running_loop().run_in_executor(
            executor, partial(process, src, dst, fn, stop=stop, **options)
        )
        try:
            await asyncio.shield(work)
        finally:
            stop.set()
            await asyncio.wait([work])


def _first_sound(subscriber: Subscriber) -> dict[str, int] | None:
    """What the sound is like, as a Publisher wants to be told; None if there is none."""
    if "audio" not in subscriber.tracks:
        return None
    try:
        first = subscriber.audio.read(_FIRST_SOUND_S)
    except TimedOutError:
        return None
    return {"rate": first.sample_rate, "channels": min(first.samples.shape[1], _MAX_CHANNELS)}


def _pass_sound(
    source: Sound, publisher: Publisher, like: dict[str, int], over: threading.Event
) -> None:
    while not over.is_set():
        try:
            block = source.read(_LOOK_S)
            if block.sample_rate == like["rate"]:
                publisher.write_audio(block.samples[:, : like["channels"]], block.capture_time)
        except TimedOutError:
            continue
        except ClosedError:
            return
