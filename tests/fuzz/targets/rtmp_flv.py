"""What RTMP's audio and video messages hold, through to batches: one message behind the other."""

import contextlib

from streamsocket.errors import StreamSocketError
from streamsocket.media.codec import H264, H265, Aac, Opus
from streamsocket.rtmp import flv
from streamsocket.rtmp.publisher import Publisher
from streamsocket.rtmp.records import build_record
from streamsocket.rtp.batch import Batch

_AVC = H264(
    bytes.fromhex("6764000cacd941419f9f011000000300100000030320f1429960"),
    bytes.fromhex("68ebe3cb22c0"),
)
_HEVC = H265(
    bytes.fromhex("40010c01ffff01600000030090000003000003003c959409"),
    bytes.fromhex(
        "42010101600000030090000003000003003ca00a080c1f3e595952930b9a020000030002000003003210"
    ),
    bytes.fromhex("4401c073c189"),
)


def _joined(*messages: tuple[int, bytes]) -> bytes:
    """Each message behind a byte for its kind and a byte for its length."""
    return b"".join(bytes((kind, len(body))) + body for kind, body in messages)


SEEDS = [
    _joined(
        (0, flv.video_configuration("h264", build_record(_AVC))),
        (1, flv.audio_configuration("aac", b"\x12\x10")),
        (0, flv.video_frame("h264", b"\0\0\0\2\x65\x88", keyframe=True, composition_ms=0)),
        (1, flv.audio_frame("aac", b"\x21\x10")),
        (2, flv.video_frame("h264", b"\0\0\0\2\x41\x9a", keyframe=False, composition_ms=40)),
    ),
    _joined(
        (0, flv.video_configuration("h265", build_record(_HEVC))),
        (1, flv.audio_configuration("opus", build_record(Opus(2)))),
        (0, flv.video_frame("h265", b"\0\0\0\3\x26\x01\xaf", keyframe=True, composition_ms=1)),
        (1, flv.audio_frame("opus", b"\xfc\x01")),
        (0x81, b"\x97\x02\x00\x00\x0a\x01Opus\xfc"),
        (1, flv.audio_configuration("aac", Aac(b"\x11\x90").config)),
    ),
]


class _Publication:
    """Takes batches that are sound."""

    def write(self, track: int, batch: Batch) -> None:
        assert track in (0, 1)
        assert len(batch.buffer) == sum(batch.sizes)
        assert max(batch.sizes) <= 1212

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """And nothing is left."""


def fuzz_one(data: bytes) -> None:
    """Messages are understood, or counted, or end the stream with a sentence."""
    publisher = Publisher(
        "fuzz", lambda name, tracks, request=None, on_replaced=None: _Publication()
    )
    position, now = 0, 0.0
    with contextlib.suppress(StreamSocketError):
        while position + 2 <= len(data):
            kind, size = data[position], data[position + 1]
            body = data[position + 2 : position + 2 + size]
            position += 2 + size
            now += 0.02 * (1 + (kind >> 4))
            timestamp = round(now * 1000) * (1 + (kind >> 1 & 7)) & 0xFFFF_FFFF
            publisher.receive(
                "audio" if kind & 1 else "video", timestamp, body, now=now, arrival=1e9 + now
            )
        publisher.poll(now + 2)
    publisher.close()
