"""Sound sample by sample in RTP: G.711 (RFC 3551, 4.5.14) and L16 (RFC 3551, 4.5.11).

A payload holds any number of samples, of all channels each; the timestamp is that of its first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, L16
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD

MAX_CLOCK_RATE = 192_000
MAX_CHANNELS = 8

Pcm = G711 | L16


def checked(codec: Pcm) -> Pcm:
    """The codec, if its rate and channels are such as sound has; raises ParseError otherwise."""
    if not 0 < codec.clock_rate <= MAX_CLOCK_RATE or not 0 < codec.channels <= MAX_CHANNELS:
        raise ParseError(
            f"Sound of {codec.channels} channels at {codec.clock_rate} Hz is not supported: "
            f"up to {MAX_CHANNELS} channels at up to {MAX_CLOCK_RATE} Hz are."
        )
    return codec


def split(codec: Pcm, unit: AccessUnit) -> list[AccessUnit]:
    """The access unit as access units that fit into a packet each, as equal in length as can be.

    Raises ParseError for samples that are not whole.
    """
    [data] = unit.units
    frame = _frame_size(codec)
    count, rest = divmod(len(data), frame)
    if rest or not count:
        raise ParseError(
            f"{len(data)} bytes are not whole samples of {codec.channels} channels "
            f"in {codec.name.upper()}."
        )
    packets = -(-count // (MAX_PAYLOAD // frame))
    borders = [count * packet // packets for packet in range(packets + 1)]
    units = []
    for start, end in pairwise(borders):
        part = AccessUnit([data[start * frame : end * frame]], unit.timestamp + start)
        if unit.capture_time is not None:
            part.capture_time = unit.capture_time + start / codec.clock_rate
        units.append(part)
    return units


class PcmPacketizer:
    """One access unit in, one payload out."""

    marker: ClassVar[bool] = False
    """The marker means the first packet after silence, not the end of anything (4.1)."""

    def __init__(self, codec: Pcm) -> None:
        self._codec = codec

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payload of an access unit.

        Raises ParseError for samples that are not whole, and for more than a packet holds: `split`
        makes several access units of those, each with its time.
        """
        [part, *more] = split(self._codec, unit)
        if more:
            size = len(unit.units[0])
            raise ParseError(f"{size} bytes of sound can't be sent in one piece: split them.")
        return part.units


class PcmDepacketizer:
    """Payloads in, access units out."""

    def __init__(self, codec: Pcm) -> None:
        self.codec = codec

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet."""
        if not payload or len(payload) % _frame_size(self.codec):
            raise ParseError(f"A payload of {len(payload)} bytes is not whole samples.")
        return [AccessUnit([bytes(payload)], timestamp)]

    def flush(self) -> list[AccessUnit]:
        """Nothing: a packet is an access unit."""
        return []


class PcmNormaliser:
    """Packets as they are; those that are too long as several, each with its time."""

    def __init__(self, codec: Pcm) -> None:
        self.codec = codec

    def push(
        self, payloads: Sequence[bytes], timestamp: int, marker: bool, gap: bool
    ) -> list[Normalised]:
        """See `Normaliser`. The marker stays with the first packet after silence."""
        return [
            Normalised(part.units, part.timestamp, True, marker and not index, True)
            for payload in payloads
            for index, part in enumerate(split(self.codec, AccessUnit([payload], timestamp)))
        ]


def _frame_size(codec: Pcm) -> int:
    """Bytes of one sample of all channels."""
    return codec.channels * (2 if isinstance(codec, L16) else 1)
