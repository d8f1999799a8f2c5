"""A stream that is published by WHIP on the real WebRTC server, and what gets lost on the way."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from client_helpers import run_as_the_server_does
from rtsp_helpers import eventually
from whip_helpers import WhipServer, whip_server

from streamsocket.auth.passwords import hash_password
from streamsocket.auth.users import Permissions, User
from streamsocket.errors import ConnectError
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.matching.match import NothingFitsError
from streamsocket.matching.matcher import Matcher
from streamsocket.media.codec import Aac, Mjpeg, Opus, Track, Vp8
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.packet import is_rtcp, parse_rtp
from streamsocket.webrtc import push as push_module
from streamsocket.webrtc.client_peer import ClientPeer
from streamsocket.webrtc.push import ABILITY, push_whip

VIDEO = Track(Vp8((320, 240)))
SOUND = Track(Opus())

KEYFRAME = bytes.fromhex("90800001100000009d012a4001f000")  # descriptor and VP8 header
SLICE = bytes.fromhex("9080000111000000")
KEYFRAME_EVERY = 10


class Lossy(ClientPeer):
    """A connection that loses RTP packets as it is told to, and notes what was sent."""

    loses: Callable[[int], bool] = lambda number: False
    sent: list[bytes]

    def send(self, datagram: bytes) -> None:
        if 0x80 <= datagram[0] < 0xC0 and not is_rtcp(datagram):
            number = len(Lossy.sent)
            Lossy.sent.append(datagram)
            if Lossy.loses(number):
                return
        super().send(datagram)


@pytest.fixture(autouse=True)
def _lossy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_module, "ClientPeer", Lossy)
    Lossy.loses = staticmethod(lambda number: False)  # type: ignore[assignment]
    Lossy.sent = []


class Pushing:
    """A stream here, and a server that it is published on."""

    def __init__(self, server: WhipServer, tracks: Sequence[Track]) -> None:
        self.server = server
        self.loop = server.loop
        self.hub = Hub(self.loop)
        self.keyframe_requests = 0
        self.publication = self.hub.publish("here", tracks, self._count)
        self.told: list[str | None] = []
        self.number = 0
        self.arrived: dict[int, list[int]] = defaultdict(list)
        """By track, the numbers of what came out of the server's hub."""
        self.captured: list[tuple[int, float]] = []
        self.times: dict[int, float] = {}
        self.task: asyncio.Task[None] | None = None

    def _count(self) -> None:
        self.keyframe_requests += 1

    @property
    def stream(self) -> Stream:
        stream = self.hub.find("here")
        assert stream
        return stream

    @property
    def far(self) -> Stream | None:
        return self.server.hub.find("there")

    def begin(self, url: str | None = None) -> None:
        self.task = self.loop.create_task(self.push(url))

    async def push(self, url: str | None = None) -> None:
        tracks = await Matcher().tracks_for(self.stream, ABILITY)
        await push_whip(
            self.stream, tracks, url or self.server.url(), timeout_s=5, on_live=self.told.append
        )

    def send(self) -> None:
        """A picture of three packets, and its sound."""
        n = self.number
        self.number += 1
        now = time.time()
        self.times[n] = now
        for track in self.stream.tracks:
            body = n.to_bytes(4)
            if track.is_video:
                keyframe = n % KEYFRAME_EVERY == 0
                # Only the first begins the picture.
                first = (KEYFRAME if keyframe else SLICE) + body + bytes(600)
                rest = b"\x80\x80\x00\x01" + body + bytes(600)
                payloads = [first, rest, rest]
            else:
                keyframe, payloads = False, [b"\xfc" + body + bytes(80)]
            timestamp = round((now - self.times[0]) * track.clock_rate)
            self.publication.write(
                track.index,
                build_batch(payloads, timestamp=timestamp, capture_time=now, keyframe=keyframe),
            )
        self.publication.flush()

    async def send_until(
        self, condition: Callable[[], object], timeout_s: float = 8, *, every_s: float = 0.01
    ) -> None:
        """One picture after the other until something is so."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                if self.task and self.task.done():
                    await self.task
                self.send()
                self._listen()
                await asyncio.sleep(every_s)

    def _listen(self) -> None:
        if self.far and self._take not in self.far.taps:
            self.far.taps.append(self._take)

    def _take(self, tracks: Sequence[StreamTrack]) -> None:
        for track in tracks:
            for batch in track.pending:
                for packet in batch.packets():
                    payload = parse_rtp(packet).payload
                    at = len(payload) - (604 if track.is_video else 84)
                    number = int.from_bytes(payload[at : at + 4])
                    self.arrived[track.index].append(number)
                    if not track.is_video:
                        self.captured.append((number, batch.capture_time))

    def complete(self, track: int, each: int) -> bool:
        """Whether all numbers from the first to the last came, so many times each, in order."""
        numbers = self.arrived[track]
        numbers = [n for n in numbers if numbers[0] < n < numbers[-1]]
        expected = [n for n in range(numbers[0], numbers[-1] + 1) for _ in range(each)]
        return numbers == expected

    async def close(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.hub.close()


@asynccontextmanager
async def pushing(
    tracks: Sequence[Track] = (VIDEO, SOUND), users: dict[str, User] | None = None
) -> AsyncIterator[Pushing]:
    async with whip_server(users) as server:
        under_test = Pushing(server, tracks)
        try:
            yield under_test
        finally:
            await under_test.close()


def test_both_tracks_arrive_whole_with_their_times_of_capture() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[1]) > 100)
            assert both.told == [None]
            assert both.complete(0, 3)
            assert both.complete(1, 1)
            assert both.far
            assert both.far.origin == "WebRTC"
            assert [track.track.codec.name for track in both.far.tracks] == ["vp8", "opus"]
            late = [abs(time_ - both.times[number]) for number, time_ in both.captured[20:]]
            assert max(late) < 0.005
            assert [line.split()[0] for line in both.server.asked] == ["OPTIONS", "POST"]

    run_as_the_server_does(test)


@pytest.mark.parametrize("repairs", ["rtx", "as it was"])
def test_what_is_lost_is_sent_again_and_no_index_twice_with_other_bytes(repairs: str) -> None:
    def without_rtx(answer: str) -> str:
        answer = re.sub(r"(m=video .*) 97\r", r"\1\r", answer)
        return re.sub(r"a=(rtpmap|fmtp):97 .*\r\n", "", answer)

    async def test() -> None:
        async with pushing() as both:
            if repairs == "as it was":
                both.server.answers = without_rtx
            Lossy.loses = staticmethod(  # type: ignore[assignment]
                lambda number: number % 7 == 3 and Lossy.sent[number][1] & 0x7F == 96
            )
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 600)
            assert both.complete(0, 3), "something was not repaired"
            by_index: dict[bytes, set[bytes]] = defaultdict(set)
            for datagram in Lossy.sent:
                by_index[datagram[2:4] + datagram[8:12]].add(datagram[12:])
            assert all(len(each) == 1 for each in by_index.values())
            types = {datagram[1] & 0x7F for datagram in Lossy.sent}
            assert (97 in types) == (repairs == "rtx")
            assert (len(by_index) < len(Lossy.sent)) == (repairs == "as it was")

    run_as_the_server_does(test)


def test_sequence_numbers_wrap() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.stream.tracks[0].next_sequence = 0x1FC00
            Lossy.loses = staticmethod(lambda number: number % 9 == 3)  # type: ignore[assignment]
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 1100, every_s=0.004)
            assert both.complete(0, 3)
            sequences = {int.from_bytes(each[2:4]) for each in Lossy.sent if each[1] & 0x7F == 96}
            assert {0xFFFF, 0} <= sequences

    run_as_the_server_does(test)


def test_shortly_before_they_wrap_it_begins_behind_that() -> None:
    """Who misses the first packet would never find out with which counter to decrypt."""

    async def test() -> None:
        async with pushing() as both:
            both.stream.tracks[0].next_sequence = 0x1FF80
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 60)
            first = next(each for each in Lossy.sent if each[1] & 0x7F == 96)
            assert int.from_bytes(first[2:4]) < 0x1000
            assert both.complete(0, 3)

    run_as_the_server_does(test)


def test_every_packet_says_which_section_it_belongs_to() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[1]) > 20)
            for datagram in Lossy.sent:
                mid = b"0" if datagram[1] & 0x7F == 96 else b"1"
                assert datagram[0] & 0x10
                assert datagram[12:20] == b"\xbe\xde\x00\x01\x10" + mid + b"\x00\x00"

    run_as_the_server_does(test)


def test_viewers_over_there_have_keyframes_made_here() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 20)
            before = both.keyframe_requests
            assert both.far
            both.far.request_keyframe()
            await both.send_until(lambda: both.keyframe_requests > before)

    run_as_the_server_does(test)


def test_it_ends_with_the_stream() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 20)
            both.hub.remove("here")
            assert both.task
            await asyncio.wait_for(both.task, 3)
            assert both.server.asked[-1].startswith("DELETE /there/whip/")
            assert both.server.webrtc.sessions == 0

    run_as_the_server_does(test)


def test_who_stops_it_leaves_nothing_behind() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 20)
            assert both.task
            both.task.cancel()
            await asyncio.gather(both.task, return_exceptions=True)
            await eventually(lambda: both.server.webrtc.sessions == 0)
            assert both.stream.readers == {}
            assert both.stream.on_end == []
            assert [track.groups for track in both.stream.tracks] == [{}, {}]

    run_as_the_server_does(test)


def test_a_server_that_ends_the_session_is_lost() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 20)
            (session,) = both.server.webrtc._peers
            await both.server.webrtc.end("there", session)
            assert both.task
            with pytest.raises(ConnectError, match="ended the session"):
                await asyncio.wait_for(both.task, 3)

    run_as_the_server_does(test)


def test_a_server_that_falls_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was killed, long before ICE finds out."""
    monkeypatch.setattr(push_module, "SILENCE_S", 1.5)
    monkeypatch.setattr(push_module, "_TICK_S", 0.1)

    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 400)
            both.server.webrtc._loop.remove_reader(both.server.webrtc._socket)
            monkeypatch.setattr(both.server.webrtc._sender, "send_datagram", lambda *_: None)
            with pytest.raises(ConnectError, match="has not answered for"):
                await both.send_until(lambda: False, timeout_s=4)

    run_as_the_server_does(test)


