"""SRTP and SRTCP with AES in counter mode and HMAC-SHA1 (RFC 3711), by libsrtp.

For peers that don't know GCM. Every packet is a call into libsrtp and a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pylibsrtp import Error, Policy, Session

from streamsocket.hub.wire import DatagramRun, datagram_runs
from streamsocket.webrtc.srtp_gcm import MAX_SSRCS
from streamsocket.webrtc.srtp_packet import (
    MAX_PACKET_BYTES,
    Burst,
    header_bytes,
    sequence_and_ssrc,
)
from streamsocket.webrtc.srtp_profile import SrtpError, SrtpKey
from streamsocket.webrtc.srtp_replay import WINDOW

# What fits libsrtp's memory in pylibsrtp with a tag (and the index of SRTCP) behind it.
_MAX_PLAIN_BYTES = MAX_PACKET_BYTES - 160
_SENT_WINDOW = 4096  # packets of one SSRC that can be sent again

_RTCP_HEADER = 8


class Sha1Sender:
    """Protects what one session sends."""

    def __init__(self, master: SrtpKey) -> None:
        self._session = _session(master, Policy.SSRC_ANY_OUTBOUND, _SENT_WINDOW)
        self._ssrcs: set[int] = set()

    def add_stream(self, ssrc: int, sequence: int) -> Sha1Stream:
        """Begin an SSRC with its first packet's unwrapped sequence number.

        Raises `ValueError` for one that was begun before.
        """
        if ssrc in self._ssrcs:
            raise ValueError(f"SSRC {ssrc:#010x} has a stream already")
        self._ssrcs.add(ssrc)
        return Sha1Stream(self._session, ssrc, sequence)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Protect a compound RTCP packet."""
        return _call(self._session.protect_rtcp, packet, _MAX_PLAIN_BYTES)


class Sha1Stream:
    """Protects one SSRC of one session. Its roll-over counter begins with 0."""

    __slots__ = ("_first", "_session", "_ssrc", "next_sequence")

    fills_slots = False

    def __init__(self, session: Session, ssrc: int, sequence: int) -> None:
        self._session = session
        self._ssrc = ssrc
        self._first = self.next_sequence = sequence

    def protect(self, burst: Burst, slot: int = 0) -> Sequence[DatagramRun]:
        """Protect packets that weren't sent before, for UDP GSO, in memory of their own.

        Raises `ValueError` for another SSRC's packets and for any that are not ahead of all before.
        """
        if burst.sequence < self.next_sequence or burst.ssrc != self._ssrc:
            raise ValueError("these packets were sent before, or are another stream's")
        self.next_sequence = burst.sequence + burst.count
        packets = [
            _call(self._session.protect, packet, _MAX_PLAIN_BYTES) for packet in burst.packets
        ]
        return datagram_runs(b"".join(packets), [len(packet) for packet in packets])

    def protect_again(self, packet: bytes, sequence: int) -> bytes:
        """Protect a packet that was sent before, as it was then, byte by byte.

        `sequence` is unwrapped. Raises `ValueError` if it was not sent, `SrtpError` if that was
        more than 4,096 packets ago.
        """
        header_bytes(packet)
        if sequence_and_ssrc(packet) != (sequence & 0xFFFF, self._ssrc):
            raise ValueError("this packet is another stream's, or another of this stream")
        if not self._first <= sequence < self.next_sequence:
            raise ValueError("this packet was not sent before")
        return _call(self._session.protect, packet, _MAX_PLAIN_BYTES)


class Sha1Receiver:
    """Takes the protection off what one session receives."""

    def __init__(self, master: SrtpKey) -> None:
        self._session = _session(master, Policy.SSRC_ANY_INBOUND, WINDOW)
        self._rtp_ssrcs: set[int] = set()
        self._rtcp_ssrcs: set[int] = set()

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in an SRTP packet.

        Raises `SrtpError` if it is forged, damaged, replayed or too old, or uses one SSRC too many.
        """
        header_bytes(packet)
        ssrc = sequence_and_ssrc(packet)[1]
        return self._unprotect(self._session.unprotect, packet, ssrc, self._rtp_ssrcs)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The compound RTCP packet in an SRTCP packet.

        Raises `SrtpError` as `unprotect` does.
        """
        if len(packet) < _RTCP_HEADER:
            raise SrtpError(f"An SRTCP packet of {len(packet)} bytes is not taken.")
        ssrc = int.from_bytes(packet[4:8])
        return self._unprotect(self._session.unprotect_rtcp, packet, ssrc, self._rtcp_ssrcs)

    def _unprotect(
        self, unprotect: Callable[[bytes], bytes], packet: bytes, ssrc: int, ssrcs: set[int]
    ) -> bytes:
        # libsrtp remembers every SSRC that it has seen a genuine packet of.
        if ssrc not in ssrcs and len(ssrcs) >= MAX_SSRCS:
            raise SrtpError(f"A peer sends more than {MAX_SSRCS} streams.")
        plain = _call(unprotect, packet, MAX_PACKET_BYTES)
        ssrcs.add(ssrc)
        return plain


def _session(master: SrtpKey, ssrc_type: int, window: int) -> Session:
    policy = Policy(
        key=master.key + master.salt,
        ssrc_type=ssrc_type,
        srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    )
    policy.allow_repeat_tx = True
    policy.window_size = window
    return Session(policy)


def _call(function: Callable[[bytes], bytes], packet: bytes, limit: int) -> bytes:
    if len(packet) > limit:
        raise SrtpError(f"A packet of {len(packet)} bytes is over SRTP's limit of {limit} here.")
    try:
        return function(packet)
    except Error as error:
        raise SrtpError(f"libsrtp refuses a packet: {error}.") from None
