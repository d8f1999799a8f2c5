"""Access units as RTMP's messages: what a push sends of a stream's tracks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.media import h264, h265
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Aac, Codec, Opus, Track
from streamsocket.rtmp import flv
from streamsocket.rtmp.amf0 import Value
from streamsocket.rtmp.records import build_record
from streamsocket.rtmp.send_queue import Outgoing

_HEAD_START_MS = 500
"""The first timestamp: a track that begins a little before the other must not be before zero."""
_MAX_COMPOSITION_MS = (1 << 23) - 1
_CODEC_IDS: dict[str, float] = {
    "h264": 7.0,
    "h265": float(int.from_bytes(b"hvc1", "big")),
    "aac": 10.0,
    "opus": float(int.from_bytes(b"Opus", "big")),
}


class OutgoingTracks:
    """The messages of a stream's tracks, their configurations before the first and on change."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        """Raises `StreamSocketError` where RTMP has no place for a codec."""
        self._codecs = [_carried(track.codec) for track in tracks]
        self._records = [b""] * len(tracks)
        self._begins_s: Fraction | None = None

    def messages(self, index: int, unit: AccessUnit, dts: int) -> list[Outgoing]:
        """The messages of an access unit of the track with that index.

        Its timestamp and `dts` are ticks of the track's clock rate that count from the same moment
        for all tracks. None come of what can't be decoded yet, before the first keyframe.
        """
        codec = self._codecs[index]
        if isinstance(codec, H264 | H265) and unit.keyframe:
            codec = self._codecs[index] = _with_parameter_sets(codec, unit.units)
        decoding_ms = self._milliseconds(dts, codec.clock_rate)
        messages = []
        if unit.keyframe:
            try:
                record = build_record(codec)
            except ParseError:
                return []  # no parameter sets yet, or broken ones
            if record != self._records[index]:
                self._records[index] = record
                body = _configuration(codec, record)
                messages.append(
                    Outgoing(codec.kind, decoding_ms, body, keyframe=True, configuration=True)
                )
        if not self._records[index]:
            return []
        composition = self._milliseconds(unit.timestamp, codec.clock_rate) - decoding_ms
        body = _frame(codec, unit, max(-_MAX_COMPOSITION_MS, min(composition, _MAX_COMPOSITION_MS)))
        messages.append(Outgoing(codec.kind, decoding_ms, body, unit.keyframe))
        return messages

    def _milliseconds(self, ticks: int, clock_rate: int) -> int:
        seconds = Fraction(ticks, clock_rate)
        if self._begins_s is None:
            self._begins_s = seconds
        return max(0, _HEAD_START_MS + round((seconds - self._begins_s) * 1000))


def metadata(tracks: Sequence[Track]) -> dict[str, Value]:
    """onMetaData's fields for these tracks."""
    fields: dict[str, Value] = {}
    for track in tracks:
        codec = track.codec
        fields[f"{codec.kind}codecid"] = _CODEC_IDS[codec.name]
        if isinstance(codec, H264 | H265) and codec.sps:
            width, height = codec.size
            fields |= {"width": float(width), "height": float(height)}
        if track.frame_rate:
            fields["framerate"] = float(track.frame_rate)
        if isinstance(codec, Aac | Opus):
            fields["audiosamplerate"] = float(codec.clock_rate)
            fields["stereo"] = codec.channels == 2
    return fields


def _carried(codec: Codec) -> H264 | H265 | Aac | Opus:
    if not isinstance(codec, H264 | H265 | Aac | Opus):
        raise StreamSocketError(
            f"RTMP has no place for {codec.name}: push a stream of H.264 or H.265 with AAC or Opus."
        )
    return codec


def _with_parameter_sets(codec: H264 | H265, units: list[bytes]) -> H264 | H265:
    """The codec with the parameter sets that a keyframe brings, if it brings them."""
    first: dict[int, bytes] = {}
    nal_type = h264.nal_type if isinstance(codec, H264) else h265.nal_type
    for unit in units:
        first.setdefault(nal_type(unit), unit)
    if isinstance(codec, H264):
        return H264(first.get(h264.SPS, codec.sps), first.get(h264.PPS, codec.pps))
    return H265(
        first.get(h265.VPS, codec.vps),
        first.get(h265.SPS, codec.sps),
        first.get(h265.PPS, codec.pps),
    )


def _configuration(codec: Codec, record: bytes) -> bytes:
    if codec.kind == "video":
        return flv.video_configuration(codec.name, record)
    return flv.audio_configuration(codec.name, record)


def _frame(codec: Codec, unit: AccessUnit, composition_ms: int) -> bytes:
    if codec.kind == "audio":
        return flv.audio_frame(codec.name, unit.units[0])
    data = b"".join(len(each).to_bytes(4, "big") + each for each in unit.units)
    return flv.video_frame(codec.name, data, keyframe=unit.keyframe, composition_ms=composition_ms)
