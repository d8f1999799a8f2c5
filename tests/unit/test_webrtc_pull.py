"""A stream that is watched on another WebRTC server, and published here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from client_helpers import PPS, SOUND, SPS, run_as_the_server_does
from rtsp_helpers import eventually
from test_client_webrtc import lose, sequence_of
from whep_helpers import WhepServer, whep_server

from streamsocket import backoff
from streamsocket.errors import ConnectError, SourceError, StreamSocketError
from streamsocket.hub import pulling as pulling_module
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Publication, Stream
from streamsocket.media.codec import H264, Track
from streamsocket.rtp.rtcp import Pli, ReceiverReport, parse_rtcp
from streamsocket.sources.pulled import PulledSource
from streamsocket.sources.spec import PulledSpec, parse_source
from streamsocket.sources.state import SourceStatus
from streamsocket.webrtc.pull import pull_whep
from streamsocket.webrtc.viewer import Viewer


class Pulling:
    """A hub here, and a server that is watched."""

    def __init__(self, server: WhepServer) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop)
        self.server = server
        self.request_keyframe: Callable[[], None] | None = None
        self.task: asyncio.Task[None] | None = None

    def publish(
        self, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> Publication:
        self.request_keyframe = request_keyframe
        return self.hub.publish("door", tracks, request_keyframe)

    def begin(self) -> asyncio.Task[None]:
        self.task = self.loop.create_task(pull_whep(self.server.url, self.publish, timeout_s=5))
        return self.task

    @property
    def stream(self) -> Stream:
        stream = self.hub.find("door")
        assert stream
        return stream

    def has_come(self) -> bool:
        stream = self.hub.find("door")
        return stream is not None and all(track.packets > 3 for track in stream.tracks)

    def is_published(self) -> bool:
        stream = self.hub.find("door")
        return stream is not None and stream.publication is not None

    async def close(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.hub.close()


@asynccontextmanager
async def pulling() -> AsyncIterator[Pulling]:
    async with whep_server() as server:
        under_test = Pulling(server)
        try:
            yield under_test
        finally:
            await under_test.close()


def test_what_comes_is_published_as_it_is() -> None:
    async def test() -> None:
        async with pulling() as pull:
            task = pull.begin()
            await eventually(pull.has_come)
            video, sound = pull.stream.tracks
            await eventually(lambda: video.track.codec == H264(SPS, PPS))
            assert sound.track.codec == SOUND.codec
            await eventually(lambda: bool(video.cache.bytes))
            assert video.latest
            assert abs(time.time() - video.latest.capture_time) < 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not pull.is_published()
            await eventually(lambda: pull.server.webrtc.sessions == 0)

    run_as_the_server_does(test)


def test_the_end_of_the_stream_is_no_failure() -> None:
    async def test() -> None:
        async with pulling() as pull:
            task = pull.begin()
            await eventually(pull.has_come)
            pull.server.end_stream()
            await asyncio.wait_for(task, 3)
            assert not pull.is_published()

    run_as_the_server_does(test)


def test_a_server_that_falls_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling_module, "SILENCE_S", 0.3)

    async def test() -> None:
        async with pulling() as pull:
            task = pull.begin()
            await eventually(pull.has_come)
            pull.server.fall_deaf()
            pull.server.stop_sending()
            with pytest.raises(ConnectError, match="Nothing has come from http"):
                await asyncio.wait_for(task, 3)

    run_as_the_server_does(test)


def test_what_is_lost_is_asked_for_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with pulling() as pull:
            # Of the picture alone, which is repaired.
            gone = lose(monkeypatch, lambda data: len(data) > 500 and sequence_of(data) % 20 == 0)
            pull.begin()
            await eventually(lambda: len(gone) > 10)
            theirs = pull.server.hub.find("lobby")
            assert theirs
            await eventually(lambda: theirs.resent_packets > 10)
            ours = pull.stream.tracks[0]
            await eventually(lambda: ours.packets > 500)
            assert pull.stream.publication

    run_as_the_server_does(test)


def test_the_server_is_told_how_it_comes_and_asked_for_keyframes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulling_module, "_REPORT_INTERVAL_S", 0.1)
    told: list[list[object]] = []
    monkeypatch.setattr(
        Viewer, "receive_rtcp", lambda self, data: told.append(list(parse_rtcp(data)))
    )

    async def test() -> None:
        async with pulling() as pull:
            pull.begin()
            await eventually(pull.has_come)
            await eventually(lambda: any(_reports(packets) for packets in told))
            assert pull.request_keyframe
            pull.request_keyframe()
            await eventually(lambda: any(isinstance(packets[-1], Pli) for packets in told))
            # Each begins with a report, for those who want it so (RFC 3550, 6.1).
            assert all(isinstance(packets[0], ReceiverReport) for packets in told)

    run_as_the_server_does(test)


def _reports(packets: list[object]) -> bool:
    return isinstance(packets[0], ReceiverReport) and bool(packets[0].blocks)


def test_what_the_hub_refuses_is_raised() -> None:
    def refuse_all(tracks: Sequence[Track], request_keyframe: object) -> Publication:
        raise StreamSocketError("No more streams.")

    async def test() -> None:
        async with whep_server() as server:
            with pytest.raises(StreamSocketError, match="No more streams"):
                await pull_whep(server.url, refuse_all)
            await eventually(lambda: server.webrtc.sessions == 0)

    run_as_the_server_does(test)


def test_a_source_stays_with_a_stream_that_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.2)

    async def test() -> None:
        async with whep_server() as server:
            loop = asyncio.get_running_loop()
            hub = Hub(loop)
            told: list[SourceStatus] = []
            url = server.url.replace("http://", "http://me:secret@")
            source = PulledSource("door", PulledSpec(url), loop, hub, told.append)
            source.start()
            await eventually(lambda: source.status.state == "live")
            server.end_stream()
            await eventually(lambda: source.status.state == "waiting")
            assert "has ended" in (source.status.message or "")
            await eventually(lambda: "no stream" in (source.status.message or ""))
            server.publish()
            await eventually(lambda: source.status.state == "live")
            assert not any("secret" in (status.message or "") for status in told)
            await source.stop()
            hub.close()
            await eventually(lambda: server.webrtc.sessions == 0)

    run_as_the_server_does(test)


def test_a_whep_url_is_a_source() -> None:
    name, spec = parse_source("https://anna:secret@tv.example/live/lobby/whep")
    assert (name, spec.text) == ("lobby", "https://tv.example/live/lobby/whep")
    assert spec == PulledSpec("https://anna:secret@tv.example/live/lobby/whep")
    assert parse_source("door=http://tv.example/whep?a=b")[0] == "door"
    assert parse_source("http://tv.example/whep")[0] == "tv.example"


@pytest.mark.parametrize("url", ["http://me:secret@tv/lobby", "https://me:secret@tv:0/lobby/whep"])
def test_other_urls_are_none(url: str) -> None:
    with pytest.raises(SourceError, match="whep") as refusal:
        parse_source(url)
    assert "secret" not in str(refusal.value)
