"""Ingress: what a publisher sends, made into what the hub passes on, packet by packet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Opus, Vp8, Vp9
from streamsocket.rtp.aac import ONE_HEADER, AacDepacketizer, AacPacketizer
from streamsocket.rtp.av1 import Av1Normaliser
from streamsocket.rtp.h264_normaliser import H264Normaliser
from streamsocket.rtp.h265_normaliser import H265Normaliser
from streamsocket.rtp.mjpeg import MjpegNormaliser
from streamsocket.rtp.normalised import Normalised, Normaliser
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.pcm import PcmNormaliser
from streamsocket.rtp.vp8 import Vp8Normaliser
from streamsocket.rtp.vp9 import Vp9Normaliser


def normaliser(codec: Codec, fmtp: Mapping[str, str] | None = None) -> Normaliser:
    """What normalises this codec's packets; `fmtp` has the SDP's parameters by name."""
    match codec:
        case H264():
            return H264Normaliser(codec)
        case H265():
            return H265Normaliser(codec)
        case Vp8():
            return Vp8Normaliser(codec)
        case Vp9():
            return Vp9Normaliser(codec)
        case Av1():
            return Av1Normaliser(codec)
        case Mjpeg():
            return MjpegNormaliser(codec)
        case Aac():
            return AacNormaliser(codec, fmtp)
        case Opus():
            return OpusNormaliser(codec)
        case G711() | L16():
            return PcmNormaliser(codec)


class AacNormaliser:
    """One access unit a packet."""

    def __init__(self, codec: Aac, fmtp: Mapping[str, str] | None = None) -> None:
        self.codec = codec
        self._depacketizer = AacDepacketizer(codec, fmtp)
        self._packetizer = AacPacketizer()

    def push(
        self, payloads: Sequence[bytes], timestamp: int, marker: bool, gap: bool
    ) -> list[Normalised]:
        """See `Normaliser`."""
        if len(payloads) == 1 and self._is_plain(payloads[0]):
            return [Normalised([payloads[0]], timestamp, True, True, True)]
        units: list[AccessUnit] = []
        for index, payload in enumerate(payloads):
            ends = marker and index == len(payloads) - 1
            units += self._depacketizer.push(payload, timestamp, ends, gap and index == 0)
        return [
            Normalised(self._packetizer.packetize(unit), unit.timestamp, True, True, True)
            for unit in units
        ]

    def _is_plain(self, payload: bytes) -> bool:
        """Whether it is one access unit, laid out as it is to be passed on."""
        size = len(payload) - 4
        return (
            self._depacketizer.is_hbr
            and 0 < size <= MAX_PAYLOAD - 4
            and payload[:4] == ONE_HEADER + (size << 3).to_bytes(2, "big")
        )


class OpusNormaliser:
    """Packets as they are."""

    def __init__(self, codec: Opus) -> None:
        self.codec = codec

    def push(
        self, payloads: Sequence[bytes], timestamp: int, marker: bool, gap: bool
    ) -> list[Normalised]:
        """See `Normaliser`."""
        for payload in payloads:
            if not 0 < len(payload) <= MAX_PAYLOAD:
                raise ParseError(f"An Opus packet of {len(payload)} bytes can't be passed on.")
        return [Normalised([payload], timestamp, True, marker, True) for payload in payloads]
