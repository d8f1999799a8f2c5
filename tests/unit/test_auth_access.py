"""Who may do what, and how they show who they are."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from argon2 import PasswordHasher

from streamsocket.auth import access as access_module
from streamsocket.auth import slowing
from streamsocket.auth.access import Access, AccessDeniedError
from streamsocket.auth.passwords import digest_ha1, hash_password, verify_password
from streamsocket.auth.users import Action, Permissions, User

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
FAR = "192.0.2.7"
HERE = "127.0.0.1"

T = TypeVar("T")

BOB = User(
    "bob",
    hash_password("secret", FAST),
    digest_ha1("MD5", "bob", "secret"),
    digest_ha1("SHA-256", "bob", "secret"),
    Permissions(publish=("live/*",), watch=("*",)),
)
EVE = User("eve", hash_password("other", FAST), permissions=Permissions(watch=("lobby",)))
USERS = {"bob": BOB, "eve": EVE}


@pytest.fixture(autouse=True)
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were verified slowly, and in which thread; delays are short."""
    calls: list[str] = []

    def spy(password_hash: str | None, password: str) -> bool:
        assert threading.current_thread().name.startswith("passwords")
        calls.append(password)
        return verify_password(password_hash, password)

    monkeypatch.setattr(access_module, "verify_password", spy)
    monkeypatch.setattr(slowing, "FIRST_DELAY_S", 0.02)
    monkeypatch.setattr(slowing, "LONGEST_DELAY_S", 0.1)
    monkeypatch.setattr(slowing, "LONGEST_WAIT_S", 0.3)
    return calls


def run(users: dict[str, User], test: Callable[[Access], Awaitable[T]]) -> T:
    async def main() -> T:
        access = Access(users)
        try:
            return await asyncio.wait_for(test(access), 20)
        finally:
            access.close()

    return asyncio.run(main())


async def refusal(login: Awaitable[object]) -> AccessDeniedError:
    with pytest.raises(AccessDeniedError) as caught:
        await login
    return caught.value


# What may be done.


@pytest.mark.parametrize(
    ("action", "host", "expected"),
    [
        ("publish", HERE, True),
        ("publish", "::1", True),
        ("publish", FAR, False),
        ("watch", HERE, True),
        ("watch", FAR, True),
    ],
)
def test_without_users_this_machine_may_all_and_others_may_watch(
    action: Action, host: str, expected: bool
) -> None:
    assert Access({}).anonymous_may(action, "lobby", host) is expected


@pytest.mark.parametrize("host", [HERE, FAR])
def test_with_users_nobody_may_anything_without_logging_in(host: str) -> None:
    access = Access(USERS)
    assert not access.anonymous_may("watch", "lobby", host)
    assert not access.anonymous_may("publish", "lobby", host)


def test_the_entry_any_says_what_is_allowed_without_logging_in() -> None:
    anybody = User("any", permissions=Permissions(publish=("in/*",), watch=("open/*",)))
    for users in ({"any": anybody}, {"any": anybody, **USERS}):
        access = Access(users)
        assert access.anonymous_may("watch", "open/x", FAR)
        assert not access.anonymous_may("watch", "lobby", HERE)
        assert access.anonymous_may("publish", "in/x", FAR)
        assert not access.anonymous_may("publish", "lobby", HERE)


def test_any_is_nobody_to_log_in_as() -> None:
    async def test(access: Access) -> None:
        assert access.user("any") is None
        await refusal(access.by_password("any", "", FAR))

    run({"any": User("any", hash_password("", FAST)), **USERS}, test)


def test_users_may_what_they_are_permitted_and_what_anybody_may() -> None:
    access = Access({**USERS, "any": User("any", permissions=Permissions(watch=("open",)))})
    access.require("publish", "live/x", FAR, BOB)
    access.require("watch", "lobby", FAR, EVE)
    access.require("watch", "open", FAR, EVE)
    access.require("watch", "open", FAR, None)
    with pytest.raises(AccessDeniedError, match="'eve' may not publish 'live/x'") as caught:
        access.require("publish", "live/x", FAR, EVE)
    assert not caught.value.ask


def test_who_should_log_in_is_told_so() -> None:
    with pytest.raises(AccessDeniedError, match="To watch 'lobby', log in") as caught:
        Access(USERS).require("watch", "lobby", FAR, None)
    assert caught.value.ask


def test_where_there_are_no_users_the_refusal_says_how_to_make_one() -> None:
    with pytest.raises(AccessDeniedError, match="streamsocket auth hash NAME") as caught:
        Access({}).require("publish", "lobby", FAR, None)
    assert not caught.value.ask


def test_where_nobody_can_log_in_nobody_is_asked_to() -> None:
    access = Access({"any": User("any")})
    with pytest.raises(AccessDeniedError, match="Nobody may publish 'lobby'") as caught:
        access.require("publish", "lobby", FAR, None)
    assert not caught.value.ask


