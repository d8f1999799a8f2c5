"""A device that pictures come from, opened by FFmpeg."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from streamsocket.errors import SourceError
from streamsocket.sources.devices.errors import lost_error

_TIMEOUT_S = 10.0
# What the device hasn't got: EINVAL with v4l2 and x11grab, EIO with others.
_OPTIONS_REFUSED = (errno.EINVAL, errno.EIO)
_DEFAULT_RATE = Fraction(30)
_MOST_RATE = 240


class Wish(NamedTuple):
    """What pictures should be like; a device comes as near to it as it can."""

    size: tuple[int, int]
    rate: Fraction


class Taken(NamedTuple):
    """A picture as it came."""

    frame: VideoFrame
    device_s: float | None
    """When it was taken, by whatever clock the device has."""


@dataclass
class PictureDevice:
    """An open device. `frames` and `close` belong to one thread, and `frames` waits."""

    kind: str
    name: str
    container: InputContainer
    note: str | None = None
    """What is worth a word about it, a sentence."""

    def __post_init__(self) -> None:
        self._stream = self.container.streams.video[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def rate(self) -> Fraction:
        """Pictures a second, as the device says."""
        rate = self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE
        return Fraction(rate) if 0 < rate <= _MOST_RATE else _DEFAULT_RATE

    def frames(self) -> Iterator[Taken]:
        """Pictures, for as long as they come. Raises `SourceError` when no more do."""
        try:
            for packet in self.container.demux(self._stream):
                at = None if packet.pts is None else float(packet.pts * packet.time_base)
                yield from (Taken(frame, at) for frame in self._decoded(packet))
        except (av.FFmpegError, OSError) as error:
            raise lost_error(self.kind, self.name) from error
        raise lost_error(self.kind, self.name)

    def _decoded(self, packet: av.Packet[av.VideoStream]) -> Iterable[VideoFrame]:
        try:
            return packet.decode()
        except av.error.InvalidDataError:
            return ()  # cameras send a damaged JPEG now and then

    def close(self) -> None:
        """Give the device back."""
        self.container.close()


Opener = Callable[[Wish], PictureDevice]


def open_first(
    format_name: str,
    device: str,
    tries: Iterable[Mapping[str, str]],
    failure: Callable[[int, str], SourceError],
) -> InputContainer:
    """Open FFmpeg's device with the first options that it takes.

    Raises what `failure` makes of the system's error number and its text.
    """
    refused = errno.EIO, "it has no pictures"
    for options in tries:
        try:
            container = av.open(
                device, format=format_name, options=dict(options), timeout=_TIMEOUT_S
            )
        except av.FFmpegError as error:
            refused = error.errno or errno.EIO, error.strerror or str(error)
            if error.errno not in _OPTIONS_REFUSED:
                break
        else:
            if container.streams.video:
                return container
            container.close()
    raise failure(*refused)