def test_a_url_that_does_not_end_with_whip_is_told() -> None:
    async def test() -> None:
        async with pushing() as both:
            with pytest.raises(ConnectError, match="has to end with /whip") as caught:
                await both.push(both.server.url(login="ann:s3cret@").removesuffix("/whip"))
            assert "s3cret" not in str(caught.value)
            assert both.server.asked == []

    run_as_the_server_does(test)


def test_who_stops_it_twice_waits_until_the_server_knows() -> None:
    """The stream ends, and then whoever pushes it on is stopped."""

    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 20)
            both.hub.remove("here")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert both.task
            both.task.cancel()
            await asyncio.gather(both.task, return_exceptions=True)
            assert both.server.asked[-1].startswith("DELETE")
            assert both.server.webrtc.sessions == 0

    run_as_the_server_does(test)


def test_a_stream_that_ends_while_it_connects_is_not_waited_for() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.begin()
            await asyncio.sleep(0)
            both.hub.remove("here")
            assert both.task
            await asyncio.wait_for(both.task, 8)
            assert both.server.webrtc.sessions == 0

    run_as_the_server_does(test)


@pytest.mark.parametrize(
    ("login", "complaint"), [("", "asks for a user"), ("ann:wr0ng@", "not accept this")]
)
def test_who_may_not_publish_is_told(login: str, complaint: str) -> None:
    async def test() -> None:
        users = {
            "ann": User("ann", hash_password("s3cret"), permissions=Permissions(publish=("*",)))
        }
        async with pushing(users=users) as both:
            with pytest.raises(ConnectError, match=complaint) as caught:
                await both.push(both.server.url(login=login))
            assert "wr0ng" not in str(caught.value)
            both.begin(both.server.url(login="ann:s3cret@"))
            await both.send_until(lambda: len(both.arrived[0]) > 10)

    run_as_the_server_does(test)


