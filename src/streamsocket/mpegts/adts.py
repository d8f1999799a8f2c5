"""AAC in ADTS: frames with a header each (ISO/IEC 14496-3, 1.A.3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

HEADER = 7
_CRC = 2
_RATES = 13
"""So many values of sampling_frequency_index mean something."""


class Frame(NamedTuple):
    """Where a frame is, and what its header says."""

    start: int
    data_at: int
    end: int
    config: bytes
    """The AudioSpecificConfig that a decoder needs (1.6.2.1)."""


def frames(data: bytes) -> Iterator[Frame]:
    """The frames in `data`. What isn't one is left out; the last may end beyond the data."""
    position, end = 0, len(data)
    while end - position >= HEADER:
        frame = _read_header(data, position)
        if frame and (frame.end + 2 > end or _is_sync(data, frame.end)):
            yield frame
            position = frame.end
        else:
            position = data.find(0xFF, position + 1)
            if position < 0:
                return


def _is_sync(data: bytes, position: int) -> bool:
    return data[position] == 0xFF and data[position + 1] & 0xF6 == 0xF0


def _read_header(data: bytes, start: int) -> Frame | None:
    """The header that is there; None if there is none, or one that means nothing to us.

    That is one with several blocks in a frame, which can't be told apart without decoding, and
    one whose channels are described in the coded sound.
    """
    second, third, fourth, fifth, sixth, seventh = data[start + 1 : start + HEADER]
    rate = third >> 2 & 0x0F
    channels = (third & 1) << 2 | fourth >> 6
    length = (fourth & 3) << 11 | fifth << 3 | sixth >> 5
    data_at = start + HEADER + (0 if second & 1 else _CRC)
    if (
        not _is_sync(data, start)
        or rate >= _RATES
        or not channels
        or start + length <= data_at
        or seventh & 3
    ):
        return None
    config = (third >> 6) + 1 << 11 | rate << 7 | channels << 3
    return Frame(start, data_at, start + length, config.to_bytes(2, "big"))
