"""Staying with a stream, against a server that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from client_helpers import FakeServer, refuse, run

from streamsocket.client import follow as follow_module
from streamsocket.client import session as session_module
from streamsocket.client.follow import FIRST_RETRY_S, LAST_RETRY_S, Away, Event, Live, follow
from streamsocket.client.receiver import Received
from streamsocket.errors import ConnectError
from streamsocket.rtsp.headers import parse_transport
from streamsocket.rtsp.message import Request, Response

TIMEOUT_S = 5.0


class Pauses:
    """Notes the pauses between tries, which take no time here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[float] = []
        really = asyncio.sleep

        async def sleep(seconds: float) -> None:
            if seconds >= FIRST_RETRY_S / 2:
                self.taken.append(seconds)
                seconds = 0.01
            await really(seconds)

        monkeypatch.setattr(follow_module.asyncio, "sleep", sleep)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    return Pauses(monkeypatch)


async def until(events: AsyncGenerator[Event], kind: type[Event]) -> Event:
    """The next event of that kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError("it has ended")


def setups(server: FakeServer) -> list[str]:
    """The transports that were asked for."""
    return [
        parse_transport(request.headers.get("Transport", ""))[0].protocol
        for request in server.requests
        if request.method == "SETUP"
    ]


def test_live_and_then_what_arrives() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, aclosing(follow(server.url)) as events:
            live = await anext(events)
            assert isinstance(live, Live)
            assert [track.kind for track in live.session.tracks] == ["video", "audio"]
            received = [await anext(events) for _ in range(20)]
            assert all(isinstance(each, Received) for each in received)

    run(scenario)


def test_a_stream_that_ends_is_away_and_tried_again(pauses: Pauses) -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, aclosing(follow(server.url)) as events:
            await until(events, Received)
            server.connections[-1].say_goodbye()
            assert await until(events, Away) == Away(f"{server.url} has ended.", ended=True)
            await until(events, Live)
            await until(events, Received)
            assert len(pauses.taken) == 1

    run(scenario)


def test_a_server_that_vanishes_is_away_and_tried_again(pauses: Pauses) -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, aclosing(follow(server.url)) as events:
            await until(events, Received)
            server.connections[-1].end()
            away = await until(events, Away)
            assert isinstance(away, Away)
            assert not away.ended
            assert str(server.port) in away.sentence
            await until(events, Received)

    run(scenario)


def test_pauses_grow_and_are_short_again_once_it_has_played(pauses: Pauses) -> None:
    async def scenario() -> None:
        fake = FakeServer()
        fake.answer = refuse("DESCRIBE", 404, "Not Found")
        async with fake.running() as server, aclosing(follow(server.url)) as events:
            for _ in range(8):
                away = await anext(events)
                assert isinstance(away, Away)
                assert not away.ended
            fake.answer = lambda request: None
            await until(events, Received)
            assert len(pauses.taken) == 8
            for number, taken in enumerate(pauses.taken):
                wanted = min(FIRST_RETRY_S * 2**number, LAST_RETRY_S)
                assert wanted * 0.75 <= taken <= wanted * 1.25

            fake.connections[-1].end()
            await until(events, Live)
            assert pauses.taken[-1] <= FIRST_RETRY_S * 1.25

    run(scenario)


def test_pauses_are_no_longer_than_asked_for(pauses: Pauses) -> None:
    async def scenario() -> None:
        # Nobody listens there: the port was free a moment ago.
        async with FakeServer().running() as server:
            url = server.url
        async with aclosing(follow(url, longest_retry_s=0.5)) as events:
            for _ in range(6):
                assert isinstance(await anext(events), Away)
        assert len(pauses.taken) == 5
        assert max(pauses.taken) <= 0.5 * 1.25

    run(scenario)


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_welcome_is_told_so(status: int) -> None:
    async def scenario() -> None:
        fake = FakeServer(answer=refuse("DESCRIBE", status, "No"))
        async with fake.running() as server:
            with pytest.raises(ConnectError):
                await anext(follow(server.url))

    run(scenario)


@pytest.mark.parametrize(
    "url", ["", "lobby", "ftp://127.0.0.1/lobby", "http:///whep", "rtsp://", "rtsp://a:b/c"]
)
def test_what_is_no_url_is_told_so(url: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ConnectError):
            await anext(follow(url))

    run(scenario)


def test_where_nothing_comes_over_udp_it_is_not_waited_for_again(
    pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "UDP_PATIENCE_S", 0.1)

    async def scenario() -> None:
        async with (
            FakeServer(udp_is_lost=True).running() as server,
            aclosing(follow(server.url)) as events,
        ):
            await until(events, Received)
            assert setups(server) == ["udp", "tcp", "tcp", "tcp"]
            server.connections[-1].end()  # lost, not ended
            await until(events, Live)
            assert setups(server)[4:] == ["tcp", "tcp"]
            server.connections[-1].say_goodbye()
            await until(events, Away)
            await until(events, Live)
            assert setups(server)[6:] == ["tcp", "tcp"]

    run(scenario)


def test_a_server_that_refuses_what_it_took_before_is_asked_for_anything(
    pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "UDP_PATIENCE_S", 0.1)

    def no_tcp(request: Request) -> Response | None:
        if request.method == "SETUP" and "TCP" in request.headers.get("Transport", ""):
            return Response(461, "Unsupported Transport")
        return None

    async def scenario() -> None:
        fake = FakeServer(udp_is_lost=True)
        async with fake.running() as server, aclosing(follow(server.url)) as events:
            await until(events, Received)
            fake.answer, fake.udp_is_lost = no_tcp, False
            server.connections[-1].end()
            live = await until(events, Live)
            assert isinstance(live, Live)
            assert [track.transport for track in live.session.tracks] == ["udp", "udp"]

    run(scenario)


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_cancelled_while_it_connects_it_leaves_nothing_behind(method: str) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def keep_waiting(request: Request) -> bytes | None:
            if request.method != method:
                return None
            asked.set()
            return b"\r\n"  # no answer, and nothing wrong with it

        async with FakeServer(answer=keep_waiting).running() as server:
            following = asyncio.ensure_future(anext(follow(server.url)))
            if method == "OPTIONS":
                await asyncio.wait((following,), timeout=0.05)  # wherever it may be by then
            else:
                await asked.wait()
            following.cancel()
            await asyncio.wait((following,), timeout=2)
            assert following.cancelled()
            for _ in range(200):
                if not server.open_connections:
                    break
                await asyncio.sleep(0.01)
            assert not server.open_connections

    run(scenario)
