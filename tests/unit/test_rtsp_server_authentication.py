"""The server asks who somebody is, and checks the answer."""

from __future__ import annotations

import base64
import re
import secrets

import pytest

from streamsocket.auth import passwords
from streamsocket.auth.passwords import digest_ha1
from streamsocket.auth.users import User
from streamsocket.errors import ParseError
from streamsocket.rtsp import server_authentication
from streamsocket.rtsp.authentication import Credentials, parse_challenges
from streamsocket.rtsp.server_authentication import (
    NONCE_LIFETIME_S,
    BasicCredentials,
    DigestFailed,
    DigestVerified,
    NoCredentials,
    Result,
    ServerAuthentication,
    Stale,
)

URL = "rtsp://192.0.2.1:8554/live/lobby"
BOTH = ("SHA-256", "MD5")

USERS = {
    name: User(
        name, None, digest_ha1("MD5", name, "s3 cret"), digest_ha1("SHA-256", name, "s3 cret")
    )
    for name in ("bob", "Ärger")
} | {"basic": User("basic")}


def server(algorithms: tuple[str, ...] = BOTH) -> ServerAuthentication:
    return ServerAuthentication(USERS.get, algorithms)


def answered(
    authentication: ServerAuthentication,
    *,
    user: str = "bob",
    password: str = "s3 cret",
    take: int = 0,
    now: float = 0.0,
) -> Credentials:
    """A client that has taken one of the challenges."""
    credentials = Credentials(user, password)
    challenge = authentication.challenges(now)[take]
    assert credentials.accept(parse_challenges([challenge]))
    return credentials


def test_the_challenges_are_in_the_order_and_form_that_all_players_get_along_with() -> None:
    sha256, md5, basic = server().challenges(0.0)
    # live555 scans for exactly this.
    assert re.fullmatch(r'Digest realm="StreamSocket", nonce="[0-9a-f]{32}"', md5)
    assert sha256 == md5 + ', algorithm=SHA-256, qop="auth"'
    assert basic.startswith('Basic realm="StreamSocket"')


def test_only_what_all_users_can_answer_is_offered() -> None:
    assert [value.split()[0] for value in server(()).challenges(0.0)] == ["Basic"]
    assert [value.split()[0] for value in server(("MD5",)).challenges(0.0)] == ["Digest", "Basic"]


@pytest.mark.parametrize("take", [0, 1])
@pytest.mark.parametrize("user", ["bob", "Ärger"])
def test_the_right_password_is_verified(take: int, user: str) -> None:
    authentication = server()
    client = answered(authentication, take=take, user=user)
    for method, url in (("DESCRIBE", URL), ("SETUP", URL + "/trackID=0"), ("PLAY", URL + "/")):
        header = client.authorization(method, url)
        result = authentication.check(method, url, header, 1.0)
        assert result == DigestVerified(USERS[user])


@pytest.mark.parametrize("take", [0, 1])
@pytest.mark.parametrize(
    ("user", "password"), [("bob", "secret"), ("eve", "s3 cret"), ("basic", "s3 cret"), ("", "")]
)
def test_everything_else_fails(take: int, user: str, password: str) -> None:
    authentication = server()
    client = answered(authentication, take=take, user=user, password=password)
    header = client.authorization("DESCRIBE", URL)
    assert authentication.check("DESCRIBE", URL, header, 0.0) == DigestFailed(user)


def test_an_answer_is_for_its_method_alone() -> None:
    authentication = server()
    header = answered(authentication).authorization("DESCRIBE", URL)
    assert authentication.check("ANNOUNCE", URL, header, 0.0) == DigestFailed("bob")


@pytest.mark.parametrize(
    ("hashed", "requested", "same"),
    [
        (URL, URL + "/trackID=1", True),
        (URL + "/", URL, True),
        (URL + "/", URL + "?a=b/trackID=0", True),
        ("rtsp://other.name/live/lobby", URL, True),
        ("rtsps://192.0.2.1/live/lobby", URL, True),
        ("/live/lobby", URL, True),
        ("/live/lobby/", URL, True),
        ("rtsp://192.0.2.1:8554/live%2Flobby", URL, True),
        ("*", "*", True),
        ("/live/yard", URL, False),
        ("rtsp://192.0.2.1:8554/live/yard", URL, False),
        ("rtsp://192.0.2.1:8554/live", URL, False),
        ("live/lobby", URL, False),
        ("*", URL, False),
        ("", URL, False),
        ("/../..", "/../x", False),
    ],
)
def test_the_uri_is_of_the_same_stream(hashed: str, requested: str, same: bool) -> None:
    authentication = server()
    header = answered(authentication).authorization("SETUP", hashed)
    result = authentication.check("SETUP", requested, header, 0.0)
    assert isinstance(result, DigestVerified) is same


