"""Streams that are pushed on, again and again, and which of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from client_helpers import SOUND, VIDEO, FakeServer, refuse, run_as_the_server_does
from rtsp_helpers import KEYFRAME, eventually
from whip_helpers import whip_server

from streamsocket import backoff
from streamsocket.errors import ConnectError, SettingsError
from streamsocket.forward import forward as forward_module
from streamsocket.forward import forwards as forwards_module
from streamsocket.forward import publishing as publishing_module
from streamsocket.forward.forward import Forward
from streamsocket.forward.forwards import ForwardRule, Forwards
from streamsocket.forward.publishing import Publishing
from streamsocket.hub.hub import Hub
from streamsocket.media.codec import Aac, Track
from streamsocket.rtp.builder import build_batch
from streamsocket.rtsp.server import RtspOptions, RtspServer
from streamsocket.sources.encoding import parse_encoding
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.spec import PulledSpec, parse_source
from streamsocket.status import ForwardStatus


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.2)


class Two:
    """A hub here, and a server that its streams are pushed to."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop)
        self.far = Hub(self.loop)
        self.server = RtspServer(self.far, self.loop, RtspOptions(port=0))
        self.server.open()
        self.told: list[ForwardStatus] = []

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.server.port}"

    def publish(self, name: str) -> None:
        publication = self.hub.publish(name, [VIDEO, SOUND])
        batch = build_batch([KEYFRAME], timestamp=0, capture_time=1e9, keyframe=True)
        publication.write(0, batch)
        publication.flush()

    def forward(self, url: str) -> Forward:
        forward = Forward(self.hub, self.loop, "cam", url, on_status=self.told.append)
        forward.start()
        return forward

    def reopen(self, port: int) -> None:
        self.server = RtspServer(self.far, self.loop, RtspOptions(port=port))
        self.server.open()

    @property
    def arrived(self) -> set[str]:
        return {stream.name for stream in self.far if stream.publication}


@asynccontextmanager
async def two() -> AsyncIterator[Two]:
    under_test = Two()
    try:
        yield under_test
    finally:
        under_test.hub.close()
        under_test.far.close()
        under_test.server.close()


def test_it_waits_for_the_stream_pushes_it_and_waits_again() -> None:
    async def test() -> None:
        async with two() as both:
            forward = both.forward(f"{both.url}/there")
            await eventually(lambda: forward.status.state == "waiting")
            await asyncio.sleep(0.05)
            assert both.server.connections == 0
            both.publish("other")
            both.publish("cam")
            await eventually(lambda: both.arrived == {"there"})
            await eventually(lambda: forward.status.state == "live")
            both.hub.remove("cam")
            await eventually(lambda: forward.status.state == "waiting")
            await eventually(lambda: both.arrived == set())
            assert forward.status.failures == 0
            both.publish("cam")
            await eventually(lambda: both.arrived == {"there"})
            await forward.stop()
            assert forward.status.state == "ended"
            await eventually(lambda: both.arrived == set())
            states = [status.state for status in both.told]
            assert [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s] == [
                *("waiting", "connecting", "live") * 2,
                "ended",
            ]

    run_as_the_server_does(test)


def test_a_server_that_is_lost_is_connected_to_again() -> None:
    async def test() -> None:
        async with two() as both:
            forward = both.forward(f"{both.url}/there")
            both.publish("cam")
            await eventually(lambda: forward.status.state == "live")
            port = both.server.port
            both.server.close()
            await eventually(lambda: forward.status.failures >= 2)
            assert forward.status.state in ("retrying", "connecting")
            assert forward.status.message
            both.reopen(port)
            await eventually(lambda: forward.status.state == "live")
            assert forward.status.message is None
            await forward.stop()

    run_as_the_server_does(test)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://me:secret@127.0.0.1:{}/x",
        "rtmp://127.0.0.1:{}/live/x",
        "http://me:secret@127.0.0.1:{}/x/whip",
    ],
)
def test_a_server_that_is_not_there_is_tried_for_ever(url: str) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        async with two() as both:
            both.publish("cam")
            forward = both.forward(url.format(port))
            await eventually(lambda: forward.status.failures >= 3)
            assert "secret" not in forward.target + str(both.told)
            assert any("127.0.0.1" in (each.message or "") for each in both.told)
            await forward.stop()

    run_as_the_server_does(test)


def test_it_is_pushed_by_webrtc_and_what_is_left_out_is_told() -> None:
    async def test() -> None:
        async with two() as both, whip_server() as server:
            forward = both.forward(server.url(login="ann:s3cret@"))
            both.hub.publish("cam", [VIDEO, Track(Aac(b"\x11\x90"))])
            await eventually(lambda: forward.status.state == "live")
            assert forward.status.message == "The sound is AAC, which WebRTC doesn't carry."
            await eventually(lambda: server.hub.find("there") is not None)
            both.hub.remove("cam")
            await eventually(lambda: forward.status.state == "waiting")
            await eventually(lambda: server.webrtc.sessions == 0)
            assert "s3cret" not in str(both.told)
            await forward.stop()

    run_as_the_server_does(test)


