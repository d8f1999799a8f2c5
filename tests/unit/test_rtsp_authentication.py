"""Credentials: given when asked for, the way the server asks, and never shown."""

from __future__ import annotations

import base64
import re
import secrets

import pytest

from streamsocket.rtsp.authentication import Challenge, Credentials, parse_challenges

# The examples of RFC 7616, 3.9.1.
RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


def answer(credentials: Credentials, challenge: str, method: str = "GET", url: str = "/x") -> str:
    assert credentials.accept(parse_challenges([challenge]))
    return credentials.authorization(method, url) or ""


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_as_in_the_rfcs_examples(
    monkeypatch: pytest.MonkeyPatch, algorithm: str, response: str
) -> None:
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr(secrets, "token_hex", lambda size: cnonce)
    credentials = Credentials("Mufasa", "Circle of Life")
    header = answer(credentials, RFC_7616.format(algorithm), "GET", "/dir/index.html")
    assert f'response="{response}"' in header
    assert f"algorithm={algorithm}" in header
    assert "nc=00000001" in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


def test_digest_in_its_old_form_as_cameras_ask_for_it() -> None:
    # The example of RFC 2617, 3.5, without qop.
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    header = answer(Credentials("Mufasa", "Circle Of Life"), challenge, "GET", "/dir/index.html")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in header
    assert "qop" not in header
    assert "algorithm" not in header


def test_requests_under_one_nonce_are_counted() -> None:
    credentials = Credentials("me", "secret")
    answer(credentials, 'Digest realm="r", nonce="n", qop="auth"')
    assert "nc=00000002" in (credentials.authorization("GET", "/x") or "")


def test_basic_is_answered() -> None:
    header = answer(Credentials("me", "pä:ss"), 'Basic realm="r"')
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "me:pä:ss"


def test_nothing_is_given_before_it_is_asked_for() -> None:
    assert Credentials("me", "secret").authorization("GET", "/x") is None


@pytest.mark.parametrize(
    "values",
    [
        ['Basic realm="r"', 'Digest realm="r", nonce="a"', 'Digest nonce=b, algorithm="SHA-256"'],
        ['Basic realm="r", Digest nonce="a" , Digest nonce="b",algorithm=sha-256'],
        ['Digest nonce="b", algorithm=SHA-256, Basic realm="r", NewScheme, Digest nonce=a'],
    ],
)
def test_the_strongest_of_several_challenges_is_taken(values: list[str]) -> None:
    credentials = Credentials("me", "secret")
    assert credentials.accept(parse_challenges(values))
    assert 'nonce="b"' in (credentials.authorization("GET", "/x") or "")


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Negotiate abc==",
        'Digest realm="no nonce"',
        'Digest nonce="n", algorithm=SHA-512-256',
        'Digest nonce="n", qop="auth-int"',
    ],
)
def test_what_cannot_be_answered_is_not(challenge: str) -> None:
    credentials = Credentials("me", "secret")
    assert not credentials.accept(parse_challenges([challenge]))
    assert credentials.authorization("GET", "/x") is None


def test_quoted_strings_are_read_and_written_with_their_escapes() -> None:
    (challenge,) = parse_challenges([r'Digest Realm="a \"b\", c\\d" , nonce = n'])
    assert challenge == Challenge("digest", {"realm": r'a "b", c\d', "nonce": "n"})
    header = answer(Credentials('m"e', "secret"), r'Digest realm="a \"b\"", nonce=n')
    assert r'username="m\"e"' in header
    assert r'realm="a \"b\""' in header


def test_neither_user_nor_password_is_shown() -> None:
    assert not re.search("somebody|secret", repr(Credentials("somebody", "secret")))
