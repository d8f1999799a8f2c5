"""Which recordings are deleted, and when a new file begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamsocket.record.index import Recorded
from streamsocket.record.retention import Retention
from streamsocket.record.rotation import Rotation

DAY = 86_400.0
NOW = 100 * DAY


def recorded(path: str, *, days_ago: float, size: int = 10, finished: bool = True) -> Recorded:
    began = NOW - days_ago * DAY
    return Recorded(path, "lobby", began, (), began if finished else None, 0.0, size)


ALL = [
    recorded("new", days_ago=0.5),
    recorded("oldest", days_ago=9),
    recorded("middle", days_ago=3),
    recorded("written", days_ago=20, finished=False),
]


def deleted(retention: Retention, *, writing: int = 0, free: int = 1_000_000) -> list[str]:
    chosen = retention.expired(ALL, now=NOW, writing_bytes=writing, free_bytes=free)
    return [each.path for each in chosen]


def test_without_a_bound_nothing_is_ever_deleted() -> None:
    assert deleted(Retention(min_free_bytes=100), free=0) == []


def test_what_is_too_old_goes() -> None:
    assert deleted(Retention(seconds=2 * DAY)) == ["oldest", "middle"]
    assert deleted(Retention(seconds=9 * DAY)) == []


def test_the_oldest_go_until_the_rest_fits() -> None:
    assert deleted(Retention(bytes=30)) == []
    assert deleted(Retention(bytes=29)) == ["oldest"]
    assert deleted(Retention(bytes=30), writing=11) == ["oldest", "middle"]


def test_the_oldest_go_until_the_disk_has_room() -> None:
    keeps_long = Retention(seconds=1000 * DAY, min_free_bytes=100)
    assert deleted(keeps_long, free=105) == []
    assert deleted(keeps_long, free=104) == ["oldest"]
    assert deleted(keeps_long, free=90) == ["oldest", "middle"]


def test_what_is_being_written_stays_whatever_happens() -> None:
    assert "written" not in deleted(Retention(seconds=1, bytes=1, min_free_bytes=10**9), free=0)


def test_settings_come_in_days_and_gigabytes() -> None:
    assert Retention.from_settings(2, 1.5, 0.5) == Retention(2 * DAY, 1_500_000_000, 500_000_000)
    assert Retention.from_settings(None, None, 0) == Retention(None, None, 0)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100), st.booleans()), max_size=20),
    st.integers(0, 50),
    st.integers(1, 500),
    st.integers(0, 100),
)
def test_no_more_goes_than_has_to(
    files: list[tuple[int, int, bool]], days: int, most: int, free: int
) -> None:
    recordings = [
        recorded(str(number), days_ago=age, size=size, finished=finished)
        for number, (age, size, finished) in enumerate(files)
    ]
    retention = Retention(days * DAY, most, 50)
    chosen = retention.expired(recordings, now=NOW, writing_bytes=0, free_bytes=free)
    kept = [each for each in recordings if each not in chosen and each.ended is not None]
    assert all(each.ended is not None for each in chosen)
    if chosen and kept:
        assert max(each.began for each in chosen) <= min(each.began for each in kept)
    assert sum(each.bytes for each in kept) <= most
    assert all(NOW - (each.ended or 0) <= days * DAY for each in kept)
    if kept:
        assert free + sum(each.bytes for each in chosen) >= 50


def test_a_file_is_full_by_length_or_by_size() -> None:
    rotation = Rotation(seconds=60, bytes=1000)
    assert not rotation.due(seconds=59.9, size=999)
    assert rotation.due(seconds=60, size=0)
    assert rotation.due(seconds=0, size=1000)
    assert not Rotation().due(seconds=1e9, size=10**12)


def test_a_keyframe_is_asked_for_once_it_is_late() -> None:
    assert not Rotation(60).overdue(seconds=61)
    assert Rotation(60).overdue(seconds=62)
    assert not Rotation().overdue(seconds=1e9)
