"""SRTP: what a session protects and takes the protection off, whatever its profile.

One viewer of many is protected for so:

    keys = endpoint.keys                      # what DTLS agreed on (dtls.py)
    sender = make_sender(keys.local)
    video = sender.add_stream(ssrc, first_sequence)
    ...
    for burst in bursts(buffer, sizes, sequence):   # once for all viewers
        for run in video.protect(burst):            # for each viewer
            ...                                     # send it, by UDP GSO
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamsocket.hub.wire import DatagramRun
from streamsocket.webrtc.srtp_gcm import GcmReceiver, GcmSender
from streamsocket.webrtc.srtp_packet import Burst, bursts
from streamsocket.webrtc.srtp_profile import SrtpError, SrtpKey, SrtpKeys, SrtpProfile

__all__ = [
    "Burst",
    "SrtpError",
    "SrtpKey",
    "SrtpKeys",
    "SrtpProfile",
    "SrtpReceiver",
    "SrtpSender",
    "SrtpStream",
    "bursts",
    "make_receiver",
    "make_sender",
]


class SrtpStream(Protocol):
    """Protects one SSRC of one session. Its roll-over counter begins with 0."""

    next_sequence: int
    """What is sent next has this unwrapped sequence number, or a higher one."""

    @property
    def fills_slots(self) -> bool:
        """Whether what is protected is in the burst's slot, and all slots have the same layout."""

    def protect(self, burst: Burst, slot: int = 0) -> Sequence[DatagramRun]:
        """Protect packets that weren't sent before, for UDP GSO.

        The result may be a slot of the burst's: send it, or copy it, before the slot's next use.
        Raises `ValueError` for another SSRC's packets and for any that are not ahead of all before.
        """

    def protect_again(self, packet: bytes, sequence: int) -> bytes:
        """Protect a packet that was sent before, as it was then, byte by byte.

        `sequence` is unwrapped. Raises `ValueError` if it was not sent, `SrtpError` if it is too
        long ago.
        """


class SrtpSender(Protocol):
    """Protects what one session sends."""

    def add_stream(self, ssrc: int, sequence: int) -> SrtpStream:
        """Begin an SSRC with its first packet's unwrapped sequence number.

        Raises `ValueError` for one that was begun before.
        """

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Protect a compound RTCP packet."""


class SrtpReceiver(Protocol):
    """Takes the protection off what one session receives.

    Both raise `SrtpError` if the packet is forged, damaged, replayed or too old, or uses one SSRC
    too many (64).
    """

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in an SRTP packet."""

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The compound RTCP packet in an SRTCP packet."""


def make_sender(master: SrtpKey) -> SrtpSender:
    """Begin the sending half of a session."""
    if master.profile.is_gcm:
        return GcmSender(master)
    # Its library takes 5 MB, and browsers do without.
    from streamsocket.webrtc.srtp_sha1 import Sha1Sender

    return Sha1Sender(master)


def make_receiver(master: SrtpKey) -> SrtpReceiver:
    """Begin the receiving half of a session."""
    if master.profile.is_gcm:
        return GcmReceiver(master)
    from streamsocket.webrtc.srtp_sha1 import Sha1Receiver

    return Sha1Receiver(master)
