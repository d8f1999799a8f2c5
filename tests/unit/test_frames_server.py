"""The server inside one's own program."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from frames_helpers import until
from publisher_helpers import numbered

import streamsocket as ss
from streamsocket.errors import SettingsError

FREE = {"rtsp_port": 0, "http_port": 0}


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


def test_it_serves_what_is_published_and_tells_of_it() -> None:
    before = signal.getsignal(signal.SIGINT), set(threading.enumerate())
    with ss.Server(**FREE) as server:
        assert server.url("cam") == f"rtsp://127.0.0.1:{server.ports.rtsp}/cam"
        assert server.ports.rtmp is None
        assert server.streams() == ()
        assert get(f"{server.http_url}health") == {"status": "ok"}
        with ss.Publisher(server.url("cam"), size=(64, 48)) as publisher:
            publisher.write(numbered(1))
            until(lambda: [stream.name for stream in server.streams()] == ["cam"])
            [stream] = server.streams()
            assert stream.state == "live"
            assert get(f"{server.http_url}api/streams")
        assert signal.getsignal(signal.SIGINT) == before[0]
        assert server.url("") in repr(server)
    assert set(threading.enumerate()) == before[1]


def test_sources_are_named_or_listed() -> None:
    for sources in ({"lobby": "test:160x90@10"}, ["lobby=test:160x90@10"], "lobby=test:160x90@10"):
        server = ss.Server(sources, **FREE)
        assert list(server._settings.streams) == ["lobby"]
    with ss.Server({"lobby": "test:160x90@10"}, **FREE) as server:
        assert [stream.name for stream in server.streams()] == ["lobby"]
        until(lambda: server.streams()[0].state == "live", 10)


def test_settings_are_given_by_group_and_go_over_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "streamsocket.toml"
    file.write_text("[publish]\nreplace = true\n[rtsp]\nport = 1\n[hub]\nhistory_s = 5\n")
    server = ss.Server(
        config=file, hub={"history_s": 3}, forward=[{"url": "rtsp://far/{name}"}], **FREE
    )
    settings = server._settings
    assert (settings.publish.replace, settings.rtsp.port, settings.hub.history_s) == (True, 0, 3)
    assert settings.forward[0].url == "rtsp://far/{name}"
    assert ss.Server(rtmp={"port": 0})._settings.rtmp.port == 0


def test_no_file_and_no_variable_is_read_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "streamsocket.toml").write_text("[rtsp]\nport = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMSOCKET_HTTP__PORT", "1")
    settings = ss.Server()._settings
    assert (settings.rtsp.port, settings.http.port) == (8554, 8080)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"rtsp_port": -1}, SettingsError, "rtsp_port should be greater than or equal to 0"),
        (
            {"publsh": {"replace": True}},
            SettingsError,
            "publsh.replace is no setting: did you mean",
        ),
        ({"publish": {"replace": 5}}, SettingsError, r"publish\.replace should be a valid boolean"),
        ({"sources": {"a b": "test"}}, ss.StreamSocketError, "'a b'"),
        ({"sources": {"a": "/nowhere.mp4"}}, ss.StreamSocketError, "nowhere.mp4"),
        ({"sources": ["a=test", "a=test"]}, ss.ArgumentError, "two of them are called 'a'"),
        ({"sources": [5]}, ss.ArgumentError, "5 is no source"),
        ({"config": "/nowhere.toml"}, SettingsError, "nowhere.toml cannot be read"),
    ],
)
def test_what_cannot_be_is_told_of(
    options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ss.Server(**options)  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_told_of_and_nothing_is_left() -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name in ("rtsp_port", "http_port"):
            with pytest.raises(ss.StreamSocketError, match=str(port)):
                ss.Server(**{**FREE, name: port}).open()
    assert set(threading.enumerate()) == before


def test_before_and_after_it_says_so() -> None:
    server = ss.Server(**FREE)
    with pytest.raises(ss.ClosedError, match="is not open"):
        server.url("cam")
    with server:
        with pytest.raises(ss.ArgumentError, match=r"^name: 'a b'"):
            server.url("a b")
        with pytest.raises(ss.ClosedError, match="once"):
            server.open()
    server.close()
    with pytest.raises(ss.ClosedError, match="once"):
        server.open()
    with pytest.raises(ss.ClosedError, match="is not open"):
        server.streams()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(server)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_the_parents_server_alone() -> None:
    with ss.Server(**FREE) as server:
        child = os.fork()
        if not child:
            server.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert get(f"{server.http_url}health") == {"status": "ok"}


def test_sources_come_and_go_while_it_runs(tmp_path: Path) -> None:
    with ss.Server({"first": "test:160x90@10"}, **FREE) as server:
        url = server.add("second", "test:160x90@10")
        assert url == server.url("second")
        assert [stream.name for stream in server.streams()] == ["first", "second"]
        with ss.Subscriber(url, reconnect=False) as subscriber:
            assert subscriber.read(10).image.shape == (90, 160, 3)
            server.remove("second")
            for _ in subscriber:
                pass  # until the stream's end, which it has come to
            assert subscriber.state == "ended"
        assert [stream.name for stream in server.streams()] == ["first"]
        # The name is free again: for a publisher, and after that for a source.
        with ss.Publisher(url, size=(64, 48)):
            with pytest.raises(ss.StreamSocketError, match="Somebody publishes 'second' already"):
                server.add("second", "test")
            with pytest.raises(ss.StreamSocketError, match="no source 'second'"):
                server.remove("second")
        server.add("second", "test:160x90@10")
        with pytest.raises(ss.StreamSocketError, match="'first' is a stream that the server makes"):
            server.add("first", "test")
        with pytest.raises(ss.StreamSocketError, match="no source 'third'"):
            server.remove("third")
        with pytest.raises(ss.ArgumentError, match=r"^name: 'a b'"):
            server.add("a b", "test")
        with pytest.raises(SettingsError, match=r"^source: There is no file '/nowhere.mp4'"):
            server.add("third", "/nowhere.mp4")
        with pytest.raises(SettingsError, match=r"^loop should be"):
            server.add("third", "test", loop="often")  # type: ignore[arg-type]
        (tmp_path / "text.mp4").write_text("no movie")
        with pytest.raises(ss.StreamSocketError, match=r"text\.mp4"):
            server.add("third", tmp_path / "text.mp4")
        assert [stream.name for stream in server.streams()] == ["first", "second"]
    with pytest.raises(ss.ClosedError):
        server.add("third", "test")


def test_a_source_is_removed_by_several_threads_at_once() -> None:
    with ss.Server(**FREE) as server:
        for _ in range(2):
            server.add("lobby", "test:160x90@10")
            failures: list[ss.StreamSocketError] = []

            def remove(failures: list[ss.StreamSocketError] = failures) -> None:
                try:
                    server.remove("lobby")
                except ss.StreamSocketError as error:
                    failures.append(error)

            threads = [threading.Thread(target=remove) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert len(failures) == 3
            assert server.streams() == ()


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with ss.Server(**FREE) as server:
        get(f"{server.http_url}health")
    assert capfd.readouterr() == ("", "")


def test_inside_an_event_loop() -> None:
    async def main() -> None:
        async with ss.aio.Server(**FREE) as server, asyncio.timeout(20):
            assert "127.0.0.1" in server.http_url
            async with ss.aio.Publisher(server.url("cam"), fps=30) as publisher:
                assert publisher.state == "connecting"
                for number in range(3):
                    assert await publisher.write(numbered(number), block=True)
                assert publisher.state == "live"
                assert publisher.encoder == "libx264"
                assert publisher.dropped == 0
                await asyncio.to_thread(until, server.streams)
                assert await server.add("lobby", "test:160x90@10") == server.url("lobby")
                await server.remove("lobby")
            assert publisher.state == "ended"

    asyncio.run(main())


def test_inside_a_fastapi_program() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with ss.aio.Server(**FREE) as server:
            app.state.server = server
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/cameras")
    async def cameras() -> dict[str, object]:
        return {"url": app.state.server.url("cam"), "streams": len(app.state.server.streams())}

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            answer = (await client.get("/cameras")).json()
            assert answer["streams"] == 0
            assert answer["url"].startswith("rtsp://127.0.0.1:")

    asyncio.run(main())
