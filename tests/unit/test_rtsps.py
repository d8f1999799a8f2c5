"""RTSP over TLS, end to end: players, publishers, pushing and pulling."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from client_helpers import SOUND, VIDEO, FakeServer
from rtsp_helpers import KEYFRAME, SOUND_FRAME, client_of, eventually

from streamsocket.client.session import open_url
from streamsocket.errors import ConnectError
from streamsocket.hub.hub import Hub
from streamsocket.rtp.builder import build_batch
from streamsocket.rtsp.client import RtspClient, TransportRefusedError
from streamsocket.rtsp.client_protocol import ClientProtocol, Redirected
from streamsocket.rtsp.pull import pull_rtsp
from streamsocket.rtsp.push import PushTransport, push_rtsp
from streamsocket.rtsp.server import RtspOptions, RtspServer
from streamsocket.tls import client_context, server_context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that signs itself, for `localhost` alone, and its key."""
    folder = tmp_path_factory.mktemp("rtsps")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-nodes"]
    subprocess.run(
        [*command, *names, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return certificate, key


class Serving:
    """A server of one stream that goes on by itself."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop)
        self.server = RtspServer(self.hub, self.loop, RtspOptions(port=0, tls_port=0), tls=context)
        self.server.open()
        self.publication = self.hub.publish("lobby", [VIDEO, SOUND])
        self._number = 0
        self._send()

    def _send(self) -> None:
        n = self._number
        self._number += 1
        now = self.loop.time()
        pieces = ((0, KEYFRAME, 900 * n, True), (1, SOUND_FRAME, 480 * n, False))
        for track, payload, timestamp, keyframe in pieces:
            batch = build_batch([payload], timestamp=timestamp, capture_time=now, keyframe=keyframe)
            self.publication.write(track, batch)
        self.publication.flush()
        self._timer = self.loop.call_later(0.01, self._send)

    def url(self, name: str = "lobby", host: str = "localhost", fragment: str = "") -> str:
        return f"rtsps://{host}:{self.server.tls_port}/{name}{fragment}"

    async def close(self) -> None:
        self._timer.cancel()
        self.hub.close()
        self.server.close()
        await asyncio.sleep(0.01)


def run(files: tuple[Path, Path], test: Callable[[Serving], Awaitable[None]]) -> None:
    @asynccontextmanager
    async def serving() -> AsyncIterator[Serving]:
        under_test = Serving(server_context(*files))
        try:
            yield under_test
        finally:
            await under_test.close()

    async def main() -> None:
        async with asyncio.timeout(30), serving() as under_test:
            await test(under_test)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


@pytest.fixture
def trusted(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its users have named the certificate as one to trust."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))


def test_a_player_watches_over_tls_and_is_refused_udp(files: tuple[Path, Path]) -> None:
    context = client_context()
    context.load_verify_locations(files[0])

    async def test(serving: Serving) -> None:
        async with client_of(serving.server, context) as client:
            described = await client.ask("DESCRIBE")
            assert described.status == 200
            udp = "RTP/AVP;unicast;client_port=5000-5001"
            refused = await client.ask("SETUP", "lobby/trackID=0", Transport=udp)
            assert refused.status == 461
            assert "TLS" in refused.reason
            tcp = "RTP/AVP/TCP;unicast;interleaved=0-1"
            setup = await client.ask("SETUP", "lobby/trackID=0", Transport=tcp)
            assert setup.status == 200
            assert (await client.ask("PLAY")).status == 200
            packets = await client.frames(0, 20)
            assert any(packet.endswith(KEYFRAME) for packet in packets)
            assert (await client.ask("TEARDOWN")).status == 200

    run(files, test)


@pytest.mark.usefixtures("trusted")
def test_our_client_watches_a_server_it_trusts(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        async with open_url(serving.url()) as session:
            assert [track.transport for track in session.tracks] == ["tcp", "tcp"]
            assert session.fallback is None
            kinds = set()
            async for received in session:
                kinds.add(received.track)
                if len(kinds) == 2:
                    break
        await eventually(lambda: serving.server.connections == 0)

    run(files, test)


@pytest.mark.usefixtures("trusted")
def test_udp_is_not_even_asked_for(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        with pytest.raises(TransportRefusedError, match="over TCP"):
            async with open_url(serving.url(), transport="udp"):
                raise AssertionError
        assert serving.server.refused["unsupported_transport"] == 0
        choices: list[PushTransport] = ["udp", "mixed"]
        stream = serving.hub.find("lobby")
        assert stream
        for transport in choices:
            with pytest.raises(ConnectError, match="over TCP"):
                await push_rtsp(stream, serving.url("x"), transport=transport)

    run(files, test)


@pytest.mark.parametrize(
    ("host", "says"),
    [("localhost", "is not trusted .self-signed certificate"), ("127.0.0.1", "is not trusted")],
)
def test_a_certificate_that_is_not_trusted_is_one_clear_sentence(
    files: tuple[Path, Path], host: str, says: str
) -> None:
    async def test(serving: Serving) -> None:
        with pytest.raises(ConnectError, match=says) as caught:
            async with open_url(serving.url(host=host)):
                raise AssertionError
        for way_out in ("SSL_CERT_FILE", "#insecure", f"{host}:{serving.server.tls_port}"):
            assert way_out in str(caught.value)
        assert "\n" not in str(caught.value)
        await eventually(lambda: serving.server.connections == 0)

    run(files, test)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_not_trusted(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        with pytest.raises(ConnectError, match=r"not trusted .*127\.0\.0\.1"):
            async with open_url(serving.url(host="127.0.0.1")):
                raise AssertionError

    run(files, test)


def test_any_certificate_will_do_where_the_url_says_so(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        url = serving.url(host="127.0.0.1", fragment="#insecure")
        async with open_url(url) as session:
            assert "#" not in session.url
            async for _ in session:
                break

    run(files, test)


def test_a_server_without_tls_says_so(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        url = f"rtsps://localhost:{serving.server.port}/lobby"
        with pytest.raises(ConnectError, match="does not speak TLS"):
            async with open_url(url):
                raise AssertionError
        # And the other way round.
        url = f"rtsp://localhost:{serving.server.tls_port}/lobby"
        with pytest.raises(ConnectError, match=r"does it speak RTSP|does not speak RTSP"):
            async with open_url(url):
                raise AssertionError

    run(files, test)


def test_a_server_that_never_shakes_hands_is_given_up(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = RtspClient(
                f"rtsps://127.0.0.1:{silent.getsockname()[1]}/x",
                timeout_s=0.3,
                on_packet=lambda *args: None,
                on_lost=lambda error: None,
            )
            with pytest.raises(ConnectError, match=r"does not answer within 0\.3 s"):
                await client.connect()
            await client.close()

    run(files, test)


@pytest.mark.usefixtures("trusted")
def test_pushed_and_pulled_over_tls(files: tuple[Path, Path]) -> None:
    async def test(serving: Serving) -> None:
        stream = serving.hub.find("lobby")
        assert stream
        push = asyncio.ensure_future(push_rtsp(stream, serving.url("pushed")))
        here = Hub(serving.loop)

        def arrived(hub: Hub, name: str) -> bool:
            found = hub.find(name)
            return found is not None and all(track.packets > 3 for track in found.tracks)

        await eventually(lambda: arrived(serving.hub, "pushed"))
        pull = asyncio.ensure_future(
            pull_rtsp(
                serving.url("pushed"), lambda tracks, ask: here.publish("pulled", tracks, ask)
            )
        )
        await eventually(lambda: arrived(here, "pulled"))
        for task in (pull, push):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        here.close()
        await eventually(lambda: serving.server.connections == 0)

    run(files, test)


def test_a_password_for_tls_is_given_to_nobody_without(files: tuple[Path, Path]) -> None:
    """A server that sends its players on to rtsp:// doesn't get them to say it in the clear."""

    async def test(serving: Serving) -> None:
        async with FakeServer().running() as fake:
            protocol = ClientProtocol(f"rtsps://me:secret@127.0.0.1:{fake.port}/live")
            protocol.request_describe()
            head = f"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: {fake.url}\r\n\r\n"
            (event,) = protocol.receive(head.encode())
            assert isinstance(event, Redirected)
            assert event.protocol.server.user is None
            assert not event.protocol.server.tls

    run(files, test)
