"""VP8, VP9, Motion JPEG, G.711, L16: packets of FFmpeg and GStreamer into ours, ours to them."""

from __future__ import annotations

import os
import selectors
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.interop.ports import udp_pair

from streamsocket.client.decode import Decoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, L16, Codec, Mjpeg, Track, Vp8, Vp9
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.normalise import normaliser
from streamsocket.rtp.packet import MAX_PAYLOAD, RtpPacket, Unwrapper, parse_rtp
from streamsocket.rtp.payload import depacketizer, packetizer
from streamsocket.rtp.pcm import split
from streamsocket.rtsp import sdp

RATE = 25
PICTURES = 30
SIZE = (640, 480)
SECONDS = PICTURES / RATE
PATIENCE_S = 20.0

FFMPEG_PICTURE = f"ffmpeg -v error -re -f lavfi -i testsrc2=size=640x480:rate={RATE} -t {SECONDS}"
FFMPEG_SOUND = f"ffmpeg -v error -re -f lavfi -i sine=sample_rate=48000 -t {SECONDS}"
GST_PICTURE = f"gst-launch-1.0 -q videotestsrc num-buffers={PICTURES} is-live=true"
GST_FORM = f"width=640,height=480,framerate={RATE}/1"
GST_SOUND = (
    "gst-launch-1.0 -q audiotestsrc num-buffers=60 samplesperbuffer=960 is-live=true "
    "! audio/x-raw,rate=48000"
)
TO_PORT = "! udpsink host=127.0.0.1 port={port}"

SENDERS: dict[str, tuple[Codec, str]] = {
    "ffmpeg-vp8": (
        Vp8(),
        f"{FFMPEG_PICTURE} -c:v libvpx -deadline realtime -b:v 4M -g 20 -f rtp {{url}}",
    ),
    "ffmpeg-vp9": (
        Vp9(),
        f"{FFMPEG_PICTURE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 2M -g 20 "
        "-strict experimental -f rtp {url}",
    ),
    "ffmpeg-mjpeg": (
        Mjpeg(),
        f"{FFMPEG_PICTURE} -c:v mjpeg -pix_fmt yuvj420p -q:v 4 -huffman default "
        "-force_duplicated_matrix 1 -f rtp {url}",
    ),
    "ffmpeg-pcmu": (G711("pcmu"), f"{FFMPEG_SOUND} -c:a pcm_mulaw -ar 8000 -f rtp {{url}}"),
    "ffmpeg-pcma": (
        G711("pcma", 16_000, 2),
        f"{FFMPEG_SOUND} -c:a pcm_alaw -ar 16000 -ac 2 -f rtp {{url}}",
    ),
    "ffmpeg-l16": (L16(48_000, 2), f"{FFMPEG_SOUND} -c:a pcm_s16be -ac 2 -f rtp {{url}}"),
    "gstreamer-vp8": (
        Vp8(),
        f"{GST_PICTURE} ! video/x-raw,{GST_FORM} ! vp8enc deadline=1 target-bitrate=4000000 "
        f"keyframe-max-dist=20 token-partitions=2 ! rtpvp8pay picture-id-mode=2 mtu=1400 {TO_PORT}",
    ),
    "gstreamer-vp9": (
        Vp9(),
        f"{GST_PICTURE} ! video/x-raw,{GST_FORM} ! vp9enc deadline=1 cpu-used=8 lag-in-frames=0 "
        "target-bitrate=2000000 keyframe-max-dist=20 ! rtpvp9pay picture-id-mode=2 mtu=1400 "
        f"{TO_PORT}",
    ),
    "gstreamer-mjpeg-422": (
        Mjpeg(),
        f"{GST_PICTURE} ! video/x-raw,format=Y42B,{GST_FORM} ! jpegenc ! rtpjpegpay mtu=1400 "
        f"{TO_PORT}",
    ),
    "gstreamer-pcmu": (
        G711("pcmu"),
        f"{GST_SOUND} ! audioconvert ! audioresample ! mulawenc ! audio/x-mulaw,rate=8000,"
        f"channels=1 ! rtppcmupay {TO_PORT}",
    ),
    "gstreamer-l16": (
        L16(48_000, 2),
        f"{GST_SOUND} ! audioconvert ! audio/x-raw,format=S16BE,rate=48000,channels=2 ! rtpL16pay "
        f"{TO_PORT}",
    ),
}


