"""The addresses that peers are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from streamsocket.webrtc import addresses
from streamsocket.webrtc.addresses import PublicHosts

_T = TypeVar("_T")


def run(question: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(question)


async def addresses_of(*hosts: str) -> list[str]:
    return await PublicHosts(asyncio.get_running_loop(), hosts).addresses()


def test_without_public_hosts_there_are_none() -> None:
    assert run(addresses_of()) == []


def test_addresses_stay_what_they_are_in_order() -> None:
    assert run(addresses_of("203.0.113.7", "2001:db8::7")) == ["203.0.113.7", "2001:db8::7"]


def test_names_are_looked_up() -> None:
    assert "127.0.0.1" in run(addresses_of("localhost"))


def test_a_name_that_nobody_knows_gives_none_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert run(addresses_of("nowhere.invalid", "203.0.113.7")) == ["203.0.113.7"]
    assert "'nowhere.invalid' is not known here" in caplog.text


def test_a_name_is_looked_up_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, 0, 0, "", (f"203.0.113.{len(asked)}", 0))]

        now = 0.0
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        hosts = PublicHosts(loop, ["tv.example.org"])
        monkeypatch.setattr(loop, "time", lambda: now)
        assert await hosts.addresses() == ["203.0.113.1"]
        assert await hosts.addresses() == ["203.0.113.1"]
        now = addresses._LOOK_UP_AGAIN_S
        assert await hosts.addresses() == ["203.0.113.2"]

    run(scenario())
    assert asked == ["tv.example.org"] * 2
