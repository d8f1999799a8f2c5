"""Everybody publishes, everybody plays: every codec, over every transport."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from tests.interop import matrix_publishers
from tests.interop.matrix_players import PLAYERS, Seen
from tests.interop.matrix_publishers import RATE, Publication, Studio

AT_ONCE = 4
"""So many publications at the same time."""


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


def plays(publication: Publication) -> Iterator[Play]:
    for player in PLAYERS:
        if publication.transport != "mixed" or player == "ours":
            yield Play(publication, player, publication.transport)


PLAYS = [play for publication in matrix_publishers.ALL for play in plays(publication)]

Results = dict[Play, Seen | Exception]


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Results]:
    """What became of everything that was selected to be played."""
    wanted = defaultdict(list)
    for item in request.session.items:
        if item.path == request.path and isinstance(item, pytest.Function):
            play = item.callspec.params["play"]
            assert isinstance(play, Play)
            wanted[play.publication].append(play)
    folder = tmp_path_factory.mktemp("matrix")
    found: Results = {}

    def run(publication: Publication) -> None:
        todo = wanted[publication]
        try:
            with studio.published(publication) as url, ThreadPoolExecutor(len(todo)) as pool:
                for play in todo:
                    pool.submit(watch, play, url)
        except Exception as error:
            for play in todo:
                found.setdefault(play, error)

    def watch(play: Play, url: str) -> None:
        try:
            found[play] = PLAYERS[play.player](url, play.transport, folder / f"{play}")
        except Exception as error:
            found[play] = error

    studio = Studio(folder)
    with studio.open():
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(run, wanted):
                pass
        yield found


@pytest.mark.parametrize("play", PLAYS, ids=str)
def test_what_is_published_is_played(play: Play, results: Results) -> None:
    seen, published = results[play], play.publication
    who = (
        f"{published.publisher} publishes {published.video} and {published.audio} over "
        f"{published.transport}, {play.player} plays it over {play.transport}"
    )
    assert isinstance(seen, Seen), f"{who}: {seen}"
    faults = seen.faults(published.video, published.audio, RATE)
    print("FIGURES", play, [round(1000*x,1) for x in seen.sound_minus_picture_s], round(seen.frame_rate,2))
    assert not faults, f"{who}: {'; '.join(faults)}"