def test_a_name_that_is_taken_is_told() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.server.hub.publish("there", [SOUND])
            with pytest.raises(ConnectError, match="'there'"):
                await both.push()

    run_as_the_server_does(test)


def test_what_the_server_leaves_out_is_told() -> None:
    async def test() -> None:
        async with pushing() as both:
            both.server.answers = lambda text: text.replace("m=audio 9", "m=audio 0")
            both.begin()
            await both.send_until(lambda: both.told)
            assert both.told == ["The server doesn't take Opus."]
            await both.send_until(lambda: len(both.arrived[0]) > 20)

    run_as_the_server_does(test)


def test_what_webrtc_does_not_carry_is_left_out_and_told() -> None:
    async def test() -> None:
        async with pushing([VIDEO, Track(Aac(b"\x11\x90"))]) as both:
            both.begin()
            await both.send_until(lambda: len(both.arrived[0]) > 20)
            assert both.told == ["The sound is AAC, which WebRTC doesn't carry."]

    run_as_the_server_does(test)


def test_nothing_that_webrtc_carries_is_refused() -> None:
    async def test() -> None:
        async with pushing([Track(Mjpeg())]) as both:
            with pytest.raises(NothingFitsError, match="picture is Motion JPEG"):
                await both.push()

    run_as_the_server_does(test)


@pytest.mark.parametrize("answer", ["v=0\r\n", "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"])
def test_an_answer_that_is_none_is_told(answer: str) -> None:
    async def test() -> None:
        async with pushing() as both:
            both.server.answers = lambda text: answer
            with pytest.raises(ConnectError, match=r"127\.0\.0\.1:"):
                await both.push()

    run_as_the_server_does(test)
