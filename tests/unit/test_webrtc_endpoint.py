"""URLs of WHEP and WHIP, and STUN and TURN servers, as users write them."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.webrtc.endpoint import is_http, is_whep, parse_endpoint
from streamsocket.webrtc.ice_server import IceServer, parse_ice_servers


def test_a_url_is_taken_apart() -> None:
    endpoint = parse_endpoint("HTTP://anna:s%40c:ret@[::1]:8080/live/l%C3%B6bby/whep?a=b")
    assert endpoint.url == "http://[::1]:8080/live/l%C3%B6bby/whep?a=b"
    assert (endpoint.scheme, endpoint.host, endpoint.port) == ("http", "::1", 8080)
    assert endpoint.name == "live/löbby"
    assert endpoint.address == "[::1]:8080"
    assert endpoint.authorization == "Basic YW5uYTpzQGM6cmV0"
    assert endpoint.verify


def test_what_is_left_out_has_its_usual_value() -> None:
    endpoint = parse_endpoint("https://tv.example/whep#insecure")
    assert (endpoint.port, endpoint.name, endpoint.verify) == (443, "", False)
    assert endpoint.url == "https://tv.example/whep"
    assert endpoint.authorization is None
    assert parse_endpoint("http://tv.example/a/whip/").name == "a"
    assert parse_endpoint("http://tv.example/awhep").name == "awhep"


@pytest.mark.parametrize(
    "url",
    ["", "tv.example/whep", "rtsp://tv/whep", "http:///whep", "http://a:b/whep", "http://a:0/",
     "http://[::1/whep", "http://a/\nwhep", "http://a/ b", "http://anna:secret@:80/"],
)  # fmt: skip
def test_what_is_no_url_is_told_without_repeating_it(url: str) -> None:
    with pytest.raises(ParseError, match="not of the form http://HOST/NAME/whep") as refusal:
        parse_endpoint(url)
    assert "secret" not in str(refusal.value)


def test_what_is_watched_ends_in_whep() -> None:
    for url in ("http://h/a/whep", "HTTPS://u:p@h/a/whep/?x=1#insecure"):
        assert is_http(url)
        assert is_whep(url)
    for url in ("http://h/a/whip", "http://h/?/whep", "rtsp://h/whep", "http:/x.m3u8", "httpd"):
        assert not is_whep(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stun:stun.example", IceServer("stun", "stun.example", 3478)),
        ("STUN:192.0.2.1:19302", IceServer("stun", "192.0.2.1", 19302)),
        ("turn:anna:se:c@ret@[2001:db8::1]:5000",
         IceServer("turn", "2001:db8::1", 5000, "anna", "se:c@ret")),
        ("turn:a:b@h?transport=tcp", IceServer("turn", "h", 3478, "a", "b", "tcp")),
        ("turns:a:b@h", IceServer("turn", "h", 5349, "a", "b", "tcp", tls=True)),
    ],
)  # fmt: skip
def test_an_ice_server_is_read(text: str, expected: IceServer) -> None:
    assert IceServer.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "stun", "stun:", "stun.example:3478", "turn:turn.example", "turn:a:secret@", "stun:h:0",
     "stun:h:65536", "stun:h/x", "http://h", "turn:a:secret@h:port", "stun:" + "h" * 1000],
)  # fmt: skip
def test_what_is_no_ice_server_is_told_without_the_password(text: str) -> None:
    with pytest.raises(ParseError, match=r"turn:USER:PASSWORD@HOST:PORT\.$") as refusal:
        IceServer.parse(text)
    assert "secret" not in str(refusal.value)


def test_the_password_shows_nowhere() -> None:
    assert "secret" not in repr(IceServer.parse("turn:anna:secret@h"))


def test_several_are_read_with_commas_or_spaces() -> None:
    assert parse_ice_servers("") == ()
    hosts = [each.host for each in parse_ice_servers("stun:a, stun:b  stun:c,")]
    assert hosts == ["a", "b", "c"]
