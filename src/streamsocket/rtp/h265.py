"""H.265 in RTP (RFC 7798), without decoding order numbers (sprop-max-don-diff is 0)."""

from __future__ import annotations

from collections.abc import Iterable

from streamsocket.media import h265
from streamsocket.media.codec import H265
from streamsocket.rtp.nal_format import NalFormat
from streamsocket.rtp.nal_payload import NalDepacketizer, NalPacketizer

_FORBIDDEN_BIT = 0x8000
_LAYER_ID = 0x01F8
_TEMPORAL_ID = 0x0007


class H265Format(NalFormat):
    """Aggregation packets (4.4.2) and fragmentation units (4.4.3)."""

    name = "H.265"
    syntax = h265.SYNTAX
    single = range(48)
    aggregation = 48
    fragmentation = 49
    kept = _FORBIDDEN_BIT | _LAYER_ID | _TEMPORAL_ID

    def aggregation_bits(self, headers: Iterable[int]) -> int:
        """The lowest layer and the lowest temporal id of them (4.4.2)."""
        forbidden, layer, temporal = 0, _LAYER_ID, _TEMPORAL_ID
        for header in headers:
            forbidden |= header & _FORBIDDEN_BIT
            layer = min(layer, header & _LAYER_ID)
            temporal = min(temporal, header & _TEMPORAL_ID)
        return forbidden | layer | temporal


FORMAT = H265Format()


class H265Packetizer(NalPacketizer[H265]):
    """See `NalPacketizer`."""

    format = FORMAT


class H265Depacketizer(NalDepacketizer[H265]):
    """See `NalDepacketizer`."""

    format = FORMAT
