"""Everybody who publishes to the server, in every codec and over every transport they have."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.interop.movies import Movie, make
from tests.interop.ports import free_ports, udp_pair
from tests.interop.serving import COMMAND, serving

RATE = 20
SIZE = "320x192"
"""In whole blocks of Motion JPEG."""
VIDEO = ("h264", "h265", "vp8", "mjpeg")
AUDIO = ("aac", "opus", "pcmu")
TRANSPORTS = ("udp", "tcp", "mixed")
"""Mixed: the picture over UDP, the sound over TCP."""
PUBLISHERS = ("ffmpeg", "gstreamer", "ours", "rtmp", "mpegts")

_CANNOT_MIX = "has one transport for all tracks"
LEFT_OUT: dict[tuple[str, str], str] = {
    ("ffmpeg", "mixed"): f"FFmpeg's -rtsp_transport {_CANNOT_MIX}",
    ("gstreamer", "mixed"): f"rtspclientsink's protocols {_CANNOT_MIX}",
    ("rtmp", "udp"): "RTMP is TCP",
    ("rtmp", "mixed"): "RTMP is TCP",
    ("mpegts", "tcp"): "our transport streams come over UDP",
    ("mpegts", "mixed"): "a transport stream has all tracks in one",
    ("rtmp", "vp8"): "RTMP with VP8 is not taken, and FFmpeg doesn't write it",
    ("rtmp", "mjpeg"): "RTMP has no Motion JPEG",
    ("rtmp", "pcmu"): "G.711 in RTMP is not taken",
    ("mpegts", "vp8"): "transport streams have no VP8",
    ("mpegts", "mjpeg"): "transport streams have no Motion JPEG",
    ("mpegts", "pcmu"): "transport streams have no G.711",
}
"""What a publisher doesn't do, by its name and a transport or codec, and why."""

_REMUX = Path(__file__).parent / "peers" / "remux_rtmp.py"
_READY_S = 20.0
_AAC_DELAY_S = 1024 / 48_000
_STOP_S = 10.0
_SETTLED_S = {"gstreamer": 3.2}
"""So long a publisher may take to its first sender report, which tells how its tracks belong
together. GStreamer's waits as RFC 3550, 6.2 has it: half of 5 s, times up to 1.5, over 1.22."""

_MOVIE = Movie(
    Fraction(RATE),
    audio="pcm_s16le",
    size=SIZE,
    seconds=Fraction(60),
    suffix=".mkv",
    hiss=0.03,  # or FFmpeg gathers AAC for the better part of a second before it sends it
)

_X265 = "pools=none:frame-threads=1"
# Encoders use one thread each: so many at once only get into each other's way with more.
_FFMPEG = {
    "h264": "-c:v libx264 -threads 1 -preset ultrafast -tune zerolatency -g 20",
    "h265": "-c:v libx265 -preset ultrafast -tune zerolatency "
    f"-x265-params log-level=none:keyint=20:min-keyint=20:scenecut=0:{_X265}",
    "vp8": "-c:v libvpx -threads 1 -deadline realtime -cpu-used 8 -b:v 600k -g 20",
    "mjpeg": "-c:v mjpeg -huffman default -pix_fmt yuvj420p -q:v 5",
    "aac": "-c:a aac",
    "opus": "-c:a libopus -b:a 96k",
    "pcmu": "-c:a pcm_mulaw -ar 8000 -ac 1",
}
_GSTREAMER = {
    "h264": "x264enc threads=1 tune=zerolatency speed-preset=ultrafast key-int-max=20 ! h264parse",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=20 "
    f"option-string={_X265} ! h265parse",
    "vp8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=20 target-bitrate=600000",
    "mjpeg": "jpegenc quality=70",
    "aac": "avenc_aac ! aacparse",
    "opus": "opusenc",
    "pcmu": "audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc",
}
_GSTREAMER_AAC = "sink_1::payloader=rtpmp4gpay"
"""It would rather send AAC as MP4A-LATM (RFC 6416), which is not taken."""


@dataclass(frozen=True, order=True)
class Publication:
    """Who publishes what, and how."""

    publisher: str
    transport: str
    video: str
    audio: str

    @property
    def name(self) -> str:
        """The stream's."""
        return f"{self.publisher}-{self.transport}-{self.video}-{self.audio}"

    @property
    def sound_delay_s(self) -> float:
        """By how much the sound is late already where it comes from."""
        # GStreamer counts an AAC encoder's first frame, which is before the beginning, as sound.
        is_late = (self.publisher, self.audio) == ("gstreamer", "aac")
        return _AAC_DELAY_S if is_late else 0.0

    @property
    def is_possible(self) -> bool:
        """Whether the publisher can do so."""
        needed = (self.transport, self.video, self.audio)
        return not any((self.publisher, each) in LEFT_OUT for each in needed)


