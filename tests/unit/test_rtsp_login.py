"""Logging in over RTSP: who may publish and watch what, and how it is asked for."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from argon2 import PasswordHasher
from client_helpers import VIDEO
from hub_helpers import HubUnderTest, batch, hub_under_test
from rtsp_helpers import Client, client_of, eventually, publisher_of
from rtsp_helpers import with_server as with_open_server

from streamsocket.auth import access as access_module
from streamsocket.auth import slowing
from streamsocket.auth.access import Access
from streamsocket.auth.passwords import digest_ha1, hash_password, verify_password
from streamsocket.auth.users import ANYBODY, Permissions, User
from streamsocket.rtsp import sdp
from streamsocket.rtsp.authentication import Credentials, parse_challenges
from streamsocket.rtsp.message import Frames, Response
from streamsocket.rtsp.server import RtspServer

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TCP = "RTP/AVP/TCP;interleaved=0-1"
DESCRIPTION = sdp.build([VIDEO], name="x", host="127.0.0.1")


def user(name: str, *, digest: bool, publish: str = "", watch: str = "*") -> User:
    return User(
        name,
        hash_password(f"{name}'s", FAST),
        digest_ha1("MD5", name, f"{name}'s") if digest else None,
        digest_ha1("SHA-256", name, f"{name}'s") if digest else None,
        Permissions(tuple(publish.split()), tuple(watch.split())),
    )


def users(*, digest: bool = False) -> dict[str, User]:
    bob = user("bob", digest=digest, publish="live/*", watch="lobby live/*")
    eve = user("eve", digest=digest, watch="lobby")
    return {"bob": bob, "eve": eve}


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


@pytest.fixture(autouse=True)
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were verified slowly; delays are short."""
    calls: list[str] = []

    def spy(password_hash: str | None, password: str) -> bool:
        assert threading.current_thread().name.startswith("passwords")
        calls.append(password)
        return verify_password(password_hash, password)

    monkeypatch.setattr(access_module, "verify_password", spy)
    monkeypatch.setattr(slowing, "FIRST_DELAY_S", 0.02)
    monkeypatch.setattr(slowing, "LONGEST_DELAY_S", 0.1)
    return calls


def with_server(
    hub: HubUnderTest,
    test: Callable[[RtspServer], Awaitable[None]],
    known: dict[str, User] | None = None,
) -> RtspServer:
    """Run a test against a server with these users."""
    access = Access(users() if known is None else known)
    try:
        return with_open_server(hub, test, access)
    finally:
        access.close()
        hub.run(0.01)


def basic(name: str, password: str | None = None) -> str:
    text = f"{name}:{name + chr(39) + 's' if password is None else password}"
    return "Basic " + base64.b64encode(text.encode()).decode()


def challenges(response: Response) -> list[str]:
    return response.headers.get_all("WWW-Authenticate")


async def log_in(
    client: Client, method: str, path: str, name: str, algorithm: str, **headers: str
) -> Response:
    """Ask, and ask again with the Digest of that algorithm."""
    asked = await client.ask(method, path, **headers)
    assert asked.status == 401
    offered = [c for c in parse_challenges(challenges(asked)) if c.scheme == "digest"]
    credentials = Credentials(name, f"{name}'s")
    assert credentials.accept([c for c in offered if c.algorithm == algorithm])
    authorization = credentials.authorization(method, client.url(path))
    assert authorization
    return await client.ask(method, path, Authorization=authorization, **headers)


async def from_afar(server: RtspServer, host: str = "192.0.2.7") -> None:
    """What has connected is from another machine."""
    await eventually(lambda: server.connections > 0)
    for connection in server._connections:
        connection.host = host


# How it is asked for.