# Who somebody is.


def test_the_right_password_gives_the_user(hashed: list[str]) -> None:
    async def test(access: Access) -> None:
        assert await access.by_password("bob", "secret", FAR) is BOB

    run(USERS, test)
    assert hashed == ["secret"]


@pytest.mark.parametrize(
    ("user", "password"), [("bob", "wrong"), ("bob", ""), ("eve", "secret"), ("nobody", "secret")]
)
def test_everything_else_is_refused_in_the_same_words(user: str, password: str) -> None:
    async def test(access: Access) -> None:
        error = await refusal(access.by_password(user, password, FAR))
        assert str(error) == "The name or the password is wrong."
        assert error.ask

    run(USERS, test)


def test_a_right_password_is_hashed_once_wherever_it_comes_from(hashed: list[str]) -> None:
    async def test(access: Access) -> None:
        for host in (FAR, FAR, HERE):
            assert await access.by_password("bob", "secret", host) is BOB
        await refusal(access.by_password("bob", "wrong", FAR))

    run(USERS, test)
    assert hashed == ["secret", "wrong"]


def test_a_right_password_is_forgotten_after_a_while(
    hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "_REMEMBERED_S", -1.0)

    async def test(access: Access) -> None:
        await access.by_password("bob", "secret", FAR)
        await access.by_password("bob", "secret", FAR)

    run(USERS, test)
    assert hashed == ["secret"] * 2


def test_what_is_remembered_is_bounded_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "_MAX_REMEMBERED", 1)

    async def test(access: Access) -> None:
        await access.by_password("bob", "secret", FAR)
        await access.by_password("eve", "other", FAR)
        assert len(access._remembered) == 1
        assert "secret" not in repr(vars(access))
        assert "other'" not in repr(vars(access))

    run(USERS, test)


def test_many_with_the_right_password_at_once_share_one_hash(hashed: list[str]) -> None:
    async def test(access: Access) -> None:
        hosts = [FAR] * 30 + [f"10.0.0.{n}" for n in range(30)]
        users = await asyncio.gather(*(access.by_password("bob", "secret", h) for h in hosts))
        assert set(users) == {BOB}

    run(USERS, test)
    assert hashed == ["secret"]


def test_one_who_leaves_does_not_spoil_it_for_the_others() -> None:
    async def test(access: Access) -> None:
        first = asyncio.create_task(access.by_password("bob", "secret", FAR))
        second = asyncio.create_task(access.by_password("bob", "secret", FAR))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is BOB

    run(USERS, test)


def test_wrong_passwords_make_this_user_at_this_address_wait_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slowing, "FIRST_DELAY_S", 0.5)
    monkeypatch.setattr(slowing, "LONGEST_WAIT_S", 2.0)
    monkeypatch.setattr(slowing, "LONGEST_DELAY_S", 0.5)

    async def timed(login: Awaitable[User]) -> float:
        start = time.monotonic()
        await login
        return time.monotonic() - start

    async def test(access: Access) -> None:
        await refusal(access.by_password("bob", "wrong", FAR))
        slow = asyncio.create_task(timed(access.by_password("bob", "secret", FAR)))
        await asyncio.sleep(0)
        assert await timed(access.by_password("eve", "other", FAR)) < 0.3
        assert await timed(access.by_password("bob", "secret", HERE)) < 0.3
        assert await slow > 0.3
        # Forgiven, once the right one has come.
        assert await timed(access.by_password("bob", "secret", FAR)) < 0.3

    run(USERS, test)


