"""H.264 in RTP (RFC 6184), packetization-mode 1."""

from __future__ import annotations

from collections.abc import Iterable

from streamsocket.media import h264
from streamsocket.media.codec import H264
from streamsocket.rtp.nal_format import NalFormat
from streamsocket.rtp.nal_payload import MAX_ACCESS_UNIT as MAX_ACCESS_UNIT
from streamsocket.rtp.nal_payload import NalDepacketizer, NalPacketizer

_FORBIDDEN_BIT = 0x80
_REF_IDC = 0x60


class H264Format(NalFormat):
    """STAP-A (5.7.1) and FU-A (5.8)."""

    name = "H.264"
    syntax = h264.SYNTAX
    single = range(1, 24)
    aggregation = 24
    fragmentation = 28
    kept = _FORBIDDEN_BIT | _REF_IDC

    def aggregation_bits(self, headers: Iterable[int]) -> int:
        """As important as the most important of them (5.7)."""
        forbidden = importance = 0
        for header in headers:
            forbidden |= header & _FORBIDDEN_BIT
            importance = max(importance, header & _REF_IDC)
        return forbidden | importance


FORMAT = H264Format()
pack = FORMAT.pack
fragment = FORMAT.fragment


class H264Packetizer(NalPacketizer[H264]):
    """See `NalPacketizer`."""

    format = FORMAT


class H264Depacketizer(NalDepacketizer[H264]):
    """See `NalDepacketizer`."""

    format = FORMAT