@dataclass
class Sent:
    """What a stranger has sent."""

    codec: Codec
    packets: list[tuple[RtpPacket, int]]
    """With unwrapped timestamps."""


@pytest.fixture(scope="module", params=SENDERS)
def sent(request: pytest.FixtureRequest) -> Sent:
    codec, command = SENDERS[request.param]
    rtp, rtcp = udp_pair("127.0.0.1")
    with rtp, rtcp:
        rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        rtp.settimeout(0.2)
        port = rtp.getsockname()[1]
        arguments = shlex.split(command.format(port=port, url=f"rtp://127.0.0.1:{port}"))
        received: list[bytes] = []
        with running(arguments) as sender:
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                try:
                    received.append(rtp.recv(1 << 16))
                except TimeoutError:
                    if sender.poll() is not None:
                        break
            assert sender.poll() == 0, f"{command} did not end well"
    timestamps = Unwrapper(32)
    packets = [parse_rtp(data) for data in received]
    return Sent(codec, [(packet, timestamps.unwrap(packet.timestamp)) for packet in packets])


def test_what_others_send_is_understood(sent: Sent) -> None:
    receiver = depacketizer(sent.codec)
    units = []
    for packet, timestamp in sent.packets:
        units += receiver.push(packet.payload, timestamp, packet.marker, gap=False)
    units += receiver.flush()
    complete(receiver.codec, units)


def test_what_others_send_is_passed_on_whole_in_small_packets(sent: Sent) -> None:
    ingress, viewer = normaliser(sent.codec), depacketizer(sent.codec)
    units = []
    for packet, timestamp in sent.packets:
        payload = bytes(packet.payload)
        for part in ingress.push([payload], timestamp, packet.marker, gap=False):
            for index, each in enumerate(part.payloads):
                assert len(each) <= MAX_PAYLOAD
                last = part.marker and index == len(part.payloads) - 1
                units += viewer.push(each, part.timestamp, last, gap=False)
    assert ingress.codec == viewer.codec
    complete(ingress.codec, units)


def complete(codec: Codec, units: list[AccessUnit]) -> None:
    """Check that all that was sent can be decoded."""
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)] + decoder.flush()
    assert (decoder.errors, decoder.skipped) == (0, 0)
    assert not any(unit.damaged for unit in units)
    assert not any(frame.is_corrupt for frame in frames)
    if isinstance(codec, Vp8 | Vp9 | Mjpeg):
        assert codec.size == SIZE
        assert len(frames) == len(units) == PICTURES
        keyframes = [index for index, unit in enumerate(units) if unit.keyframe]
        assert keyframes == list(range(0, PICTURES, 1 if isinstance(codec, Mjpeg) else 20))
        steps = {after.timestamp - before.timestamp for before, after in pairwise(units)}
        assert all(abs(step - 90_000 / RATE) <= 90 for step in steps)
        assert all(
            isinstance(frame, av.VideoFrame) and (frame.width, frame.height) == SIZE
            for frame in frames
        )
        return
    samples = 0
    for unit, frame in zip(units, frames, strict=True):
        assert isinstance(frame, av.AudioFrame)
        assert unit.timestamp - units[0].timestamp == samples
        samples += frame.samples
    assert samples == pytest.approx(SECONDS * codec.clock_rate, rel=0.01)


# The other way.


def coded(codec: Codec) -> list[AccessUnit]:
    """A moving picture, or a rising tone."""
    if isinstance(codec, G711 | L16):
        return list(coded_sound(codec))
    return list(coded_picture(codec))


