"""Publishing from asyncio: a `Publisher` whose waiting is awaited."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, Self

from streamsocket.frames import publisher as blocking
from streamsocket.frames.pictures_in import PixelFormat
from streamsocket.frames.states import State


class Publisher:
    """Publishes pictures and sound, as `streamsocket.Publisher` does; here it is awaited.

        async with ss.aio.Publisher("rtsp://host:8554/cam", fps=30) as pub:
            await pub.write(image)

    Encoding and sending have threads of their own, so that any event loop will do, and a busy one
    delays nothing. Cancelling a call is safe.
    """

    def __init__(self, url: str, **options: Any) -> None:
        """The parameters are those of `streamsocket.Publisher`. Raises ArgumentError."""
        self._publisher = blocking.Publisher(url, **options)
        self._opened = False

    def __reduce__(self) -> NoReturn:
        self._publisher.__reduce__()

    def __repr__(self) -> str:
        return repr(self._publisher)

    @property
    def url(self) -> str:
        """Where it publishes, without user and password."""
        return self._publisher.url

    @property
    def state(self) -> State:
        """`connecting` until the server takes it, `live`, `lost` meanwhile, `ended` when closed."""
        return self._publisher.state

    @property
    def dropped(self) -> int:
        """Pictures that were not sent because a newer one was there already."""
        return self._publisher.dropped

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the picture's encoder; empty before the first picture."""
        return self._publisher.encoder

    async def open(self) -> Self:
        """What entering the context does."""
        await asyncio.to_thread(self._publisher.open)
        return self

    async def close(self) -> None:
        """Send what has been written, say goodbye and leave, within two seconds."""
        await asyncio.shield(asyncio.to_thread(self._publisher.close))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def write(
        self,
        image: object,
        capture_time: float | None = None,
        format: PixelFormat = "rgb24",  # noqa: A002 - FFmpeg's word
        *,
        block: bool = False,
    ) -> bool:
        """Send a picture; see `streamsocket.Publisher.write`."""
        if self._publisher.state == "connecting" or block:
            return await asyncio.to_thread(
                self._publisher.write, image, capture_time, format, block=block
            )
        return self._publisher.write(image, capture_time, format)

    async def write_audio(self, samples: object, capture_time: float | None = None) -> bool:
        """Send a block of sound; see `streamsocket.Publisher.write_audio`."""
        if self._publisher.state == "connecting":
            return await asyncio.to_thread(self._publisher.write_audio, samples, capture_time)
        return self._publisher.write_audio(samples, capture_time)
