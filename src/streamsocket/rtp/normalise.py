"""Ingress: what a publisher sends, made into what the hub passes on, packet by packet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from streamsocket.errors import ParseError
from streamsocket.media import h264
from streamsocket.media.codec import H264, Aac, Codec, Opus
from streamsocket.rtp.aac import AacDepacketizer, AacPacketizer
from streamsocket.rtp.h264 import (
    FRAGMENT,
    FU_A,
    FU_END,
    FU_START,
    STAP_A,
    fragment,
    pack,
    split_stap_a,
)
from streamsocket.rtp.packet import MAX_PAYLOAD, RtpPacket
from streamsocket.rtp.parameter_sets import ParameterSets

_MAX_PREFIX_UNITS = 64
_MAX_PREFIX_BYTES = 64 << 10


class Normalised(NamedTuple):
    """Payloads of one access unit, for `build_batch`."""

    payloads: list[bytes]
    timestamp: int
    keyframe: bool
    """The first payload is the first of a keyframe."""
    marker: bool
    """The last payload's packet has the marker bit."""
    complete: bool
    """The last payload is the last of its access unit."""


class Normaliser(Protocol):
    """Takes packets in order and never waits for the rest of an access unit."""

    @property
    def codec(self) -> Codec:
        """The codec. Another object after a push tells that the parameter sets changed."""

    def push(self, packet: RtpPacket, timestamp: int) -> list[Normalised]:
        """What the next packet, with its unwrapped timestamp, becomes.

        Raises ParseError for a packet that breaks the rules; the next can be pushed all the same.
        """


def normaliser(codec: Codec, fmtp: Mapping[str, str] | None = None) -> Normaliser:
    """What normalises this codec's packets; `fmtp` has the SDP's parameters by name."""
    match codec:
        case H264():
            return H264Normaliser(codec)
        case Aac():
            return AacNormaliser(codec, fmtp)
        case Opus():
            return OpusNormaliser(codec)


class _Continuity:
    """Notices that packets are missing."""

    def __init__(self) -> None:
        self._next: int | None = None

    def broken_by(self, packet: RtpPacket) -> bool:
        """Whether packets are missing before this one."""
        broken = self._next is not None and packet.sequence != self._next
        self._next = (packet.sequence + 1) & 0xFFFF
        return broken


