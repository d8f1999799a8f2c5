"""Transport packets: found in a stream of bytes, read, and counted (ISO/IEC 13818-1, 2.4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

SIZE = 188
NULL_PID = 0x1FFF

_SYNC = 0x47
_SURE = 3
"""So many sync bytes at the right distance are no accident."""


class Packet(NamedTuple):
    """One transport packet."""

    pid: int
    begins: bool
    """payload_unit_start_indicator: a PES packet or a section begins in the payload."""
    counter: int
    """continuity_counter, 4 bits."""
    payload: bytes
    """Empty where there is only an adaptation field."""
    stuffed: bool
    """There is more of an adaptation field than what it says needs."""
    discontinuity: bool
    """The sender says that the continuity counter begins anew (2.4.3.5)."""
    scrambled: bool


class PacketReader:
    """Finds the packets in bytes, however these are cut into datagrams, and after damage."""

    def __init__(self) -> None:
        self._rest = b""
        self._in_sync = False

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Take more bytes; yield the packets they complete.

        The bytes are taken when the iterator comes to its end.
        """
        if self._rest:
            data = self._rest + data
        position = 0
        end = len(data)
        while end - position >= SIZE:
            if not self._in_sync:
                found = _find_sync(data, position)
                position = found
                if end - position < (_SURE - 1) * SIZE + 1:
                    break
                self._in_sync = True
            after = position + SIZE
            if data[position] != _SYNC or (after < end and data[after] != _SYNC):
                # With the wrong byte after it, it is two halves with a hole between them.
                self._in_sync = False
                position += 1
                continue
            packet = _read(data, position)
            position = after
            if packet:
                yield packet
        self._rest = data[position:]


def _find_sync(data: bytes, start: int) -> int:
    """Where, from `start` on, sync bytes are a packet apart as far as `data` reaches."""
    position = start
    while (position := data.find(_SYNC, position)) >= 0:
        last = min(position + _SURE * SIZE, len(data))
        if all(data[each] == _SYNC for each in range(position, last, SIZE)):
            return position
        position += 1
    return len(data)


def _read(data: bytes, start: int) -> Packet | None:
    """The packet that begins there; None for a null packet, or one marked or seen as broken."""
    second = data[start + 1]
    pid = (second & 0x1F) << 8 | data[start + 2]
    flags = data[start + 3]
    if second & 0x80 or pid == NULL_PID:  # transport_error_indicator
        return None
    payload_at = start + 4
    stuffed = discontinuity = False
    if flags & 0x20:  # adaptation_field_control
        length = data[payload_at]
        if length > SIZE - 5:
            return None
        if length:
            adaptation = data[payload_at + 1]
            discontinuity = adaptation >= 0x80
            needed = 1 + 6 * (adaptation >> 4 & 1) + 6 * (adaptation >> 3 & 1)
            # Splice countdown, private data, extension: what they need isn't looked at.
            stuffed = not adaptation & 0x07 and (length > needed or not adaptation)
        else:
            stuffed = True
        payload_at += 1 + length
    payload = data[payload_at : start + SIZE] if flags & 0x10 else b""
    return Packet(
        pid, bool(second & 0x40), flags & 0x0F, payload, stuffed, discontinuity, flags >= 0x40
    )


class Continuity:
    """The continuity counter of one PID (2.4.3.3)."""

    def __init__(self) -> None:
        self._counter: int | None = None
        self._payload = b""

    def check(self, packet: Packet) -> Literal["next", "repeated", "lost"]:
        """Whether a packet is the next one, one we have already, or comes after a loss.

        Only packets with a payload are counted.
        """
        last, counter = self._counter, packet.counter
        if last is None or packet.discontinuity or counter == (last + 1) & 0x0F:
            verdict: Literal["next", "repeated", "lost"] = "next"
        elif counter == last and packet.payload == self._payload:
            return "repeated"
        else:
            verdict = "lost"
        self._counter, self._payload = counter, packet.payload
        return verdict
