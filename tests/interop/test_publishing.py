"""Publishers, others' and our own, on a real server; and what becomes of their viewers."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.interop import players
from tests.interop.movies import Movie, make
from tests.interop.players import Played, Protocol
from tests.interop.ports import free_ports
from tests.interop.serving import COMMAND, RunningServer, serving
from tests.interop.test_probe_strangers import PYTHON, gst_server

from streamsocket.auth.passwords import hash_password
from streamsocket.client.session import open_url

PUBLISHERS = {
    "ffmpeg-udp": "ffmpeg udp",
    "ffmpeg-tcp": "ffmpeg tcp",
    "gstreamer-udp": "gstreamer udp",
    "gstreamer-tcp": "gstreamer tcp",
    "ours-udp": "ours udp",
    "ours-tcp": "ours tcp",
    "ours-mixed": "ours auto",
}
WATCHED_BY_STRANGERS = ("ffmpeg-udp", "gstreamer-tcp", "ours-mixed")
SECONDS = 4.0
RATE = 25
AT_ONCE = 4
LIVE_S = 20.0
BACK_S = 2.0
"""How long after a publisher's return its viewers see pictures again, at most."""


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of H.264 and AAC, with a flash and a beep every second."""
    path = tmp_path_factory.mktemp("publishing") / "movie.mp4"
    make(Movie(Fraction(RATE), seconds=Fraction(60)), path)
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(wait_for=(), options=_own_rtmp_port()) as running:
        yield running


@pytest.fixture(scope="module")
def gst_is_there(cannot_test: Callable[[str], NoReturn]) -> None:
    imports = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([PYTHON, "-c", imports], capture_output=True, check=False).returncode:
        cannot_test("gst-rtsp-server beside ours, as its Python bindings are not installed")


def _own_rtmp_port() -> list[str]:
    return ["--rtmp-port", str(free_ports()[0])]


def command(publisher: str, movie: Path, url: str) -> list[str]:
    """What publishes the movie, at its own pace and as it is."""
    program, transport = publisher.split()
    match program:
        case "ffmpeg":
            return shlex.split(
                f"ffmpeg -nostdin -v warning -re -i {movie} -c copy "
                f"-f rtsp -rtsp_transport {transport} {url}"
            )
        case "gstreamer":
            return shlex.split(
                f"gst-launch-1.0 -q filesrc location={movie} ! qtdemux name=d "
                f"rtspclientsink name=s location={url} protocols={transport} "
                "sink_1::payloader=rtpmp4gpay "
                "d.video_0 ! queue ! h264parse ! s.sink_0 d.audio_0 ! queue ! aacparse ! s.sink_1"
            )
        case _:
            return [*COMMAND, "publish", str(movie), url, "--transport", transport]


@contextmanager
def publishing(publisher: str, movie: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """Publish until the block ends."""
    with subprocess.Popen(
        command(publisher, movie, url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
            process.send_signal(signal.SIGINT)
            process.wait(5)
        finally:
            process.kill()


def wait_for_state(server: RunningServer, name: str, state: str) -> None:
    deadline = time.monotonic() + LIVE_S
    while True:
        try:
            if server.stream(name)["state"] == state:
                return
        except StopIteration:
            pass  # it isn't there yet
        assert time.monotonic() < deadline, f"'{name}' is not {state}:\n{server.output()}"
        time.sleep(0.05)


# Everybody publishes, and everybody watches.


def _probe(url: str) -> dict[str, Any]:
    """What comes; who looks while all begin may decode too little of it to compare: once more."""
    report = players.probe(url, "auto", SECONDS)
    return report if report["sync"] else players.probe(url, "auto", SECONDS)


@pytest.fixture(scope="module")
def played(server: RunningServer, movie: Path) -> dict[tuple[str, str], Future[Any]]:
    """What players have seen of every publisher's stream, all live at the same time."""
    watch: dict[str, Callable[[str], object]] = {
        "probe": _probe,
        "ffmpeg": lambda url: players.ffmpeg(url, "tcp", SECONDS),
        "gstreamer": lambda url: players.gstreamer(url, "udp", SECONDS),
    }
    with ExitStack() as stack:
        for name, publisher in PUBLISHERS.items():
            stack.enter_context(publishing(publisher, movie, server.url(name)))
        for name in PUBLISHERS:
            wait_for_state(server, name, "live")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return {
                (player, name): pool.submit(play, server.url(name))
                for player, play in watch.items()
                for name in (PUBLISHERS if player == "probe" else WATCHED_BY_STRANGERS)
            }