def coded_picture(codec: Codec) -> Iterator[AccessUnit]:
    encoder = av.CodecContext.create(ENCODERS[codec.name], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = SIZE
    encoder.pix_fmt = "yuvj420p" if isinstance(codec, Mjpeg) else "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE)
    encoder.gop_size = 20
    if isinstance(codec, Vp8 | Vp9):
        encoder.options = {"deadline": "realtime", "lag-in-frames": "0"}
        encoder.bit_rate = 3_000_000
    else:
        encoder.options = {"huffman": "default", "qmin": "3", "qmax": "3"}
    width, height = SIZE
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    for index in range(PICTURES):
        gray = (across + 3 * index + down // 2).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(np.dstack([gray, 255 - gray, gray // 2]), "rgb24")
        frame = frame.reformat(format=encoder.pix_fmt)
        frame.pts, frame.time_base = index, encoder.time_base
        for packet in encoder.encode(frame):
            yield AccessUnit([bytes(packet)], index * 90_000 // RATE, packet.is_keyframe)


def coded_sound(codec: G711 | L16) -> Iterator[AccessUnit]:
    """In units of 20 ms, of which two of L16 are longer than a packet."""
    length = codec.clock_rate // 50
    frames = np.arange(int(SECONDS * 50) * length * codec.channels, dtype=np.int64)
    tone = (12_000 * np.sin(1e-6 * frames**2)).astype(np.int16)
    for index, part in enumerate(tone.reshape(-1, length * codec.channels)):
        if isinstance(codec, L16):
            data = part.astype(">i2").tobytes()
        else:
            data = (part >> 8).astype(np.uint8).tobytes()  # any byte is a sample of it
        yield AccessUnit([data], index * length)


def expected(codec: Codec, units: list[AccessUnit]) -> bytes:
    """The raw pictures or samples that are in the units."""
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)] + decoder.flush()
    parts: list[NDArray[Any]] = []
    for frame in frames:
        if isinstance(frame, av.VideoFrame):
            frame = frame if isinstance(codec, Mjpeg) else frame.reformat(format="yuv420p")
        parts.append(frame.to_ndarray())
    return b"".join(part.tobytes() for part in parts)


ENCODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9", "mjpeg": "mjpeg"}
GST_TAKES = {
    "vp8": "rtpvp8depay ! vp8dec ! video/x-raw,format=I420",
    "vp9": "rtpvp9depay ! vp9dec ! video/x-raw,format=I420",
    "mjpeg": "rtpjpegdepay ! jpegdec ! video/x-raw,format=I420",
    "pcmu": "rtppcmudepay ! mulawdec",
    "pcma": "rtppcmadepay ! alawdec",
    "l16": "rtpL16depay ! audioconvert ! audio/x-raw,format=S16LE",
}
CODECS: list[Codec] = [Vp8(), Vp9(), Mjpeg(), G711("pcmu"), G711("pcma"), L16(48_000, 2)]


@pytest.mark.parametrize("player", ["ffmpeg", "gstreamer"])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_what_we_send_is_understood(codec: Codec, player: str, tmp_path: Path) -> None:
    units = coded(codec)
    wanted = expected(codec, units)
    port = free_port()
    description = tmp_path / "stream.sdp"
    description.write_text(
        sdp.build([Track(codec)], name="test", host="127.0.0.1")
        .replace(" 0 RTP/AVP", f" {port} RTP/AVP")
        .replace("0.0.0.0", "127.0.0.1")
    )
    if player == "ffmpeg":
        raw = "-f s16le" if codec.kind == "audio" else "-fps_mode passthrough -f rawvideo"
        command = (
            "ffmpeg -v error -protocol_whitelist file,udp,rtp -analyzeduration 400000 "
            f"-i {description} {raw} -"
        )
    else:
        takes = GST_TAKES[codec.name]
        command = f"gst-launch-1.0 -q sdpsrc location=file://{description} ! {takes} ! fdsink fd=1"
    played = play(shlex.split(command), port, codec, units, len(wanted))
    assert len(played) >= len(wanted), f"{len(played)} of {len(wanted)} bytes were played"
    if codec.kind == "audio":
        assert played[: len(wanted)] == wanted
    else:
        difference = np.frombuffer(wanted, np.uint8).astype(np.int16)
        difference -= np.frombuffer(played[: len(wanted)], np.uint8)
        assert np.abs(difference).mean() < 0.5  # their decoders round as they like


def play(command: list[str], port: int, codec: Codec, units: list[AccessUnit], size: int) -> bytes:
    """Send the units, over and over, until the player has written so many bytes."""
    played = bytearray()
    with (
        running(command, stdout=subprocess.PIPE) as player,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        selectors.DefaultSelector() as selector,
    ):
        deadline = time.monotonic() + PATIENCE_S
        while not bound(port):
            assert player.poll() is None, "the player has ended"
            assert time.monotonic() < deadline, "the player doesn't listen"
            time.sleep(0.02)
        assert player.stdout
        selector.register(player.stdout, selectors.EVENT_READ)
        datagrams = endless(codec, units)
        while len(played) < size and time.monotonic() < deadline:
            for datagram in next(datagrams):
                sender.sendto(datagram, ("127.0.0.1", port))
            next_at = time.monotonic() + (1 / RATE if codec.kind == "video" else 0.02)
            while (left := next_at - time.monotonic()) > 0:
                if selector.select(left):
                    played += os.read(player.stdout.fileno(), 1 << 20)
    return bytes(played)


def endless(codec: Codec, units: list[AccessUnit]) -> Iterator[list[bytes]]:
    """The datagrams of each unit, and again from the beginning."""
    cutter = packetizer(codec)
    period = units[1].timestamp * len(units)
    sequence = started = 0
    while True:
        for unit in units:
            datagrams = []
            timed = AccessUnit(unit.units, unit.timestamp + started, unit.keyframe)
            for part in split(codec, timed) if isinstance(codec, G711 | L16) else [timed]:
                batch = build_batch(
                    cutter.packetize(part),
                    timestamp=part.timestamp,
                    capture_time=0.0,
                    keyframe=part.keyframe,
                    marker=cutter.marker,
                )
                for packet in batch.packets():
                    header = bytes((0x80, packet[1] | 96)) + (sequence & 0xFFFF).to_bytes(2, "big")
                    datagrams.append(header + packet[4:])
                    sequence += 1
            yield datagrams
        started += period


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_ffmpeg_describes_its_stream_as_we_do(codec: Codec) -> None:
    encoders = {
        "vp8": "libvpx",
        "vp9": "libvpx-vp9 -strict experimental",
        "mjpeg": "mjpeg -pix_fmt yuvj420p -huffman default -force_duplicated_matrix 1",
        "pcmu": "pcm_mulaw",
        "pcma": "pcm_alaw",
        "l16": "pcm_s16be",
    }
    source = "testsrc2"
    if isinstance(codec, G711 | L16):
        source = f"sine=sample_rate={codec.clock_rate} -ac {codec.channels}"
    command = f"ffmpeg -v error -f lavfi -i {source} -t 0.1 -c {encoders[codec.name]} "
    command += "-sdp_file /dev/stdout -f rtp rtp://127.0.0.1:9"
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    [media] = sdp.parse(done.stdout).medias
    assert media.codec == codec, done.stdout


def free_port() -> int:
    """An even UDP port with a free one above it."""
    rtp, rtcp = udp_pair("127.0.0.1")
    with rtp, rtcp:
        port: int = rtp.getsockname()[1]
        return port


def bound(port: int) -> bool:
    """Whether somebody listens on this UDP port, by the kernel's own list."""
    texts = (Path(f"/proc/net/{each}").read_text() for each in ("udp", "udp6"))
    sockets = [line.split() for text in texts for line in text.splitlines()]
    return any(fields[1].endswith(f":{port:04X}") for fields in sockets)


@contextmanager
def running(command: list[str], stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the block."""
    with subprocess.Popen(command, stdout=stdout) as process:
        try:
            yield process
        finally:
            process.kill()
