"""Everybody publishes, everybody plays: every codec, over every transport."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tests.interop import matrix_publishers
from tests.interop.matrix_players import PLAYERS, Seen
from tests.interop.matrix_publishers import RATE, TRANSPORTS, Publication, Studio
from tests.interop.players import vlc_has_rtsp

AT_ONCE = 6
"""So many publications at the same time, each with its players."""
ONE_TRANSPORT = {"rtmp", "mpegts"}
"""Publishers whose transport is no RTSP player's affair."""


@dataclass(frozen=True)
class Play:
    """Somebody plays what somebody publishes."""

    publication: Publication
    player: str
    transport: str

    def __str__(self) -> str:
        each = self.publication
        return (
            f"{each.publisher}-{each.transport}-to-{self.player}-{self.transport}"
            f"-{each.video}-{each.audio}"
        )

    @property
    def is_always_played(self) -> bool:
        """Every publisher with every player over every transport, with all codecs.

        Left to the long tests: one transport in and another one out. Who can't mix transports is
        represented by who can.
        """
        sent = self.publication
        if self.transport == "mixed":
            return sent.transport != "tcp" or sent.publisher in ONE_TRANSPORT
        if self.player == "ours":
            return False
        return self.transport == sent.transport or sent.publisher in ONE_TRANSPORT


PLAYS = [
    Play(publication, player, transport)
    for publication in matrix_publishers.ALL
    for player in PLAYERS
    for transport in TRANSPORTS
    if transport != "mixed" or player == "ours"
]
PARAMETERS = [
    pytest.param(play, id=str(play), marks=() if play.is_always_played else pytest.mark.slow)
    for play in PLAYS
]

Results = dict[Play, Seen | Exception | None]


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Results]:
    """What became of everything that was selected to be played; None where there is no player."""
    folder = tmp_path_factory.mktemp("matrix")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # VLC runs as another user
    missing = {"vlc"} if not vlc_has_rtsp() else set()
    found: Results = {}
    wanted = defaultdict(list)
    for play in _selected(request):
        if play.player in missing:
            found[play] = None
        else:
            wanted[play.publication].append(play)
    studio = Studio(folder)

    def publish(publication: Publication) -> None:
        plays = wanted[publication]
        try:
            with studio.published(publication) as url, ThreadPoolExecutor(len(plays)) as pool:
                for play in plays:
                    pool.submit(watch, play, url)
        except Exception as error:
            found.update(dict.fromkeys(plays, error))

    def watch(play: Play, url: str) -> None:
        try:
            found[play] = PLAYERS[play.player](url, play.transport, folder / f"{play}")
        except Exception as error:
            found[play] = error

    with studio.open():
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for publication in wanted:
                pool.submit(publish, publication)
        yield found


def _selected(request: pytest.FixtureRequest) -> Iterator[Play]:
    for item in request.session.items:
        if item.path == Path(__file__) and isinstance(item, pytest.Function):
            play = item.callspec.params.get("play") if hasattr(item, "callspec") else None
            if isinstance(play, Play):
                yield play


@pytest.mark.parametrize("play", PARAMETERS)
def test_what_is_published_is_played(
    play: Play, results: Results, cannot_test: Callable[[str], NoReturn]
) -> None:
    seen, sent = results[play], play.publication
    if seen is None:
        cannot_test("VLC in the matrix, as this one was built without RTSP (live555)")
    who = (
        f"{sent.publisher} publishes {sent.video} and {sent.audio} over {sent.transport}, "
        f"{play.player} plays it over {play.transport}"
    )
    assert isinstance(seen, Seen), f"{who}: {seen}"
    faults = seen.faults((sent.video, sent.audio), RATE, sent.sound_delay_s)
    assert not faults, f"{who}: {'; '.join(faults)}"
