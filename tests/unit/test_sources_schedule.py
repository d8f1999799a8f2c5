"""Which pictures and sounds leave together, and when."""

from hypothesis import given
from hypothesis import strategies as st

from streamsocket.media.codec import Kind
from streamsocket.rtp.batch import Batch
from streamsocket.sources.schedule import Schedule, Unit


def _unit(kind: Kind, due_s: float, duration_s: float = 0.02) -> Unit:
    batch = Batch(bytes(10), (10,), 0, due_s, True, True)
    return Unit(kind, 0 if kind == "video" else 1, due_s, batch, duration_s)


def _groups(*units: Unit) -> list[tuple[float, list[tuple[Kind, float]]]]:
    schedule = Schedule()
    for unit in units:
        schedule.push(unit)
    groups = []
    while group := schedule.pop():
        groups.append((group[0], [(unit.kind, unit.due_s) for unit in group[1]]))
    assert schedule.bytes == 0
    return groups


def test_sound_goes_with_the_nearest_picture() -> None:
    groups = _groups(
        _unit("video", 1.00),
        _unit("video", 1.04),
        _unit("audio", 1.005),
        _unit("audio", 1.03, 0.03),
    )
    assert groups == [
        (1.00, [("audio", 1.005), ("video", 1.00)]),
        (1.04, [("audio", 1.03), ("video", 1.04)]),
    ]


def test_sound_that_no_picture_is_near_to_goes_alone() -> None:
    groups = _groups(_unit("video", 1.0), _unit("video", 1.1), _unit("audio", 1.05))
    assert [due for due, _ in groups] == [1.0, 1.05, 1.1]


def test_sound_never_goes_before_its_first_sample_was_due() -> None:
    groups = _groups(_unit("video", 1.0), _unit("audio", 1.015, duration_s=0.01))
    assert groups == [(1.0, [("video", 1.0)]), (1.015, [("audio", 1.015)])]


def test_short_frames_of_sound_are_gathered() -> None:
    groups = _groups(*(_unit("audio", 1 + n * 0.0025, 0.0025) for n in range(8)))
    assert [len(units) for _, units in groups] == [5, 3]


def test_pictures_that_are_due_at_once_go_together() -> None:
    groups = _groups(_unit("video", 1.0), _unit("video", 1.0), _unit("video", 1.1))
    assert [len(units) for _, units in groups] == [2, 1]


def test_sound_goes_on_after_the_last_picture() -> None:
    groups = _groups(_unit("video", 1.0), _unit("audio", 2.0), _unit("audio", 3.0))
    assert [due for due, _ in groups] == [1.0, 2.0, 3.0]


@given(
    st.lists(st.floats(0, 10), max_size=40).map(sorted),
    st.lists(st.floats(0, 10), max_size=40).map(sorted),
    st.sampled_from([0.0025, 0.02, 0.046]),
)
def test_everything_leaves_in_order_and_near_its_time(
    pictures: list[float], sounds: list[float], duration_s: float
) -> None:
    schedule = Schedule()
    for due_s in pictures:
        schedule.push(_unit("video", due_s))
    for due_s in sounds:
        schedule.push(_unit("audio", due_s, duration_s))
    left: dict[str, list[float]] = {"video": [], "audio": []}
    last_s = 0.0
    while group := schedule.pop():
        leaves_s, units = group
        assert leaves_s >= last_s - 0.011
        last_s = leaves_s
        for unit in units:
            left[unit.kind].append(unit.due_s)
            off_s = leaves_s - unit.due_s
            assert off_s == 0 if unit.kind == "video" else abs(off_s) <= 0.0201
    assert left == {"video": pictures, "audio": sounds}
