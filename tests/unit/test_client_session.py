"""A session that plays: what arrives, what is lost and repaired, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from time import time

import pytest
from client_helpers import (
    CAPTURED_AGO_S,
    PPS,
    SOUND,
    SPS,
    VIDEO,
    FakeServer,
    refuse,
    run,
    take,
    transports,
)

from streamsocket.client import session as session_module
from streamsocket.client.receiver import REPAIR_S
from streamsocket.client.session import KEEPING_PATIENCE_S, TransportWish, open_url
from streamsocket.errors import ConnectError
from streamsocket.media.codec import H264
from streamsocket.rtp.rtcp import Nack, Pli, parse_rtcp
from streamsocket.rtsp import sdp
from streamsocket.rtsp.message import Headers, Request, Response


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


def test_what_is_lost_over_udp_is_asked_for_and_comes_in_order() -> None:
    async def scenario() -> None:
        lossy = FakeServer(loses=lambda sequence: sequence % 5 == 3)
        async with lossy.running() as server, open_url(server.url, transport="udp") as session:
            units = [await anext(session) for _ in range(60)]
            for index, track in enumerate(session.tracks):
                own = [each for each in units if each.track == index]
                steps = {
                    after.unit.timestamp - before.unit.timestamp for before, after in pairwise(own)
                }
                assert steps == {track.codec.clock_rate // 100}
                assert all(each.intact for each in own)
                assert track.receiver.repaired >= 4
                assert track.receiver.nacks >= 4
                assert track.receiver.lost == 0
            nacks = [packet for packet in server.rtcp if isinstance(packet, Nack)]
            assert {packet.media_ssrc for packet in nacks} == {1, 2}
            # Each was asked for once, as soon as the next one came: long before the next tick.
            assert {len(packet.sequences) for packet in nacks} == {1}
            assert len(nacks) <= len({(each.media_ssrc, each.sequences) for each in nacks}) + 2

    run(scenario)


def test_the_patience_of_a_session_holds_for_its_tracks() -> None:
    async def scenario() -> None:
        async with FakeServer().running() as server:
            async with open_url(server.url) as session:
                assert session.patience_s == REPAIR_S
                session.patience_s = 0.7
                assert [track.receiver.patience_s for track in session.tracks] == [0.7, 0.0]
            async with open_url(server.url, keep_timestamps=True) as session:
                assert session.tracks[0].receiver.patience_s == KEEPING_PATIENCE_S > REPAIR_S

    run(scenario)


def test_missing_packets_are_given_up_on_time() -> None:
    async def scenario() -> None:
        answers = answering_without_feedback()
        # The first packet has 65,530; nothing comes after the second that could be the occasion.
        lossy = FakeServer(loses=lambda sequence: sequence not in (65_530, 65_532), answer=answers)
        async with lossy.running() as server, open_url(server.url, transport="udp") as session:
            session.patience_s = 0.032
            await take(session, 2)
            received = await anext(session)
            assert received.unit.timestamp > 0
            assert 0.032 <= time() - received.arrival < 0.062
            assert server.rtcp
            assert not any(isinstance(packet, Nack | Pli) for packet in server.rtcp)

    run(scenario)


def answering_without_feedback() -> Callable[[Request], Response | None]:
    """A server that sends nothing again, and says so."""
    text = sdp.build([VIDEO, SOUND], name="live", host="127.0.0.1")
    plain = "".join(line for line in text.splitlines(True) if "rtcp-fb" not in line)

    def answer(request: Request) -> Response | None:
        return Response(200, "OK", body=plain.encode()) if request.method == "DESCRIBE" else None

    return answer


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_keyframe_can_be_asked_for(transport: TransportWish) -> None:
    async def scenario() -> None:
        async with (
            FakeServer().running() as server,
            open_url(server.url, transport=transport) as session,
        ):
            await take(session, 2)
            session.request_keyframe(1)  # sound has none
            session.request_keyframe(0)
            session.request_keyframe(0)
            await take(session, 4)
            came = server.rtcp + [
                packet
                for channel, data in server.interleaved
                for packet in parse_rtcp(data)
                if channel % 2
            ]
            assert [packet.media_ssrc for packet in came if isinstance(packet, Pli)] == [1]

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
