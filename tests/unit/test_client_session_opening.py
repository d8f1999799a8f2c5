"""How a session is opened: by which transport, after which detours, and why it fails."""

from __future__ import annotations

import base64
import socket

import pytest
from client_helpers import SOUND, VIDEO, FakeServer, refuse, run, take, transports

from streamsocket.client import session as session_module
from streamsocket.client.session import open_url
from streamsocket.errors import ConnectError
from streamsocket.rtsp import sdp
from streamsocket.rtsp.headers import parse_transport
from streamsocket.rtsp.message import Request, Response

TIMEOUT_S = 5.0


async def failure(url: str, **options: object) -> str:
    """The sentence with which opening fails."""
    with pytest.raises(ConnectError) as caught:
        async with open_url(url, **{"timeout_s": TIMEOUT_S, **options}):  # type: ignore[arg-type]
            pass
    return str(caught.value)


def test_who_describes_a_stream_by_avpf_is_asked_for_it_by_avpf() -> None:
    text = sdp.build([VIDEO, SOUND], name="live", host="127.0.0.1", profile="AVPF")

    def answer(request: Request) -> Response | None:
        return Response(200, "OK", body=text.encode()) if request.method == "DESCRIBE" else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server, open_url(server.url) as session:
            await take(session, 4)
            setups = [each for each in server.requests if each.method == "SETUP"]
            wished = [parse_transport(each.headers.get("Transport", ""))[0] for each in setups]
            assert [(each.profile, each.protocol) for each in wished] == [
                *(("AVPF", "udp"), ("AVPF", "tcp"))
            ]

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
    text = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H266/90000\r\n"

    def answer(request: Request) -> Response | None:
        return Response(200, "OK", body=text) if request.method == "DESCRIBE" else None

    async def scenario() -> None:
        async with FakeServer(answer=answer).running() as server:
            sentence = await failure(server.url)
            assert sentence.startswith(f"Nothing of {server.url} can be played.")
            assert "H266" in sentence

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
        assert "not rtsp://" in await failure("ftp://127.0.0.1/live")

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