def test_a_nonce_is_good_on_its_own_connection_alone() -> None:
    header = answered(server()).authorization("DESCRIBE", URL)
    other = server()
    other.challenges(0.0)
    assert other.check("DESCRIBE", URL, header, 0.0) == Stale("bob")
    assert server().check("DESCRIBE", URL, header, 0.0) == Stale("bob")


def test_a_wrong_password_is_no_stale_nonce() -> None:
    header = answered(server(), password="wrong").authorization("DESCRIBE", URL)
    assert server().check("DESCRIBE", URL, header, 0.0) == DigestFailed("bob")


def test_a_nonce_grows_stale_and_is_replaced() -> None:
    authentication = server()
    first = authentication.challenges(0.0)
    assert authentication.challenges(NONCE_LIFETIME_S - 1) == first
    client = answered(authentication)
    late = NONCE_LIFETIME_S + 1
    header = client.authorization("DESCRIBE", URL)
    assert authentication.check("DESCRIBE", URL, header, late) == Stale("bob")
    sha256, md5, _ = authentication.challenges(late, stale=True)
    assert "stale=true" in sha256
    assert re.fullmatch(r'Digest realm="StreamSocket", nonce="[0-9a-f]{32}", stale=true', md5)
    assert md5[:60] != first[1][:60]
    assert client.accept(parse_challenges([sha256]))
    header = client.authorization("DESCRIBE", URL)
    assert isinstance(authentication.check("DESCRIBE", URL, header, late), DigestVerified)


def test_what_is_replayed_is_not_accepted_again() -> None:
    authentication = server()
    client = answered(authentication)
    first = client.authorization("PLAY", URL)
    second = client.authorization("PLAY", URL)
    assert isinstance(authentication.check("PLAY", URL, second, 0.0), DigestVerified)
    assert authentication.check("PLAY", URL, second, 0.0) == Stale("bob")
    assert authentication.check("PLAY", URL, first, 0.0) == Stale("bob")


def test_clients_that_count_every_request_as_the_first_are_let_in() -> None:
    authentication = server()
    for method in ("DESCRIBE", "SETUP", "PLAY"):
        header = answered(authentication).authorization(method, URL)
        assert "nc=00000001" in (header or "")
        assert isinstance(authentication.check(method, URL, header, 0.0), DigestVerified)


def test_the_old_form_may_repeat_itself() -> None:
    authentication = server()
    client = answered(authentication, take=1)
    header = client.authorization("GET_PARAMETER", URL)
    assert "qop" not in (header or "")
    for _ in range(3):
        result = authentication.check("GET_PARAMETER", URL, header, 0.0)
        assert isinstance(result, DigestVerified)


def test_players_that_take_the_first_digest_for_md5_are_let_in() -> None:
    authentication = server()
    nonce = authentication.challenges(0.0)[0].split('"')[3]
    client = Credentials("bob", "s3 cret")
    assert client.accept(parse_challenges([f'Digest realm="StreamSocket", nonce="{nonce}"']))
    header = client.authorization("DESCRIBE", URL)
    assert isinstance(authentication.check("DESCRIBE", URL, header, 0.0), DigestVerified)


