"""What the URLs of requests and of users mean."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.rtsp.url import (
    StreamUrl,
    parse_server_url,
    parse_stream_url,
    without_credentials,
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://h/movie", StreamUrl("movie")),
        ("rtsp://h:8554/live/lobby/", StreamUrl("live/lobby")),
        ("rtsp://u:p@[::1]:8554/live/lobby", StreamUrl("live/lobby")),
        ("RTSP://h/a%20b/%C3%A9", StreamUrl("a b/é")),
        ("rtsp://h/a/trackID=1", StreamUrl("a", "", 1)),
        ("rtsp://h/a/trackid=1/", StreamUrl("a", "", 1)),
        ("rtsp://h/a?x=1/trackID=0", StreamUrl("a", "x=1", 0)),
        ("rtsp://h/a/?x=1/trackID=0", StreamUrl("a", "x=1", 0)),
        ("rtsp://h/a/trackID=0?x=1", StreamUrl("a", "x=1", 0)),
        ("rtsp://h/a?x=1/", StreamUrl("a", "x=1")),
        ("rtsp://h/a?quality=high&y=2", StreamUrl("a", "quality=high&y=2")),
        ("rtsp://h/a/trackID=x", StreamUrl("a/trackID=x")),
        ("rtsp://h/trackID=1/b", StreamUrl("trackID=1/b")),
        ("rtsp://h/trackID=1", StreamUrl("", "", 1)),
        ("rtsp://h", StreamUrl("")),
        ("rtsp://h/", StreamUrl("")),
    ],
)
def test_a_request_means_a_stream_or_one_of_its_tracks(url: str, expected: StreamUrl) -> None:
    assert parse_stream_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "*",
        "/a",
        "http://h/a",
        "rtsp://h/a#b",
        "rtsp://h/../etc/passwd",
        "rtsp://h/a/%2e%2e/b",
        "rtsp://h/a%2f..%2fb",
        "rtsp://h/./a",
        "rtsp://h//etc",
        "rtsp://h/a//b",
        "rtsp://h/a\\b",
        "rtsp://h/a%5Cb",
        "rtsp://h/a%00",
        "rtsp://h/a%0d%0aX: y",
        "rtsp://h/%1b[31m",
        "rtsp://h/%c2%9b31m",
        "rtsp://h/%ff",
    ],
)
def test_names_that_could_do_harm_are_refused(url: str) -> None:
    with pytest.raises(ParseError):
        parse_stream_url(url)


def test_a_users_url_is_taken_apart() -> None:
    url = parse_server_url("rtsp://me:p%40ss:word@camera.lan:8554/live/a%20b?x=1")
    assert (url.host, url.port, url.path) == ("camera.lan", 8554, "live/a b")
    assert (url.user, url.password) == ("me", "p@ss:word")
    assert url.url == "rtsp://camera.lan:8554/live/a%20b?x=1"
    assert "word" not in repr(url)


def test_a_users_url_may_leave_out_what_has_a_default() -> None:
    url = parse_server_url("rtsp://[2001:db8::1]/a")
    assert (url.host, url.port, url.user, url.password) == ("2001:db8::1", 554, None, "")
    assert url.url == "rtsp://[2001:db8::1]/a"


def test_over_tls_there_is_another_port_and_the_certificate_is_checked() -> None:
    url = parse_server_url("RTSPS://me:secret@camera/a")
    assert (url.scheme, url.port, url.tls, url.verify) == ("rtsps", 322, True, True)
    assert url.url == "rtsps://camera/a"
    assert parse_server_url("rtsps://camera:8322/a").port == 8322
    plain = parse_server_url("rtsp://camera/a")
    assert (plain.scheme, plain.port, plain.tls) == ("rtsp", 554, False)


def test_the_certificate_is_not_checked_where_the_url_says_so() -> None:
    url = parse_server_url("rtsps://camera/a?x=1#insecure")
    assert not url.verify
    # Which is between the user and us.
    assert url.url == "rtsps://camera/a?x=1"
    assert parse_server_url("rtsps://camera/a?x=insecure#other").verify


@pytest.mark.parametrize(
    "url",
    [
        "",
        "movie.mp4",
        "http://h/a",
        "rtsp:///a",
        "rtsp://h:0/a",
        "rtsp://h:99999/a",
        "rtsp://h:port/a",
        "rtsp://[::1/a",
        "rtsp://h/a b",
        "rtsp://h/a\r\nX: y",
    ],
)
def test_a_users_url_that_is_none_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(ParseError, match=r"\.$"):
        parse_server_url(url)


def test_credentials_are_taken_out() -> None:
    assert without_credentials("rtsp://u:p@h:1/a?b@c") == "rtsp://h:1/a?b@c"
    assert without_credentials("rtsp://[::1/") == "rtsp://[::1/"
