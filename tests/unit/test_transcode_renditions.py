"""Which renditions are made, for whom and for how long; by a stand-in for the transcoder."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hub_helpers import SOUND, VIDEO, Viewer, batch

from streamsocket.errors import ConversionError
from streamsocket.hub.hub import Hub
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.hub.udp import UdpSender
from streamsocket.matching.target import Target
from streamsocket.media.codec import H264, Aac, Track, Vp8
from streamsocket.rtp.batch import Batch
from streamsocket.transcode import renditions as renditions_module
from streamsocket.transcode.renditions import Renditions

VP8, AAC, OPUS = Target("vp8"), Target("aac"), Target("opus", channels=2)
MADE = Track(Vp8((320, 180)))
MADE_SOUND = Track(Aac(bytes.fromhex("119056e500")))
OTHER_VIDEO = Track(H264(sps=b"\x67\x42\xc0\x1e", pps=b"\x68\xce\x3c\x81"))

UNWATCHED_S = 0.15
DEADLINE_S = 5.0


class StandIn:
    """Notes what a transcoder is told; says what a test has it say."""

    all: list[StandIn]
    knows: Track | None = None
    """What it is sure of before anything came."""

    def __init__(
        self,
        name: str,
        track: Track,
        target: Target,
        loop: asyncio.AbstractEventLoop,
        *,
        on_track: Callable[[Track], None],
        on_batches: Callable[[list[Batch]], None],
        on_message: Callable[[str | None], None],
        on_keyframe_wanted: Callable[[], None],
        on_started: Callable[[], None],
    ) -> None:
        self.told: list[object] = []
        self.batches: list[Batch] = []
        self.origins: set[int] = set()
        self.name, self.track, self.target = name, track, target
        self.on_track, self.on_batches, self.on_message = on_track, on_batches, on_message
        self.on_keyframe_wanted, self.on_started = on_keyframe_wanted, on_started
        StandIn.all.append(self)

    def start(self) -> None:
        self.told.append("start")
        if StandIn.knows:
            self.on_track(StandIn.knows)
        self.on_started()

    def write(self, batches: Sequence[Batch], origin: int) -> None:
        self.batches += batches
        self.origins.add(origin)

    def begin_publication(self, track: Track) -> None:
        self.told.append(track)

    def request_keyframe(self) -> None:
        self.told.append("keyframe")

    async def stop(self) -> None:
        self.told.append("stopping")
        await asyncio.sleep(0.01)
        self.told.append("stopped")


class Server:
    """A hub with a stream of H.264 and Opus, and its renditions."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.hub = Hub(loop)
        self.renditions = Renditions(loop, self.hub, most=2)
        self._closed = False
        self.keyframe_requests = 0
        self.publication = self.hub.publish("lobby", [VIDEO, SOUND], self._count)
        found = self.hub.find("lobby")
        assert found
        self.stream: Stream = found

    def _count(self) -> None:
        self.keyframe_requests += 1

    def send(self, track: int, *batches: Batch) -> None:
        for each in batches:
            self.publication.write(track, each)
        self.publication.flush()

    def obtain(self, index: int = 0, target: Target = VP8) -> asyncio.Task[Any]:
        return asyncio.create_task(self.renditions.obtain(self.stream, index, target))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self.renditions.stop()
            self.hub.close()


