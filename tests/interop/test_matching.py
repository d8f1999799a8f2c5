"""Streams in one codec, players of another: what is made for whom, and for how long."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.interop.movies import Movie, MovieShelf, make
from tests.interop.raw_rtsp import Answer, RawRtsp
from tests.interop.rtmp_serving import RtmpUnderTest
from tests.interop.serving import COMMAND, RunningServer, serving, streamsocket
from tests.interop.test_networks import SERVER, Namespaces, ip
from tests.interop.test_publisher import number_of, publishing, until_live

import streamsocket as ss
from streamsocket.media.codec import H264, Aac

SECONDS = 6
"""Long enough for two flashes with beeps after joining, on a machine that is busy."""
RATE = 25

QUERIES = {
    "film?audio=opus": ["h264", "opus"],
    "film?video=vp8": ["vp8", "aac"],
    "film?video=vp8&audio=opus": ["vp8", "opus"],
    "surround?audio=opus": ["h264", "opus"],
    "opus?audio=aac": ["h264", "aac"],
}


def probe(url: str, seconds: int = SECONDS, *options: str) -> dict[str, Any]:
    done = streamsocket("probe", url, "--seconds", str(seconds), "--json", *options, timeout_s=60)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def eventually(holds: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def renditions(server: RunningServer, name: str) -> list[tuple[str, str]]:
    """What is made of what, at the moment."""
    made = server.stream(name)["renditions"]
    return sorted((each["made_of"], each["track"]["codec"]) for each in made)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Films that don't end while they are watched: the sound of each ends a little later than the
    picture, which is made up for little by little when they begin again."""
    folder = tmp_path_factory.mktemp("films")
    film, surround, opus = folder / "film.mp4", folder / "surround.mp4", folder / "opus.mkv"
    # Its only keyframe is soon long gone, and a file makes none on request.
    make(Movie(b_frames=3, seconds=Fraction(40), gop_s=40), film)
    for path, sound in (
        (surround, "-af pan=5.1|c0=c0|c1=c1|c2=c0|c3=c0|c4=c0|c5=c1"),
        (opus, "-c:a libopus"),
    ):
        command = ["ffmpeg", "-v", "error", "-i", str(film), "-c:v", "copy", *sound.split()]
        subprocess.run([*command, str(path)], check=True, timeout=60)
    sources = f"film={film}", f"surround={surround}", f"opus={opus}", "test=test:320x180@25"
    with serving(*sources) as running:
        yield running


@dataclass
class Watched:
    """What probes saw that ran side by side, and what the server made for them."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    most_viewers: dict[tuple[str, str], int] = field(default_factory=dict)
    """Of the film's renditions, by what is made of what."""
    at_once: int = 0
    """So many renditions of the film at a time, at most."""

    def look(self, server: RunningServer) -> None:
        made = server.stream("film")["renditions"]
        self.at_once = max(self.at_once, len(made))
        for each in made:
            key = each["made_of"], each["track"]["codec"]
            self.most_viewers[key] = max(self.most_viewers.get(key, 0), each["viewers"])


@pytest.fixture(scope="module")
def left_alone(server: RunningServer) -> tuple[str, str]:
    """A rendition that somebody asked for, who went away."""
    with RawRtsp(server.url("opus?video=vp8")) as player:
        assert player.describe().status == 200
    made = "h264", "vp8"
    eventually(lambda: made in renditions(server, "opus"), 5, "it is not shown")
    message = server.stream("opus")["message"]
    assert "H.264 is transcoded to VP8 for those who can't play it." in message
    return made


@pytest.fixture(scope="module")
def watched(server: RunningServer, left_alone: tuple[str, str]) -> Watched:
    watched = Watched()
    with ThreadPoolExecutor(len(QUERIES)) as pool:
        probes = {
            query: pool.submit(
                probe, server.url(query), SECONDS, "--transport", "tcp" if "&" in query else "auto"
            )
            for query in QUERIES
        }
        while not all(each.done() for each in probes.values()):
            watched.look(server)
            time.sleep(0.2)
        watched.reports = {query: each.result() for query, each in probes.items()}
    return watched


@pytest.mark.parametrize("query", QUERIES)
def test_everybody_gets_what_is_asked_for_whole_and_in_sync(watched: Watched, query: str) -> None:
    report = watched.reports[query]
    picture, sound = report["tracks"]
    assert [picture["codec"], sound["codec"]] == QUERIES[query]
    assert picture["size"] == [320, 180]
    assert picture["media_frame_rate"] == pytest.approx(RATE, rel=0.01)
    assert picture["frame_rate"] == pytest.approx(RATE, rel=0.1)
    for track in report["tracks"]:
        assert track["lost"] == track["malformed"] == track["decode_errors"] == 0
        assert track["damaged_frames"] == 0
    assert report["sync"]["n"] >= 2
    assert report["sync"]["p95_ms"] <= 20


