"""`streamsocket call` as it is called, rightly and wrongly."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from streamsocket.call import session
from streamsocket.call.secret import password
from streamsocket.call.session import Party
from streamsocket.cli import addresses
from streamsocket.cli.main import app


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Party]:
    """The calls, which nobody holds."""
    parties: list[Party] = []
    monkeypatch.setattr(session, "hold_call", lambda party, *, say: parties.append(party))
    monkeypatch.setattr(
        addresses,
        "reachable_hosts",
        lambda host: ["192.168.1.20"] if host == "0.0.0.0" else [host],
    )
    monkeypatch.delenv("STREAMSOCKET_SECRET", raising=False)
    return parties


def call(*arguments: str, typed: str = "") -> Any:
    return CliRunner().invoke(app, ["call", *arguments], input=typed)


def test_who_listens_shows_address_and_secret(held: list[Party]) -> None:
    done = call("--listen")
    assert done.exit_code == 0
    [party] = held
    assert (party.host, party.port, party.source) == ("0.0.0.0", 8554, "camera+mic")
    assert party.listens
    assert len(password(party.secret)) == 8
    lines = done.stdout.splitlines()
    assert "headphones" in lines[0]
    assert lines[1].endswith("streamsocket call 192.168.1.20")
    assert lines[2].endswith(party.secret)
    assert party.waiting.message == f"streamsocket call 192.168.1.20\nSecret: {party.secret}"


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [
        ("0.0.0.0", "9000", "192.168.1.20:9000"),
        ("::1", "8554", "::1"),
        ("::1", "9000", "[::1]:9000"),
    ],
)
def test_the_address_to_type(held: list[Party], host: str, port: str, shown: str) -> None:
    done = call("--listen", "--host", host, "--port", port)
    assert f"streamsocket call {shown}\n" in done.stdout
    call(shown, "--secret", "ABCDEF")
    listener, caller = held
    assert caller.port == listener.port
    assert caller.host == shown.removesuffix(f":{port}").strip("[]")


def test_who_calls_is_asked_for_the_secret(held: list[Party]) -> None:
    done = call("192.168.1.20", typed="7k3m-9qpx\n")
    assert done.exit_code == 0
    [party] = held
    assert (party.host, party.port, party.secret) == ("192.168.1.20", 8554, "7k3m-9qpx")
    assert not party.listens


def test_a_secret_may_be_in_the_environment(
    held: list[Party], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSOCKET_SECRET", "ABCD-2345")
    call("desk.example:9000", "--source", "screen+mic")
    [party] = held
    assert (party.host, party.port, party.secret) == ("desk.example", 9000, "ABCD-2345")
    assert party.source == "screen+mic"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Either wait"),
        (["192.168.1.20", "--listen"], "Either wait"),
        (["--listen", "--secret", "abc-de"], "at least 6"),
        (["192.168.1.20", "--secret", "abc-de"], "at least 6"),
        (["--listen", "--source", "camera+camera"], "one picture and one sound"),
        (["--listen", "--source", "no-such-movie.mp4"], "no-such-movie.mp4"),
        *(
            ([address, "--secret", "ABCDEF"], "nobody's address")
            for address in ("", "a b", "host:0", "host:70000", "host:x", "user@host", "host/path")
        ),
        (["rtsp://192.168.1.20/", "--secret", "ABCDEF"], "nobody's address"),
    ],
)
def test_what_cannot_be_meant(held: list[Party], arguments: list[str], words: str) -> None:
    done = call(*arguments)
    assert done.exit_code == 1
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("streamsocket: ")
    assert words in sentence
    assert held == []


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "70000"], ["--loud"]])
def test_wrong_usage(held: list[Party], arguments: list[str]) -> None:
    assert call("--listen", *arguments).exit_code == 2
    assert held == []


def test_a_secret_that_is_typed_too_short_is_told(held: list[Party]) -> None:
    done = call("192.168.1.20", typed="abc\n")
    assert done.exit_code == 1
    assert "at least 6" in done.stderr
    assert held == []
