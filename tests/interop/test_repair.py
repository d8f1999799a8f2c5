"""Our client on a network that loses datagrams: what is missed is asked for, and never shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NoReturn

import pytest
from tests.interop.impaired import CannotImpairError, ImpairedNetwork, impaired_network
from tests.interop.serving import COMMAND, RunningServer, serving

FRAME_RATE = 30
SECONDS, MANY_SECONDS = 5.0, 40.0
SETTLING_S = 1.7
"""At the beginning our server squeezes timestamps, so that a new viewer is soon live."""

Way = Literal["repaired", "plain", "tcp"]

# Watches for so many seconds and writes down which pictures came.
_WATCH = """
import asyncio, hashlib, json, sys
from time import time
from streamsocket.client.session import open_url
from streamsocket.rtsp import sdp

url, way, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
if way == "plain":
    describe = sdp._describe_format
    def describe_plainly(media, *rest):
        describe(media, *rest)
        media.feedback = frozenset()
    sdp._describe_format = describe_plainly

async def watch():
    pictures = []
    async with open_url(url, transport="tcp" if way == "tcp" else "udp") as session:
        kinds = [track.kind for track in session.tracks]
        try:
            async with asyncio.timeout(seconds):
                async for received in session:
                    if kinds[received.track] == "video":
                        unit = received.unit
                        digest = hashlib.md5(b"".join(unit.units)).hexdigest()
                        pictures.append(
                            [unit.timestamp, unit.keyframe, received.intact, digest, time()]
                        )
        except TimeoutError:
            pass
        receiver = session.tracks[kinds.index("video")].receiver
        print(json.dumps({
            "pictures": pictures,
            "packets": receiver.statistics.received,
            "lost": receiver.lost,
            "repaired": receiver.repaired,
            "nacks": receiver.nacks,
            "plis": receiver.plis,
            "duplicates": receiver.statistics.duplicates,
        }))

