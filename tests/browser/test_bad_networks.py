"""Browsers on the other side of networks that lose, delay, reorder and change addresses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.browser.browsers import Page, find, showing
from tests.browser.elsewhere import showing_elsewhere
from tests.browser.lossy import lossy_relay
from tests.browser.pages import watching
from tests.browser.several import several
from tests.interop.impaired import CannotImpairError, ImpairedNetwork, impaired_network
from tests.interop.movies import Movie, make
from tests.interop.ports import free_ports
from tests.interop.serving import COMMAND, RunningServer, serving

pytestmark = pytest.mark.slow

RATE = 25
OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")
EVERYTHING = {"loss": 0.05, "delay_s": 0.05, "jitter_s": 0.02, "mtu": 1280}


@pytest.fixture
def network(
    request: pytest.FixtureRequest, cannot_test: Callable[[str], NoReturn]
) -> Iterator[ImpairedNetwork]:
    try:
        with impaired_network(**request.param, seed=1) as made:
            # Browsers look for the way to the world to know their own address.
            _ip(made, "route", "add", "default", "dev", "tun0")
            yield made
    except CannotImpairError as refusal:
        cannot_test(f"browsers in bad networks, as they can't be made here ({refusal})")


@pytest.fixture(params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest, cannot_test: Callable[[str], NoReturn]) -> str:
    return find(request.param) or cannot_test(f"{request.param.title()} is not installed")


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


@pytest.fixture(scope="module")
def movies_by_codec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for codec, encoder in (("H264", "libx264"), ("VP8", "libvpx")):
        found[codec] = tmp_path_factory.mktemp("networks") / f"{codec}.mkv"
        make(Movie(Fraction(RATE), encoder, "libopus", size="640x360", gop_s=2), found[codec])
    return found


def over(**impairment: Any) -> pytest.MarkDecorator:
    name = " ".join(f"{key}={value}" for key, value in impairment.items())
    return pytest.mark.parametrize("network", [impairment], indirect=True, ids=[name])


def _ip(network: ImpairedNetwork, *arguments: str) -> None:
    command = ["ip", "-n", network.namespaces["b"], *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=10)


@contextmanager
def serving_in(
    network: ImpairedNetwork, *sources: str, folder: Path, **options: Any
) -> Iterator[RunningServer]:
    """A server on the one machine; everybody on the other may publish and watch."""
    settings = folder / "streamsocket.toml"
    settings.write_text('[users.any]\npublish = ["*"]\nwatch = ["*"]\n')
    with serving(
        *sources,
        options=(*OPTIONS, "--config", str(settings)),
        host=network.addresses["a"],
        prefix=network.prefix("a"),
        **options,
    ) as server:
        yield server


def http(server: RunningServer) -> str:
    return f"http://{server.host}:{server.http_port}"


def told_after(page: Page, pictures: int, timeout_s: float) -> dict[str, Any]:
    """What the page's one connection tells when so many pictures have been shown or sent."""

    def has_come_far(report: dict[str, Any]) -> bool:
        told = report["connections"]
        return bool(told) and _pictures(told[0]) >= pictures

    found: dict[str, Any] = page.wait_for(has_come_far, timeout_s)["connections"][0]
    return found


def _pictures(told: dict[str, Any]) -> int:
    count: int = told.get("video", {}).get(
        "framesDecoded" if told["role"] == "watch" else "framesSent", 0
    )
    return count


def rate(before: dict[str, Any], after: dict[str, Any]) -> float:
    seconds = (after["video"]["timestamp"] - before["video"]["timestamp"]) / 1000
    return (_pictures(after) - _pictures(before)) / seconds


def frozen_s(before: dict[str, Any], after: dict[str, Any]) -> float:
    """For how long the picture stood between two moments."""
    freezes = [each["video"].get("totalFreezesDuration", 0.0) for each in (before, after)]
    return float(freezes[1] - freezes[0])


@over(mtu=1280)
@pytest.mark.parametrize("codec", ["VP8"])
def test_picture_and_sound_play_on_another_machine(
    browser: str,
    network: ImpairedNetwork,
    movies_by_codec: dict[str, Path],
    codec: str,
    tmp_path: Path,
) -> None:
    with (
        serving_in(network, f"movie={movies_by_codec[codec]}", folder=tmp_path) as server,
        showing_elsewhere(
            network.prefix("b"), browser, several(http(server), watches=["movie"])
        ) as page,
    ):
        before = told_after(page, 1, 40)
        after = told_after(page, _pictures(before) + 6 * RATE, 20)
    assert rate(before, after) == pytest.approx(RATE, rel=0.2)
    assert after["video"]["packetsLost"] == after["audio"]["packetsLost"] == 0
    assert after["audio"]["totalAudioEnergy"] > before["audio"]["totalAudioEnergy"]


