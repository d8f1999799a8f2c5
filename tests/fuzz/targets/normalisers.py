"""Packets of H.264, H.265, AAC and Opus, as publishers send them."""

from packets import read_packets

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Aac, Opus
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.normalise import normaliser
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.payload import depacketizer
from targets.depacketizers import H265_CODEC
from targets.depacketizers import SEEDS as SEEDS

_H264 = H264(bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a"), b"\x68\xce\x38\x80")


def fuzz_one(data: bytes) -> None:
    for codec in (_H264, H265_CODEC, Aac(b"\x11\x90"), Opus()):
        ingress = normaliser(codec)
        viewer = depacketizer(codec)
        for packet in read_packets(data):
            try:
                passed_on = ingress.push(
                    [packet.payload], packet.timestamp, packet.marker, packet.gap
                )
            except ParseError:
                continue
            for part in passed_on:
                assert part.payloads
                assert all(0 < len(payload) <= MAX_PAYLOAD for payload in part.payloads)
                for payload in part.payloads:  # what we pass on is never malformed
                    viewer.push(payload, part.timestamp, part.marker, gap=False)
                build_batch(
                    part.payloads,
                    timestamp=part.timestamp,
                    capture_time=0.0,
                    keyframe=part.keyframe,
                    marker=part.marker,
                    complete=part.complete,
                )