@pytest.mark.parametrize("name", PUBLISHERS)
def test_what_is_published_arrives_whole_and_in_sync(
    played: dict[tuple[str, str], Future[Any]], name: str
) -> None:
    report = played["probe", name].result()
    picture, sound = report["tracks"]
    assert (picture["codec"], sound["codec"]) == ("h264", "aac")
    assert picture["size"] == [320, 180]
    assert picture["media_frame_rate"] == pytest.approx(RATE, rel=0.01)
    assert picture["frame_rate"] > 0.8 * RATE, "GStreamer may have something to catch up with"
    for track in report["tracks"]:
        assert track["lost"] == track["malformed"] == track["decode_errors"] == 0
        assert track["damaged_frames"] == 0
    assert report["sync"], report
    assert report["sync"]["n"] >= 2
    assert report["sync"]["p95_ms"] <= 45


@pytest.mark.parametrize("name", WATCHED_BY_STRANGERS)
@pytest.mark.parametrize("player", ["ffmpeg", "gstreamer"])
def test_strangers_play_what_is_published(
    played: dict[tuple[str, str], Future[Played]], player: str, name: str
) -> None:
    seen = played[player, name].result()
    assert seen.pictures >= 0.7 * SECONDS * RATE, seen.complaints
    assert seen.sound_s >= 0.7 * SECONDS, seen.complaints
    if seen.picture_times_s:
        assert seen.frame_rate == pytest.approx(RATE, rel=0.02)


@pytest.mark.parametrize("publisher", ["ffmpeg tcp", "gstreamer udp", "gstreamer tcp"])
def test_strangers_end_without_complaint(
    server: RunningServer, movie: Path, publisher: str
) -> None:
    name = publisher.replace(" ", "-ends-")
    with publishing(publisher, movie, server.url(name)) as process:
        wait_for_state(server, name, "live")
        time.sleep(0.5)  # GStreamer's elements are still busy with their beginning
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=10)
    assert complaints == ""
    assert process.returncode in (0, 255), "FFmpeg's is 255"


