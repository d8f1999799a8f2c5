"""Who guesses has to wait; who does not, doesn't. The time is the tests' own."""

from __future__ import annotations

import pytest

from streamsocket.auth import slowing
from streamsocket.auth.slowing import Slowing, is_loopback, network


def test_the_first_attempt_does_not_wait() -> None:
    assert Slowing().begin("10.0.0.1", "bob", 100.0) == 0.0


def test_each_failure_makes_the_next_attempt_wait_longer_up_to_four_seconds() -> None:
    slow, now, waits = Slowing(), 0.0, []
    for _ in range(8):
        wait = slow.begin("10.0.0.1", "bob", now)
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]


def test_attempts_at_once_wait_for_each_other_and_the_many_are_refused() -> None:
    slow = Slowing()
    waits = [slow.begin("10.0.0.1", "bob", 0.0) for _ in range(100)]
    assert waits[:5] == [0.0, 0.5, 1.5, 3.5, 7.5]
    assert set(waits[5:]) == {None}
    # Those who were refused have not moved the time at which others may try.
    assert slow.begin("10.0.0.1", "bob", 11.5) == 0.0


def test_success_forgives_everything() -> None:
    slow = Slowing()
    for _ in range(4):
        slow.begin("10.0.0.1", "bob", 0.0)
    slow.succeeded("10.0.0.1", "bob")
    assert slow.begin("10.0.0.1", "bob", 0.0) == 0.0
    assert len(slow) == 1


def test_others_do_not_wait() -> None:
    slow = Slowing()
    for _ in range(4):
        slow.begin("10.0.0.1", "bob", 0.0)
    assert slow.begin("10.0.0.1", "eve", 0.0) == 0.0
    assert slow.begin("10.0.0.2", "bob", 0.0) == 0.0


def test_time_heals() -> None:
    slow = Slowing()
    for _ in range(4):
        slow.begin("10.0.0.1", "bob", 0.0)
    assert slow.begin("10.0.0.1", "bob", 400.0) == 0.0
    assert slow.begin("10.0.0.1", "bob", 400.0) == 0.5


def test_memory_is_bounded_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowing, "MAX_REMEMBERED", 3)
    slow = Slowing()
    for host in ("a", "b", "a", "c", "d"):
        slow.begin(host, "bob" * 1000, 0.0)
        assert len(slow) <= 3
    assert slow.begin("d", "bob" * 1000, 0.0) == 0.5
    assert slow.begin("b", "bob" * 1000, 0.0) == 0.0  # a was used more lately than b, which went


def test_many_names_are_no_way_around() -> None:
    slow = Slowing()
    for _ in range(3):
        slow.begin("a", "bob", 0.0)
    waits = [slow.begin("a", f"user{n}", 0.0) for n in range(31 + 100)]
    assert waits[:36] == [0.0] * 32 + [0.5, 1.5, 3.5, 7.5]
    assert set(waits[36:]) == {None}
    assert len(slow) == 33
    assert slow.begin("a", "bob", 0.0) == 3.5  # was not forgotten
    assert slow.begin("b", "user200", 0.0) == 0.0
    assert slow.begin("a", "user200", 400.0) == 0.0
    assert len(slow) == 1
    slow.succeeded("a", "user200")
    assert len(slow) == 0
    assert not slow._names


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("nonsense", "nonsense"),
    ],
)
def test_what_counts_as_one_address(host: str, expected: str) -> None:
    assert network(host) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::2", False),
        ("::", False),
        ("0.0.0.0", False),
        ("fe80::1%lo", False),
        ("localhost.example.org", False),
    ],
)
def test_what_is_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