class H264Normaliser:
    """Payloads of at most `MAX_PAYLOAD` bytes, parameter sets in band before every keyframe.

    Fragments are cut anew, so that all but a NAL unit's last have the full length: what doesn't
    fill one waits for the fragment that follows. What follows a loss within a NAL unit is dropped,
    for no decoder could use it. NAL units that precede a picture (delimiter, parameter sets, SEI)
    are held until its first slice comes, which is the next packet: only then is it known whether
    they precede a keyframe.
    """

    def __init__(self, codec: H264) -> None:
        self._parameter_sets = ParameterSets(codec)
        self._continuity = _Continuity()
        self._timestamp: int | None = None
        self._in_picture = False
        self._keyframe = False
        self._prefix: list[bytes] = []
        self._prefix_size = 0
        self._rest: bytes | None = None  # of the NAL unit that is coming in fragments
        self._first_fragment = False

    @property
    def codec(self) -> H264:
        """With the parameter sets last seen in band."""
        return self._parameter_sets.codec

    def push(self, packet: RtpPacket, timestamp: int) -> list[Normalised]:
        """See `Normaliser`."""
        if self._continuity.broken_by(packet):
            self._rest = None
        if timestamp != self._timestamp:
            self._timestamp = timestamp
            self._in_picture = self._keyframe = False
            self._rest = None
        payloads = self._take(bytes(packet.payload))
        if not payloads:
            return []
        keyframe, self._keyframe = self._keyframe, False
        return [Normalised(payloads, timestamp, keyframe, packet.marker, packet.marker)]

    def _take(self, payload: bytes) -> list[bytes]:
        if not payload:
            raise ParseError("An H.264 payload is empty.")
        kind = payload[0] & 0x1F
        if kind == FU_A:
            return self._take_fragment(payload)
        self._rest = None
        if 0 < kind < STAP_A:
            return self._take_unit(payload)
        if kind == STAP_A:
            return [part for unit in split_stap_a(payload) for part in self._take_unit(unit)]
        raise ParseError(f"H.264 payloads of type {kind} are not of packetization mode 1.")

    def _take_fragment(self, payload: bytes) -> list[bytes]:
        if len(payload) < 3:
            raise ParseError("An H.264 fragment is empty.")
        flags = payload[1]
        header = payload[0] & 0xE0 | flags & 0x1F
        payloads = []
        if flags & FU_START:
            payloads = self._begin_picture(header, payload[2])
            self._rest = b""
            self._first_fragment = True
        elif self._rest is None:
            return []
        data = self._rest + payload[2:]
        last = bool(flags & FU_END)
        ready = len(data) if last else len(data) - len(data) % FRAGMENT
        if ready:
            payloads += fragment(header, data[:ready], first=self._first_fragment, last=last)
            self._first_fragment = False
        self._rest = None if last else data[ready:]
        return payloads

    def _take_unit(self, unit: bytes) -> list[bytes]:
        kind = unit[0] & 0x1F
        if h264.SEI <= kind <= h264.ACCESS_UNIT_DELIMITER:
            self._hold(kind, unit)
            return []
        if kind <= h264.IDR and len(unit) > 1:
            return self._begin_picture(unit[0], unit[1]) + pack([unit])
        return pack([unit])

    def _hold(self, kind: int, unit: bytes) -> None:
        """Keep what precedes a picture until its first slice comes."""
        if kind in (h264.SPS, h264.PPS):
            self._parameter_sets.learn(unit)
        self._prefix.append(unit)
        self._prefix_size += len(unit)
        if self._prefix_size > _MAX_PREFIX_BYTES or len(self._prefix) > _MAX_PREFIX_UNITS:
            self._prefix, self._prefix_size = [], 0
            raise ParseError("An H.264 publisher sends parameter sets and no picture.")

    def _begin_picture(self, header: int, first_byte: int) -> list[bytes]:
        """What goes before a slice, if it is the first of a picture."""
        if self._in_picture:
            return []
        self._in_picture = True
        prefix, self._prefix, self._prefix_size = self._prefix, [], 0
        # A keyframe that lacks its first slice (first_mb_in_slice is 0) is no place to begin.
        self._keyframe = h264.is_keyframe([*prefix, bytes((header,))]) and first_byte >= 0x80
        return pack(self._parameter_sets.put_in(prefix) if self._keyframe else prefix)


class AacNormaliser:
    """One access unit a packet."""

    def __init__(self, codec: Aac, fmtp: Mapping[str, str] | None = None) -> None:
        self.codec = codec
        self._continuity = _Continuity()
        self._depacketizer = AacDepacketizer(codec, fmtp)
        self._packetizer = AacPacketizer()

    def push(self, packet: RtpPacket, timestamp: int) -> list[Normalised]:
        """See `Normaliser`."""
        gap = self._continuity.broken_by(packet)
        units = self._depacketizer.push(packet.payload, timestamp, packet.marker, gap)
        return [
            Normalised(self._packetizer.packetize(unit), unit.timestamp, True, True, True)
            for unit in units
        ]


class OpusNormaliser:
    """Packets as they are."""

    def __init__(self, codec: Opus) -> None:
        self.codec = codec

    def push(self, packet: RtpPacket, timestamp: int) -> list[Normalised]:
        """See `Normaliser`."""
        if not 0 < len(packet.payload) <= MAX_PAYLOAD:
            raise ParseError(f"An Opus packet of {len(packet.payload)} bytes can't be passed on.")
        return [Normalised([bytes(packet.payload)], timestamp, True, packet.marker, True)]
