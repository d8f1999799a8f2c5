"""RTMP's handshake (Adobe's RTMP 1.0, 5.2), the simple one.

Both sides send a version (C0, S0), 1,536 bytes of their own (C1, S1) and the other's back (C2, S2).
What is echoed is not compared: old encoders get it wrong, and nothing depends on it.
"""

from __future__ import annotations

import secrets

from streamsocket.errors import ParseError

_VERSION = 3
_SIZE = 1536


class Handshake:
    """One side of the handshake: bytes in, bytes to send out."""

    def __init__(self, *, is_server: bool) -> None:
        self._is_server = is_server
        self._buffer = bytearray()
        self._echoed = False
        self.done = False
        """The other side's echo has come: what follows are chunks."""

    def begin(self) -> bytes:
        """What a client sends before it has heard anything: C0 and C1."""
        return _greeting()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; returns what to send now, and what came after the handshake's end.

        Raises ParseError for a peer that speaks something else.
        """
        self._buffer += data
        if self._buffer and self._buffer[0] != _VERSION:
            raise ParseError(
                f"The peer speaks version {self._buffer[0]} of RTMP, or none: version 3 is "
                "understood here, without encryption."
            )
        answer = b""
        if not self._echoed and len(self._buffer) >= 1 + _SIZE:
            self._echoed = True
            answer = bytes(self._buffer[1 : 1 + _SIZE])
            if self._is_server:
                answer = _greeting() + answer
        if len(self._buffer) < 1 + 2 * _SIZE:
            return answer, b""
        self.done = True
        rest = bytes(self._buffer[1 + 2 * _SIZE :])
        self._buffer.clear()
        return answer, rest


def _greeting() -> bytes:
    """Version, time 0, four zeros that say "no digest", and random bytes."""
    return bytes((_VERSION,)) + bytes(8) + secrets.token_bytes(_SIZE - 8)