def test_it_is_carried_over_tcp_too(watched: Watched) -> None:
    tracks = watched.reports["film?video=vp8&audio=opus"]["tracks"]
    assert [track["transport"] for track in tracks] == ["tcp", "tcp"]


def test_all_who_need_it_share_one(watched: Watched) -> None:
    assert watched.most_viewers == {("h264", "vp8"): 2, ("aac", "opus"): 2}
    assert watched.at_once == 2


def test_a_transcoder_that_dies_comes_back_and_nobody_else_notices(server: RunningServer) -> None:
    others = transcoders(server)
    with ThreadPoolExecutor(2) as pool:
        converted = pool.submit(probe, server.url("surround?video=vp8"), 7)
        plain = pool.submit(probe, server.url("surround"), 7)
        eventually(
            lambda: any(
                each["viewers"] and each["made_of"] == "h264" and each["track"]["packets"] > 50
                for each in server.stream("surround")["renditions"]
            ),
            10,
            "nothing is made",
        )
        (transcoder,) = set(transcoders(server)) - set(others)
        os.kill(transcoder, signal.SIGKILL)
        picture = converted.result()["tracks"][0]
        assert picture["damaged_frames"] == 0
        assert picture["units"] > 4 * RATE
        whole = plain.result()["tracks"]
        assert [track["lost"] for track in whole] == [0, 0]
        assert whole[0]["frame_rate"] == pytest.approx(RATE, rel=0.1)


def test_the_picture_goes_on_when_its_publisher_returns(server: RunningServer) -> None:
    url = server.url("camera")
    with publishing(url):
        until_live(server, "camera")
        subscriber = ss.Subscriber(f"{url}?video=vp8")
        subscriber.open()
        try:
            while number_of(subscriber.read(10).image) < 60:
                pass  # the first publisher counts on
            assert renditions(server, "camera") == [("h264", "vp8")]
        except BaseException:
            subscriber.close()
            raise
    try:
        with publishing(url):
            until_live(server, "camera")
            deadline = time.monotonic() + 3
            while number_of(subscriber.read(deadline - time.monotonic()).image) > 50:
                pass  # the last of the first one's
            assert subscriber.tracks["video"] == "vp8"
    finally:
        subscriber.close()


def test_a_stream_that_ends_takes_its_transcoders_with_it(server: RunningServer) -> None:
    others = transcoders(server)
    with publishing(server.url("short")):
        until_live(server, "short")
        with RawRtsp(server.url("short?video=vp8")) as player:
            assert player.describe().status == 200
        eventually(lambda: bool({*transcoders(server)} - {*others}), 5, "there is no transcoder")
    with publishing(server.url("short"), codec="vp8"):  # which viewers can't go on with
        until_live(server, "short")
        eventually(lambda: not {*transcoders(server)} - {*others}, 5, "a transcoder is left over")


