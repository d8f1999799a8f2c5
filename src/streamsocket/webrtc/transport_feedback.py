"""When each packet of a transport arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.rtp.packet import Unwrapper
from streamsocket.rtp.rtcp import build_packet

TICK_S = 0.000_25
"""What arrivals are counted in."""
MAX_PACKETS = 4096
"""Packets that one message may tell of, and whose arrivals are remembered."""
MAX_PACKETS_BUILT = 400
"""Packets that one message of ours tells of: it fits a datagram whatever they did."""

_REPEATED_S = 0.5
"""So old an arrival is told again, if a packet of before comes late."""

_TRANSPORT_FEEDBACK = 205
_TRANSPORT_WIDE = 15
_HEADER = struct.Struct("!IIHHI")
_CHUNK = struct.Struct("!H")
_LARGE_DELTA = struct.Struct("!h")
_TICKS_PER_REFERENCE = 256  # the reference time is in units of 64 ms

_LOST, _SMALL, _LARGE = 0, 1, 2
_MAX_RUN = 0x1FFF
_ONE_BIT_SYMBOLS, _TWO_BIT_SYMBOLS = 14, 7


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Which packets of a transport arrived, and when."""

    sender_ssrc: int
    media_ssrc: int
    base_sequence: int
    """The transport-wide sequence number of the first packet, 16 bits."""
    feedback_count: int
    """Counts these messages, 8 bits."""
    arrivals: tuple[int | None, ...]
    """Of the first packet and those that follow: in ticks of 250 µs by a clock of the receiver's
    own that wraps at 2**32; None for what did not arrive."""


def parse_body(body: bytes) -> TransportFeedback:
    """Read what follows the RTCP header. Raises ParseError or `struct.error`."""
    sender, media, base, count, reference = _HEADER.unpack_from(body)
    if count > MAX_PACKETS:
        raise ParseError(f"Feedback on {count} packets at once is more than anybody gives.")
    symbols: list[int] = []
    position = _HEADER.size
    while len(symbols) < count:
        (chunk,) = _CHUNK.unpack_from(body, position)
        position += _CHUNK.size
        symbols += _parse_chunk(chunk)
    arrivals: list[int | None] = []
    tick = (reference >> 8) * _TICKS_PER_REFERENCE
    for symbol in symbols[:count]:
        if symbol == _LOST:
            arrivals.append(None)
            continue
        if symbol == _SMALL:
            (delta,) = struct.unpack_from("!B", body, position)
            position += 1
        else:
            (delta,) = _LARGE_DELTA.unpack_from(body, position)
            position += _LARGE_DELTA.size
        tick = (tick + delta) & 0xFFFF_FFFF
        arrivals.append(tick)
    return TransportFeedback(sender, media, base, reference & 0xFF, tuple(arrivals))


def _parse_chunk(chunk: int) -> list[int]:
    if not chunk & 0x8000:
        symbols = [chunk >> 13 & 3] * (chunk & _MAX_RUN)
        if not symbols:
            raise ParseError("Feedback on a transport has a run of no packets.")
    elif not chunk & 0x4000:
        symbols = [chunk >> shift & 1 for shift in range(_ONE_BIT_SYMBOLS - 1, -1, -1)]
    else:
        symbols = [chunk >> shift & 3 for shift in range(2 * _TWO_BIT_SYMBOLS - 2, -1, -2)]
    if max(symbols) > _LARGE:
        raise ParseError("Feedback on a transport has a status that means nothing.")
    return symbols


def build_transport_feedback(feedback: TransportFeedback) -> bytes:
    """A reduced-size packet. One packet has to have arrived, each within 8 s of the one before.

    Raises ValueError otherwise.
    """
    first = next((tick for tick in feedback.arrivals if tick is not None), None)
    if first is None or len(feedback.arrivals) > MAX_PACKETS:
        raise ValueError("feedback tells of 1 to 4096 packets, one of which has arrived")
    reference = first // _TICKS_PER_REFERENCE
    tick = reference * _TICKS_PER_REFERENCE
    symbols, deltas = [], []
    for arrival in feedback.arrivals:
        if arrival is None:
            symbols.append(_LOST)
            continue
        delta, tick = _difference(arrival, tick), arrival
        if not fits(delta):
            raise ValueError("arrivals are too far apart for one message")
        small = 0 <= delta <= 0xFF
        symbols.append(_SMALL if small else _LARGE)
        deltas.append(bytes((delta,)) if small else _LARGE_DELTA.pack(delta))
    body = _HEADER.pack(
        feedback.sender_ssrc,
        feedback.media_ssrc,
        feedback.base_sequence & 0xFFFF,
        len(symbols),
        (reference & 0xFF_FFFF) << 8 | feedback.feedback_count & 0xFF,
    )
    body += _build_chunks(symbols) + b"".join(deltas)
    return build_packet(_TRANSPORT_FEEDBACK, _TRANSPORT_WIDE, body)