def with_server(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that is a coroutine and takes a server, in an event loop of its own."""

    async def run(*args: Any, **kwargs: Any) -> None:
        server = Server()
        try:
            await test(server, *args, **kwargs)
        finally:
            await server.close()

    @functools.wraps(test)
    def wrapped() -> None:
        asyncio.run(run())

    # pytest would take the server for a fixture.
    del wrapped.__wrapped__  # type: ignore[attr-defined]
    return wrapped


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsocket.transcode.transcoder.Transcoder", StandIn)
    monkeypatch.setattr(StandIn, "all", [], raising=False)
    monkeypatch.setattr(StandIn, "knows", None)
    monkeypatch.setattr(renditions_module, "UNWATCHED_S", UNWATCHED_S)
    monkeypatch.setattr(renditions_module, "_SWEEP_S", 0.01)
    monkeypatch.setattr(renditions_module, "READY_S", 0.3)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def only() -> StandIn:
    """The one transcoder that has been started."""
    await until(lambda: StandIn.all)
    [transcoder] = StandIn.all
    return transcoder


@with_server
async def test_whoever_asks_waits_until_it_is_known_what_it_will_be(server: Server) -> None:
    asked = server.obtain()
    transcoder = await only()
    assert (transcoder.name, transcoder.track, transcoder.target) == ("lobby", VIDEO, VP8)
    await asyncio.sleep(0.02)
    assert not asked.done()
    transcoder.on_track(MADE)
    track = await asked
    assert track.track == MADE
    assert track.index == 2
    assert server.stream.renditions == [track]
    assert [each.track for each in server.renditions.of(server.stream)] == [track]


@with_server
async def test_who_asks_for_what_is_known_at_once_does_not_wait(server: Server) -> None:
    StandIn.knows = MADE_SOUND
    track = await server.renditions.obtain(server.stream, 1, AAC)
    assert track.track == MADE_SOUND


@with_server
async def test_all_share_one_and_each_target_has_its_own(server: Server) -> None:
    asked = [server.obtain() for _ in range(3)]
    transcoder = await only()
    transcoder.on_track(MADE)
    first, *others = [await each for each in asked]
    assert others == [first, first]
    assert await server.obtain() is first
    assert len(StandIn.all) == 1
    StandIn.knows = MADE_SOUND
    sound = await server.obtain(1, AAC)
    assert sound is not first
    assert len(StandIn.all) == 2


@with_server
async def test_who_gives_up_leaves_the_others_waiting(server: Server) -> None:
    impatient, patient = server.obtain(), server.obtain()
    transcoder = await only()
    impatient.cancel()
    await asyncio.sleep(0.01)
    transcoder.on_track(MADE)
    assert (await patient).track == MADE
    assert impatient.cancelled()


@with_server
async def test_what_does_not_come_is_given_up_in_words(server: Server) -> None:
    with pytest.raises(ConversionError) as refusal:
        await server.obtain()
    assert str(refusal.value) == (
        "'lobby' cannot be transcoded from H.264 to VP8: nothing came within 0 s."
    )
    transcoder = await only()
    await until(lambda: transcoder.told[-1] == "stopped")  # nobody waits any more


@with_server
async def test_the_refusal_says_what_the_transcoder_says(server: Server) -> None:
    asked = server.obtain()
    (await only()).on_message("The pictures are too large.")
    with pytest.raises(ConversionError, match=r"from H.264 to VP8: The pictures are too large.$"):
        await asked


@with_server
async def test_what_is_said_of_it_is_shown_until_it_is_over(server: Server) -> None:
    asked = server.obtain()
    transcoder = await only()
    transcoder.on_track(MADE)
    await asked
    [rendition] = server.renditions.of(server.stream)
    transcoder.on_message("It crashed.")
    assert rendition.message == "It crashed."
    transcoder.on_message(None)
    assert rendition.message is None


@with_server
async def test_no_more_are_made_than_the_limit_allows(server: Server) -> None:
    StandIn.knows = MADE
    await server.obtain(0, VP8)
    await server.obtain(0, Target("h264"))
    with pytest.raises(ConversionError) as refusal:
        await server.obtain(1, AAC)
    assert str(refusal.value) == (
        "2 tracks are being transcoded already, the most this server does: try again later, or "
        "raise transcoding.max."
    )
    assert len(StandIn.all) == 2
    await server.obtain(0, VP8)  # which is there
    await until(lambda: not server.renditions.of(server.stream))
    StandIn.knows = MADE_SOUND
    await server.obtain(1, AAC)  # there is room again


@with_server
async def test_it_is_fed_from_the_newest_keyframe_on(server: Server) -> None:
    first = [batch(timestamp=at * 3000, keyframe=not at) for at in range(3)]
    server.send(0, *first)
    asked = server.obtain()
    transcoder = await only()
    assert len(transcoder.batches) == 3
    assert transcoder.batches[0].keyframe
    source = server.stream.tracks[0]
    assert transcoder.origins == {source.place(0.0)}
    assert server.keyframe_requests == 0
    server.send(0, batch(timestamp=9000))
    server.send(1, batch(timestamp=9000))  # sound is no business of its
    assert [each.timestamp - transcoder.batches[0].timestamp for each in transcoder.batches] == [
        0, 3000, 6000, 9000,
    ]  # fmt: skip
    asked.cancel()


@with_server
async def test_without_a_keyframe_the_publisher_is_asked_for_one(server: Server) -> None:
    asked = server.obtain()
    await only()
    assert server.keyframe_requests == 1
    asked.cancel()


@with_server
async def test_a_process_that_begins_again_is_fed_from_the_keyframe_on(server: Server) -> None:
    StandIn.knows = MADE
    server.send(0, batch(timestamp=0, keyframe=True))
    await server.obtain()
    transcoder = await only()
    server.send(0, batch(timestamp=3000))
    transcoder.batches.clear()
    transcoder.on_started()
    assert [each.keyframe for each in transcoder.batches] == [True, False]


@with_server
async def test_sound_is_not_fed_what_was_heard_before(server: Server) -> None:
    StandIn.knows = MADE_SOUND
    server.send(1, batch(timestamp=0, keyframe=True))
    await server.obtain(1, AAC)
    transcoder = await only()
    assert not transcoder.batches
    assert server.keyframe_requests == 0
    server.send(1, batch(timestamp=960, keyframe=True))
    assert len(transcoder.batches) == 1


@with_server
async def test_keyframes_are_asked_of_who_makes_them(server: Server) -> None:
    StandIn.knows = MADE
    server.send(0, batch(timestamp=0, keyframe=True))
    track = await server.obtain()
    transcoder = await only()
    server.stream.request_keyframe(track)
    assert transcoder.told[-1] == "keyframe"
    assert server.keyframe_requests == 0
    transcoder.on_keyframe_wanted()
    assert server.keyframe_requests == 1


@with_server
async def test_what_is_made_has_its_place_in_the_stream(server: Server) -> None:
    StandIn.knows = MADE
    server.send(0, batch(timestamp=0, keyframe=True))
    track = await server.obtain()
    transcoder = await only()
    transcoder.on_batches([batch(timestamp=90_000, keyframe=True)])
    assert track.latest
    assert track.latest.timestamp == track.place(1.0)
    parameters = Track(Vp8((160, 90)))
    transcoder.on_track(parameters)
    assert track.track == parameters
    assert server.stream.renditions == [track]


@with_server
async def test_it_ends_when_nobody_takes_it_and_comes_back_when_somebody_does(
    server: Server,
) -> None:
    StandIn.knows = MADE
    begun = time.monotonic()
    track = await server.obtain()
    transcoder = await only()
    transcoder.on_batches([batch(timestamp=0, keyframe=True)])
    await until(lambda: transcoder.told[-1] == "stopped")
    assert time.monotonic() - begun >= UNWATCHED_S
    assert not server.stream.taps
    assert not server.renditions.of(server.stream)
    assert not track.cache.group()  # it is old by the time that somebody comes
    server.send(0, batch(timestamp=0, keyframe=True), batch(timestamp=450_000))
    assert track.latest_timestamp == track.place(5.0)  # where it will go on
    transcoder.on_batches([batch(timestamp=3000)])
    assert track.packets == 1  # too late

    assert await server.obtain() is track
    assert len(StandIn.all) == 2
    await until(lambda: not server.stream.taps)


@with_server
async def test_it_goes_on_while_somebody_takes_it(server: Server) -> None:
    StandIn.knows = MADE
    track = await server.obtain()
    transcoder = await only()
    viewer = Viewer()
    sockets = Viewer()
    udp = UdpSender(asyncio.get_running_loop(), sockets.rtp, sockets.rtcp, segmentation=False)
    reader = Reader(server.stream, on_end=lambda: None)
    reader.add(track.index, udp, viewer.target)
    reader.prepare()
    reader.start()
    await asyncio.sleep(3 * UNWATCHED_S)
    assert "stopping" not in transcoder.told
    reader.end()
    track.tapped += 1  # as who pushes on to RTMP does
    await asyncio.sleep(3 * UNWATCHED_S)
    assert "stopping" not in transcoder.told
    track.tapped -= 1
    await until(lambda: transcoder.told[-1] == "stopped")
    udp.close()
    viewer.close()
    sockets.close()


@with_server
async def test_who_plays_late_has_it_made_again(server: Server) -> None:
    StandIn.knows = MADE
    track = await server.obtain()
    transcoder = await only()
    await until(lambda: transcoder.told[-1] == "stopped")
    assert track.maker
    track.maker.wanted()
    assert len(StandIn.all) == 2
    assert StandIn.all[1].told == ["start"]


@with_server
async def test_another_publisher_goes_on_with_it(server: Server) -> None:
    StandIn.knows = MADE
    server.send(0, batch(timestamp=0, keyframe=True))
    track = await server.obtain()
    transcoder = await only()
    server.publication.close()
    assert "stopping" not in transcoder.told
    server.publication = server.hub.publish("lobby", [OTHER_VIDEO, SOUND])
    assert transcoder.told == ["start", OTHER_VIDEO]
    transcoder.batches.clear()
    server.send(0, batch(timestamp=77, keyframe=True))
    assert len(transcoder.batches) == 1
    assert await server.obtain() is track


@with_server
async def test_a_stream_that_ends_takes_its_transcoders_with_it(server: Server) -> None:
    StandIn.knows = MADE
    track = await server.obtain()
    transcoder = await only()
    server.hub.remove("lobby")
    await until(lambda: transcoder.told[-1] == "stopped")
    assert not server.renditions.of(server.stream)
    assert track.maker
    track.maker.wanted()  # by a player that has not noticed
    assert len(StandIn.all) == 1


@with_server
async def test_who_waits_when_the_stream_ends_is_told_so(server: Server) -> None:
    asked = server.obtain()
    await only()
    server.hub.remove("lobby")
    with pytest.raises(ConversionError, match=r"^'lobby' has ended\.$"):
        await asked
    with pytest.raises(ConversionError, match=r"^'lobby' has ended\.$"):
        await server.obtain()
    assert len(StandIn.all) == 1


@with_server
async def test_other_codecs_of_a_new_publisher_are_another_stream(server: Server) -> None:
    StandIn.knows = MADE
    await server.obtain()
    transcoder = await only()
    server.publication = server.hub.publish("lobby", [Track(Vp8()), SOUND])
    await until(lambda: transcoder.told[-1] == "stopped")
    with pytest.raises(ConversionError, match="has ended"):
        await server.obtain()


@with_server
async def test_nothing_is_left_when_the_server_stops(server: Server) -> None:
    StandIn.knows = MADE_SOUND
    await server.obtain(1, AAC)
    server.hub.publish("other", [VIDEO, SOUND])
    other = server.hub.find("other")
    assert other
    await server.renditions.obtain(other, 1, AAC)
    server.hub.remove("lobby")  # just before
    await server.close()
    assert [each.told[-1] for each in StandIn.all] == ["stopped", "stopped"]
