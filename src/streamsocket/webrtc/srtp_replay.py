"""What a receiver remembers of one SSRC: the index of packets, and which ones it has had."""

from __future__ import annotations

from streamsocket.webrtc.srtp_profile import SrtpError

WINDOW = 1024
"""How far back a packet may be (RFC 3711, 3.3.2 asks for 64): a retransmission may be as late."""

_MASK = (1 << WINDOW) - 1
_HALF = 0x8000
_TURN = 0x1_0000


class ReplayWindow:
    """The newest index of one SSRC, and which of those before it have come."""

    __slots__ = ("_newest", "_seen")

    def __init__(self, index: int) -> None:
        """It begins with a packet that has come and is genuine."""
        self._newest = index
        self._seen = 1  # bit n: the packet n before the newest

    def estimate(self, sequence: int) -> int:
        """The index that a sequence number of 16 bits stands for (RFC 3711, 3.3.1).

        Raises `SrtpError` if that would be before the first roll-over counter.
        """
        newest = self._newest & 0xFFFF
        index = self._newest - newest + sequence
        if newest < _HALF:
            if sequence - newest > _HALF:
                index -= _TURN
        elif newest - _HALF > sequence:
            index += _TURN
        if index < 0:
            raise SrtpError("A packet came from before the beginning of its stream.")
        return index

    def check(self, index: int) -> None:
        """Raise `SrtpError` for an index that has come already or is too old to tell."""
        age = self._newest - index
        if age >= WINDOW:
            raise SrtpError(f"A packet came {age} packets late; {WINDOW} is the limit.")
        if age >= 0 and self._seen >> age & 1:
            raise SrtpError("A packet came for the second time.")

    def admit(self, sequence: int) -> int:
        """`estimate` and `check` at once."""
        newest = self._newest
        ahead = sequence - newest & _TURN - 1
        if 0 < ahead < _HALF:
            return newest + ahead  # it is newer than all that have come, as nearly all are
        index = self.estimate(sequence)
        self.check(index)
        return index

    def add(self, index: int) -> None:
        """Note that the packet with this index, which `check` let pass, has come and is genuine."""
        ahead = index - self._newest
        if ahead == 1:
            self._seen = self._seen << 1 & _MASK | 1
            self._newest = index
        elif ahead > 0:
            # A jump may be longer than the window; nothing is to be seen then of what was.
            self._seen = (self._seen << ahead & _MASK if ahead < WINDOW else 0) | 1
            self._newest = index
        else:
            self._seen |= 1 << -ahead
