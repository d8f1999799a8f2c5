"""Multicast between two machines: real players share what leaves the server once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NoReturn

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.serving import COMMAND, RunningServer, serving
from tests.interop.test_networks import SERVER, Namespaces, ip

SECONDS = 6.0
START_S = 15.0
MEASURED_S = 2.0
NETWORK = "239.255.42.0/24"

_FFMPEG = """
import json, sys
from tests.interop import players
played = players.ffmpeg(sys.argv[1], "udp_multicast", float(sys.argv[2]))
print(json.dumps([played.pictures, played.sound_s, played.frame_rate, played.complaints]))
"""

_GSTREAMER = f"""
timeout --signal=INT --kill-after=5 {SECONDS + 2} gst-launch-1.0 -v
    rtspsrc protocols=udp-mcast name=r location=URL
    r. ! application/x-rtp,media=video ! decodebin ! queue ! fakesink name=picture silent=false
    r. ! application/x-rtp,media=audio ! decodebin ! queue ! fakesink name=sound silent=false
"""


@pytest.fixture(scope="module")
def namespaces(cannot_test: Callable[[str], NoReturn]) -> Iterator[Namespaces]:
    found = Namespaces(1500)
    with ExitStack() as stack:
        stack.callback(found.remove)
        if refusal := found.make():
            cannot_test(f"multicast between machines, as namespaces are refused here ({refusal})")
        done = ip("-n", found.viewer, "route", "add", "224.0.0.0/4", "dev", "cable1")
        assert done.returncode == 0, done.stderr
        yield found


@pytest.fixture(scope="module")
def server(
    namespaces: Namespaces, movies: MovieShelf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("multicast") / "streamsocket.toml"
    config.write_text(f'[multicast]\nnetwork = "{NETWORK}"\n')
    with serving(
        f"movie={movies['pal']}",
        host=SERVER,
        options=["--config", str(config)],
        prefix=["ip", "netns", "exec", namespaces.server],
    ) as running:
        yield running


def test_three_players_get_every_picture_of_what_is_sent_once(
    namespaces: Namespaces, server: RunningServer
) -> None:
    url = server.url("movie")
    ffmpeg = [sys.executable, "-c", _FFMPEG, url, str(SECONDS)]
    with ThreadPoolExecutor(3) as pool:
        ffmpegs = [pool.submit(_run, namespaces, ffmpeg) for _ in range(2)]
        gstreamer = pool.submit(_run, namespaces, _GSTREAMER.replace("URL", url).split())
        _wait_for_viewers(server, 3, (*ffmpegs, gstreamer))
        sent, streamed = _bytes_sent(namespaces), _bytes_streamed(server)
        time.sleep(MEASURED_S)
        sent, streamed = _bytes_sent(namespaces) - sent, _bytes_streamed(server) - streamed
        assert server.stream("movie")["viewers"] == 3

    # Headers are a small part of it, and so is RTSP itself; a second copy would not be.
    assert streamed > 0
    assert 0.8 * streamed < sent < 1.7 * streamed
    for each in ffmpegs:
        done = each.result()
        assert done.returncode == 0, done.stderr
        pictures, sound_s, frame_rate, complaints = json.loads(done.stdout)
        assert frame_rate == pytest.approx(25, rel=0.01)
        assert pictures >= 24 * (SECONDS - 1)
        assert sound_s == pytest.approx(SECONDS, abs=1)
        assert not complaints
    said = gstreamer.result()
    assert said.stdout.count("picture: last-message = chain") >= 24 * (SECONDS - 2)
    assert said.stdout.count("sound: last-message = chain") >= 40 * (SECONDS - 2)
    assert "ERROR" not in said.stderr


def test_our_own_probe_receives_by_multicast(namespaces: Namespaces, server: RunningServer) -> None:
    options = "--json --transport multicast --seconds 3"
    done = _run(namespaces, [*COMMAND, "probe", server.url("movie"), *options.split()])
    assert done.returncode == 0, done.stderr
    for track in json.loads(done.stdout)["tracks"]:
        assert track["transport"] == "multicast"
        assert track["packets"] > 0
        assert track["lost"] == 0
        assert track["decoded"] > 0


def test_nothing_leaves_when_the_last_one_has_gone(
    namespaces: Namespaces, server: RunningServer
) -> None:
    ffmpeg = f"ffmpeg -v warning -rtsp_transport udp_multicast -i {server.url('movie')} -t 1"
    done = _run(namespaces, [*ffmpeg.split(), "-f", "null", "-"])
    assert done.returncode == 0, done.stderr
    _wait_for_viewers(server, 0)
    streamed, before = _bytes_streamed(server), _bytes_sent(namespaces)
    deadline = time.monotonic() + START_S
    while _bytes_streamed(server) < streamed + 20_000:
        assert time.monotonic() < deadline, "the stream stands still"
        time.sleep(0.05)
    assert _bytes_sent(namespaces) - before < 2000  # ARP, IGMP and their like


def _run(namespaces: Namespaces, command: list[str]) -> subprocess.CompletedProcess[str]:
    return namespaces.run(*command, namespace=namespaces.viewer)


def _wait_for_viewers(
    server: RunningServer,
    count: int,
    players: tuple[Future[subprocess.CompletedProcess[str]], ...] = (),
) -> None:
    deadline = time.monotonic() + START_S
    while server.stream("movie")["viewers"] != count:
        ended = [player.result() for player in players if player.done()]
        assert not ended, ended
        assert time.monotonic() < deadline, f"not {count} viewers"
        time.sleep(0.05)


def _bytes_sent(namespaces: Namespaces) -> int:
    """What has left the server's machine by its cable."""
    path = "/sys/class/net/cable0/statistics/tx_bytes"
    return int(namespaces.run("cat", path, namespace=namespaces.server).stdout)


def _bytes_streamed(server: RunningServer) -> int:
    """What the stream has had in payload so far, both tracks."""
    return sum(track["bytes"] for track in server.stream("movie")["tracks"])