CNONCE_7616 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(
    monkeypatch: pytest.MonkeyPatch, algorithm: str, response: str
) -> None:
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    authentication = _mufasa(monkeypatch, "http-auth@example.org", "Circle of Life", nonce)
    header = (
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
        f'algorithm={algorithm}, nonce="{nonce}", nc=00000001, cnonce="{CNONCE_7616}", qop=auth, '
        f'response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    result = authentication.check("GET", "/dir/index.html", header, 0.0)
    assert isinstance(result, DigestVerified)
    spoilt = header.replace(response, response[:-1] + "0")
    assert isinstance(authentication.check("GET", "/dir/index.html", spoilt, 0.0), DigestFailed)


@pytest.mark.parametrize(
    "rest",
    [
        'qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1"',
        'response="670fd8c2df070c60b045671b8b24ff02"',
    ],
)
def test_the_example_of_rfc_2617_with_qop_and_without(
    monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    authentication = _mufasa(monkeypatch, "testrealm@host.com", "Circle Of Life", nonce)
    header = (
        f'digest username="Mufasa",realm="testrealm@host.com", nonce="{nonce}", '
        f'uri="/dir/index.html", {rest}'
    )
    result = authentication.check("GET", "/dir/index.html", header, 0.0)
    assert isinstance(result, DigestVerified)


def _mufasa(
    monkeypatch: pytest.MonkeyPatch, realm: str, password: str, nonce: str
) -> ServerAuthentication:
    monkeypatch.setattr(server_authentication, "REALM", realm)
    monkeypatch.setattr(passwords, "REALM", realm)
    monkeypatch.setattr(secrets, "token_hex", lambda size: nonce)
    md5, sha256 = (digest_ha1(each, "Mufasa", password) for each in ("MD5", "SHA-256"))
    authentication = ServerAuthentication({"Mufasa": User("Mufasa", None, md5, sha256)}.get, BOTH)
    authentication.challenges(0.0)
    return authentication


@pytest.mark.parametrize(
    ("pair", "user", "password"),
    [
        (b"bob:s3 cret", "bob", "s3 cret"),
        ("Ärger:pä:ss".encode(), "Ärger", "pä:ss"),
        ("Ärger:x".encode("latin-1"), "Ärger", "x"),
        (b"bob:", "bob", ""),
        (b":", "", ""),
    ],
)
@pytest.mark.parametrize("scheme", ["Basic ", "basic  "])
def test_basic(scheme: str, pair: bytes, user: str, password: str) -> None:
    header = scheme + base64.b64encode(pair).decode()
    result = server().check("DESCRIBE", URL, header, 0.0)
    assert result == BasicCredentials(user, password)


def test_the_password_does_not_show() -> None:
    assert "secret" not in repr(BasicCredentials("bob", "secret"))


@pytest.mark.parametrize("header", [None, "", "Bearer abc", "Digestive x", "Negotiate"])
def test_without_credentials_that_we_know_there_are_none(header: str | None) -> None:
    assert server().check("DESCRIBE", URL, header, 0.0) == NoCredentials()


GOOD = 'username="bob", realm="StreamSocket", nonce="n", uri="/x", response="00"'


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Basic", "no colon"),
        ("Basic !", "not Base64"),
        ("Basic Ym9i", "no colon"),
        ("Basic ä", "not Base64"),
        ("Digest", "has no username"),
        ("Digest ==", "has no username"),
        ("Digest " + GOOD.replace("username", "user"), "has no username"),
        ("Digest " + GOOD.replace("nonce", "once"), "has no nonce"),
        ("Digest " + GOOD.replace("uri", "url"), "has no uri"),
        ("Digest " + GOOD.replace("response", "answer"), "has no response"),
        ("Digest " + GOOD + ", qop=auth-int", "was not offered"),
        ("Digest " + GOOD + ", algorithm=SHA-512-256", "was not offered"),
        ("Digest " + GOOD + ", algorithm=MD5-sess", "was not offered"),
        ("Digest " + GOOD + ', qop=auth, cnonce="x"', "has no nc"),
        ("Digest " + GOOD + ", qop=auth, nc=00000001", "has no cnonce"),
        ("Digest " + GOOD + ", qop=auth, cnonce=x, nc=x", "no number"),
        ("Digest " + GOOD + ", qop=auth, cnonce=x, nc=" + "1" * 9, "no number"),
        ("Digest " + GOOD + "x" * 5000, "longer than"),
    ],
)
def test_what_cannot_be_understood_is_told(header: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        server().check("DESCRIBE", URL, header.replace('"/x"', f'"{URL}"'), 0.0)


@pytest.mark.parametrize(
    "header",
    [
        "Digest " + GOOD.replace("StreamSocket", "OtherRealm"),
        "Digest " + GOOD.replace('"00"', '"ä"'),
        "Digest " + GOOD.replace('"00"', '""'),
        "Digest " + GOOD.replace('"bob"', '"b\\"ob"'),
    ],
)
def test_what_is_merely_wrong_fails(header: str) -> None:
    result: Result = server().check("DESCRIBE", "/x", header, 0.0)
    assert isinstance(result, DigestFailed)
