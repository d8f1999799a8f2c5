"""Which pictures are intact."""

from __future__ import annotations

import pytest

from streamsocket.client.references import References
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Codec, Mjpeg, Opus, Vp8

SETS = [b"\x67", b"\x40\x01"]
"""The headers of H.264's first parameter set and of H.265's."""


def keyframe(timestamp: int = 0, *, damaged: bool = False, sets: bool = True) -> AccessUnit:
    units = [*(SETS if sets else []), b"k"]
    return AccessUnit(units, timestamp, keyframe=True, damaged=damaged)


def picture(timestamp: int = 0, *, damaged: bool = False) -> AccessUnit:
    return AccessUnit([b"p"], timestamp, keyframe=False, damaged=damaged)


@pytest.fixture(params=[H264(b"", b""), H265(b"", b"", b""), Vp8((0, 0))])
def references(request: pytest.FixtureRequest) -> References:
    return References(request.param)


def test_nothing_is_intact_before_the_first_keyframe(references: References) -> None:
    assert not references.judge(picture())
    assert references.keyframe_wanted
    assert references.judge(keyframe())
    assert references.judge(picture())
    assert not references.keyframe_wanted


def test_who_begins_with_a_keyframe_wants_none(references: References) -> None:
    assert not references.keyframe_wanted
    assert references.judge(keyframe())
    assert not references.keyframe_wanted


def test_after_a_damaged_picture_none_is_intact_until_a_keyframe(references: References) -> None:
    references.judge(keyframe())
    assert not references.judge(picture(damaged=True))
    assert references.keyframe_wanted
    assert not references.judge(picture())
    assert not references.judge(keyframe(damaged=True))
    assert not references.judge(picture())
    assert references.judge(keyframe())
    assert references.judge(picture())


def test_a_picture_lost_altogether_spoils_those_after_it(references: References) -> None:
    references.judge(keyframe())
    references.lose()
    assert references.keyframe_wanted
    assert not references.judge(picture())
    assert references.judge(keyframe())


def test_what_is_shown_before_the_keyframe_may_refer_to_what_was_lost(
    references: References,
) -> None:
    references.judge(keyframe(0))
    references.lose()
    assert references.judge(keyframe(9000))
    assert not references.judge(picture(3000))
    assert references.judge(picture(12_000))
    assert not references.keyframe_wanted
    # Nothing was lost before this one.
    assert references.judge(keyframe(18_000))
    assert references.judge(picture(15_000))


@pytest.mark.parametrize("codec", [H264(b"", b""), H265(b"", b"", b"")])
def test_a_keyframe_right_after_a_gap_has_to_bring_its_parameter_sets(codec: Codec) -> None:
    references = References(codec)
    assert references.judge(keyframe(sets=False))
    references.lose()
    assert not references.judge(keyframe(sets=False))
    assert references.keyframe_wanted
    assert references.judge(keyframe(sets=False))
    references.lose()
    assert references.judge(keyframe(sets=True))
    references.lose()
    references.judge(picture())
    assert references.judge(keyframe(sets=False))


@pytest.mark.parametrize("codec", [Opus(), Mjpeg((0, 0))])
def test_what_stands_for_itself_is_intact_if_it_is_whole(codec: Codec) -> None:
    references = References(codec)
    assert references.judge(keyframe())
    references.lose()
    assert references.judge(keyframe())
    assert not references.judge(keyframe(damaged=True))
    assert references.judge(keyframe())
    assert not references.keyframe_wanted


def test_a_keyframe_that_is_wanted_for_another_reason_is_wanted_until_it_comes() -> None:
    references = References(Vp8((0, 0)))
    references.judge(keyframe())
    references.keyframe_wanted = True
    assert references.judge(picture())
    assert references.keyframe_wanted
    references.judge(keyframe())
    assert not references.keyframe_wanted
