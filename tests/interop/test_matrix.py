"""Everybody publishes, everybody plays: every codec, over every transport."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tests.interop import matrix_publishers
from tests.interop.matrix_players import PLAYERS
from tests.interop.matrix_publishers import RATE, TRANSPORTS, Publication, Studio
from tests.interop.players import vlc_has_rtsp

AT_ONCE = 6
"""So many publications at the same time, each with its players."""
ONCE_MORE = 10
"""So many publications that fail are tried again, one at a time."""
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

Results = dict[Play, list[str] | None]


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Results]:
    """The faults of everything that was selected to be played; None where there is no player."""
    folder = tmp_path_factory.mktemp("matrix")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # VLC runs as another user
    missing = set() if vlc_has_rtsp() else {"vlc"}
    selected = list(_selected(request))
    found: Results = {play: None for play in selected if play.player in missing}
    studio = Studio(folder)
    with studio.open():
        wanted = _by_publication(play for play in selected if play not in found)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for faults in pool.map(lambda plays: _play(studio, plays, folder), wanted):
                found |= faults
        # With so many at once it is sometimes the machine that can't: what fails has to fail alone.
        failed = _by_publication(play for play, faults in found.items() if faults)
        for plays in failed[:ONCE_MORE]:
            found |= _play(studio, plays, folder)
        yield found


def _selected(request: pytest.FixtureRequest) -> Iterator[Play]:
    for item in request.session.items:
        if item.path == request.path and isinstance(item, pytest.Function):
            play = item.callspec.params["play"]
            assert isinstance(play, Play)
            yield play


def _by_publication(plays: Iterable[Play]) -> list[list[Play]]:
    found = defaultdict(list)
    for play in plays:
        found[play.publication].append(play)
    return list(found.values())


def _play(studio: Studio, plays: Sequence[Play], folder: Path) -> Results:
    """Publish, and play it in all these ways at once; what was wrong with each."""
    sent = plays[0].publication

    def faults(play: Play) -> list[str]:
        try:
            seen = PLAYERS[play.player](url, play.transport, folder / f"{play}")
            return seen.faults((sent.video, sent.audio), RATE, sent.sound_delay_s)
        except Exception as error:
            return [str(error)]

    try:
        with studio.published(sent) as url, ThreadPoolExecutor(len(plays)) as pool:
            return dict(zip(plays, pool.map(faults, plays), strict=True))
    except Exception as error:
        return {play: [str(error)] for play in plays}


@pytest.mark.parametrize("play", PARAMETERS)
def test_what_is_published_is_played(
    play: Play, results: Results, cannot_test: Callable[[str], NoReturn]
) -> None:
    faults, sent = results[play], play.publication
    if faults is None:
        cannot_test("VLC in the matrix, as this one was built without RTSP (live555)")
    assert not faults, (
        f"{sent.publisher} publishes {sent.video} and {sent.audio} over {sent.transport}, "
        f"{play.player} plays it over {play.transport}: {'; '.join(faults)}"
    )
