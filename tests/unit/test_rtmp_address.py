"""RTMP's URLs."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.rtmp.address import (
    PublishAddress,
    PushAddress,
    parse_publish_address,
    parse_push_url,
)


@pytest.mark.parametrize(
    ("app", "key", "name"),
    [
        ("live", "lobby", "live/lobby"),
        ("lobby", "", "lobby"),
        ("lobby/", "", "lobby"),
        ("", "lobby", "lobby"),
        ("live/", "/lobby", "live/lobby"),
        ("a/b", "c", "a/b/c"),
        ("live", "a/b", "live/a/b"),
    ],
)
def test_the_name_is_app_and_key(app: str, key: str, name: str) -> None:
    assert parse_publish_address(app, key) == PublishAddress(name)


@pytest.mark.parametrize(
    ("app", "key", "tc_url"),
    [
        ("live", "lobby?user=eva&pass=a%26b", ""),
        ("live?user=eva&pass=a%26b", "lobby", "rtmp://h/live?user=eva&pass=a%26b"),
        ("live", "lobby", "rtmp://h/live?user=eva&pass=a%26b"),
        ("live?user=no&pass=no", "lobby?x=1&user=eva&pass=a%26b", ""),
    ],
)
def test_the_query_has_the_credentials(app: str, key: str, tc_url: str) -> None:
    assert parse_publish_address(app, key, tc_url) == PublishAddress("live/lobby", "eva", "a&b")


@pytest.mark.parametrize("key", ["a b", "..", "a//b", "ä", "x" * 300, "?user=a&pass=b", "%6c"])
def test_names_that_cannot_be_are_refused(key: str) -> None:
    with pytest.raises(ParseError):
        parse_publish_address("" if key.startswith("?") else "live", key)


def test_a_password_has_a_bound() -> None:
    with pytest.raises(ParseError):
        parse_publish_address("live", "a?user=b&pass=" + "x" * 300)
    assert parse_publish_address("live", "a?" + "&".join(["user=b"] * 30)).user is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("rtmp://host/live/lobby", PushAddress("host", 1935, "live", "lobby")),
        ("rtmp://host:1936/a/b/key", PushAddress("host", 1936, "a/b", "key")),
        ("rtmp://host/lobby", PushAddress("host", 1935, "lobby", "")),
        ("rtmp://[::1]/live/x?k=1", PushAddress("::1", 1935, "live", "x?k=1")),
        (
            "rtmp://eva:p%40ss%2F@host/live/x?k=1",
            PushAddress("host", 1935, "live", "x?k=1&user=eva&pass=p%40ss%2F"),
        ),
    ],
)
def test_where_to_push(url: str, address: PushAddress) -> None:
    assert parse_push_url(url) == address


def test_tc_url() -> None:
    assert parse_push_url("rtmp://host:1936/a/b").tc_url == "rtmp://host:1936/a"
    assert parse_push_url("rtmp://[::1]/a/b").tc_url == "rtmp://[::1]/a"


@pytest.mark.parametrize(
    "url",
    ["http://host/live/x", "rtmp://host", "rtmp:///live", "rtmp://host:x/y", "rtmp://[/x", ""],
)
def test_what_is_no_rtmp_url_is_refused(url: str) -> None:
    with pytest.raises(ParseError, match="rtmp://host/app/key"):
        parse_push_url(url)
