"""H.265 as FFmpeg and GStreamer packetize it, on its way in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import NoReturn

import pytest
from tests.interop.ports import udp_pair

from streamsocket.client.decode import Decoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H265
from streamsocket.rtp.h265 import H265Depacketizer
from streamsocket.rtp.h265_normaliser import H265Normaliser
from streamsocket.rtp.packet import MAX_PAYLOAD, RtpPacket, Unwrapper, parse_rtp
from streamsocket.rtsp import sdp

PICTURES = 50
TIMEOUT_S = 60.0
UNKNOWN = H265(b"", b"", b"")


def published(command: list[str]) -> list[RtpPacket]:
    """The packets that the command sends to the port that takes PORT's place."""
    rtp, rtcp = udp_pair("127.0.0.1")
    port = str(rtp.getsockname()[1])
    packets = []
    with rtp, rtcp:
        rtp.settimeout(0.2)
        with subprocess.Popen(
            [word.replace("PORT", port) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                deadline = monotonic() + TIMEOUT_S
                while monotonic() < deadline:
                    try:
                        packets.append(parse_rtp(rtp.recv(65_536)))
                    except TimeoutError:
                        if process.poll() is not None:
                            break
            finally:
                process.kill()
            assert process.stderr
            complaints = process.stderr.read().decode()
            assert process.returncode == 0, complaints
    sequences = [packet.sequence for packet in packets]
    assert sequences == [(sequences[0] + n) & 0xFFFF for n in range(len(packets))]
    return packets


def depacketized(packets: list[RtpPacket], codec: H265 = UNKNOWN) -> list[AccessUnit]:
    """The access units, as a viewer of the publisher gets them."""
    timestamps, receiver = Unwrapper(32), H265Depacketizer(codec)
    units = []
    for packet in packets:
        timestamp = timestamps.unwrap(packet.timestamp)
        units += receiver.push(packet.payload, timestamp, packet.marker, gap=False)
    return units + receiver.flush()


def normalised(packets: list[RtpPacket], codec: H265 = UNKNOWN, run: int = 1) -> list[AccessUnit]:
    """The access units, as a viewer of ours gets them; up to `run` packets come at once."""
    timestamps, ingress = Unwrapper(32), H265Normaliser(codec)
    viewer = H265Depacketizer(UNKNOWN)
    units = []
    waiting: list[bytes] = []
    for packet in packets:
        waiting.append(bytes(packet.payload))
        if len(waiting) < run and not packet.marker:
            continue
        timestamp = timestamps.unwrap(packet.timestamp)
        for part in ingress.push(waiting, timestamp, packet.marker, False):
            assert all(0 < len(payload) <= MAX_PAYLOAD for payload in part.payloads)
            for index, payload in enumerate(part.payloads):
                marker = part.marker and index == len(part.payloads) - 1
                units += viewer.push(payload, timestamp, marker, gap=False)
        waiting = []
    assert ingress.codec.size == (320, 240)
    return units + viewer.flush()


def assert_all_there(
    units: list[AccessUnit], pictures: int = PICTURES, codec: H265 = UNKNOWN
) -> None:
    assert len(units) == pictures
    assert not any(unit.damaged for unit in units)
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)] + decoder.flush()
    assert len(frames) == pictures
    assert decoder.errors == 0


def assert_arrives(packets: list[RtpPacket], codec: H265 = UNKNOWN) -> None:
    """Everything plays, received as it is or through the hub's door, from any keyframe on."""
    received = depacketized(packets, codec)
    assert_all_there(received, codec=codec)
    for run in (1, 7):
        units = normalised(packets, codec, run)
        assert_all_there(units)
        assert [unit.keyframe for unit in units] == [unit.keyframe for unit in received]
        assert [unit.units[-1] for unit in units] == [unit.units[-1] for unit in received]
        for index in (index for index, unit in enumerate(units) if unit.keyframe):
            kinds = [nal[0] >> 1 for nal in units[index].units]
            assert kinds[:3] == [32, 33, 34] or kinds[:4] == [35, 32, 33, 34]
    keyframes = [index for index, unit in enumerate(units) if unit.keyframe]
    assert len(keyframes) == PICTURES // 10
    # Closed groups of pictures: each of them can be joined.
    for index in keyframes:
        assert_all_there(units[index:], PICTURES - index)


def ffmpeg(parameters: str = "", *options: str) -> list[str]:
    """The command that encodes the pictures."""
    x265 = f"log-level=none:keyint=10:min-keyint=10:scenecut=0:open-gop=0:{parameters}"
    return [
        *f"ffmpeg -v error -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v {PICTURES}".split(),
        *["-c:v", "libx265", "-preset", "ultrafast", "-x265-params"],
        x265.rstrip(":"),
        *options,
    ]


@pytest.mark.parametrize("size", [600, 1472, 8000])
@pytest.mark.parametrize("parameters", ["", "bframes=0:aud=1", "slices=4"])
def test_ffmpeg_publishes(size: int, parameters: str) -> None:
    url = f"rtp://127.0.0.1:PORT?pkt_size={size}"
    assert_arrives(published(ffmpeg(parameters, "-f", "rtp", url)))


def test_ffmpeg_publishes_with_parameter_sets_in_the_description_only(tmp_path: Path) -> None:
    description = tmp_path / "stream.sdp"
    options = f"-flags +global_header -f rtp -sdp_file {description} rtp://127.0.0.1:PORT".split()
    packets = published(ffmpeg("", *options))
    [media] = sdp.parse(description.read_text()).medias
    assert isinstance(media.codec, H265)
    assert media.codec.size == (320, 240)
    assert_arrives(packets, media.codec)


@pytest.mark.parametrize("mode", ["none", "zero-latency", "max"])
def test_gstreamer_publishes(
    mode: str, tmp_path: Path, cannot_test: Callable[[str], NoReturn]
) -> None:
    if not shutil.which("gst-launch-1.0"):
        cannot_test("GStreamer's H.265, as gst-launch-1.0 is not installed")
    film = tmp_path / "film.hevc"
    subprocess.run(ffmpeg("", str(film)), check=True, timeout=TIMEOUT_S)
    pipeline = (
        f"gst-launch-1.0 -q filesrc location={film} ! h265parse ! "
        f"rtph265pay aggregate-mode={mode} mtu=1400 ! udpsink host=127.0.0.1 port=PORT"
    )
    assert_arrives(published(pipeline.split()))
