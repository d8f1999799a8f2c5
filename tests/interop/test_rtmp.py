"""Real encoders publish over RTMP, and RTMP goes on to real servers."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import pytest
from tests.interop.movies import MovieShelf
from tests.interop.ports import free_ports
from tests.interop.rtmp_serving import Received, RtmpUnderTest

from streamsocket.errors import ConnectError, StreamSocketError
from streamsocket.media.codec import H264, H265, Aac, Opus
from streamsocket.rtmp.address import parse_push_url
from streamsocket.rtmp.chunks import MessageType
from streamsocket.rtmp.client import RtmpPush
from streamsocket.rtmp.client_protocol import Accepted, ClientProtocol

_FRAME_S = 0.04
_SYNC_S = 0.045
"""A frame of the picture, and what the codec of the sound smears."""


@pytest.fixture
def rtmp() -> Iterator[RtmpUnderTest]:
    with RtmpUnderTest() as under_test:
        yield under_test


def _ffmpeg(*arguments: str, ok: bool = True) -> str:
    """Run FFmpeg; returns what it says."""
    command = ["ffmpeg", "-nostdin", "-v", "error", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert not ok or result.returncode == 0, result.stderr
    return result.stderr


def _even(times: list[float], step: float) -> bool:
    return all(abs(later - before - step) < 0.0015 for before, later in pairwise(sorted(times)))


def _check_sync(received: Received, flashes: int, *, is_live: bool = True) -> None:
    off = received.sound_minus_picture_s()
    assert len(off) == flashes
    assert all(abs(each) < _SYNC_S for each in off), off
    if is_live:
        # Both tracks are captured by one clock: sender reports will say the same.
        first, second = received.clock_offsets()
        assert abs(first - second) < 0.005


@pytest.mark.parametrize("name", ["pal", "b_frames"])
def test_ffmpeg_publishes_a_movie(rtmp: RtmpUnderTest, movies: MovieShelf, name: str) -> None:
    _ffmpeg("-re", "-i", str(movies[name]), "-c", "copy", "-f", "flv", rtmp.url())
    (received,) = rtmp.finished()
    assert received.name == "live/x"
    video, audio = received.tracks
    assert isinstance(video.codec, H264)
    assert video.codec.size == (320, 180)
    assert video.frame_rate == 25
    assert isinstance(audio.codec, Aac)
    assert audio.codec.clock_rate == 48_000
    assert len(received.frames("video")) == 100
    assert _even(received.seconds("video"), _FRAME_S)
    ticks = [batch.timestamp for batch in received.batches[1]]
    assert {later - before for before, later in pairwise(ticks)} == {1024}
    assert len(ticks) >= 187
    _check_sync(received, flashes=4)
    assert received.jumps == 0
    assert not rtmp.server.refused


def test_two_sessions_one_after_the_other(rtmp: RtmpUnderTest, movies: MovieShelf) -> None:
    for _ in range(2):
        _ffmpeg("-i", str(movies["second"]), "-c", "copy", "-f", "flv", rtmp.url("lobby"))
    first, second = rtmp.finished(2)
    for received in (first, second):
        assert received.name == "lobby"
        assert len(received.frames("video")) == 25


def test_ffmpeg_encodes_live(rtmp: RtmpUnderTest) -> None:
    source = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"]
    _ffmpeg(*source, *coding, "-f", "flv", rtmp.url())
    (received,) = rtmp.finished()
    assert [track.kind for track in received.tracks] == ["video"]
    assert len(received.frames("video")) == 50


# What goes wrong with timestamps.


def _jump(after: int, by_ms: int) -> str:
    """A bitstream filter that moves what comes after so many packets."""
    jump = f"gte(N\\,{after})*{by_ms}"
    return f"setts=pts=PTS+{jump}:dts=DTS+{jump}"


def test_ffmpegs_timestamps_jump_forward(rtmp: RtmpUnderTest, movies: MovieShelf) -> None:
    jump = ["-bsf:v", _jump(50, 5_000_000), "-bsf:a", _jump(94, 5_000_000)]
    _ffmpeg("-re", "-i", str(movies["pal"]), "-c", "copy", *jump, "-f", "flv", rtmp.url())
    (received,) = rtmp.finished()
    assert received.jumps == 1
    assert len(received.frames("video")) == 100
    seconds = received.seconds("video")
    assert seconds[-1] - seconds[0] == pytest.approx(99 * _FRAME_S, abs=0.1)
    _check_sync(received, flashes=4)


def test_ffmpegs_sound_jumps_alone(rtmp: RtmpUnderTest, movies: MovieShelf) -> None:
    # Without waiting to interleave tracks that are a minute apart.
    jump = ["-bsf:a", _jump(94, 60_000), "-max_interleave_delta", "1"]
    _ffmpeg("-re", "-i", str(movies["pal"]), "-c", "copy", *jump, "-f", "flv", rtmp.url())
    (received,) = rtmp.finished()
    assert received.jumps == 1
    _check_sync(received, flashes=4)


def test_ffmpegs_timestamps_wrap(rtmp: RtmpUnderTest, movies: MovieShelf) -> None:
    """FFmpeg's do so at 31 bits, back to 0."""
    offset = ["-output_ts_offset", str(((1 << 31) - 2000) / 1000)]
    _ffmpeg("-re", "-i", str(movies["pal"]), "-c", "copy", *offset, "-f", "flv", rtmp.url())
    (received,) = rtmp.finished()
    assert received.jumps == 1
    assert _even(received.seconds("video"), _FRAME_S)
    _check_sync(received, flashes=4)


