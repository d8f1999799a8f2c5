"""SRTP and SRTCP with AES-GCM (RFC 7714).

GCM is broken for good by two different packets under one initialisation vector, which is made of
SSRC and packet index. So an SSRC has one `GcmStream` a session, whose indexes only grow; and what
is sent a second time is, to the byte, what was sent the first time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streamsocket.hub.wire import DatagramRun
from streamsocket.webrtc.srtp_packet import (
    GCM_TAG_BYTES,
    IV_BYTES,
    MAX_PACKET_BYTES,
    Burst,
    header_bytes,
    sequence_and_ssrc,
    vector,
)
from streamsocket.webrtc.srtp_profile import SrtpError, SrtpKey, derive
from streamsocket.webrtc.srtp_replay import ReplayWindow

_RTP_KEY, _RTP_SALT, _RTCP_KEY, _RTCP_SALT = 0, 2, 3, 5
"""Labels of key derivation (RFC 3711, 4.3.1 and 4.3.2)."""

_RTCP_HEADER = 8
_INDEX_BYTES = 4
_ENCRYPTED = 0x8000_0000
_MAX_SRTCP_INDEX = 0x7FFF_FFFF

_LEAST_EXTENDED = 16 + GCM_TAG_BYTES

MAX_SSRCS = 64
"""A peer that was let in may use so many SSRCs: what is remembered of it has a bound."""

_FORGED = "A packet came that was not protected with this session's key."

_run_through: Callable[[Iterable[object]], None] = deque[object](maxlen=0).extend


class GcmSender:
    """Protects what one session sends."""

    def __init__(self, master: SrtpKey) -> None:
        self._rtp = AESGCM(derive(master, _RTP_KEY, len(master.key)))
        self._rtp_salt = int.from_bytes(derive(master, _RTP_SALT, IV_BYTES))
        self._rtcp = AESGCM(derive(master, _RTCP_KEY, len(master.key)))
        self._rtcp_salt = int.from_bytes(derive(master, _RTCP_SALT, IV_BYTES))
        self._rtcp_index = 0
        self._ssrcs: set[int] = set()

    def add_stream(self, ssrc: int, sequence: int) -> GcmStream:
        """Begin an SSRC with its first packet's unwrapped sequence number.

        Raises `ValueError` for one that was begun before: its packets would be encrypted twice.
        """
        if ssrc in self._ssrcs:
            raise ValueError(f"SSRC {ssrc:#010x} has a stream already")
        self._ssrcs.add(ssrc)
        return GcmStream(self._rtp, self._rtp_salt, ssrc, sequence)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Protect a compound RTCP packet (RFC 7714, 9)."""
        self._rtcp_index += 1
        if self._rtcp_index > _MAX_SRTCP_INDEX:
            raise SrtpError("A session has sent all the SRTCP packets that its key is good for.")
        header = packet[:_RTCP_HEADER]
        last = (_ENCRYPTED | self._rtcp_index).to_bytes(_INDEX_BYTES)
        iv = _rtcp_iv(self._rtcp_salt, header, self._rtcp_index)
        sealed = self._rtcp.encrypt(iv, packet[_RTCP_HEADER:], header + last)
        return header + sealed + last


class GcmStream:
    """Protects one SSRC of one session. Its roll-over counter begins with 0."""

    __slots__ = ("_begin", "_encrypt_into", "_first", "_rtp", "_salt", "_ssrc", "next_sequence")

    fills_slots = True

    def __init__(self, rtp: AESGCM, salt: int, ssrc: int, sequence: int) -> None:
        self._rtp = rtp
        self._encrypt_into = rtp.encrypt_into
        self._salt = salt
        self._ssrc = ssrc
        self._begin = sequence & ~0xFFFF  # where the roll-over counter is 0
        self._first = self.next_sequence = sequence

    def protect(self, burst: Burst, slot: int = 0) -> Sequence[DatagramRun]:
        """Protect packets that weren't sent before, for UDP GSO.

        The result is a slot of the burst's: send it, or copy it, before the slot's next use.
        Raises `ValueError` for another SSRC's packets and for any that are not ahead of all before.
        """
        sequence = burst.sequence
        if sequence < self.next_sequence or burst.ssrc != self._ssrc:
            raise ValueError("these packets were sent before, or are another stream's")
        self.next_sequence = sequence + burst.count
        gcm = burst.gcm
        # The vectors have the sequence numbers; the rest of the index is the same for all packets.
        salt = self._salt ^ (sequence - self._begin) & ~0xFFFF
        vectors = (salt * gcm.repeat ^ gcm.vectors).to_bytes(gcm.vectors_bytes)
        own = gcm.slots[slot]
        ivs = gcm.vectors_format.unpack(vectors)
        _run_through(map(self._encrypt_into, ivs, gcm.payloads, gcm.headers, own.targets))
        return own.runs

    def protect_again(self, packet: bytes, sequence: int) -> bytes:
        """Protect a packet that was sent before, as it was then, byte by byte.

        `sequence` is unwrapped. Raises `ValueError` if it was not sent.
        """
        header = header_bytes(packet)
        if sequence_and_ssrc(packet) != (sequence & 0xFFFF, self._ssrc):
            raise ValueError("this packet is another stream's, or another of this stream")
        if not self._first <= sequence < self.next_sequence:
            raise ValueError("this packet was not sent before")
        iv = (self._salt ^ vector(self._ssrc, sequence - self._begin)).to_bytes(IV_BYTES)
        return packet[:header] + self._rtp.encrypt(iv, packet[header:], packet[:header])


