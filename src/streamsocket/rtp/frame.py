"""Frames that are one run of bytes, cut over packets: VP8's, VP9's and those of Motion JPEG."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from streamsocket.errors import ParseError
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD

MAX_FRAME = 8 << 20
"""Bytes that a frame may grow to while it is received, with what its parts cost."""
OVERHEAD = 64
"""What a payload costs beyond its bytes: a million empty ones must not pass for a megabyte."""


class Frame(NamedTuple):
    """A frame of which nothing more will come."""

    data: bytes
    timestamp: int
    damaged: bool
    """Its end is missing."""


class FrameAssembler:
    """Puts frames together from packets in order.

    What follows a loss within a frame is left out, for no decoder could tell where it belongs; a
    frame without its beginning is left out altogether. Missing markers are made up for when the
    next frame begins.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._timestamp = 0
        self._whole = False  # nothing of the frame is missing until now
        self._damaged = False

    @property
    def taken(self) -> int:
        """How many bytes of the frame have come."""
        return sum(map(len, self._parts))

    def push(
        self, data: bytes, timestamp: int, *, starts: bool, marker: bool, gap: bool
    ) -> list[Frame]:
        """Take a packet's part of a frame; return the frames that are complete now.

        `starts` says that a frame begins with it, and `gap` that something is missing before it.
        Raises ParseError for a frame that is too long.
        """
        finished: list[Frame] = []
        if starts or timestamp != self._timestamp:
            if gap:
                self.lose()
            finished = self.flush()
            self._timestamp, self._whole = timestamp, starts
        elif gap:
            self.lose()
        if self._whole:
            self._size += len(data) + OVERHEAD
            if self._size > MAX_FRAME:
                self.lose()
                raise ParseError(f"A picture is longer than {MAX_FRAME} bytes.")
            self._parts.append(data)
        return finished + self.flush() if marker else finished

    def lose(self) -> None:
        """Leave out what follows of the frame that is coming."""
        self._whole = False
        self._damaged = bool(self._parts)

    def flush(self) -> list[Frame]:
        """The frame that is coming, as far as it has come."""
        parts, damaged = self._parts, self._damaged
        self._parts, self._size, self._whole, self._damaged = [], 0, False, False
        return [Frame(b"".join(parts), self._timestamp, damaged)] if parts else []


class FrameCutter:
    """Cuts one frame into payloads as long as can be, so that all but the last are of one size.

    Takes it in one piece or in many. A first piece that fits into a payload becomes one, and as
    long as pieces fit, so do they; of longer ones, what doesn't fill a payload waits for the next.
    """

    def __init__(self, header: Callable[[int], bytes]) -> None:
        """`header` gives what goes before the frame's bytes from an offset on."""
        self._header = header
        self._offset = 0
        self._rest = b""

    @property
    def taken(self) -> int:
        """How many bytes of the frame have been taken."""
        return self._offset + len(self._rest)

    def cut(self, data: bytes, *, last: bool) -> list[bytes]:
        """The payloads that are ready now; `last` says that the frame ends with `data`."""
        waited = bool(self._rest)
        data = self._rest + data
        payloads: list[bytes] = []
        position = 0
        while position < len(data):
            header = self._header(self._offset)
            part = data[position : position + MAX_PAYLOAD - len(header)]
            is_full = len(header) + len(part) == MAX_PAYLOAD
            if not is_full and not last and (waited or payloads):
                break
            payloads.append(header + part)
            position += len(part)
            self._offset += len(part)
        self._rest = data[position:]
        return payloads


class Cutter(Protocol):
    """Cuts one frame, or one picture, into payloads."""

    def cut(self, data: bytes, *, last: bool) -> list[bytes]:
        """The payloads that are ready now; `last` says that the frame ends with `data`."""


AnyCutter = TypeVar("AnyCutter", bound=Cutter)


class Part(NamedTuple, Generic[AnyCutter]):
    """What a payload brings of a frame."""

    cutter: AnyCutter | None
    """Of the frame it belongs to; None where that lacks what comes before."""
    data: bytes
    keyframe: bool
    """A keyframe begins with it."""


class FrameNormaliser(ABC, Generic[AnyCutter]):
    """Payloads that fit stay as they are, but for their headers; longer ones are cut anew.

    What follows a loss within a frame is dropped, for no decoder could use it.
    """

    def __init__(self) -> None:
        self._timestamp = 0
        self._cutter: AnyCutter | None = None  # of the frame that is coming

    @abstractmethod
    def _take(self, payload: bytes, cutter: AnyCutter | None) -> Part[AnyCutter]:
        """Read a payload; `cutter` is that of the frame that is coming, None for none.

        Gives another one where a frame begins. Raises ParseError.
        """

    def push(
        self, payloads: Sequence[bytes], timestamp: int, marker: bool, gap: bool
    ) -> list[Normalised]:
        """See `Normaliser`."""
        cutter = None if gap or timestamp != self._timestamp else self._cutter
        # Where a payload breaks the rules, what follows of its frame is of no use.
        self._timestamp, self._cutter = timestamp, None
        passed_on: list[Normalised] = []
        ready: list[bytes] = []
        keyframe = False
        for index, payload in enumerate(payloads):
            before = cutter
            cutter, data, begins_keyframe = self._take(payload, cutter)
            if cutter is None:
                continue
            if cutter is not before:
                if ready:
                    passed_on.append(Normalised(ready, timestamp, keyframe, False, False))
                ready, keyframe = [], begins_keyframe
            ready += cutter.cut(data, last=marker and index == len(payloads) - 1)
        ended = marker and cutter is not None
        self._cutter = None if ended else cutter
        if ready:
            passed_on.append(Normalised(ready, timestamp, keyframe, ended, ended))
        return passed_on
