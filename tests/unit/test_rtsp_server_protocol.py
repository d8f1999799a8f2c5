"""One player's connection as the server sees it, told request by request."""

from __future__ import annotations

import itertools
import re
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.rtsp.message import Frames, Parser, Response
from streamsocket.rtsp.server_protocol import (
    DescribeRequested,
    Event,
    InterleavedReceived,
    PauseRequested,
    PlayRequested,
    Reply,
    ServerProtocol,
    SetupRequested,
    TeardownRequested,
)

URL = "rtsp://h:8554/live/lobby"
UDP = "Transport: RTP/AVP;unicast;client_port=5000-5001"
TCP = "Transport: RTP/AVP/TCP;unicast"
SDP = "v=0\r\ns=é\r\n"


def request(method: str, url: str, *headers: str, cseq: str = "7", body: str = "") -> bytes:
    lines = [f"{method} {url} RTSP/1.0", f"CSeq: {cseq}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Player:
    """Sends requests to a server that grants all it may."""

    def __init__(self, host: str = "192.0.2.7") -> None:
        self.server = ServerProtocol(host, 0.0)
        self.events: list[Event] = []

    def ask(
        self, method: str, url: str = URL, *headers: str, body: str = "", now: float = 1.0
    ) -> Response:
        (response,) = self.send(request(method, url, *headers, body=body), now)
        assert response.headers.get("CSeq") == "7"
        return response

    def send(self, data: bytes, now: float = 1.0) -> list[Response]:
        answers = b"".join(map(self.grant, self.server.receive(data, now)))
        responses = list(Parser().feed(answers))
        assert all(isinstance(each, Response) for each in responses)
        return [each for each in responses if isinstance(each, Response)]

    def grant(self, event: Event) -> bytes:
        self.events.append(event)
        match event:
            case Reply():
                return event.data
            case DescribeRequested():
                return self.server.described(event, SDP)
            case SetupRequested():
                ports = (6000, 6001) if event.transport.protocol == "udp" else None
                return self.server.setup_done(
                    event, track=event.url.track or 0, server_ports=ports, ssrc=0xABC
                )
            case PlayRequested():
                return self.server.playing(
                    event, {track: (0x1_0001 + track, 0x1_0000_0002) for track in event.tracks}
                )
            case PauseRequested():
                return self.server.paused(event)
            case TeardownRequested():
                return self.server.torn_down(event)
            case InterleavedReceived():
                return b""

    @property
    def last(self) -> Event:
        return self.events[-1]

    @property
    def refused(self) -> str | None:
        assert isinstance(self.last, Reply)
        return self.last.refused


def ready() -> Player:
    """A player that has set up the picture on UDP and the sound on TCP."""
    player = Player()
    assert player.ask("SETUP", f"{URL}/trackID=0", UDP).status == 200
    assert player.ask("SETUP", f"{URL}/trackID=1", TCP).status == 200
    return player


def playing() -> Player:
    player = ready()
    assert player.ask("PLAY").status == 200
    return player


def test_options_tells_what_can_be_done() -> None:
    for url in (URL, "*"):
        answer = Player().ask("OPTIONS", url)
        assert answer.status == 200
        assert "GET_PARAMETER" in answer.headers.get("Public", "")
        assert answer.headers.get("Server") == "StreamSocket"


def test_describe_asks_for_the_stream_and_gives_its_description() -> None:
    player = Player()
    answer = player.ask("DESCRIBE", "rtsp://me:secret@h:8554/live/a%20b?x=1", "Accept: */*")
    assert isinstance(player.last, DescribeRequested)
    assert (player.last.url.path, player.last.url.query) == ("live/a b", "x=1")
    assert answer.body.decode() == SDP
    assert answer.headers.get("Content-Type") == "application/sdp"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("rtsp://h/a", "rtsp://h/a/"),
        ("rtsp://h/a/", "rtsp://h/a/"),
        ("rtsp://me:secret@h/a?x=1", "rtsp://h/a/?x=1"),
    ],
)
def test_every_players_way_to_name_a_track_leads_back_to_it(url: str, base: str) -> None:
    player = Player()
    content_base = player.ask("DESCRIBE", url).headers.get("Content-Base", "")
    assert content_base == base
    appended = f"{content_base.rstrip('/')}/trackID=0"
    resolved = urljoin(content_base.replace("rtsp:", "http:"), "trackID=1")
    for setup in (appended, resolved.replace("http:", "rtsp:")):
        assert player.ask("SETUP", setup, TCP).status == 200
    assert player.ask("PLAY", content_base).status == 200