def _difference(tick: int, before: int) -> int:
    """From one tick to another, whichever is later; ticks wrap at 2**32."""
    return (tick - before + (1 << 31) & 0xFFFF_FFFF) - (1 << 31)


def fits(delta: int) -> bool:
    """Whether two arrivals that far apart can follow each other in one message."""
    return -(1 << 15) <= delta < 1 << 15


def _build_chunks(symbols: list[int]) -> bytes:
    chunks = []
    position = 0
    while position < len(symbols):
        first = symbols[position]
        end = position + 1
        while end < len(symbols) and symbols[end] == first and end - position < _MAX_RUN:
            end += 1
        vector = symbols[position : position + _ONE_BIT_SYMBOLS]
        if end - position >= _TWO_BIT_SYMBOLS or end == len(symbols):
            chunk = first << 13 | end - position
        elif _LARGE not in vector:
            end = position + _ONE_BIT_SYMBOLS
            chunk = 0x8000 | _packed(vector, _ONE_BIT_SYMBOLS, 1)
        else:
            end = position + _TWO_BIT_SYMBOLS
            chunk = 0xC000 | _packed(vector[:_TWO_BIT_SYMBOLS], _TWO_BIT_SYMBOLS, 2)
        chunks.append(_CHUNK.pack(chunk))
        position = end
    return b"".join(chunks)


def _packed(symbols: list[int], count: int, bits: int) -> int:
    value = 0
    for symbol in [*symbols, *[_LOST] * (count - len(symbols))]:
        value = value << bits | symbol
    return value


class ArrivalRecorder:
    """Remembers when a transport's packets came, and tells their sender."""

    def __init__(self, sender_ssrc: int) -> None:
        self._sender_ssrc = sender_ssrc
        self._unwrapper = Unwrapper(16)
        self._arrivals: dict[int, int] = {}
        self._fresh: list[int] = []
        """What came since the last message."""
        self._is_late = False
        """One of them came after others that were told of already."""
        self._next: int | None = None
        """The first packet that the next message tells of."""
        self._feedback_count = 0

    def received(self, sequence: int, now: float) -> None:
        """A packet came. Of one that comes twice the first arrival counts."""
        number = self._unwrapper.unwrap(sequence)
        if self._next is None or abs(number - self._next) >= MAX_PACKETS:
            self._arrivals.clear()  # its sender began anew
            self._fresh.clear()
            self._next = number
        if number not in self._arrivals and len(self._arrivals) < MAX_PACKETS:
            self._arrivals[number] = int(now / TICK_S) & 0xFFFF_FFFF
            self._fresh.append(number)
            if number < self._next:
                self._is_late = True
                self._next = number

    def build(self, media_ssrc: int, now: float) -> list[bytes]:
        """The messages on what came since the last time; to be sent every 100 ms or so.

        If a packet came late, those after it are told of again.
        """
        if self._next is None:
            return []
        fresh, self._fresh = self._fresh, []
        if self._is_late:
            fresh = [number for number in self._arrivals if number >= self._next]
            self._is_late = False
        pending = sorted(fresh)
        messages = []
        start = 0
        for index in range(1, len(pending) + 1):
            if index == len(pending) or self._breaks(
                pending[start], pending[index - 1 : index + 1]
            ):
                messages.append(self._message(media_ssrc, pending[start:index]))
                start = index
        if pending:
            self._next = pending[-1] + 1
        self._forget(int((now - _REPEATED_S) / TICK_S) & 0xFFFF_FFFF)
        return messages

    def _forget(self, oldest: int) -> None:
        """Let go of what came up to that tick: it is in the order that it came in."""
        arrivals = self._arrivals
        while arrivals:
            number = next(iter(arrivals))
            if _difference(arrivals[number], oldest) > 0:
                return
            del arrivals[number]

    def _breaks(self, first: int, two: list[int]) -> bool:
        """Whether the second of two packets that came begins another message."""
        before, after = two
        if after - first >= MAX_PACKETS_BUILT:
            return True
        return not fits(_difference(self._arrivals[after], self._arrivals[before]))

    def _message(self, media_ssrc: int, numbers: list[int]) -> bytes:
        count = self._feedback_count
        self._feedback_count = (count + 1) & 0xFF
        # What was lost before the first packet that came belongs to this message.
        base = numbers[0] if self._next is None else min(self._next, numbers[0])
        base = max(base, numbers[-1] - MAX_PACKETS + 1)
        self._next = numbers[-1] + 1
        arrivals = tuple(self._arrivals.get(n) for n in range(base, numbers[-1] + 1))
        feedback = TransportFeedback(self._sender_ssrc, media_ssrc, base & 0xFFFF, count, arrivals)
        return build_transport_feedback(feedback)
