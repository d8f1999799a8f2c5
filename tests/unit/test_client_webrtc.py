"""A session over WebRTC, against the real server: what arrives, and how it ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from contextlib import aclosing
from time import monotonic, time

import pytest
from client_helpers import PPS, SOUND, SPS, VIDEO, run_as_the_server_does, take
from rtsp_helpers import eventually
from whep_helpers import whep_server

from streamsocket.auth.passwords import hash_password
from streamsocket.auth.users import Permissions, User
from streamsocket.client.follow import Away, Live, follow
from streamsocket.client.session import Session, TransportWish, open_url
from streamsocket.errors import ConnectError
from streamsocket.media.codec import H264, Kind, Opus, Vp8
from streamsocket.rtp.packet import is_rtcp
from streamsocket.webrtc import client_peer, whep_client
from streamsocket.webrtc.http_client import HttpRefusedError, HttpSession


def run(scenario: Callable[[], object]) -> None:
    run_as_the_server_does(scenario)  # type: ignore[arg-type]


def lose(monkeypatch: pytest.MonkeyPatch, lost: Callable[[bytes], bool]) -> list[bytes]:
    """Lose RTP packets on the way, still protected; returns what was lost."""
    gone: list[bytes] = []
    ice = client_peer._Ice
    taken = ice.data_received

    def received(self: client_peer._Ice, data: bytes, component: int) -> None:
        if data[0] & 0xC0 == 0x80 and not is_rtcp(data) and lost(data):
            gone.append(data)
        else:
            taken(self, data, component)

    monkeypatch.setattr(ice, "data_received", received)
    return gone


def sequence_of(packet: bytes) -> int:
    return int.from_bytes(packet[2:4])


async def units(session: Session, count: int) -> None:
    async with asyncio.timeout(5):
        for _ in range(count):
            await anext(session)


def test_picture_and_sound_come_encrypted_over_one_connection() -> None:
    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url) as session:
            assert set(await take(session, 30)) == {0, 1}
            assert [track.transport for track in session.tracks] == ["webrtc", "webrtc"]
            assert [track.kind for track in session.tracks] == ["video", "audio"]
            assert session.tracks[0].codec == H264(SPS, PPS)
            assert isinstance(session.tracks[1].codec, Opus)
            assert session.url == server.url
            assert session.fallback is None
            assert all(track.receiver.malformed == 0 for track in session.tracks)
            reached = session.milestones
            assert 0 < reached.connected_s < reached.described_s  # type: ignore[operator]
            assert reached.described_s < reached.playing_s  # type: ignore[operator]
            stream = server.hub.find("lobby")
            assert stream
            assert stream.viewers == 1
        await eventually(lambda: server.webrtc.sessions == 0)

    run(scenario)


def test_the_time_of_capture_comes_with_it() -> None:
    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url) as session:
            clock = session.tracks[0].receiver.clock
            async with asyncio.timeout(5):
                async for received in session:
                    if received.track == 0 and clock.source == "sender_report":
                        break
            captured = received.unit.capture_time
            assert captured is not None
            # Who joins is shown the group of pictures before, squeezed.
            assert time() - 0.5 < captured <= time() + 0.1

    run(scenario)


@pytest.mark.parametrize(("kinds", "expected"), [(("video",), H264), (("audio",), Opus)])
def test_only_what_is_wanted_comes(kinds: Collection[Kind], expected: type) -> None:
    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url, kinds=kinds) as session:
            assert set(await take(session, 10)) == {0}
            assert isinstance(session.tracks[0].codec, expected)

    run(scenario)


@pytest.mark.parametrize("tracks", [[VIDEO], [SOUND]])
def test_what_the_stream_has_not_is_done_without(tracks: list[object]) -> None:
    async def scenario() -> None:
        async with (
            whep_server(tracks=tracks) as server,  # type: ignore[arg-type]
            open_url(server.url) as session,
        ):
            assert set(await take(session, 10)) == {0}
            assert len(session.tracks) == 1

    run(scenario)


def test_lost_pictures_are_repaired_on_a_source_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with whep_server() as server:
            sent = 0

            def lost(packet: bytes) -> bool:
                nonlocal sent
                sent += packet[1] & 0x7F == video
                return packet[1] & 0x7F == video and sent > 20 and sequence_of(packet) % 10 == 0

            video = -1
            gone = lose(monkeypatch, lost)
            async with open_url(server.url) as session:
                receiver = session.tracks[0].receiver
                video = receiver._payload_type
                await eventually(lambda: receiver.repaired >= 10)
                assert receiver.lost == 0
                assert receiver.nacks
                assert receiver.strangers == 0
                async with asyncio.timeout(5):
                    received = [await anext(session) for _ in range(100)]
                pictures = [each for each in received if each.track == 0]
                assert all(each.intact for each in pictures)
            assert len(gone) >= 10
            stream = server.hub.find("lobby")
            assert stream
            assert stream.resent_packets >= 10

    run(scenario)


def test_a_keyframe_is_asked_for() -> None:
    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url) as session:
            await take(session, 5)
            before = server.keyframe_requests
            session.request_keyframe(0)
            await eventually(lambda: server.keyframe_requests > before)

    run(scenario)


def test_the_server_is_told_how_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamsocket.client import session as session_module
    from streamsocket.webrtc.viewer import Viewer

    told: list[bytes] = []
    monkeypatch.setattr(session_module, "REPORT_INTERVAL_S", 0.1)
    monkeypatch.setattr(Viewer, "receive_rtcp", lambda self, data: told.append(data))

    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url) as session:
            await take(session, 5)
            await eventually(lambda: len([data for data in told if data[0] & 0x1F]) > 2)

    run(scenario)


def test_the_end_of_the_stream_is_the_end() -> None:
    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url) as session:
            await take(session, 5)
            server.end_stream()
            async with asyncio.timeout(5):
                async for _ in session:
                    pass

    run(scenario)


def test_a_server_that_falls_silent_is_told() -> None:
    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url, timeout_s=0.5) as session:
            await take(session, 5)
            server.stop_sending()
            with pytest.raises(ConnectError, match=r"Nothing has come from .* for 0\.5 s"):
                await units(session, 10_000)

    run(scenario)


def test_leaving_takes_no_time_and_the_server_knows() -> None:
    async def scenario() -> None:
        async with whep_server() as server:
            async with open_url(server.url) as session:
                await take(session, 5)
                began = monotonic()
            assert monotonic() - began < 0.5
            assert server.webrtc.sessions == 0

    run(scenario)


@pytest.mark.parametrize("transport", ["tcp", "mixed", "multicast"])
def test_other_transports_are_refused(transport: TransportWish) -> None:
    async def scenario() -> None:
        with pytest.raises(ConnectError, match="WebRTC comes over UDP"):
            async with open_url("http://127.0.0.1:9/lobby/whep", transport=transport):
                pass

    run(scenario)


def test_a_stream_that_is_missing_is_told() -> None:
    async def scenario() -> None:
        async with whep_server() as server:
            with pytest.raises(HttpRefusedError, match="There is no stream 'hall'") as refusal:
                async with open_url(server.url.replace("lobby", "hall")):
                    pass
            assert refusal.value.status == 404

    run(scenario)


@pytest.fixture(scope="module")
def users() -> dict[str, User]:
    return {"anna": User("anna", hash_password("secret"), permissions=Permissions(watch=["*"]))}


def test_a_password_lets_in(users: dict[str, User]) -> None:
    async def scenario() -> None:
        async with whep_server(users) as server:
            url = server.url.replace("http://", "http://anna:secret@")
            async with open_url(url) as session:
                await take(session, 5)
                assert session.url == server.url

    run(scenario)


@pytest.mark.parametrize(
    ("login", "sentence"), [("anna:mistaken@", "does not accept"), ("", "asks")]
)
def test_a_wrong_password_ends_the_trying(
    users: dict[str, User], login: str, sentence: str
) -> None:
    async def scenario() -> None:
        async with whep_server(users) as server:
            url = server.url.replace("http://", f"http://{login}")
            with pytest.raises(ConnectError, match=sentence) as refusal:
                async for _ in follow(url):
                    pass
            assert "mistaken" not in str(refusal.value)

    run(scenario)


def test_a_stream_that_comes_and_goes_is_followed() -> None:
    async def scenario() -> None:
        async with whep_server() as server:
            events: list[str] = []
            async with asyncio.timeout(15), aclosing(follow(server.url)) as following:
                async for event in following:
                    match event:
                        case Live():
                            events.append("live")
                        case Away(sentence, ended):
                            events.append("ended" if ended else sentence)
                            if len(events) == 2:
                                server.publish()
                        case _:
                            if events == ["live"]:
                                server.end_stream()
                            elif events[-1] == "live":
                                break
            assert events[:2] == ["live", "ended"]
            assert events[-1] == "live"

    run(scenario)


@pytest.mark.parametrize("packets_come", [True, False])
def test_the_first_packets_tell_which_of_several_formats_comes(
    packets_come: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whep_client, "CHOICE_S", 0.5)
    offered = HttpSession.offer

    async def offer(self: HttpSession, text: str) -> str:
        """The answer, with VP8 in front as if that might come as well."""
        found = re.search(r"a=rtpmap:(\d+) VP8/90000", text)
        assert found
        answer = await offered(self, text)
        return re.sub(
            r"(m=video \d+ \S+) (.*?\r\n)", rf"\1 {found[1]} \2{found[0]}\r\n", answer, count=1
        )

    monkeypatch.setattr(HttpSession, "offer", offer)
    if not packets_come:
        lose(monkeypatch, lambda packet: True)

    async def scenario() -> None:
        async with whep_server() as server, open_url(server.url) as session:
            video = session.tracks[0]
            if packets_come:
                assert isinstance(video.codec, H264)
                assert set(await take(session, 20)) == {0, 1}
                assert video.receiver.strangers == 0
            else:
                assert isinstance(video.codec, Vp8)

    run(scenario)


def test_who_gives_up_while_connecting_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with whep_server() as server:
            server.fall_deaf()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5), open_url(server.url):
                    pass
            assert server.webrtc.sessions == 0  # it was told over HTTP
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task for task in others if "aioice" in repr(task)]

    run(scenario)


def test_a_server_that_cannot_be_reached_over_udp_is_told_in_time() -> None:
    async def scenario() -> None:
        async with whep_server() as server:
            server.fall_deaf()
            began = monotonic()
            with pytest.raises(ConnectError, match=r"could not be reached over UDP at 127\.0"):
                async with open_url(server.url, timeout_s=1):
                    pass
            assert monotonic() - began < 4

    run(scenario)


def test_the_servers_own_ice_servers_are_used_unless_others_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[object] = []
    made = client_peer._Ice.__init__

    def noted(self: client_peer._Ice, servers: object, on_datagram: object) -> None:
        used.append(servers)
        made(self, (), on_datagram)  # type: ignore[arg-type]

    monkeypatch.setattr(client_peer._Ice, "__init__", noted)

    async def scenario() -> None:
        told = ["stun:stun.example:1", "turn:anna:se:cret@turn.example"]
        expected = tuple(client_peer.IceServer.parse(each) for each in told)
        own = (client_peer.IceServer.parse("stun:own.example"),)
        async with whep_server(ice_servers=told) as server:
            async with open_url(server.url):
                pass
            async with open_url(server.url, ice_servers=own):
                pass
        assert used == [expected, own]

    run(scenario)