def test_describe_is_refused_to_who_cannot_read_sdp() -> None:
    assert Player().ask("DESCRIBE", URL, "Accept: application/x-rtsp-mh").status == 406
    assert Player().ask("DESCRIBE", URL, "Accept: text/x, application/SDP;q=1").status == 200


def test_a_track_on_udp_and_one_on_tcp_share_a_session() -> None:
    player = Player()
    first = player.ask("SETUP", f"{URL}/trackID=0", UDP)
    second = player.ask("SETUP", f"{URL}/trackID=1", TCP)
    assert (
        first.headers.get("Transport")
        == "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=00000ABC"
    )
    assert second.headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00000ABC"
    session = first.headers.get("Session", "")
    assert session == second.headers.get("Session")
    assert re.fullmatch("[0-9a-f]{32};timeout=60", session)
    assert session.startswith(player.server.session_id or "none")


def test_session_ids_cannot_be_guessed() -> None:
    assert len({ready().server.session_id for _ in range(50)}) == 50


def test_play_tells_where_each_track_begins_under_the_url_it_was_set_up_by() -> None:
    player = ready()
    answer = player.ask("PLAY", URL + "/", "Range: npt=0.000-", "Scale: 2.0", "Speed: 4")
    assert isinstance(player.last, PlayRequested)
    assert player.last.tracks == (0, 1)
    assert answer.headers.get("Range") == "npt=now-"
    assert (
        answer.headers.get("RTP-Info")
        == f"url={URL}/trackID=0;seq=1;rtptime=2,url={URL}/trackID=1;seq=2;rtptime=2"
    )
    assert "Scale" not in answer.headers
    assert "Speed" not in answer.headers


def test_pause_and_play_again() -> None:
    player = playing()
    assert player.ask("PAUSE").status == 200
    assert isinstance(player.last, PauseRequested)
    assert player.last.tracks == (0, 1)
    assert player.ask("PLAY").status == 200
    assert isinstance(player.last, PlayRequested)


def test_one_track_is_paused_and_played_by_its_own_url() -> None:
    player = playing()
    player.ask("PAUSE", f"{URL}/trackID=1")
    assert isinstance(player.last, PauseRequested)
    assert player.last.tracks == (1,)
    player.ask("PAUSE")
    assert isinstance(player.last, PauseRequested)
    assert player.last.tracks == (0,)
    answer = player.ask("PLAY", f"{URL}/trackID=1")
    assert isinstance(player.last, PlayRequested)
    assert player.last.tracks == (1,)
    assert "trackID=0" not in answer.headers.get("RTP-Info", "")


def test_pausing_what_does_not_play_is_no_error() -> None:
    player = ready()
    assert player.ask("PAUSE").status == 200
    assert isinstance(player.last, Reply)


def test_teardown_ends_the_session_and_another_may_begin() -> None:
    player = playing()
    old = player.server.session_id
    answer = player.ask("TEARDOWN")
    assert answer.headers.get("Session", "").startswith(old or "none")
    assert player.server.session_id is None
    assert player.ask("PLAY", URL, f"Session: {old}").status == 454
    assert player.ask("SETUP", "rtsp://h/other/trackID=0", TCP).status == 200
    assert player.server.session_id not in (None, old)


def test_teardown_of_one_track_leaves_the_other() -> None:
    player = playing()
    player.ask("TEARDOWN", f"{URL}/trackID=0")
    assert isinstance(player.last, TeardownRequested)
    assert player.last.tracks == (0,)
    assert player.server.session_id is not None
    assert player.ask("PAUSE", f"{URL}/trackID=0").status == 455
    player.ask("TEARDOWN", f"{URL}/trackID=1")
    assert player.server.session_id is None


@pytest.mark.parametrize("method", ["PLAY", "PAUSE", "TEARDOWN"])
def test_what_needs_a_session_is_refused_without_one(method: str) -> None:
    player = Player()
    assert player.ask(method).status == 455
    assert player.refused == "method_not_valid_in_this_state"
    assert player.ask(method, URL, "Session: 123").status == 454
    assert player.refused == "session_not_found"