asyncio.run(watch())
"""


@dataclass
class Picture:
    timestamp: int
    keyframe: bool
    intact: bool
    digest: str
    """Of all its bytes."""
    released: float
    """When it could be decoded, in seconds since the epoch."""


class Watched:
    """What came of the picture, but for the beginning."""

    def __init__(self, way: Way, written: str) -> None:
        self.way = way
        self.figures = json.loads(written)
        pictures = [Picture(*each) for each in self.figures.pop("pictures")]
        self.pictures = [p for p in pictures if p.released > pictures[0].released + SETTLING_S]


def judged(watched: dict[Way, Watched], way: Way) -> list[bool]:
    """Of each picture that was sent, whether it came intact. TCP tells what was sent."""
    came = {picture.timestamp: picture.intact for picture in watched[way].pictures}
    assert came
    return [
        came.get(picture.timestamp, False)
        for picture in watched["tcp"].pictures
        if min(came) <= picture.timestamp <= max(came)
    ]


def intact_share(watched: dict[Way, Watched], way: Way) -> float:
    """How many of the pictures that were sent came whole, with all that they refer to."""
    intact = judged(watched, way)
    assert len(intact) > FRAME_RATE
    return sum(intact) / len(intact)


def longest_gap_s(watched: dict[Way, Watched], way: Way) -> float:
    """The longest from one intact picture to the next."""
    shown = [place for place, intact in enumerate(judged(watched, way)) if intact]
    assert len(shown) > 1
    return max(after - before for before, after in pairwise(shown)) / FRAME_RATE


@pytest.fixture(scope="module")
def network(cannot_test: Callable[[str], NoReturn]) -> Iterator[ImpairedNetwork]:
    try:
        with impaired_network(
            delay_s=0.03, jitter_s=0.01, loss_protocols=("udp",), seed=3
        ) as network:
            yield network
    except CannotImpairError as refusal:
        cannot_test(f"a network that loses datagrams, as it can't be made here ({refusal})")


@pytest.fixture(scope="module")
def server(network: ImpairedNetwork) -> Iterator[RunningServer]:
    with serving(
        "test=test:1280x720@30", host=network.addresses["a"], prefix=network.prefix("a")
    ) as running:
        yield running


def watch(
    network: ImpairedNetwork, server: RunningServer, loss: float, seconds: float
) -> dict[Way, Watched]:
    """Watch in three ways at the same time."""
    network.change(loss=loss)
    ways: tuple[Way, ...] = ("repaired", "plain", "tcp")
    watchers = {}
    for way in ways:
        command = [*network.prefix("b"), sys.executable, "-c", _WATCH]
        command += [server.url("test"), way, str(seconds)]
        watchers[way] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        written = {way: each.communicate(timeout=seconds + 20)[0] for way, each in watchers.items()}
    finally:
        for each in watchers.values():
            each.kill()
            each.wait()
    assert all(each.returncode == 0 for each in watchers.values())
    return {way: Watched(way, each) for way, each in written.items()}


def check_truth(watched: dict[Way, Watched]) -> None:
    """What is called intact is, byte by byte, back to the keyframe; TCP has lost nothing."""
    sent = watched["tcp"].pictures
    for way in ("repaired", "plain"):
        came = {picture.timestamp: picture for picture in watched[way].pictures}
        whole = compared = 0
        chain: bool | None = None  # not known before the first keyframe
        for picture in sent:
            mine = came.get(picture.timestamp)
            same = mine is not None and mine.digest == picture.digest
            if picture.keyframe:
                chain = same
            elif chain is not None:
                chain = chain and same
            if chain is None or not came or picture.timestamp < min(came):
                chain = None
                continue
            if picture.timestamp > max(came):
                break
            compared += 1
            whole += chain
            if mine is not None and mine.intact:
                assert chain, f"{way}: a picture is not intact, but said to be"
        assert compared > FRAME_RATE / 2  # a keyframe comes every two seconds
        # Nor is much called spoilt that isn't.
        assert sum(picture.intact for picture in came.values()) >= 0.8 * whole


@pytest.fixture(scope="module")
def at_3_percent(network: ImpairedNetwork, server: RunningServer) -> dict[Way, Watched]:
    return watch(network, server, 0.03, SECONDS)


def test_at_3_percent_of_loss_nothing_is_missed(at_3_percent: dict[Way, Watched]) -> None:
    figures = at_3_percent["repaired"].figures
    assert intact_share(at_3_percent, "repaired") >= 0.99, figures
    assert longest_gap_s(at_3_percent, "repaired") <= 0.3
    assert figures["repaired"] >= 0.01 * figures["packets"]
    assert figures["lost"] == 0
    # What comes twice for having been asked for too early is not much.
    assert figures["duplicates"] <= 0.1 * figures["packets"]


def test_without_repair_much_is_missed(at_3_percent: dict[Way, Watched]) -> None:
    figures = at_3_percent["plain"].figures
    assert intact_share(at_3_percent, "plain") <= 0.7
    assert figures["lost"] > 0
    assert [figures[name] for name in ("repaired", "nacks", "plis")] == [0, 0, 0]


def test_what_is_called_intact_is(at_3_percent: dict[Way, Watched]) -> None:
    check_truth(at_3_percent)


def test_at_10_percent_of_loss_the_picture_goes_on(
    network: ImpairedNetwork, server: RunningServer
) -> None:
    watched = watch(network, server, 0.1, SECONDS)
    check_truth(watched)
    share = intact_share(watched, "repaired")
    assert share >= 0.6, watched["repaired"].figures
    assert longest_gap_s(watched, "repaired") <= 2.1  # from one keyframe to the next
    assert intact_share(watched, "plain") <= share - 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "share", "gap_s"), [(0.03, 0.99, 2.1), (0.1, 0.8, 2.1)])
def test_for_a_long_time(
    loss: float, share: float, gap_s: float, network: ImpairedNetwork, server: RunningServer
) -> None:
    # A machine that stands still for a moment may cost the pictures until the next keyframe.
    watched = watch(network, server, loss, MANY_SECONDS)
    check_truth(watched)
    assert intact_share(watched, "repaired") >= share, watched["repaired"].figures
    assert longest_gap_s(watched, "repaired") <= gap_s
    assert intact_share(watched, "plain") <= 0.6


def test_probe_tells_what_was_repaired(network: ImpairedNetwork, server: RunningServer) -> None:
    network.change(loss=0.05)
    probe = [*COMMAND, "probe", server.url("test"), "--transport", "udp", "--no-decode"]
    done = network.run_in("b", [*probe, "--seconds", "2", "--json"])
    assert done.returncode == 0, done.stderr
    picture = json.loads(done.stdout)["tracks"][0]
    assert picture["repaired"] > 5
    assert picture["lost"] == picture["damaged_units"] == 0
    assert picture["intact_units"] == picture["units"]
