"""Patterns, names, and which of Digest's hashes are offered."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.auth.users import (
    Permissions,
    User,
    bad_user_name_reason,
    common_algorithms,
    harmless,
    unusable_user_reason,
)
from streamsocket.names import matches


@pytest.mark.parametrize(
    ("pattern", "stream", "expected"),
    [
        ("*", "lobby", True),
        ("*", "live/lobby", True),
        ("*", "", True),
        ("lobby", "lobby", True),
        ("lobby", "lobby2", False),
        ("lobby", "Lobby", False),
        ("live/*", "live/lobby", True),
        ("live/*", "live/a/b", True),
        ("live/*", "live", False),
        ("live/*", "livestock/x", False),
        ("*/hd", "live/lobby/hd", True),
        ("*/hd", "hd", False),
        ("a*b*c", "a/b/c", True),
        ("a*b*c", "acb", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a**b", "ab", True),
        ("[ab]?", "a1", False),
        ("[ab]?", "[ab]?", True),
        ("", "x", False),
    ],
)
def test_patterns(pattern: str, stream: str, expected: bool) -> None:
    assert matches(pattern, stream) is expected


@given(st.text("ab*/", max_size=8), st.text("ab/", max_size=12))
def test_patterns_mean_what_a_regular_expression_would(pattern: str, stream: str) -> None:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert matches(pattern, stream) is bool(re.fullmatch(expression, stream))


def test_permissions_are_apart_and_by_default_to_watch() -> None:
    assert Permissions().allow("watch", "live/lobby")
    assert not Permissions().allow("publish", "live/lobby")
    permissions = Permissions(publish=("a", "b/*"), watch=())
    assert permissions.allow("publish", "a")
    assert permissions.allow("publish", "b/c")
    assert not permissions.allow("watch", "a")


@pytest.mark.parametrize("name", ["bob", "Ärger", "bob smith", "b@example.org", "x" * 64])
def test_names_that_users_have(name: str) -> None:
    assert bad_user_name_reason(name) is None


@pytest.mark.parametrize("name", ["", "a:b", 'a"b', "a\\b", "a\nb", "\x1b[2J", "x" * 65])
def test_names_that_nobody_has(name: str) -> None:
    reason = bad_user_name_reason(name) or ""
    assert "cannot be a user's name" in reason
    assert reason.isprintable()


def test_users_have_passwords_and_anybody_has_none() -> None:
    assert unusable_user_reason("bob", has_password=True) is None
    assert "has no password" in (unusable_user_reason("bob", has_password=False) or "")
    assert unusable_user_reason("any", has_password=False) is None
    assert "choose another name" in (unusable_user_reason("any", has_password=True) or "")


def test_text_from_outside_is_made_harmless() -> None:
    assert harmless("bob\r\n\x1b[31mroot\u202e") == "bob???[31mroot?"
    assert len(harmless("x" * 1000)) == 65


def test_no_secret_shows() -> None:
    user = User("bob", "$argon2id$secret", "md5secret", "sha256secret")
    assert "secret" not in repr(user)


@pytest.mark.parametrize(
    ("users", "offered"),
    [
        ([], ()),
        ([User("a")], ()),
        ([User("a", ha1_md5="1")], ("MD5",)),
        ([User("a", ha1_md5="1", ha1_sha256="2")], ("SHA-256", "MD5")),
        ([User("a", ha1_md5="1", ha1_sha256="2"), User("b", ha1_md5="1")], ("MD5",)),
        ([User("a", ha1_md5="1", ha1_sha256="2"), User("b")], ()),
        ([User("a", ha1_sha256="2")], ()),
    ],
)
def test_digest_is_offered_only_where_all_can_answer(
    users: list[User], offered: tuple[str, ...]
) -> None:
    assert common_algorithms(iter(users)) == offered