def test_the_session_header_may_be_missing_but_not_wrong() -> None:
    player = ready()
    session = player.server.session_id
    assert player.ask("PLAY", URL, f"Session: {session};timeout=60").status == 200
    assert player.ask("GET_PARAMETER", URL, f"Session: {session}").status == 200
    for wrong in (f"{session}0", "", "0"):
        assert player.ask("PAUSE", URL, f"Session: {wrong}").status == 454
        assert player.ask("OPTIONS", URL, f"Session: {wrong}").status == 454


def test_a_session_is_for_one_stream() -> None:
    player = ready()
    for method, url in (("SETUP", "rtsp://h/other/trackID=2"), ("PLAY", "rtsp://h/other")):
        answer = player.ask(method, url, TCP)
        assert answer.status == 455
        assert "live/lobby" in answer.reason


def test_a_track_is_set_up_once() -> None:
    player = ready()
    assert player.ask("SETUP", f"{URL}/trackID=0", TCP).status == 455
    assert player.ask("SETUP", URL, TCP).status == 459


def test_the_only_track_may_be_set_up_by_the_streams_own_url() -> None:
    player = Player()
    assert player.ask("SETUP", URL, TCP).status == 200
    assert isinstance(player.last, SetupRequested)
    assert player.last.url.track is None
    assert player.ask("PLAY").status == 200


def test_transports_that_cannot_be_served_are_refused() -> None:
    player = ready()
    cases = {
        "Transport: RTP/AVP;multicast": 461,
        "Transport: RTP/AVP;unicast": 461,
        "Transport: RTP/AVP/TCP;interleaved=1-2": 461,
        "X-Transport: RTP/AVP/TCP": 461,
        "Transport: RTP/AVP;unicast;client_port=99999-1": 400,
    }
    for header, status in cases.items():
        assert player.ask("SETUP", f"{URL}/trackID=2", header).status == status, header


def test_media_pointed_at_somebody_else_is_refused_and_can_be_counted() -> None:
    player = Player(host="192.0.2.7")
    answer = player.ask("SETUP", f"{URL}/trackID=0", f"{UDP};destination=198.51.100.1")
    assert answer.status == 403
    assert player.refused == "foreign_destination"
    assert player.server.session_id is None


@pytest.mark.parametrize("wanted", ["npt=20-10", "npt=x-", "nonsense", "clock=19961108T142300Z-"])
def test_ranges_that_a_live_stream_does_not_have_are_refused(wanted: str) -> None:
    assert ready().ask("PLAY", URL, f"Range: {wanted}").status == 457


@pytest.mark.parametrize("wanted", ["npt=now-", "npt=0.000-", "npt=12.5-", "npt=0-10"])
def test_any_play_time_is_answered_with_now(wanted: str) -> None:
    answer = ready().ask("PLAY", URL, f"Range: {wanted}")
    assert (answer.status, answer.headers.get("Range")) == (200, "npt=now-")


def test_parameters_keep_alive_and_are_otherwise_not_understood() -> None:
    player = playing()
    for method in ("GET_PARAMETER", "SET_PARAMETER"):
        assert player.ask(method).status == 200
        assert player.ask(method, "*").status == 200
        assert player.ask(method, URL, body="\r\n").status == 200
        assert player.ask(method, URL, body="volume: 11").status == 451


def test_methods_that_are_not_here_are_refused() -> None:
    for method, status in {"REDIRECT": 501, "play": 501}.items():
        answer = Player().ask(method)
        assert answer.status == status
        assert "PLAY" in answer.headers.get("Allow", "")


def test_options_that_are_required_are_refused_by_name() -> None:
    answer = Player().ask("SETUP", URL, "Require: a.b", "Proxy-Require: c", TCP)
    assert (answer.status, answer.headers.get("Unsupported")) == (551, "a.b, c")


@pytest.mark.parametrize("cseq", ["", "x", "-1", "1 2", "9" * 11])
def test_a_sequence_number_that_is_none_is_refused(cseq: str) -> None:
    (answer,) = Player().send(request("OPTIONS", URL, cseq=cseq))
    assert answer.status == 400


def test_a_request_without_a_sequence_number_is_refused() -> None:
    (answer,) = Player().send(f"OPTIONS {URL} RTSP/1.0\r\n\r\n".encode())
    assert answer.status == 400
    assert "CSeq" in answer.reason