class FlvTag:
    """A tag of an FLV file (E.4.1)."""

    def __init__(self, data: bytes, start: int) -> None:
        size = int.from_bytes(data[start + 1 : start + 4], "big")
        self.type_id = data[start]
        self.timestamp = data[start + 7] << 24 | int.from_bytes(data[start + 4 : start + 7], "big")
        self.body = data[start + 11 : start + 11 + size]
        self.end = start + 11 + size + 4

    @property
    def is_configuration(self) -> bool:
        return self.body[1:2] == b"\x00"


def _flv_tags(movie: Path, folder: Path) -> list[FlvTag]:
    path = folder / f"{movie.stem}.flv"
    _ffmpeg("-y", "-i", str(movie), "-c", "copy", "-f", "flv", str(path))
    data, tags, position = path.read_bytes(), [], 13
    while position < len(data):
        tags.append(FlvTag(data, position))
        position = tags[-1].end
    return [tag for tag in tags if tag.type_id in (MessageType.AUDIO, MessageType.VIDEO)]


async def _publish(url: str, tags: list[FlvTag], due_ms: list[int]) -> None:
    """Send the tags as they are, each when it is due."""
    address = parse_push_url(url)
    client = ClientProtocol(address)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(url.split(":")[2].split("/")[0])
    )
    writer.write(client.data_to_send())
    events: list[object] = []
    while Accepted() not in events:
        events += client.receive(await asyncio.wait_for(reader.read(65536), 5))
        writer.write(client.data_to_send())
    begin = asyncio.get_running_loop().time()
    for tag, due in zip(tags, due_ms, strict=True):
        await asyncio.sleep(begin + due / 1000 - asyncio.get_running_loop().time())
        kind = "audio" if tag.type_id == MessageType.AUDIO else "video"
        writer.write(client.media(kind, tag.timestamp, tag.body))  # type: ignore[arg-type]
    writer.write(client.goodbye())
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("name", ["pal", "b_frames"])
def test_an_encoder_that_begins_again_at_zero(
    rtmp: RtmpUnderTest, movies: MovieShelf, tmp_path: Path, name: str
) -> None:
    tags = _flv_tags(movies[name], tmp_path)
    due = [tag.timestamp for tag in tags]
    again = [tag for tag in tags if not tag.is_configuration]
    end = max(due)
    due += [end + 40 + tag.timestamp for tag in again]
    asyncio.run(_publish(rtmp.url(), tags + again, due))
    (received,) = rtmp.finished()
    assert received.jumps == 1
    assert len(received.frames("video")) == 200
    _check_sync(received, flashes=8)


def test_an_encoder_that_changes_its_picture(
    rtmp: RtmpUnderTest, movies: MovieShelf, tmp_path: Path
) -> None:
    tags = _flv_tags(movies["second"], tmp_path)
    large = tmp_path / "wide.mp4"
    _ffmpeg("-i", str(movies["second"]), "-vf", "scale=480:270", "-c:a", "copy", str(large))
    changed = _flv_tags(large, tmp_path)
    for tag in changed:
        tag.timestamp += 1000
    due = [tag.timestamp for tag in tags + changed]
    asyncio.run(_publish(rtmp.url(), tags + changed, due))
    first, second = rtmp.finished(2)
    assert [each.tracks[0].codec.size for each in (first, second)] == [(320, 180), (480, 270)]  # type: ignore[union-attr]
    assert len(first.frames("video")) == len(second.frames("video")) == 25


# Others than FFmpeg 5 with H.264.


def test_h265_and_opus_over_enhanced_rtmp(rtmp: RtmpUnderTest) -> None:
    pusher = Path(__file__).parent / "peers" / "enhanced_rtmp.py"
    subprocess.run([sys.executable, str(pusher), rtmp.url()], check=True, timeout=30)
    (received,) = rtmp.finished()
    first, second = (track.codec for track in received.tracks)
    assert isinstance(first, H265)
    assert isinstance(second, Opus)
    assert first.size == (320, 180)
    assert len(received.frames("video")) == 50
    assert {
        later - before for before, later in pairwise(b.timestamp for b in received.batches[1])
    } == {960}
    off = received.sound_minus_picture_s()
    assert len(off) == 2
    assert all(abs(each) < _SYNC_S for each in off), off