@contextmanager
def browserlike(server: RunningServer, name: str) -> Iterator[None]:
    """Publish VP8 and Opus by WHIP, as browsers do."""
    url = f"http://{server.host}:{server.http_port}/{name}/whip"
    process = subprocess.Popen(
        [*COMMAND, "publish", "test:320x180@25", url, "--codec", "vp8+opus"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until_live(server, name)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def test_what_browsers_send_plays_everywhere(tmp_path: Path) -> None:
    settings = tmp_path / "streamsocket.toml"
    options = ("--webrtc-port", "0", "--rtmp-port", "0", "--config", str(settings))
    with RtmpUnderTest() as rtmp:
        settings.write_text(f'[[forward]]\nstreams = "desk"\nurl = "{rtmp.url()}"\n')
        with serving(wait_for=(), options=options) as server, browserlike(server, "desk"):
            with RawRtsp(server.url("desk")) as player:
                assert _offered(_describe(player, "NVR/1.0")) == ["H264/90000", "OPUS/48000/2"]
            with RawRtsp(server.url("desk")) as player:
                assert _offered(_describe(player, "Lavf59.27.100")) == ["VP8/90000", "OPUS/48000/2"]
            with ThreadPoolExecutor(2) as pool:
                url = server.url("desk")
                recorder, ffmpeg = pool.map(lambda name: _played(url, name), ("NVR/1.0", None))
            assert recorder.codecs == ["h264", "opus"]
            assert ffmpeg.codecs == ["vp8", "opus"]
            assert min(recorder.pictures, ffmpeg.pictures) >= 2 * RATE
        [received] = rtmp.finished(1)
        assert [type(track.codec) for track in received.tracks] == [H264, Aac]
        assert len(received.frames("video")) >= 2 * RATE
        # The first flash may have come before the sound.
        offsets = [each for each in received.sound_minus_picture_s() if abs(each) < 0.5]
        assert len(offsets) >= 2
        assert max(map(abs, offsets)) < 0.04


def test_it_is_carried_by_multicast(
    cannot_test: Callable[[str], NoReturn], movies: MovieShelf, tmp_path: Path
) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text('[multicast]\nnetwork = "239.255.43.0/24"\n')
    found = Namespaces(1500)
    with ExitStack() as stack:
        stack.callback(found.remove)
        if refusal := found.make():
            cannot_test(f"multicast between machines, as namespaces are refused here ({refusal})")
        done = ip("-n", found.viewer, "route", "add", "224.0.0.0/4", "dev", "cable1")
        assert done.returncode == 0, done.stderr
        server = stack.enter_context(
            serving(
                f"movie={movies['b_frames']}",
                host=SERVER,
                options=["--config", str(settings)],
                prefix=["ip", "netns", "exec", found.server],
            )
        )
        command = [*COMMAND, "probe", server.url("movie?video=vp8&audio=opus"), "--json"]
        command += ["--transport", "multicast", "--seconds", "3"]
        done = found.run(*command, namespace=found.viewer)
        assert done.returncode == 0, done.stderr
        tracks = json.loads(done.stdout)["tracks"]
        assert [track["codec"] for track in tracks] == ["vp8", "opus"]
        for track in tracks:
            assert track["transport"] == "multicast"
            assert track["lost"] == track["decode_errors"] == 0
            assert track["decoded"] > RATE


def test_more_than_the_server_makes_are_refused_in_words(tmp_path: Path) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text("[transcoding]\nmax = 1\n")
    with serving("test=test:320x180@25", options=("--config", str(settings))) as server:
        with RawRtsp(server.url("test?video=vp8")) as player:
            assert player.describe().status == 200
        refusal = _refusal(server.url("test?audio=aac"))
        assert refusal.status == 503
        assert "1 track is being transcoded already, the most this server does" in refusal.reason
        with RawRtsp(server.url("test?video=vp8")) as player:  # which is made already
            assert player.describe().status == 200


def test_strangers_play_what_is_made(server: RunningServer) -> None:
    played = _played(server.url("test?audio=aac"))
    assert played.codecs == ["h264", "aac"]
    # Who is the first to need a rendition is told by RTP-Info where it will begin.
    assert max(played.starts_s) < 2
    assert _played(server.url("test?video=vp8&audio=aac")).codecs == ["vp8", "aac"]


def test_a_codec_that_nobody_knows_is_refused_in_words(server: RunningServer) -> None:
    refusal = _refusal(server.url("test?video=theora"))
    assert refusal.status == 400
    assert "'theora' is no video codec" in refusal.reason


def test_where_transcoding_is_off_the_refusal_says_what_would_help(tmp_path: Path) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text("[transcoding]\nenabled = false\n")
    with serving("test=test:320x180@25", options=("--config", str(settings))) as server:
        refusal = _refusal(server.url("test?video=vp8&audio=aac"))
        assert refusal.status == 406
        assert "The video is H.264, which the player doesn't take." in refusal.reason
        assert "switch transcoding on" in refusal.reason


def test_it_ends_when_nobody_takes_it_any_more(
    server: RunningServer, left_alone: tuple[str, str]
) -> None:
    eventually(
        lambda: left_alone not in renditions(server, "opus"),
        20,
        "the transcoder goes on without viewers",
    )


def _refusal(url: str) -> Answer:
    with RawRtsp(url) as player:
        return player.describe()


def _describe(player: RawRtsp, user_agent: str) -> Answer:
    return player.ask("DESCRIBE", Accept="application/sdp", **{"User-Agent": user_agent})


def _offered(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    lines = [line for line in answer.body.splitlines() if line.startswith("a=rtpmap:")]
    return [line.partition(" ")[2].replace("opus", "OPUS") for line in lines]


@dataclass(frozen=True)
class _Played:
    codecs: list[str]
    starts_s: list[float]
    """Where each track begins, by FFmpeg's clock."""
    pictures: int


def _played(url: str, user_agent: str | None = None) -> _Played:
    """What FFmpeg plays for three seconds, under a name of its own or another."""
    command = ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-timeout", "5000000"]
    command += ["-user_agent", user_agent] if user_agent else []
    command += ["-read_intervals", "%+3", "-count_frames", "-of", "json"]
    command += ["-show_entries", "stream=codec_name,start_time,nb_read_frames", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    streams = json.loads(done.stdout)["streams"]
    return _Played(
        [each["codec_name"] for each in streams],
        [float(each["start_time"]) for each in streams],
        int(streams[0]["nb_read_frames"]),
    )


def transcoders(server: RunningServer) -> list[int]:
    """The processes of the server's that make renditions."""
    found = []
    for task in Path(f"/proc/{server.process.pid}/task").glob("*/children"):
        for child in task.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"streamsocket.transcode.worker" in command:
                found.append(int(child))
    return found