def test_another_version_is_refused() -> None:
    (answer,) = Player().send(f"OPTIONS {URL} RTSP/2.0\r\nCSeq: 7\r\n\r\n".encode())
    assert answer.status == 505


@pytest.mark.parametrize("url", ["*", "rtsp://h/../x", "rtsp://h/%00", "http://h/a"])
def test_urls_that_mean_no_stream_are_refused(url: str) -> None:
    assert Player().ask("DESCRIBE", url).status == 400


def test_the_server_says_why_it_refuses_in_one_line() -> None:
    player = Player()
    (event,) = player.server.receive(request("DESCRIBE", URL), 1.0)
    assert isinstance(event, DescribeRequested)
    data = player.server.refuse(event, 404, "there is no stream 'a\r\nX: \x1b[31m'" + "b" * 500)
    (answer,) = Parser().feed(data)
    assert isinstance(answer, Response)
    assert answer.reason.startswith("Not Found: there is no stream 'a??X: ?[31m'b")
    assert len(answer.reason) <= 200
    assert [name for name, _ in answer.headers.items()] == ["CSeq", "Server"]


def test_what_is_no_rtsp_is_answered_once_and_for_all() -> None:
    player = Player()
    answers = player.send(request("OPTIONS", URL) + b"GET / HTTP/1.1\r\n\r\n" * 3)
    assert [answer.status for answer in answers] == [200, 400]
    assert "HTTP" in answers[1].reason
    assert isinstance(player.last, Reply)
    assert player.last.close
    assert player.refused == "malformed"
    assert player.send(request("OPTIONS", URL)) == []


def test_requests_that_come_together_are_answered_in_turn() -> None:
    player = Player()
    answers = player.send(
        request("DESCRIBE", URL)
        + request("SETUP", f"{URL}/trackID=0", UDP)
        + request("SETUP", f"{URL}/trackID=1", TCP)
        + request("PLAY", URL)
        + request("TEARDOWN", URL)
        + request("PLAY", URL)
    )
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 200, 455]


def test_packets_are_handed_on_with_their_track() -> None:
    player = playing()
    player.send(Frames([(1, b"report")]).serialise() + Frames([(0, b"media")]).serialise())
    assert player.events[-2:] == [
        InterleavedReceived(track=1, is_rtcp=True, packets=[b"report"]),
        InterleavedReceived(track=1, is_rtcp=False, packets=[b"media"]),
    ]


def test_packets_on_channels_of_no_track_are_dropped() -> None:
    player = playing()
    seen = len(player.events)
    player.send(Frames([(2, b"x")]).serialise() + Frames([(255, b"x")]).serialise())
    assert len(player.events) == seen


def test_a_silent_session_expires_and_any_request_keeps_it() -> None:
    player = playing()
    assert not player.server.expired(61.0)
    assert player.server.expired(61.1)
    player.ask("GET_PARAMETER", now=50.0)
    assert not player.server.expired(110.0)
    player.server.touch(100.0)
    assert not player.server.expired(160.0)
    player.send(Frames([(1, b"report")]).serialise(), now=150.0)
    assert not player.server.expired(210.0)
    player.send(b"OPTIONS rtsp://h/a RT", now=200.0)
    assert player.server.expired(210.1), "half a request is no sign of life"


def _conversation() -> bytes:
    return (
        request("OPTIONS", "*")
        + request("SETUP", f"{URL}?x=1/trackID=0", UDP)
        + request("SETUP", f"{URL}/trackID=1?x=1", TCP)
        + request("PLAY", URL + "/")
        + Frames([(1, b"report")]).serialise()
        + request("SET_PARAMETER", URL, body="a: b")
        + request("TEARDOWN", URL)
        + b"nonsense\n"
    )


@given(st.lists(st.integers(0, len(_conversation())), max_size=6))
def test_however_the_bytes_are_chopped_the_answers_are_the_same(cuts: list[int]) -> None:
    def answers(chunks: list[bytes]) -> list[tuple[int, str]]:
        player = Player()
        return [(each.status, each.reason) for chunk in chunks for each in player.send(chunk)]

    data = _conversation()
    borders = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(borders)]
    expected = answers([data])
    assert [status for status, _ in expected] == [200, 200, 200, 200, 451, 200, 400]
    assert answers(pieces) == expected
    assert answers([data[at : at + 1] for at in range(len(data))]) == expected