class GcmReceiver:
    """Takes the protection off what one session receives."""

    def __init__(self, master: SrtpKey) -> None:
        self._decrypt = AESGCM(derive(master, _RTP_KEY, len(master.key))).decrypt
        self._rtp_salt = int.from_bytes(derive(master, _RTP_SALT, IV_BYTES))
        self._rtp_windows: dict[int, ReplayWindow] = {}
        self._rtcp = AESGCM(derive(master, _RTCP_KEY, len(master.key)))
        self._rtcp_salt = int.from_bytes(derive(master, _RTCP_SALT, IV_BYTES))
        self._rtcp_windows: dict[int, ReplayWindow] = {}

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in an SRTP packet (RFC 7714, 8).

        Raises `SrtpError` if it is forged, damaged, replayed or too old, or uses one SSRC too many.
        """
        if packet[:1] == b"\x90" and len(packet) > _LEAST_EXTENDED:
            size = 16 + 4 * (packet[14] << 8 | packet[15])  # as browsers send them
        else:
            size = header_bytes(packet)
        if not size + GCM_TAG_BYTES <= len(packet) <= MAX_PACKET_BYTES:
            raise SrtpError(f"An SRTP packet of {len(packet)} bytes is not taken.")
        index, ssrc = sequence_and_ssrc(packet)
        window = self._rtp_windows.get(ssrc)
        if window:
            index = window.admit(index)
        iv = (self._rtp_salt ^ ssrc << 48 ^ index).to_bytes(IV_BYTES)
        header = packet[:size]
        try:
            payload = self._decrypt(iv, packet[size:], header)
        except InvalidTag:
            raise SrtpError(_FORGED) from None
        if window:
            window.add(index)
        else:
            _note(self._rtp_windows, None, ssrc, index)
        return header + payload

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The compound RTCP packet in an SRTCP packet (RFC 7714, 9).

        Raises `SrtpError` as `unprotect` does.
        """
        shortest = _RTCP_HEADER + GCM_TAG_BYTES + _INDEX_BYTES
        if not shortest <= len(packet) <= MAX_PACKET_BYTES:
            raise SrtpError(f"An SRTCP packet of {len(packet)} bytes is not taken.")
        header, sealed, last = (
            packet[:_RTCP_HEADER],
            packet[_RTCP_HEADER:-_INDEX_BYTES],
            packet[-_INDEX_BYTES:],
        )
        index = int.from_bytes(last) & _MAX_SRTCP_INDEX
        ssrc = int.from_bytes(header[4:])
        window = self._rtcp_windows.get(ssrc)
        if window:
            window.check(index)
        iv = _rtcp_iv(self._rtcp_salt, header, index)
        if last[0] & 0x80:
            plain = _open(self._rtcp, iv, sealed, header + last)
        else:  # authenticated only (RFC 7714, 9.3)
            plain = sealed[:-GCM_TAG_BYTES]
            _open(self._rtcp, iv, sealed[-GCM_TAG_BYTES:], header + plain + last)
        _note(self._rtcp_windows, window, ssrc, index)
        return header + plain


def _rtcp_iv(salt: int, header: bytes, index: int) -> bytes:
    """RFC 7714, 9.1. The second word of the header is the SSRC."""
    return (salt ^ vector(int.from_bytes(header[4:]), index)).to_bytes(IV_BYTES)


def _open(cipher: AESGCM, iv: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return cipher.decrypt(iv, sealed, associated)
    except InvalidTag:
        raise SrtpError(_FORGED) from None


def _note(
    windows: dict[int, ReplayWindow], window: ReplayWindow | None, ssrc: int, index: int
) -> None:
    """Note a genuine packet: only these may move a window or begin one."""
    if window:
        window.add(index)
    elif len(windows) < MAX_SSRCS:
        windows[ssrc] = ReplayWindow(index)
    else:
        raise SrtpError(f"A peer sends more than {MAX_SSRCS} streams.")