def test_strangers_publish_and_play_over_tls(movie: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    port = free_ports()[0]
    settings = tmp_path / "streamsocket.toml"
    settings.write_text(f'[rtsps]\nport = {port}\ncertificate = "{certificate}"\nkey = "{key}"\n')
    options = [*_own_rtmp_port(), "--config", str(settings)]
    url = f"rtsps://127.0.0.1:{port}/cam"
    with serving(wait_for=(), options=options) as server:
        with publishing("ffmpeg tcp", movie, url):
            wait_for_state(server, "cam", "live")
            seen = players.ffmpeg(url, "tcp", 2)
            assert seen.pictures > RATE, seen.complaints
            report = players.probe(f"{url}#insecure", "auto", 1)
            assert {track["transport"] for track in report["tracks"]} == {"tcp"}
        with publishing("ours auto", movie, f"{url}2#insecure"):
            wait_for_state(server, "cam2", "live")
        distrusted = subprocess.run([*COMMAND, "probe", url], capture_output=True, text=True)
        assert "The certificate of 127.0.0.1" in distrusted.stderr
        assert distrusted.stderr.count("\n") == 1


# Ours, published on strangers' servers.


@pytest.mark.parametrize(
    ("protocols", "transport"),
    [("any", "auto"), ("any", "udp"), ("tcp", "auto"), ("udp", "auto")],
)
def test_gstreamers_server_takes_what_we_publish(
    gst_is_there: None, movie: Path, protocols: str, transport: str
) -> None:
    script = Path(__file__).parent / "peers" / "gst_recorder.py"
    with subprocess.Popen(
        [PYTHON, str(script), "--protocols", protocols, "--seconds", "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as recorder:
        assert recorder.stdout
        try:
            url = recorder.stdout.readline().strip()
            with publishing(f"ours {transport}", movie, url):
                recorder.wait(15)
            pictures, sounds = map(int, recorder.stdout.readline().split())
        finally:
            recorder.kill()
    assert pictures > 1.5 * RATE
    assert sounds > 1.5 * 46.875


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_ffmpeg_listens_to_what_we_publish(movie: Path, transport: str) -> None:
    url = f"rtsp://127.0.0.1:{free_ports()[0]}/test"
    listen = f"ffprobe -v error -rtsp_flags listen -i {url} -read_intervals %+2 -count_frames"
    entries = "-show_entries stream=codec_name,nb_read_frames -of csv=p=0"
    with subprocess.Popen(
        shlex.split(f"{listen} {entries}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as ffmpeg:  # fmt: skip
        try:
            _wait_until_listening(ffmpeg.pid)
            with publishing(f"ours {transport}", movie, url):
                said, complaints = ffmpeg.communicate(timeout=15)
        finally:
            ffmpeg.kill()
    frames = dict(line.split(",") for line in said.split())
    assert int(frames["h264"]) > 1.5 * RATE, complaints
    assert int(frames["aac"]) > 1.5 * 46.875, complaints


def _wait_until_listening(pid: int) -> None:
    """Without connecting: FFmpeg listens to one connection only."""
    deadline = time.monotonic() + 10
    while True:
        inodes = {
            link.removeprefix("socket:[").removesuffix("]")
            for each in Path(f"/proc/{pid}/fd").iterdir()
            if (link := os.readlink(each)).startswith("socket:")
        }
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if any(row[3] == "0A" and row[9] in inodes for row in rows):
            return
        assert time.monotonic() < deadline, "FFmpeg doesn't listen"
        time.sleep(0.02)


# Publishers that go and return.


class Watching:
    """Our own client, and when it has received pictures."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.pictures: list[float] = []
        self.keyframes: list[float] = []

    async def run(self) -> None:
        async with open_url(self._url, transport="tcp", timeout_s=20) as session:
            async for received in session:
                if session.tracks[received.track].kind == "video":
                    self.pictures.append(time.monotonic())
                    if received.unit.keyframe:
                        self.keyframes.append(time.monotonic())

    async def pictures_since(self, moment: float, within_s: float) -> float:
        """The first keyframe's arrival after that moment."""
        async with asyncio.timeout(within_s):
            while not self.keyframes or self.keyframes[-1] < moment:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return next(each for each in self.keyframes if each >= moment)


@pytest.mark.parametrize("publisher", ["ffmpeg udp", "ffmpeg tcp", "ours auto"])
def test_viewers_see_pictures_again_when_a_publisher_was_killed_and_returns(
    server: RunningServer, movie: Path, publisher: str
) -> None:
    name = publisher.replace(" ", "-killed-")
    url = server.url(name)

    async def scenario() -> float:
        with publishing(publisher, movie, url) as first:
            await asyncio.to_thread(wait_for_state, server, name, "live")
            watching = Watching(url)
            task = asyncio.create_task(watching.run())
            await watching.pictures_since(0, within_s=10)
            first.kill()
            first.wait()
            killed = time.monotonic()
        await asyncio.to_thread(wait_for_state, server, name, "waiting")
        with publishing(publisher, movie, url):
            await asyncio.to_thread(wait_for_state, server, name, "live")
            live = time.monotonic()
            back = await watching.pictures_since(killed, within_s=10)
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return back - live

    assert asyncio.run(scenario()) < BACK_S


def test_a_strangers_player_goes_on_when_a_publisher_returns(
    server: RunningServer, movie: Path
) -> None:
    url = server.url("returning")
    with ThreadPoolExecutor(1) as pool:
        with publishing("ffmpeg udp", movie, url) as first:
            wait_for_state(server, "returning", "live")
            future = pool.submit(players.ffmpeg, url, "tcp", 6.0)
            deadline = time.monotonic() + 10
            while server.stream("returning")["viewers"] == 0:
                assert time.monotonic() < deadline, "the player doesn't come"
                time.sleep(0.05)
            time.sleep(2)  # it is to have shown something
            first.kill()
        with publishing("ffmpeg udp", movie, url):
            seen = future.result()
    assert seen.pictures > 3.5 * RATE, seen.complaints
    assert max(seen.picture_times_s) - min(seen.picture_times_s) > 5


def test_a_camera_that_was_away_is_played_again(gst_is_there: None) -> None:
    port = str(free_ports()[0])

    async def scenario(server: RunningServer) -> None:
        with gst_server(port=port) as (_, camera):
            await asyncio.to_thread(wait_for_state, server, "door", "live")
            watching = Watching(server.url("door"))
            task = asyncio.create_task(watching.run())
            await watching.pictures_since(0, within_s=10)
            camera.kill()
            camera.wait()
            await asyncio.to_thread(wait_for_state, server, "door", "waiting")
            assert "Trying again" in (server.stream("door")["message"] or "")
        with gst_server(port=port):
            await asyncio.to_thread(wait_for_state, server, "door", "live")
            live = time.monotonic()
            back = await watching.pictures_since(live - 1, within_s=10)
            assert back - live < BACK_S
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    source = f"door=rtsp://127.0.0.1:{port}/test"
    with serving(source, wait_for=(), options=_own_rtmp_port()) as server:
        asyncio.run(scenario(server))


# Users.


def test_users_of_a_settings_file_publish_and_watch(movie: Path, tmp_path: Path) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text(f"""
        [users.alice]
        password = "{hash_password("secret")}"
        publish = ["live/*"]
        watch = ["live/*"]
        [users.bob]
        password = "{hash_password("bobs")}"
        watch = ["live/*"]
    """)

    def publishes(server: RunningServer, who: str, name: str) -> subprocess.CompletedProcess[str]:
        url = server.url(name).replace("//", f"//{who}@" if who else "//")
        return subprocess.run(
            command("ffmpeg tcp", movie, url), capture_output=True, text=True, timeout=20
        )

    options = [*_own_rtmp_port(), "--config", str(settings)]
    with serving(wait_for=(), options=options) as server:
        for who, name, says in (
            ("", "live/cam", "401 Unauthorized"),
            ("alice:wrong", "live/cam", "401 Unauthorized: The name or the password is wrong."),
            ("bob:bobs", "live/cam", "'bob' may not publish 'live/cam'"),
            ("alice:secret", "elsewhere", "'alice' may not publish 'elsewhere'"),
        ):
            done = publishes(server, who, name)
            assert done.returncode != 0
            assert says in done.stderr
        assert server.refused()["unauthorized"] >= 4
        url = server.url("live/cam")
        with publishing("ffmpeg udp", movie, url.replace("//", "//alice:secret@")):
            wait_for_state(server, "live/cam", "live")
            protocol: Protocol = "tcp"
            seen = players.ffmpeg(url.replace("//", "//bob:bobs@"), protocol, 2)
            assert seen.pictures >= RATE
            report = players.probe(url.replace("//", "//bob:bobs@"), "auto", 1)
            assert report["error"] is None
            assert "bobs" not in str(report)
            wrong = subprocess.run(
                ["ffprobe", "-v", "warning", url.replace("//", "//bob:wrong@")],
                capture_output=True,
                text=True,
                timeout=20,
            )
            assert wrong.returncode != 0
            assert "The name or the password is wrong." in wrong.stderr
        assert "secret" not in server.output()