@pytest.mark.parametrize(
    ("arguments", "codecs"),
    [
        ({}, (None, "opus")),
        ({"codec": "vp8"}, ("vp8", "opus")),
        ({"codec": "h265+pcma"}, ("h265", "pcma")),
        ({"codec": "mjpeg"}, "carry Motion JPEG: choose h264, h265, vp8, vp9, av1"),
        ({"codec": "h264+l16"}, "carry PCM 16 bit: choose opus, pcmu, pcma"),
    ],
)
def test_for_webrtc_a_source_is_encoded_as_webrtc_carries_it(
    arguments: dict[str, str], codecs: tuple[str | None, str] | str
) -> None:
    async def test() -> None:
        _, spec = parse_source("test", encoding=parse_encoding(**arguments))
        if isinstance(codecs, str):
            with pytest.raises(SettingsError, match=codecs):
                Publishing(spec, "http://127.0.0.1/cam/whip")
            return
        publishing = Publishing(spec, "http://127.0.0.1/cam/whip")
        assert isinstance(publishing._source, SourceProcess)
        encoding = publishing._source.spec.encoding  # type: ignore[union-attr]
        assert (encoding.video_codec, encoding.audio_codec) == codecs
        publishing._hub.close()

    run_as_the_server_does(test)


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1/x", "rtsp://", "rtsp://[::1"])
def test_a_url_that_is_none_is_told_and_ends_nothing(url: str) -> None:
    async def test() -> None:
        async with two() as both:
            both.publish("cam")
            forward = both.forward(url)
            await eventually(lambda: forward.status.failures >= 2)
            assert forward.status.message
            await forward.stop()

    run_as_the_server_does(test)


def test_pauses_grow_and_shrink_once_it_went_well(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    class Recorded(backoff.Backoff):
        def next_s(self) -> float:
            pauses.append(self._pause_s)
            super().next_s()
            return 0.01

    monkeypatch.setattr(forward_module, "Backoff", Recorded)
    monkeypatch.setattr(forward_module, "_HEALTHY_AFTER_S", 0.2)

    async def test() -> None:
        camera = FakeServer(sends=False)
        async with camera.running(), two() as both:
            camera.answer = refuse("ANNOUNCE", 503, "Busy")
            both.publish("cam")
            forward = both.forward(camera.url)
            await eventually(lambda: len(pauses) >= 3)
            camera.answer = lambda request: None
            await eventually(lambda: forward.status.state == "live")
            await sleep(0.3)
            before = len(pauses)
            camera.connections[-1].transport.abort()
            await eventually(lambda: len(pauses) > before)
            assert pauses[:3] == [0.05, 0.1, 0.2]
            assert pauses[before] == 0.05
            await forward.stop()

    run_as_the_server_does(test)


def test_rules_choose_streams_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwards_module, "MAX_FORWARDS", 2)

    async def test() -> None:
        async with two() as both:
            rules = [
                ForwardRule("live/*", f"{both.url}/copy/{{name}}"),
                ForwardRule("live/a", f"{both.url}/again", transport="tcp"),
            ]
            both.publish("live/a")
            forwards = Forwards(both.hub, both.loop, rules)
            forwards.start()
            both.publish("other")
            both.publish("live/b~c")
            both.publish("live/too-many")
            await eventually(lambda: both.arrived == {"copy/live/a", "again", "copy/live/b~c"})
            assert sorted(each.stream for each in forwards.status()) == [
                "live/a",
                "live/a",
                "live/b~c",
            ]
            both.hub.remove("live/a")
            await eventually(lambda: both.arrived == {"copy/live/b~c"})
            assert [each.stream for each in forwards.status()] == ["live/b~c"]
            # There is room for another now.
            both.publish("live/d")
            await eventually(lambda: both.arrived == {"copy/live/b~c", "copy/live/d"})
            await forwards.stop()
            assert forwards.status() == []
            await eventually(lambda: both.arrived == set())

    run_as_the_server_does(test)


# A source that is published without a server.


def test_a_source_is_published_until_it_is_stopped() -> None:
    async def test() -> None:
        camera = FakeServer()
        async with camera.running(), two() as both:
            publishing = Publishing(PulledSpec(camera.url), f"{both.url}/there")
            running = asyncio.ensure_future(publishing.run())
            await eventually(lambda: both.arrived == {"there"})
            await eventually(lambda: publishing.status().server.state == "live")
            status = publishing.status()
            assert [track.codec for track in status.tracks] == ["h264", "opus"]
            assert "there" in publishing.target
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await eventually(lambda: both.arrived == set())
            assert camera.methods[-1] == "TEARDOWN"

    run_as_the_server_does(test)


@pytest.mark.parametrize(
    ("method", "status", "says"), [("ANNOUNCE", 403, "forbids"), ("RECORD", 500, "500")]
)
def test_a_first_refusal_ends_it_with_a_sentence(method: str, status: int, says: str) -> None:
    async def test() -> None:
        camera, far = FakeServer(), FakeServer(answer=refuse(method, status, "No"))
        async with camera.running(), far.running():
            publishing = Publishing(PulledSpec(camera.url), far.url)
            with pytest.raises(ConnectError, match=says):
                await publishing.run()
            await eventually(lambda: camera.open_connections == far.open_connections == 0)

    run_as_the_server_does(test)


def test_a_server_that_is_lost_later_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing_module, "_FAREWELL_S", 0.05)

    async def test() -> None:
        camera, far = FakeServer(), FakeServer(sends=False)
        async with camera.running(), far.running():
            changes: list[None] = []
            publishing = Publishing(
                PulledSpec(camera.url), far.url, on_status=lambda: changes.append(None)
            )
            running = asyncio.ensure_future(publishing.run())
            await eventually(lambda: publishing.status().server.state == "live")
            far.connections[-1].transport.abort()
            await eventually(lambda: publishing.status().server.failures == 1)
            await eventually(lambda: publishing.status().server.state == "live")
            assert not running.done()
            assert changes
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_as_the_server_does(test)