@pytest.mark.parametrize("sink", ["rtmpsink", "rtmp2sink"])
def test_gstreamer_publishes(rtmp: RtmpUnderTest, sink: str) -> None:
    """`rtmpsink` is librtmp, which OBS has inside, too."""
    picture = (
        "videotestsrc num-buffers=50 is-live=true ! video/x-raw,width=320,height=180,framerate=25/1"
    )
    sound = (
        "audiotestsrc num-buffers=94 is-live=true samplesperbuffer=1024 ! audio/x-raw,rate=48000"
    )
    location = rtmp.url() + (" live=1" if sink == "rtmpsink" else "")
    pipeline = f"{picture} ! x264enc tune=zerolatency key-int-max=25 ! mux. "
    pipeline += f"{sound} ! avenc_aac ! aacparse ! mux. "
    pipeline += f'flvmux name=mux streamable=true ! {sink} location="{location}"'
    command = ["gst-launch-1.0", "-q", *shlex.split(pipeline)]
    subprocess.run(command, check=True, timeout=30, capture_output=True)
    (received,) = rtmp.finished()
    assert [track.codec.name for track in received.tracks] == ["h264", "aac"]
    assert 48 <= len(received.frames("video")) <= 50
    assert len(received.frames("audio")) >= 90


# Who is refused is told why.


def test_mp3_is_refused_with_a_sentence(rtmp: RtmpUnderTest) -> None:
    source = ["-re", "-f", "lavfi", "-i", "sine=duration=5"]
    said = _ffmpeg(*source, "-c:a", "libmp3lame", "-f", "flv", rtmp.url(), ok=False)
    assert "The sound is MP3, which is not taken here: choose AAC or Opus." in said


class _Door:
    """Lets in who knows the password."""

    async def admit(
        self,
        action: Literal["publish", "watch"],
        name: str,
        host: str,
        user: str | None,
        password: str | None,
    ) -> None:
        if (name, user, password) != ("live/x", "eva", "s3cr&t"):
            raise StreamSocketError(f"To publish '{name}', log in.")


@pytest.mark.parametrize("key", ["live/x?user=eva&pass=s3cr%26t", "live?user=eva&pass=s3cr%26t/x"])
def test_ffmpeg_brings_name_and_password(movies: MovieShelf, key: str) -> None:
    with RtmpUnderTest(_Door()) as rtmp:
        publish = ["-i", str(movies["second"]), "-c", "copy", "-f", "flv"]
        said = _ffmpeg(*publish, rtmp.url(), ok=False)
        assert "To publish 'live/x', log in." in said
        _ffmpeg(*publish, rtmp.url(key))
        (received,) = rtmp.finished()
        assert received.name == "live/x"


def test_who_watches_is_told_where(rtmp: RtmpUnderTest) -> None:
    said = _ffmpeg("-i", rtmp.url("live/lobby"), "-f", "null", "-", ok=False)
    assert "watch rtsp://…/live/lobby instead" in said


# And out again.


def _received(movie: Path) -> Received:
    with RtmpUnderTest() as source:
        _ffmpeg("-i", str(movie), "-c", "copy", "-f", "flv", source.url())
        (received,) = source.finished()
    return received


async def _push(url: str, received: Received, patience_s: float = 5) -> RtmpPush:
    push = RtmpPush()
    deadline = asyncio.get_running_loop().time() + patience_s
    while not push.is_open:  # the server may not listen yet
        try:
            await push.open(url, received.tracks)
        except ConnectError:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)
    units = [
        (unit.timestamp / track.codec.clock_rate, index, unit)
        for index, track in enumerate(received.tracks)
        for unit in received.units(index)
    ]
    for _, index, unit in sorted(units, key=lambda each: each[:2]):
        push.write(index, unit, unit.timestamp)
        await asyncio.sleep(0.001)
    push.close()
    return push


def test_what_is_pushed_on_to_ourselves_stays_the_same(
    rtmp: RtmpUnderTest, movies: MovieShelf
) -> None:
    original = _received(movies["pal"])
    push = asyncio.run(_push(rtmp.url("on/wards"), original))
    (received,) = rtmp.finished()
    assert push.dropped == 0
    assert received.name == "on/wards"
    assert [t.codec for t in received.tracks] == [t.codec for t in original.tracks]
    for index in (0, 1):
        assert [unit.units for unit in received.units(index)] == [
            unit.units for unit in original.units(index)
        ]
    _check_sync(received, flashes=4, is_live=False)


def test_ffmpeg_takes_what_is_pushed(movies: MovieShelf, tmp_path: Path) -> None:
    original = _received(movies["pal"])
    port, _, _ = free_ports()
    url, path = f"rtmp://127.0.0.1:{port}/live/x", tmp_path / "taken.mkv"
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-listen",
        "1",
        "-i",
        url,
        "-c",
        "copy",
        str(path),
    ]
    with subprocess.Popen(command) as server:
        try:
            asyncio.run(_push(url, original))
            server.wait(10)
        finally:
            server.kill()
    with av.open(str(path)) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == 100
    with av.open(str(path)) as movie:
        assert sum(frame.samples for frame in movie.decode(audio=0)) >= 187 * 1024