def test_a_remembered_password_does_not_get_around_the_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the quick answer would tell the one right guess among many at once."""
    monkeypatch.setattr(slowing, "FIRST_DELAY_S", 0.3)
    monkeypatch.setattr(slowing, "LONGEST_DELAY_S", 0.3)
    monkeypatch.setattr(slowing, "LONGEST_WAIT_S", 2.0)

    async def test(access: Access) -> None:
        await access.by_password("bob", "secret", HERE)
        await refusal(access.by_password("bob", "wrong", FAR))
        start = time.monotonic()
        await access.by_password("bob", "secret", FAR)
        assert time.monotonic() - start > 0.2

    run(USERS, test)


def test_many_guesses_at_once_are_mostly_refused_without_work(hashed: list[str]) -> None:
    async def test(access: Access) -> None:
        guesses = [access.by_password("bob", f"guess {n}", FAR) for n in range(50)]
        errors = await asyncio.gather(*(refusal(guess) for guess in guesses))
        refused = [error for error in errors if str(error).startswith("Too many are logging in")]
        assert len(refused) >= 42
        assert not refused[0].ask
        # The places are free again, and nothing is left of the checks.
        assert not access._waiting
        assert not access._checks

    run(USERS, test)
    assert 0 < len(hashed) <= 8


def test_one_address_with_many_names_has_only_its_own_places(hashed: list[str]) -> None:
    async def test(access: Access) -> None:
        guesses = [access.by_password(f"user{n}", "x", FAR) for n in range(50)]
        flood = asyncio.gather(*(refusal(guess) for guess in guesses))
        await asyncio.sleep(0)
        assert await access.by_password("bob", "secret", HERE) is BOB
        await flood

    run(USERS, test)
    assert len(hashed) == 16 + 1


def test_all_together_have_bounded_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "MAX_WAITING", 3)

    async def test(access: Access) -> None:
        guesses = [access.by_password("bob", "x", f"10.0.0.{n}") for n in range(5)]
        errors = await asyncio.gather(*(refusal(guess) for guess in guesses))
        assert [str(error)[:8] for error in errors].count("Too many") == 2

    run(USERS, test)


def test_the_loop_goes_on_while_passwords_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(password_hash: str | None, password: str) -> bool:
        entered.set()
        return leave.wait(10)

    monkeypatch.setattr(access_module, "verify_password", slow)

    async def test(access: Access) -> None:
        login = asyncio.create_task(access.by_password("bob", "secret", FAR))
        await asyncio.to_thread(entered.wait, 10)
        assert await access.by_digest("eve", EVE, FAR) is EVE
        assert not login.done()
        leave.set()
        assert await login is BOB

    run(USERS, test)


def test_digests_are_slowed_like_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowing, "FIRST_DELAY_S", 0.3)
    monkeypatch.setattr(slowing, "LONGEST_DELAY_S", 0.3)
    monkeypatch.setattr(slowing, "LONGEST_WAIT_S", 2.0)

    async def test(access: Access) -> None:
        assert (await refusal(access.by_digest("bob", None, FAR))).ask
        start = time.monotonic()
        assert await access.by_digest("bob", BOB, FAR) is BOB
        assert time.monotonic() - start > 0.2
        start = time.monotonic()
        for _ in range(1000):
            await access.by_digest("bob", BOB, FAR)
        assert time.monotonic() - start < 1.0

    run(USERS, test)


def test_a_waiting_digest_that_is_given_up_frees_its_place() -> None:
    async def test(access: Access) -> None:
        await refusal(access.by_digest("bob", None, FAR))
        waiting = asyncio.create_task(access.by_digest("bob", None, FAR))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not access._waiting

    run(USERS, test)


def test_admission_by_name_and_password() -> None:
    async def test(access: Access) -> None:
        await access.admit("publish", "live/x", FAR, "bob", "secret")
        assert (await refusal(access.admit("publish", "live/x", FAR, "bob", "wrong"))).ask
        assert (await refusal(access.admit("publish", "live/x", FAR, None, None))).ask
        assert (await refusal(access.admit("publish", "live/x", FAR, "bob", None))).ask
        assert not (await refusal(access.admit("publish", "x", FAR, "bob", "secret"))).ask

    run(USERS, test)


def test_admission_without_users_asks_for_nothing(hashed: list[str]) -> None:
    async def test(access: Access) -> None:
        await access.admit("publish", "x", HERE, None, None)
        await access.admit("publish", "x", HERE, "who", "ever")
        error = await refusal(access.admit("publish", "x", FAR, "who", "ever"))
        assert "the server needs users" in str(error)

    run({}, test)
    assert hashed == []


def test_the_log_names_address_and_user_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async def test(access: Access) -> None:
        await refusal(access.by_password("bob\n\x1b[1mroot", "hunter2", FAR))
        await refusal(access.by_digest("bob", None, FAR))

    with caplog.at_level(logging.INFO, "streamsocket.auth"):
        run(USERS, test)
    assert [record.getMessage() for record in caplog.records] == [
        f"wrong name or password for 'bob??[1mroot' from {FAR}",
        f"wrong name or password for 'bob' from {FAR}",
    ]
    assert "hunter2" not in caplog.text


def test_a_flood_of_failures_is_no_flood_of_lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    access = Access(USERS)
    for _ in range(100):
        access._complain("wrong name or password for '%s' from %s", "bob", FAR)
    assert len(caplog.records) == 10
    now[0] += 1
    access._complain("wrong name or password for '%s' from %s", "bob", FAR)
    assert [record.getMessage() for record in caplog.records[10:]] == [
        "90 more logins failed",
        f"wrong name or password for 'bob' from {FAR}",
    ]


def test_closing_ends_what_waits() -> None:
    async def test(access: Access) -> None:
        await refusal(access.by_digest("bob", None, FAR))
        login = asyncio.create_task(access.by_password("bob", "secret", FAR))
        await asyncio.sleep(0)
        access.close()
        with pytest.raises(asyncio.CancelledError):
            await login

    run(USERS, test)


def test_digest_is_offered_if_all_users_can_answer_it() -> None:
    anybody = User("any")
    assert Access({"bob": BOB, "any": anybody}).digest_algorithms == ("SHA-256", "MD5")
    assert Access(USERS).digest_algorithms == ()