@over(mtu=1280)
def test_camera_and_microphone_are_published_from_another_machine(
    browser: str, network: ImpairedNetwork, tmp_path: Path
) -> None:
    with (
        serving_in(network, folder=tmp_path, wait_for=()) as server,
        showing_elsewhere(
            network.prefix("b"), browser, several(http(server), publishes={"desk": "VP8"})
        ) as page,
    ):
        before = told_after(page, 30, 40)
        after = told_after(page, _pictures(before) + 120, 30)
        tracks = server.stream("desk")["tracks"]
    assert [track["codec"] for track in tracks] == ["vp8", "opus"]
    assert tracks[0]["frame_rate"] > 0.8 * rate(before, after)
    assert tracks[1]["packets"] > 100


@over(**EVERYTHING)
@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_loss_delay_and_reordering_leave_the_picture_moving(
    chromium: str,
    network: ImpairedNetwork,
    movies_by_codec: dict[str, Path],
    codec: str,
    tmp_path: Path,
) -> None:
    seconds = 20
    with (
        serving_in(network, f"movie={movies_by_codec[codec]}", folder=tmp_path) as server,
        showing_elsewhere(
            network.prefix("b"), chromium, several(http(server), watches=["movie"])
        ) as page,
    ):
        settled = told_after(page, 4 * RATE, 40)
        after = told_after(page, _pictures(settled) + seconds * RATE, seconds + 20)
        resent = server.stream("movie")["resent_packets"]
        lost = network.counts()["a"].lost
    assert resent > 0.5 * lost > 5
    assert rate(settled, after) > 0.9 * RATE
    assert frozen_s(settled, after) < 0.1 * seconds
    heard = after["audio"]
    assert heard["concealedSamples"] < 0.15 * heard["totalSamplesReceived"]


@over(**EVERYTHING)
def test_a_camera_in_a_bad_network_is_published(
    chromium: str, network: ImpairedNetwork, tmp_path: Path
) -> None:
    with (
        serving_in(network, folder=tmp_path, wait_for=()) as server,
        showing_elsewhere(
            network.prefix("b"), chromium, several(http(server), publishes={"desk": "H264"})
        ) as page,
    ):
        before = told_after(page, 60, 40)
        command = [*COMMAND, "probe", server.url("desk"), "--seconds", "10", "--json"]
        probe = network.run_in("a", command)
        sent = rate(before, page.reports[-1]["connections"][0])
        assert network.counts()["b"].lost > 10
    picture = next(t for t in json.loads(probe.stdout)["tracks"] if t["kind"] == "video")
    assert picture["frame_rate"] > 0.85 * sent
    assert picture["intact_units"] > 0.95 * picture["units"]


@over(delay_s=0.02)
def test_a_viewer_that_moves_to_another_address_goes_on_after_an_ice_restart(
    chromium: str, network: ImpairedNetwork, movies_by_codec: dict[str, Path], tmp_path: Path
) -> None:
    with (
        serving_in(network, f"movie={movies_by_codec['H264']}", folder=tmp_path) as server,
        showing_elsewhere(
            network.prefix("b"),
            chromium,
            several(http(server), watches=["movie"], restarts=True),
        ) as page,
    ):
        before = told_after(page, 4 * RATE, 40)
        _ip(network, "address", "del", "10.98.0.2/24", "dev", "tun0")
        _ip(network, "address", "add", "10.98.0.3/24", "dev", "tun0")
        _ip(network, "route", "replace", "default", "dev", "tun0")
        after = told_after(page, _pictures(before) + 8 * RATE, 40)
        assert server.stream("movie")["viewers"] == 1
    assert after["restarts"] == 1
    # Chromium finds out after 5 s without an answer.
    assert frozen_s(before, after) < 8


def test_a_viewer_whose_router_forgets_it_goes_on(
    chromium: str, movies_by_codec: dict[str, Path]
) -> None:
    """Another port sends its checks from then on: the pair is the same to the browser alone."""
    _, _, port = free_ports()
    with (
        serving(
            f"movie={movies_by_codec['H264']}",
            options=("--webrtc-port", str(port), "--rtmp-port", "0"),
        ) as server,
        lossy_relay(("127.0.0.1", port), loss=0) as relay,
        showing(
            chromium, watching(f"http://127.0.0.1:{server.http_port}", "movie", port=relay.port)
        ) as page,
    ):
        before = page.wait_for(lambda each: each.get("video", {}).get("framesDecoded", 0) > 100, 30)
        relay.move()
        wanted = before["video"]["framesDecoded"] + 8 * RATE
        after = page.wait_for(lambda each: each["video"]["framesDecoded"] >= wanted, 40)
        assert server.stream("movie")["viewers"] == 1
    # Chromium checks the pair every 2.5 s.
    assert frozen_s(before, after) < 6
