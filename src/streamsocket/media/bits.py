"""Reading bit by bit, with a bound and one error."""

from __future__ import annotations

from streamsocket.errors import ParseError

_LONGEST_EXP_GOLOMB_PREFIX = 32


class BitReader:
    """Reads big-endian bit fields. Raises `ParseError` where the data ends too early."""

    def __init__(self, data: bytes, what: str) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8
        self._what = what

    def read(self, count: int) -> int:
        """An unsigned field of `count` bits."""
        if count > self._left:
            raise ParseError(f"{self._what} ends too early.")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def unsigned(self) -> int:
        """An Exp-Golomb number, ue(v) (H.264, 9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _LONGEST_EXP_GOLOMB_PREFIX:
                raise ParseError(f"{self._what} has a number without an end.")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb number, se(v) (H.264, 9.1.1)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