def test_without_a_login_it_is_asked_for_and_counted(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as client:
            for method, path in (("DESCRIBE", "lobby"), ("SETUP", "lobby/trackID=0")):
                answer = await client.ask(method, path, Transport=TCP)
                assert answer.status == 401
                assert "log in" in answer.reason
                assert challenges(answer) == ['Basic realm="StreamSocket", charset="UTF-8"']
            answer = await client.begin(path="live/cam")
            assert answer.status == 401
            assert server.refused["unauthorized"] == 3
            # What tells nothing needs no login, and what isn't there isn't told.
            assert (await client.ask("OPTIONS")).status == 200
            assert (await client.ask("DESCRIBE", "nowhere")).status == 401
            assert hub.hub.find("live/cam") is None

    with_server(hub, test)


def test_a_player_logs_in_with_its_password_once(hub: HubUnderTest, hashed: list[str]) -> None:
    async def test(server: RtspServer) -> None:
        hub.send(0, batch(timestamp=0, keyframe=True))
        async with client_of(server) as client:
            answer = await client.ask("DESCRIBE", Authorization=basic("eve"))
            assert answer.status == 200
            # As long as the connection lasts, with or without the header.
            setup = await client.ask("SETUP", "lobby/trackID=0", Transport=TCP)
            assert setup.status == 200
            assert (await client.ask("PLAY", Authorization=basic("eve"))).status == 200
            assert len(hub.stream.readers) == 1
            assert hashed == ["eve's"]
        async with client_of(server) as other:
            assert (await other.ask("DESCRIBE")).status == 401

    with_server(hub, test)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest_logs_in_players_and_publishers(
    hub: HubUnderTest, hashed: list[str], algorithm: str
) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            answer = await log_in(client, "DESCRIBE", "lobby", "eve", algorithm)
            assert answer.status == 200
        async with publisher_of(server) as publisher:
            credentials = Credentials("bob", "bob's")
            asked = await publisher.ask("ANNOUNCE", "live/cam", body=DESCRIPTION)
            offered = parse_challenges(challenges(asked))
            credentials.accept([c for c in offered if c.algorithm == algorithm])
            authorization = credentials.authorization("ANNOUNCE", publisher.url("live/cam"))
            assert authorization
            answer = await publisher.ask(
                "ANNOUNCE", "live/cam", body=DESCRIPTION, Authorization=authorization
            )
            assert answer.status == 200
            assert (await publisher.set_up("live/cam", 0, "udp")).status == 200
            assert (await publisher.ask("RECORD", "live/cam")).status == 200
            assert hub.hub.find("live/cam")
        assert hashed == []

    with_server(hub, test, users(digest=True))


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("eve", "wrong"), 401),
        (basic("mallory"), 401),
        (basic("", ""), 401),
        (basic("eve", ""), 401),
        ("Bearer abc", 401),
        ("Basic ???", 400),
        ("Basic " + base64.b64encode(b"no colon").decode(), 400),
        ('Digest username="eve"', 400),
        ('Digest username="eve", realm="StreamSocket", nonce="x", uri="*", response="y"', 401),
    ],
)
def test_what_does_not_log_in_is_refused(
    hub: HubUnderTest, authorization: str, status: int
) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            answer = await client.ask("DESCRIBE", Authorization=authorization)
            assert answer.status == status
            assert bool(challenges(answer)) == (status == 401)
            # The next try is a new one.
            assert (await client.ask("DESCRIBE", Authorization=basic("eve"))).status == 200

    with_server(hub, test)


