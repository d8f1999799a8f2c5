"""Which tracks a viewer gets as they are, and which are turned into something else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.match import NothingFitsError, Pick, match
from streamsocket.matching.target import Target
from streamsocket.media.codec import Aac, Kind, Opus, Vp8

AAC = Form(Aac(bytes.fromhex("1190")))
VP8 = Form(Vp8())
OPUS = Form(Opus())


def player(plays: set[str], instead: dict[Kind, Sequence[Target]]) -> Ability:
    return Ability(
        lambda form: None if form.codec.name in plays else f"No {form.codec.name} here.", instead
    )


def test_what_can_be_played_passes_untouched() -> None:
    ability = player({"vp8", "opus"}, {"video": [Target("h264")], "audio": [Target("aac")]})
    assert match([VP8, OPUS], ability) == [Pick(0), Pick(1)]


def test_what_cannot_is_turned_into_the_best_that_can() -> None:
    ability = player(
        {"opus"}, {"video": [Target("h264"), Target("vp8")], "audio": [Target("opus", 2)]}
    )
    picks = match([VP8, AAC], ability)
    assert picks == [Pick(0, Target("h264")), Pick(1, Target("opus", 2))]


def test_a_kind_without_a_place_is_left_out() -> None:
    assert match([VP8, OPUS], player({"opus", "vp8"}, {"audio": []})) == [Pick(1)]


def test_where_only_one_track_can_be_had_it_is_had() -> None:
    assert match([VP8, OPUS], player({"opus"}, {"video": [], "audio": []})) == [Pick(1)]


def test_where_nothing_fits_the_error_says_why_and_what_would_help() -> None:
    ability = player(set(), {"video": [Target("h264")]})
    with pytest.raises(NothingFitsError) as refusal:
        match([VP8, AAC], ability, converts=False)
    assert str(refusal.value) == (
        "No vp8 here. Publish it as H.264, or switch transcoding on. "
        "The stream has audio, for which the viewer has no place."
    )


def test_without_conversion_only_what_passes_is_had() -> None:
    ability = player({"vp8"}, {"video": [], "audio": [Target("opus", 2)]})
    assert match([VP8, AAC], ability, converts=False) == [Pick(0)]


def test_a_stream_without_tracks_is_refused() -> None:
    with pytest.raises(NothingFitsError, match="no tracks"):
        match([], player(set(), {}))
