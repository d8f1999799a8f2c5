"""Users and TLS in the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2 import PasswordHasher

from streamsocket.errors import SettingsError
from streamsocket.server_options import users as configured_users
from streamsocket.settings import Settings, load_settings

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, environ: dict[str, str] | None = None) -> Settings:
    Path("streamsocket.toml").write_text(text)
    return load_settings(environ=environ or {})


def refusal(text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, environ)
    return str(caught.value)


def test_a_user_may_watch_everything_and_publish_nothing_by_default() -> None:
    user = load(f"[users.bob]\npassword = '{HASH}'").users["bob"]
    assert (user.publish, user.watch) == ((), ("*",))


def test_users_become_what_access_is_made_from() -> None:
    settings = load(
        f"[users.bob]\npassword = '{HASH}'\ndigest_md5 = '{'A' * 32}'\n"
        f"digest_sha256 = '{'b' * 64}'\npublish = ['live/*', 'lobby']\nwatch = []\n"
        "[users.any]\nwatch = 'open/*'\n"
    )
    users = configured_users(settings)
    assert set(users) == {"bob", "any"}
    bob = users["bob"]
    assert (bob.name, bob.password_hash) == ("bob", HASH)
    assert (bob.ha1("MD5"), bob.ha1("SHA-256")) == ("a" * 32, "b" * 64)
    assert bob.permissions.publish == ("live/*", "lobby")
    assert bob.permissions.watch == ()
    assert users["any"].permissions.watch == ("open/*",)
    assert users["any"].password_hash is None


def test_users_can_come_from_the_environment() -> None:
    environ = {
        "STREAMSOCKET_USERS__BOB__PASSWORD": HASH,
        "STREAMSOCKET_USERS__BOB__PUBLISH": "live/*, lobby",
    }
    user = load("", environ).users["bob"]
    assert user.password == HASH
    assert user.publish == ("live/*", "lobby")


def test_no_secret_shows() -> None:
    settings = load(f"[users.bob]\npassword = '{HASH}'\ndigest_md5 = '{'a' * 32}'")
    assert HASH not in repr(settings)
    assert "a" * 32 not in repr(settings)


NO_HASH = "this is no argon2id hash, and a password itself is not kept: run"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[users.bob]\npassword = 'hunter2'", f"line 2: users.bob.password: {NO_HASH}"),
        ("[users.bob]\npassword = 4711", f"line 2: users.bob.password: {NO_HASH}"),
        ("[users.bob]\npassword = '$argon2i$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA'", "line 2: users.bob"),
        ("\n[users.bob]\nwatch = ['x']", "line 3: the user 'bob' has no password: 'streamsocket"),
        ("[users.bob]", "line 1: the user 'bob' has no password"),
        (f"[users.'a:b']\npassword = '{HASH}'", "line 2: 'a:b' cannot be a user's name"),
        (f"[users.any]\npassword = '{HASH}'", "line 2: 'any' stands for everybody"),
        (
            f"[users.bob]\npassword = '{HASH}'\ndigest_md5 = '{'a' * 64}'",
            "line 3: users.bob.digest_md5: this is none of what 'streamsocket auth hash NAME",
        ),
        (
            f"[users.bob]\npassword = '{HASH}'\ndigest_sha256 = 'hunter2'",
            "line 3: users.bob.digest_sha256: this is none of what 'streamsocket auth hash NAME",
        ),
        (
            f"[users.bob]\npassword = '{HASH}'\npublish = 3",
            "line 3: users.bob.publish should be a list of patterns, not 3.",
        ),
        (
            f"[users.bob]\npassword = '{HASH}'\nwatch = ['']",
            "line 3: users.bob.watch should have at least 1 character, not ''.",
        ),
        (
            f"[users.bob]\npassword = '{HASH}'\nwacht = ['x']",
            "line 3: users.bob.wacht is no setting: did you mean users.bob.watch?",
        ),
        ("users = 1", "line 1: users is a group of settings and has no value of its own."),
        ("[rtsps]\nport = 8322", "line 2: rtsps.port: RTSPS needs a certificate and its key"),
        (
            "[rtsps]\nport = 8322\ncertificate = 'c.pem'",
            "line 3: rtsps.certificate: RTSPS needs a certificate and its key",
        ),
        ("[rtsps]\nport = true", "line 2: rtsps.port should be a number, not True."),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_the_secret(
    text: str, sentence: str
) -> None:
    told = refusal(text)
    assert told.startswith(f"streamsocket.toml, {sentence}")
    assert "hunter2" not in told
    assert "4711" not in told


def test_a_user_without_a_password_in_the_environment_is_told_with_its_variable() -> None:
    told = refusal("", {"STREAMSOCKET_USERS__BOB__WATCH": "*"})
    assert told.startswith("STREAMSOCKET_USERS__BOB__WATCH: the user 'bob' has no password")


def test_rtsps_is_off_until_it_has_a_port() -> None:
    assert Settings().rtsps.port is None
    rtsps = load("[rtsps]\nport = 8322\ncertificate = 'c.pem'\nkey = 'k.pem'").rtsps
    assert (rtsps.port, rtsps.certificate, rtsps.key) == (8322, "c.pem", "k.pem")
