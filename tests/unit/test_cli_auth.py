"""`streamsocket auth`: what it prints is what the settings take."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streamsocket.auth.passwords import digest_ha1, verify_password
from streamsocket.cli.main import app
from streamsocket.settings import load_settings


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STREAMSOCKET_")]:
        monkeypatch.delenv(name)


def call(*arguments: str, stdin: str | bytes = "geh heim\n") -> Result:
    return CliRunner().invoke(app, ["auth", *arguments], input=stdin)


def test_what_hash_prints_is_a_user() -> None:
    result = call("hash", "bob")
    assert result.exit_code == 0, result.output
    Path("streamsocket.toml").write_text(result.stdout)
    user = load_settings().users["bob"]
    assert verify_password(user.password, "geh heim")
    assert (user.publish, user.watch) == ((), ("*",))
    assert (user.digest_md5, user.digest_sha256) == (None, None)


def test_digest_and_patterns_go_into_it() -> None:
    patterns = ["--publish", "live/*", "--publish", "lobby", "--watch", 'a"b']
    result = call("hash", "Bob Ä", "--digest", *patterns)
    Path("streamsocket.toml").write_text(result.stdout)
    user = load_settings().users["Bob Ä"]
    assert user.digest_md5 == digest_ha1("MD5", "Bob Ä", "geh heim")
    assert user.digest_sha256 == digest_ha1("SHA-256", "Bob Ä", "geh heim")
    assert (user.publish, user.watch) == (("live/*", "lobby"), ('a"b',))


def test_the_password_is_not_printed() -> None:
    assert "geh heim" not in call("hash", "bob", "--digest").output


@pytest.mark.parametrize(
    ("name", "stdin", "sentence"),
    [
        ("a:b", "x\n", "'a:b' cannot be a user's name"),
        ("any", "x\n", "'any' stands for everybody"),
        ("bob", "\n", "A password has 1 to 256 characters."),
        ("bob", "", "A password has 1 to 256 characters."),
        ("bob", "x" * 257 + "\n", "A password has 1 to 256 characters."),
        ("bob", b"\xff\n", "The password on standard input is not in UTF-8."),
    ],
)
def test_what_cannot_be_is_one_sentence(name: str, stdin: str | bytes, sentence: str) -> None:
    result = call("hash", name, stdin=stdin)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"streamsocket: {sentence}")
    assert result.stdout == ""


def test_check_says_whether_the_password_fits() -> None:
    Path("streamsocket.toml").write_text(call("hash", "bob", "--digest").stdout)
    result = call("check", "bob")
    assert (result.exit_code, result.stdout) == (0, "That is the password of 'bob'.\n")
    result = call("check", "bob", stdin="geh\n")
    assert (result.exit_code, result.stderr) == (
        1,
        "streamsocket: That is not the password of 'bob'.\n",
    )


def test_check_reads_the_file_it_is_given() -> None:
    Path("other.toml").write_text(call("hash", "bob").stdout)
    assert call("check", "bob", "--config", "other.toml").exit_code == 0
    result = call("check", "bob")
    assert result.stderr == "streamsocket: The settings have no user 'bob' with a password.\n"


@pytest.mark.parametrize("setting", ["digest_md5", "digest_sha256"])
def test_check_tells_of_a_digest_that_does_not_belong(setting: str) -> None:
    values = tomllib.loads(call("hash", "bob", "--digest").stdout)["users"]["bob"]
    values[setting] = "0" * len(values[setting])
    lines = [f"{key} = '{values[key]}'" for key in ("password", "digest_md5", "digest_sha256")]
    Path("streamsocket.toml").write_text("\n".join(["[users.bob]", *lines]))
    result = call("check", "bob")
    assert result.exit_code == 1
    assert f"but {setting} is of another name or password" in result.stderr


def on_terminal(*answers: str) -> tuple[str, int]:
    """What the command shows on a terminal where each prompt is answered."""
    program = [sys.executable, "-c", "from streamsocket.cli.main import main; main()"]
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*program, "auth", "hash", "bob"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown, deadline = "", time.monotonic() + 30
    try:
        for answer in (*answers, ""):
            while not (answer and shown.endswith(": ")):
                assert time.monotonic() < deadline, shown
                try:
                    shown += os.read(controller, 4096).decode()
                except OSError:  # the terminal has closed with its last user
                    return shown, process.wait(10)
            shown += "\n"
            os.write(controller, f"{answer}\n".encode())
        raise AssertionError(shown)
    finally:
        process.kill()
        process.wait(10)
        os.close(controller)


def test_a_terminal_is_asked_twice_and_shows_nothing() -> None:
    shown, code = on_terminal("geh heim", "geh heim")
    assert code == 0, shown
    assert "Password for bob: " in shown
    assert "The same again: " in shown
    assert "$argon2id$" in shown
    assert "geh heim" not in shown


def test_two_that_differ_are_refused() -> None:
    shown, code = on_terminal("geh heim", "geh weg")
    assert code == 1
    assert "The two passwords differ" in shown