def test_a_wrong_password_says_so(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            answer = await client.ask("DESCRIBE", Authorization=basic("eve", "wrong"))
            assert "The name or the password is wrong." in answer.reason

    with_server(hub, test)


# What it allows.


def test_what_a_user_may_not_do_is_forbidden(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as client:
            for name, method, path, status in (
                ("eve", "DESCRIBE", "live/cam", 403),
                ("eve", "ANNOUNCE", "lobby", 403),
                ("eve", "ANNOUNCE", "live/cam", 403),
                ("bob", "ANNOUNCE", "liver", 403),
                ("bob", "ANNOUNCE", "LIVE/cam", 403),
                ("bob", "DESCRIBE", "live/cam", 404),
                ("bob", "ANNOUNCE", "live/cam", 200),
            ):
                body = DESCRIPTION if method == "ANNOUNCE" else ""
                answer = await client.ask(method, path, body=body, Authorization=basic(name))
                assert answer.status == status, (name, method, path)
                if status == 403:
                    assert f"'{name}' may not" in answer.reason
                    assert not challenges(answer), "it would make players ask for a password"
            assert server.refused["forbidden"] == 5

    with_server(hub, test)


def test_a_login_for_watching_is_none_for_publishing(hub: HubUnderTest) -> None:
    """On one connection somebody may log in again, as somebody who may do more."""

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as client:
            answer = await client.ask("DESCRIBE", Authorization=basic("eve"))
            assert answer.status == 200
            answer = await client.ask("ANNOUNCE", "live/cam", body=DESCRIPTION)
            assert answer.status == 403
            answer = await client.ask(
                "ANNOUNCE", "live/cam", body=DESCRIPTION, Authorization=basic("bob")
            )
            assert answer.status == 200

    with_server(hub, test)


def test_what_anybody_may_needs_no_login(hub: HubUnderTest, hashed: list[str]) -> None:
    anybody = User(ANYBODY, permissions=Permissions(publish=("open/*",), watch=("lobby",)))

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as client:
            # Not even the right password.
            answer = await client.ask("DESCRIBE", Authorization=basic("eve", "wrong"))
            assert answer.status == 200
            assert (await client.begin(path="open/cam")).status == 200
            await client.ask("TEARDOWN", "open/cam")
            assert (await client.begin(path="live/cam")).status == 401
        assert hashed == []

    with_server(hub, test, {**users(), ANYBODY: anybody})


def test_without_users_this_machine_may_publish_and_others_only_watch(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as here:
            assert (await here.begin(path="live/here")).status == 200
            await here.ask("TEARDOWN", "live/here")
        await eventually(lambda: server.connections == 0)
        async with publisher_of(server) as afar:
            await from_afar(server)
            assert (await afar.ask("DESCRIBE")).status == 200
            answer = await afar.ask("ANNOUNCE", "live/cam", body=DESCRIPTION)
            assert answer.status == 403
            assert "streamsocket auth hash" in answer.reason
            assert not challenges(answer)
            # A password helps nobody where there are no users.
            answer = await afar.ask(
                "ANNOUNCE", "live/cam", body=DESCRIPTION, Authorization=basic("bob")
            )
            assert answer.status in (401, 403)
            assert hub.hub.find("live/cam") is None

    with_server(hub, test, {})


def test_with_users_this_machine_has_to_log_in_too(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as here:
            assert (await here.begin(path="live/cam")).status == 401

    with_server(hub, test)


# While a password is checked.


class Slow:
    """Checks of passwords that take until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()

        def verify(password_hash: str | None, password: str) -> bool:
            self.begun.set()
            assert self.go.wait(10)
            return verify_password(password_hash, password)

        monkeypatch.setattr(access_module, "verify_password", verify)


def test_requests_behind_a_login_are_answered_in_order(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)

    async def test(server: RtspServer) -> None:
        hub.send(0, batch(timestamp=0, keyframe=True))
        async with client_of(server) as client:
            client.request("DESCRIBE", Authorization=basic("eve"))
            client.request("SETUP", "lobby/trackID=0", Transport=TCP)
            await eventually(slow.begun.is_set)
            # In a piece of its own, and cut in two.
            client.request("PLAY")
            client.send(b"OPTIONS rtsp://127.0.0.1/lobby RTSP/1.0\r\n")
            await asyncio.sleep(0.02)
            # Others are served in the meantime.
            async with client_of(server) as other:
                assert (await other.ask("OPTIONS")).status == 200
            assert not hub.stream.readers
            slow.go.set()
            client.send(b"CSeq: 99\r\n\r\n")
            answers = [await client.response() for _ in range(4)]
            assert [answer.status for answer in answers] == [200] * 4
            assert [a.headers.get("CSeq") for a in answers] == ["1", "2", "3", "99"]
            assert answers[0].body
            assert await client.frames(0)

    with_server(hub, test)


def test_packets_behind_a_login_are_not_lost(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            publisher.request("ANNOUNCE", "live/cam", body=DESCRIPTION, Authorization=basic("bob"))
            publisher.request("SETUP", "live/cam/trackID=0", Transport=TCP + ";mode=record")
            publisher.request("RECORD", "live/cam")
            publisher.picture(0, keyframe=True)
            await eventually(slow.begun.is_set)
            slow.go.set()
            for _ in range(3):
                assert (await publisher.response()).status == 200
            await eventually(lambda: _has_pictures(hub, "live/cam"))

    with_server(hub, test)


def test_a_connection_that_closes_while_its_password_is_checked(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            publisher.request("ANNOUNCE", "live/cam", body=DESCRIPTION, Authorization=basic("bob"))
            await eventually(slow.begun.is_set)
        slow.go.set()
        await eventually(lambda: server.connections == 0)
        assert hub.hub.find("live/cam") is None
        async with client_of(server) as client:
            assert (await client.ask("DESCRIBE", Authorization=basic("eve"))).status == 200

    with_server(hub, test)


def test_a_server_that_closes_while_a_password_is_checked(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)

    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            client.request("DESCRIBE", Authorization=basic("eve"))
            await eventually(slow.begun.is_set)
            server.close()
            assert await client.closed()
            slow.go.set()

    with_server(hub, test)


def test_a_flood_of_wrong_passwords_leaves_the_stream_alone(hub: HubUnderTest) -> None:
    async def guess(server: RtspServer, number: int) -> int:
        async with client_of(server) as client:
            answer = await client.ask("DESCRIBE", Authorization=basic("eve", f"guess {number}"))
            return answer.status

    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            assert (await client.ask("DESCRIBE", Authorization=basic("eve"))).status == 200
            await client.ask("SETUP", "lobby/trackID=0", Transport=TCP)
            await client.ask("PLAY")
            guesses = [asyncio.ensure_future(guess(server, number)) for number in range(24)]
            for number in range(10):
                hub.send(0, batch(timestamp=3000 * number, keyframe=number == 0))
                message = await client.next()
                assert isinstance(message, Frames)
            statuses = set(await asyncio.gather(*guesses))
            assert statuses <= {401, 403}

    with_server(hub, test)


def _has_pictures(hub: HubUnderTest, name: str) -> bool:
    stream = hub.hub.find(name)
    return stream is not None and stream.tracks[0].packets > 0
