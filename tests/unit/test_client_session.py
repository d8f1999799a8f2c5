"""The RTSP client's sockets and the session on top, against a server that misbehaves."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable

import pytest
from client_helpers import CAPTURED_AGO_S, PPS, SOUND, SPS, VIDEO, FakeServer, refuse

from streamsocket.client import session as session_module
from streamsocket.client.session import Session, open_url
from streamsocket.errors import ConnectError
from streamsocket.media.codec import H264
from streamsocket.rtsp.headers import parse_transport
from streamsocket.rtsp.message import Headers, Request, Response

TIMEOUT_S = 5.0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario; nothing of it may be left behind, no task, no socket (filterwarnings)."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


def transports(server: FakeServer) -> list[str]:
    """What the SETUPs asked for."""
    return [
        parse_transport(request.headers.get("Transport", ""))[0].protocol
        for request in server.requests
        if request.method == "SETUP"
    ]


async def take(session: Session, count: int) -> list[int]:
    """The tracks of the next access units."""
    return [(await anext(session)).track for _ in range(count)]


async def failure(url: str, **options: object) -> str:
    """The sentence with which opening fails."""
    with pytest.raises(ConnectError) as caught:
        async with open_url(url, **{"timeout_s": TIMEOUT_S, **options}):  # type: ignore[arg-type]
            pass
    return str(caught.value)


def test_picture_comes_over_udp_and_sound_over_tcp() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, open_url(server.url) as session:
            assert set(await take(session, 20)) == {0, 1}
            assert transports(server) == ["udp", "tcp"]
            assert [track.transport for track in session.tracks] == ["udp", "tcp"]
            assert session.fallback is None
            assert session.tracks[0].codec == H264(SPS, PPS)
            assert session.server == "Fake"

    run(scenario)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_one_transport_can_be_insisted_on(transport: str) -> None:
    async def scenario() -> None:
        async with (
            FakeServer().running() as server,
            open_url(server.url, transport=transport) as session,  # type: ignore[arg-type]
        ):
            assert set(await take(session, 20)) == {0, 1}
            assert transports(server) == [transport, transport]

    run(scenario)


def test_arrival_and_capture_time_are_of_the_same_clock() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, open_url(server.url) as session:
            units = [await anext(session) for _ in range(60)]
            assert {track.receiver.clock.source for track in session.tracks} == {"sender_report"}
            for received in units[-10:]:
                assert received.unit.capture_time is not None
                assert received.arrival - received.unit.capture_time == pytest.approx(
                    CAPTURED_AGO_S, abs=0.08
                )

    run(scenario)


def test_teardown_and_closing_at_the_end() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server:
            async with open_url(server.url):
                pass
            assert server.methods[-1] == "TEARDOWN"
            await asyncio.sleep(0.01)
            assert server.open_connections == 0

    run(scenario)


def test_a_server_that_ignores_teardown_is_left_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamsocket.rtsp.client.TEARDOWN_S", 0.1)
    ignore = refuse("TEARDOWN", 200, "OK")

    def answer(request: Request) -> bytes | None:
        return b"\r\n" if ignore(request) else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server, open_url(server.url):
            pass

    run(scenario)


def test_udp_that_is_refused_is_replaced_by_tcp() -> None:
    def answer(request: Request) -> Response | None:
        over_udp = "client_port" in request.headers.get("Transport", "")
        return Response(461, "Unsupported Transport") if over_udp else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server:
            async with open_url(server.url) as session:
                assert set(await take(session, 20)) == {0, 1}
                assert [track.transport for track in session.tracks] == ["tcp", "tcp"]
                assert session.fallback == (
                    f"127.0.0.1:{server.port} refuses to send the picture over UDP "
                    "(461 Unsupported Transport). Everything was asked for over TCP."
                )
            sentence = await failure(server.url, transport="udp")
            assert "refuses to send the picture over UDP" in sentence

    run(scenario)


def test_a_mix_that_is_refused_is_replaced_by_tcp() -> None:
    protocols: list[str] = []

    def answer(request: Request) -> Response | None:
        if request.method == "OPTIONS":
            protocols.clear()
        if request.method != "SETUP":
            return None
        protocols.append("RTP/AVP/TCP" if "TCP" in request.headers.get("Transport", "") else "UDP")
        return Response(400, "Bad Request") if len(set(protocols)) > 1 else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server, open_url(server.url) as session:
            assert set(await take(session, 20)) == {0, 1}
            assert transports(server) == ["udp", "tcp", "tcp", "tcp"]
            assert session.fallback is not None
            assert "refuses to send the sound over TCP (400 Bad Request)" in session.fallback

    run(scenario)


def test_udp_alone_is_asked_for_where_tcp_is_refused() -> None:
    def answer(request: Request) -> Response | None:
        interleaved = "interleaved" in request.headers.get("Transport", "")
        return Response(461, "Unsupported Transport") if interleaved else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server, open_url(server.url) as session:
            assert set(await take(session, 20)) == {0, 1}
            assert [track.transport for track in session.tracks] == ["udp", "udp"]

    run(scenario)


def test_udp_that_does_not_arrive_is_replaced_by_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "UDP_PATIENCE_S", 0.2)

    async def scenario() -> None:
        async with FakeServer(udp_is_lost=True).running() as server:
            async with open_url(server.url) as session:
                assert set(await take(session, 20)) == {0, 1}
                assert [track.transport for track in session.tracks] == ["tcp", "tcp"]
                assert session.fallback is not None
                assert session.fallback.startswith("Nothing came over UDP within")
            assert server.methods.count("TEARDOWN") == 2

    run(scenario)


def test_the_iteration_ends_with_a_goodbye() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, open_url(server.url) as session:
            await take(session, 4)
            server.connections[0].say_goodbye()
            async for _ in session:
                pass
            assert all(track.receiver.ended for track in session.tracks)

    run(scenario)


def test_a_server_that_vanishes_is_an_error() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server, open_url(server.url) as session:
            await take(session, 4)
            server.connections[0].transport.abort()
            with pytest.raises(ConnectError, match=r"^127\.0\.0\.1:\d+ closed the connection\.$"):
                async for _ in session:
                    pass

    run(scenario)


def test_a_server_that_falls_silent_is_an_error() -> None:
    async def scenario() -> None:
        async with (
            FakeServer(sends=False, tracks=[SOUND]).running() as server,
            open_url(server.url, timeout_s=0.3) as session,
        ):
            with pytest.raises(ConnectError, match=r"^Nothing has come from rtsp://.* for 0\.3 s"):
                await anext(session)

    run(scenario)


def test_receiver_reports_go_the_way_the_packets_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "REPORT_INTERVAL_S", 0.05)

    async def scenario() -> None:
        async with (
            FakeServer(tracks=[SOUND]).running() as server,
            open_url(server.url) as session,
        ):
            while not server.interleaved:
                await take(session, 1)
            channel, report = server.interleaved[0]
            assert channel == 1
            assert report[1] == 201

    run(scenario)


def test_the_session_is_kept_alive() -> None:
    kept_alive = asyncio.Event()

    def answer(request: Request) -> Response | None:
        if request.method == "GET_PARAMETER":
            kept_alive.set()
        headers = Headers({"Public": "GET_PARAMETER", "Session": "12345678;timeout=2"})
        return Response(200, "OK", headers) if request.method in ("OPTIONS", "SETUP") else None

    async def scenario() -> None:
        async with (
            FakeServer(tracks=[SOUND], answer=answer, sends=False).running() as server,
            open_url(server.url),
        ):
            await kept_alive.wait()

    run(scenario)


def test_user_and_password_are_used_when_asked_for() -> None:
    expected = "Basic " + base64.b64encode(b"ada:secret").decode()

    def answer(request: Request) -> Response | None:
        if request.headers.get("Authorization") == expected:
            return None
        response = Response(401, "Unauthorized")
        response.headers["WWW-Authenticate"] = 'Basic realm="x"'
        return response

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server:
            url = server.url.replace("rtsp://", "rtsp://ada:{}@")
            async with open_url(url.format("secret")) as session:
                await take(session, 2)
                assert "secret" not in session.url
            assert "asks for a user and a password" in await failure(server.url)
            sentence = await failure(url.format("wrong"))
            assert "does not accept this user and password" in sentence
            assert "wrong" not in sentence

    run(scenario)


def test_redirections_are_followed() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as target:
            away = refuse("DESCRIBE", 302, "Found", Location=target.url)
            async with FakeServer(answer=away).running() as server, open_url(server.url) as session:
                await take(session, 4)
                assert session.url == target.url
                assert server.open_connections == 0

    run(scenario)


def test_a_server_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsocket.rtsp.client._BUSY_PAUSES_S", (0.01, 0.01))
    busy = refuse("DESCRIBE", 503, "Service Unavailable")
    server = FakeServer(answer=lambda request: busy(request) if len(server.requests) < 4 else None)

    async def scenario() -> None:
        async with server.running():
            async with open_url(server.url) as session:
                await take(session, 2)
            server.answer = busy
            assert "503 Service Unavailable" in await failure(server.url)

    run(scenario)


def test_an_unknown_stream_is_named() -> None:
    async def scenario() -> None:
        async with FakeServer(answer=refuse("DESCRIBE", 404, "Not Found")).running() as server:
            assert await failure(server.url) == (
                f"There is no stream 'live' on 127.0.0.1:{server.port}."
            )

    run(scenario)


def test_a_stream_of_unknown_codecs_only_says_which() -> None:
    text = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 AV1/90000\r\n"

    def answer(request: Request) -> Response | None:
        return Response(200, "OK", body=text) if request.method == "DESCRIBE" else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server:
            sentence = await failure(server.url)
            assert sentence.startswith(f"Nothing of {server.url} can be played.")
            assert "AV1" in sentence

    run(scenario)


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x16\n"]
)
def test_a_server_of_another_protocol_is_recognised(greeting: bytes) -> None:
    async def scenario() -> None:
        async with FakeServer(greeting=greeting).running() as server:
            assert "does not speak RTSP: is it the right port?" in await failure(server.url)

    run(scenario)


def test_a_server_that_hangs_up_at_once_is_told_of() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server:
            server.answer = lambda _: server.connections[0].transport.abort()
            assert "closed the connection without an answer" in await failure(server.url)

    run(scenario)


def test_a_server_that_never_answers_is_given_up() -> None:
    async def scenario() -> None:
        async with FakeServer(answer=lambda _: b"\r\n").running() as server:
            sentence = await failure(server.url, timeout_s=0.2)
            assert sentence == (
                f"127.0.0.1:{server.port} accepted the connection but did not answer OPTIONS "
                "within 0.2 s, nor anything else: does it speak RTSP?"
            )

    run(scenario)


def test_a_port_that_nobody_listens_on_is_told_of() -> None:
    async def scenario() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            assert await failure(f"rtsp://localhost:{port}/live") == (
                f"localhost:{port} refuses the connection: is the server running, and on port "
                f"{port}?"
            )

    run(scenario)


def test_a_name_that_does_not_resolve_is_told_of() -> None:
    async def scenario() -> None:
        assert await failure("rtsp://nowhere.invalid/live") == (
            "The name 'nowhere.invalid' does not resolve: is it spelt right?"
        )

    run(scenario)


def test_a_url_that_is_none_is_told_of() -> None:
    async def scenario() -> None:
        assert "not rtsp://" in await failure("http://127.0.0.1/live")

    run(scenario)


def test_only_one_picture_is_played() -> None:
    async def scenario() -> None:
        async with (
            FakeServer(tracks=[VIDEO, VIDEO]).running() as server,
            open_url(server.url) as session,
        ):
            assert [track.kind for track in session.tracks] == ["video"]
            assert [left.reason for left in session.left_alone] == [
                "There is more than one picture; the first is played."
            ]

    run(scenario)
