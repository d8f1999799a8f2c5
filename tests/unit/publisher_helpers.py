"""A server beside a test that publishes, which tells what has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsocket.client.decode import Decoder
from streamsocket.frames.background import Background
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.media.access_unit import AccessUnit
from streamsocket.rtp.packet import MARKER, parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.rtsp.server import RtspOptions, RtspServer


class Far:
    """The server: its streams, and what came of them, decoded."""

    def __init__(self, port: int = 0) -> None:
        self.background = Background("far server")
        self.units: list[list[AccessUnit]] = [[], []]
        """Of the picture, and of the sound."""
        self.frames: list[list[Any]] = [[], []]
        self.ended = 0
        self.background.run(self._open(port))

    @property
    def port(self) -> int:
        return self._server.port

    def url(self, name: str = "cam") -> str:
        return f"rtsp://127.0.0.1:{self.port}/{name}"

    @property
    def stream(self) -> Stream | None:
        """The stream `cam`, while somebody publishes it."""
        found = self._hub.find("cam")
        return found if found and found.publication else None

    @property
    def images(self) -> list[npt.NDArray[np.uint8]]:
        return [frame.to_ndarray(format="rgb24") for frame in list(self.frames[0])]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the pictures, see `numbered`."""
        return [number_of(image) for image in self.images]

    def request_keyframe(self) -> None:
        def request() -> None:
            assert self.stream
            self.stream.request_keyframe()

        self.background.call(request)

    def close(self) -> None:
        if not self.background.closed:
            self.background.run(self._close())
            self.background.close()

    async def _open(self, port: int) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        self._hub = Hub(loop)
        self._hub.subscribe(self._changed)
        self._server = RtspServer(self._hub, loop, RtspOptions(port=port))
        self._server.open()

    async def _close(self) -> None:
        self._hub.close()
        self._server.close()

    def _changed(self, stream: Stream) -> None:
        if not stream.publication:
            self.ended += 1
        elif not stream.taps:
            stream.taps.append(_Tap(self, stream))


class _Tap:
    def __init__(self, far: Far, stream: Stream) -> None:
        self._far = far
        self._depacketizers = [depacketizer(track.track.codec) for track in stream.tracks]
        self._decoders = [Decoder(track.track.codec) for track in stream.tracks]

    def __call__(self, tracks: Sequence[StreamTrack]) -> None:
        for track in tracks:
            for batch in track.pending:
                for data in batch.packets():
                    packet = parse_rtp(data)
                    units = self._depacketizers[track.index].push(
                        packet.payload, batch.timestamp, data[1] >= MARKER, False
                    )
                    for unit in units:
                        unit.capture_time = batch.capture_time
                        self._far.frames[track.index] += self._decoders[track.index].decode(unit)
                        self._far.units[track.index].append(unit)


@contextmanager
def far_server() -> Iterator[Far]:
    far = Far()
    try:
        yield far
    finally:
        far.close()


def numbered(number: int, width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    """A gray picture that tells its number, from 0 to 54."""
    return np.full((height, width, 3), 20 + 4 * number, np.uint8)


def number_of(image: npt.NDArray[np.uint8]) -> int:
    return round((float(image[8:-8, 8:-8].mean()) - 20) / 4)
