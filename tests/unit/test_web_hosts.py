"""By which names a browser may use the server, and by which a stranger's page must not."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest
from status_helpers import server_status

from streamsocket.web.app import create_app
from streamsocket.web.hosts import KnownHosts, machine_names

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


@pytest.mark.parametrize(
    "header",
    [
        "localhost:8080",
        "LOCALHOST",
        "localhost.",
        "tv.localhost:8080",
        "127.0.0.1:8080",
        "127.0.0.1",
        "[::1]:8080",
        "[fe80::1%eth0]:8080",
        "192.168.1.5:8080",  # by its address: no page has that as its origin by DNS
        "studio:8080",
        "Studio.local:8080",
        None,
    ],
)
def test_this_machines_names_and_addresses_are_known(header: str | None) -> None:
    hosts = KnownHosts((), own=("studio", "studio.local"))
    for peer in (HERE, "::1", "::ffff:127.0.0.1"):
        assert hosts.allow(header, peer)


@pytest.mark.parametrize(
    "header",
    [
        "evil.example:8080",
        "evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "studio.evil.example",
        "evil.example:80@localhost",
        "[::1].evil.example",
        "[::1",
        "",
        "evil.example/localhost",
        "evil.example#@localhost",
    ],
)
def test_another_name_is_refused_to_who_is_trusted_for_being_here(header: str) -> None:
    hosts = KnownHosts((), own=("studio",))
    for peer in (HERE, "::1", "::ffff:127.0.0.1"):
        assert not hosts.allow(header, peer)
    assert hosts.allow(header, ELSEWHERE)


def test_the_setting_names_more_and_then_counts_for_everybody() -> None:
    hosts = KnownHosts(("TV.example.org", "*.cams.example"), own=("studio",))
    for peer in (HERE, ELSEWHERE):
        assert hosts.allow("tv.example.org:8080", peer)
        assert hosts.allow("one.cams.example", peer)
        assert hosts.allow("a.b.cams.example.", peer)
        assert hosts.allow("studio", peer)
        assert hosts.allow("192.0.2.1", peer)
        for foreign in ("cams.example", "evilcams.example", "example.org", "evil.example"):
            assert not hosts.allow(foreign, peer)
    assert KnownHosts(("*",)).allow("evil.example", HERE)


def test_this_machine_knows_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Studio.lan")
    hosts = KnownHosts(own=machine_names())
    assert hosts.allow("studio.lan", HERE)
    assert hosts.allow("studio.local", HERE)
    assert not hosts.allow("studio", HERE)
    monkeypatch.setattr("socket.gethostname", lambda: "")
    assert machine_names() == []


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 421), ("localhost", 200), ("127.0.0.1", 200)]
)
def test_the_application_answers_421_and_counts(host: str, status: int) -> None:
    refused: Counter[str] = Counter()
    app = create_app(server_status, rtsp_port=8554, hosts=KnownHosts(()), refused=refused)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=(HERE, 1))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8080") as http:
            return [await http.get(path) for path in ("/health", "/", "/api/streams", "/metrics")]

    answers = asyncio.run(ask())
    assert {each.status_code for each in answers} == {status}
    assert refused == ({"foreign_host": 4} if status == 421 else {})
    if status == 421:
        assert "evil.example" in answers[0].text
        assert "allowed_hosts" in answers[0].text