ALL = tuple(
    publication
    for publisher in PUBLISHERS
    for transport in TRANSPORTS
    for video in VIDEO
    for audio in AUDIO
    if (publication := Publication(publisher, transport, video, audio)).is_possible
)


class Studio:
    """A server, and the movie that is published on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._movie = folder / f"movie{_MOVIE.suffix}"
        make(_MOVIE, self._movie)
        self._rtmp_port, _, _ = free_ports()
        self._datagrams = {each.name: udp_port() for each in ALL if each.publisher == "mpegts"}

    @contextmanager
    def open(self) -> Iterator[None]:
        """Serve until the block ends."""
        sources = [f"{name}=udp://127.0.0.1:{port}" for name, port in self._datagrams.items()]
        options = ("--rtmp-port", str(self._rtmp_port))
        with serving(*sources, options=options, wait_for=()) as self._server:
            yield

    @contextmanager
    def published(self, publication: Publication) -> Iterator[str]:
        """The URL of the publication, which is live until the block ends."""
        log = self._folder / f"{publication.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(publication),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_live(publication, process, log)
            time.sleep(_SETTLED_S.get(publication.publisher, 0.0))
            yield self._server.url(publication.name)
            assert process.poll() is None, f"the publisher has ended: {_end_of(log)}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            finally:
                process.kill()
                process.wait()

    def _wait_until_live(
        self, publication: Publication, process: subprocess.Popen[bytes], log: Path
    ) -> None:
        deadline = time.monotonic() + _READY_S
        while True:
            streams = json.loads(self._server.get("/api/streams"))
            if any(
                each["name"] == publication.name and each["state"] == "live" for each in streams
            ):
                return
            assert process.poll() is None, f"the publisher has ended: {_end_of(log)}"
            assert time.monotonic() < deadline, f"it doesn't become live: {_end_of(log)}"
            time.sleep(0.1)

    def _command(self, publication: Publication) -> list[str]:
        url = self._server.url(publication.name)
        video, audio, transport = publication.video, publication.audio, publication.transport
        coding = f"{_FFMPEG[video]} {_FFMPEG[audio]}"
        ffmpeg = f"ffmpeg -nostdin -v warning -re -threads 1 -i {self._movie} {coding}"
        match publication.publisher:
            case "ffmpeg":
                return shlex.split(f"{ffmpeg} -f rtsp -rtsp_transport {transport} {url}")
            case "gstreamer":
                return shlex.split(
                    f"gst-launch-1.0 -q filesrc location={self._movie} ! matroskademux name=d "
                    f"rtspclientsink name=s location={url} protocols={transport} "
                    f"{_GSTREAMER_AAC if audio == 'aac' else ''} "
                    "d.video_0 ! queue ! h264parse ! avdec_h264 max-threads=1 ! videoconvert "
                    f"! video/x-raw,format=I420 ! {_GSTREAMER[video]} ! queue ! s.sink_0 "
                    f"d.audio_0 ! queue ! audioconvert ! {_GSTREAMER[audio]} ! queue ! s.sink_1"
                )
            case "ours":
                return [
                    *(*COMMAND, "publish", f"test:{SIZE}@{RATE}", url),
                    *("--codec", f"{video}+{audio}", "--transport", transport),
                ]
            case "mpegts":
                port = self._datagrams[publication.name]
                return shlex.split(f"{ffmpeg} -f mpegts udp://127.0.0.1:{port}?pkt_size=1316")
            case "rtmp":
                url = f"rtmp://127.0.0.1:{self._rtmp_port}/{publication.name}"
                if (video, audio) == ("h264", "aac"):
                    return shlex.split(f"{ffmpeg} -f flv {url}")
                coded = self._movie.with_stem(publication.name)
                recode = f"ffmpeg -nostdin -v error -i {self._movie} {coding} {coded}"
                subprocess.run(shlex.split(recode), check=True, timeout=60)
                return [sys.executable, str(_REMUX), str(coded), url]
        raise AssertionError(publication)


def udp_port() -> int:
    """A UDP port that is free at this moment."""
    rtp, rtcp = udp_pair("127.0.0.1")
    with rtp, rtcp:
        return int(rtp.getsockname()[1])


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-600:] or "it says nothing"
