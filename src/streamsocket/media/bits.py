"""Reading single bits, as codec headers are written."""

from __future__ import annotations

from streamsocket.errors import ParseError

_LONGEST_CODE = 32
"""Leading zeros of the longest Exp-Golomb code that H.264 allows (9.1)."""


class BitReader:
    """Reads numbers of any width from bytes, most significant bit first.

    Meant for headers: its bytes are one big integer, so that a read costs as much as they are long.
    """

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes | memoryview) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def left(self) -> int:
        """How many bits have not been read yet."""
        return self._left

    def read(self, bits: int) -> int:
        """The next `bits` bits as an unsigned number; ParseError where the data ends before."""
        if bits > self._left:
            raise ParseError("The header ends in the middle of a field.")
        self._left -= bits
        return (self._value >> self._left) & ((1 << bits) - 1)

    def flag(self) -> bool:
        """The next bit."""
        return bool(self.read(1))

    def unsigned(self) -> int:
        """An unsigned Exp-Golomb code: ue(v) of H.264, 9.1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _LONGEST_CODE:
                raise ParseError("The header holds a number of more than 32 bits.")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb code: se(v) of H.264, 9.1.1."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
