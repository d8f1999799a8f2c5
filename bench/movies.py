"""The movies that are served: made once, kept in a cache folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from av.audio import AudioStream
from av.filter import Graph
from av.video import VideoStream
from av.video.frame import PictureType

SAMPLE_RATE = 48_000
SAMPLES = 1024
CACHE = Path(tempfile.gettempdir()) / f"streamsocket-bench-{os.getuid()}"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The movie of this name, made if it isn't there; a half-made one is never taken for it."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    path = CACHE / name
    if not path.exists():
        unfinished = path.with_stem(f"unfinished-{os.getpid()}")
        make(unfinished)
        unfinished.rename(path)
    return path


def noisy_movie(
    path: Path,
    *,
    seconds: int,
    size: str = "1280x720",
    rate: Fraction = Fraction(30),
    bit_rate: int = 2_500_000,
    gop_s: float = 2.0,
    b_frames: int = 0,
    sound: str = "aac",
) -> None:
    """A test picture with enough noise to need its bit rate, and a tone, as H.264 in MP4."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
        width, height = (int(side) for side in size.split("x"))
        video = output.add_stream("libx264", rate=rate)
        audio = output.add_stream(sound, rate=SAMPLE_RATE)
        assert isinstance(video, VideoStream)
        assert isinstance(audio, AudioStream)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = video.codec_context.time_base = 1 / rate
        video.bit_rate = bit_rate
        video.gop_size = round(rate * Fraction(gop_s))
        video.max_b_frames = b_frames
        kilobits = bit_rate // 1000
        video.options = {
            "preset": "superfast",
            "x264-params": f"vbv-maxrate={kilobits}:vbv-bufsize={kilobits // 4}:scenecut=0"
            f":sliced-threads=0:bframes={b_frames}:b-adapt=0"
            f":keyint={video.gop_size}:min-keyint={video.gop_size}",
        }
        audio.layout, audio.bit_rate = "stereo", 128_000
        samples = 960 if sound == "libopus" else SAMPLES
        picture = graph(f"testsrc2=size={size}:rate={rate},noise=alls=12:allf=t,format=yuv420p")
        tone = graph(
            f"aevalsrc='0.3*sin(440*2*PI*t)+0.2*(random(0)-0.5)':s={SAMPLE_RATE}:n={samples}"
            ":c=stereo,aformat=sample_fmts=fltp"
        )
        sounded = 0
        for number in range(int(seconds * rate)):
            frame = picture.vpull()
            frame.pts, frame.time_base = number, 1 / rate
            frame.pict_type = PictureType.NONE  # the source says I: each would become a keyframe
            output.mux(video.encode(frame))
            while Fraction(sounded, SAMPLE_RATE) < (number + 1) / rate:
                heard = tone.pull()
                assert isinstance(heard, av.AudioFrame)
                heard.pts = sounded
                sounded += heard.samples
                output.mux(audio.encode(heard))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def remux(source: Path, path: Path) -> None:
    """The same packets in another container."""
    with av.open(str(source)) as movie, av.open(str(path), "w") as output:
        copies = {each.index: output.add_stream_from_template(each) for each in movie.streams}
        for packet in movie.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)


def graph(description: str) -> Graph:
    """A filter graph that makes frames out of nothing."""
    graph = Graph()
    first: av.filter.FilterContext | None = None
    for part in description.split(","):
        name, _, arguments = part.partition("=")
        context = graph.add(name, arguments)
        if first is not None:
            first.link_to(context)
        first = context
    is_video = not description.startswith("a")
    sink = graph.add("buffersink" if is_video else "abuffersink")
    assert first is not None
    first.link_to(sink)
    graph.configure()
    return graph


def vary_frame_rate(source: Path, path: Path) -> None:
    """The same pictures at uneven times: 12 quick ones, then 4 slow ones, over and over."""
    with av.open(str(source)) as movie, av.open(str(path), "w") as output:
        template = movie.streams.video[0]
        video = output.add_stream_from_template(template)
        tick = 1 / Fraction(template.average_rate or 60)
        packets = [packet for packet in movie.demux(template) if packet.pts is not None]
        shown = sorted(packet.pts or 0 for packet in packets)
        order = {pts: number for number, pts in enumerate(shown)}
        for number, packet in enumerate(packets):
            time_base = template.time_base or tick
            delay = _uneven(order[packet.pts or 0]) * tick
            packet.dts = round((_uneven(number) - _uneven(0)) * tick / time_base) - round(
                3 * tick / time_base
            )
            packet.pts = round(delay / time_base)
            packet.stream = video
            output.mux(packet)


def _uneven(number: int) -> int:
    """When the picture with this number is shown, in the even file's ticks."""
    group, place = divmod(number, 16)
    return group * 24 + place + 2 * max(0, place - 11)
