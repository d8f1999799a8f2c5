"""One connection as the client sees it: against answers of real servers, and against our own."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.codec import Opus, Track
from streamsocket.rtsp import sdp
from streamsocket.rtsp.client_protocol import (
    MAX_REDIRECTS,
    MAX_UNANSWERED,
    ClientProtocol,
    Event,
    InterleavedReceived,
    Redirected,
    Refused,
    Responded,
    SendNeeded,
)
from streamsocket.rtsp.headers import RtpInfo, TransportSpec
from streamsocket.rtsp.message import Frames, Headers, Parser, Request, Response
from streamsocket.rtsp.sdp import Media
from streamsocket.rtsp.server_protocol import (
    DescribeRequested,
    PlayRequested,
    Reply,
    ServerProtocol,
    SetupRequested,
    TeardownRequested,
)

URL = "rtsp://h:8554/live/lobby"
SDP = "m=audio 0 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=control:trackID=0\r\n"
TCP = TransportSpec("tcp", interleaved=(0, 1))
UDP = TransportSpec("udp", client_ports=(5000, 5001))
DIGEST = 'Digest realm="r", nonce="n1"'

E = TypeVar("E")


def read(data: bytes) -> Request:
    (request,) = Parser().feed(data)
    assert isinstance(request, Request)
    return request


def respond(
    client: ClientProtocol,
    request: bytes,
    status: int = 200,
    *headers: tuple[str, str],
    body: str = "",
) -> list[Event]:
    """What comes of an answer to this request."""
    cseq = read(request).headers.get("CSeq", "")
    response = Response(status, "Reason", Headers([("CSeq", cseq), *headers]), body.encode())
    return list(client.receive(response.serialise()))


def one(events: list[Event], kind: type[E]) -> E:
    (event,) = events
    assert isinstance(event, kind)
    return event


def described(
    url: str = URL, *headers: tuple[str, str], body: str = SDP
) -> tuple[ClientProtocol, Media]:
    client = ClientProtocol(url)
    events = respond(client, client.request_describe(), 200, *headers, body=body)
    description = one(events, Responded).description
    assert description
    return client, description.medias[0]


def test_requests_are_numbered_and_say_who_asks() -> None:
    client = ClientProtocol(URL)
    requests = [read(client.request_options()), read(client.request_describe())]
    assert [each.headers.get("CSeq") for each in requests] == ["1", "2"]
    assert requests[1].url == URL
    assert requests[1].headers.get("Accept") == "application/sdp"
    assert requests[1].headers.get("User-Agent") == "StreamSocket"


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ([], f"{URL}/trackID=0"),
        ([("Content-Base", f"{URL}/")], f"{URL}/trackID=0"),
        ([("Content-Base", "rtsp://10.0.0.9/cam/")], "rtsp://10.0.0.9/cam/trackID=0"),
        ([("Content-Location", "rtsp://10.0.0.9/cam")], "rtsp://10.0.0.9/cam/trackID=0"),
        ([("Content-Base", "/relative/")], f"{URL}/trackID=0"),
        ([("content-base", "")], f"{URL}/trackID=0"),
    ],
)
def test_a_track_is_asked_for_relative_to_the_descriptions_base(
    headers: list[tuple[str, str]], url: str
) -> None:
    client, media = described(URL, *headers)
    request = read(client.request_setup(media, UDP))
    assert request.url == url
    assert request.headers.get("Transport") == "RTP/AVP;unicast;client_port=5000-5001"


def test_a_control_url_of_the_whole_session_is_used_for_all() -> None:
    client, media = described(body="a=control:rtsp://h/whole\n" + SDP)
    assert read(client.request_setup(media, TCP)).url == "rtsp://h/whole/trackID=0"
    assert read(client.request_play()).url == "rtsp://h/whole"
    assert read(client.request_teardown()).url == "rtsp://h/whole"


def test_the_session_is_named_in_every_request_until_teardown() -> None:
    client, media = described()
    assert "Session" not in read(client.request_play()).headers
    setup = client.request_setup(media, TCP)
    respond(client, setup, 200, ("Session", "1234;timeout=20"), ("Transport", TCP.serialise()))
    assert client.keep_alive_interval_s == 10
    for request in (client.request_play, client.request_pause, client.request_keep_alive):
        assert read(request()).headers.get("Session") == "1234"
    respond(client, client.request_teardown())
    assert "Session" not in read(client.request_options()).headers


@pytest.mark.parametrize(
    ("asked", "answered", "agreed"),
    [
        (TCP, "RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=1", (None, (4, 5), None)),
        (TCP, "RTP/AVP/TCP;unicast", (None, (0, 1), None)),
        (UDP, "RTP/AVP;unicast;server_port=6000-6001", ((5000, 5001), None, (6000, 6001))),
        (UDP, "RTP/AVP;client_port=5000-5001;server_port=0-0", ((5000, 5001), None, None)),
        (UDP, "", ((5000, 5001), None, None)),
    ],
)
def test_what_a_setup_agreed_on(
    asked: TransportSpec, answered: str, agreed: tuple[object, object, object]
) -> None:
    client, media = described()
    events = respond(client, client.request_setup(media, asked), 200, ("Transport", answered))
    transport = one(events, Responded).transport
    assert transport
    assert (transport.client_ports, transport.interleaved, transport.server_ports) == agreed


def test_another_transport_than_was_asked_for_makes_no_sense() -> None:
    client, media = described()
    with pytest.raises(ParseError, match="another transport"):
        respond(client, client.request_setup(media, TCP), 200, ("Transport", UDP.serialise()))


def test_play_tells_where_the_tracks_begin_if_the_server_does() -> None:
    client, _ = described()
    play = client.request_play()
    assert "Range" not in read(play).headers
    events = respond(client, play, 200, ("RTP-Info", "url=trackID=0;seq=5;rtptime=6"))
    assert one(events, Responded).rtp_info == (RtpInfo("trackID=0", 5, 6),)
    assert one(respond(client, client.request_play()), Responded).rtp_info == (RtpInfo(""),)


@pytest.mark.parametrize(
    ("public", "method"),
    [
        ("DESCRIBE, get_parameter, PLAY", "GET_PARAMETER"),
        ("DESCRIBE, PLAY", "OPTIONS"),
        ("", "OPTIONS"),
    ],
)
def test_the_session_is_kept_alive_in_the_way_the_server_knows(public: str, method: str) -> None:
    client = ClientProtocol(URL)
    respond(client, client.request_options(), 200, ("Public", public))
    assert read(client.request_keep_alive()).method == method


def test_a_keep_alive_that_is_not_understood_is_another_the_next_time() -> None:
    client = ClientProtocol(URL)
    respond(client, client.request_options(), 200, ("Public", "GET_PARAMETER"))
    assert respond(client, client.request_keep_alive(), 451) == []
    assert read(client.request_keep_alive()).method == "OPTIONS"
    assert one(respond(client, client.request_keep_alive(), 454), Refused).status == 454


@pytest.mark.parametrize("status", [200, 405, 501])
def test_a_keep_alive_by_options_changes_nothing_else(status: int) -> None:
    client = ClientProtocol(URL)
    respond(client, client.request_options(), 200, ("Public", "GET_PARAMETER"))
    respond(client, client.request_keep_alive(), status)
    expected = "GET_PARAMETER" if status == 200 else "OPTIONS"
    assert read(client.request_keep_alive()).method == expected


def test_credentials_are_sent_when_asked_for_and_from_then_on() -> None:
    client = ClientProtocol("rtsp://me:secret@h/a")
    request = client.request_describe()
    assert b"secret" not in request
    assert "Authorization" not in read(request).headers
    again = one(respond(client, request, 401, ("WWW-Authenticate", DIGEST)), SendNeeded).data
    retried = read(again)
    assert (retried.method, retried.url) == ("DESCRIBE", "rtsp://h/a")
    assert retried.headers.get("CSeq") == "2"
    assert retried.headers.get("Authorization", "").startswith('Digest username="me"')
    assert one(respond(client, again, 200, body=SDP), Responded).description
    assert "Authorization" in read(client.request_play()).headers


def test_credentials_that_were_not_accepted_are_not_sent_again() -> None:
    client = ClientProtocol("rtsp://me:secret@h/a")
    challenge = ("WWW-Authenticate", DIGEST)
    again = one(respond(client, client.request_describe(), 401, challenge), SendNeeded).data
    refused = one(respond(client, again, 401, challenge), Refused)
    assert refused.sentence == "h:554 does not accept this user and password."


def test_a_nonce_that_grew_old_is_replaced_once() -> None:
    client = ClientProtocol("rtsp://me:secret@h/a")
    stale = ("WWW-Authenticate", 'Digest realm="r", nonce="n2", stale=TRUE')
    request = client.request_describe()
    again = one(respond(client, request, 401, ("WWW-Authenticate", DIGEST)), SendNeeded).data
    again = one(respond(client, again, 401, stale), SendNeeded).data
    assert 'nonce="n2"' in read(again).headers.get("Authorization", "")
    assert one(respond(client, again, 401, stale), Refused).status == 401


def test_without_credentials_the_sentence_says_where_to_give_them() -> None:
    client = ClientProtocol(URL)
    events = respond(client, client.request_describe(), 401, ("WWW-Authenticate", DIGEST))
    assert "rtsp://USER:PASSWORD@h:8554" in one(events, Refused).sentence


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (403, "h:8554 forbids it: 403 Reason."),
        (404, "There is no stream 'live/lobby' on h:8554."),
        (454, "h:8554 has ended the session: connect again."),
        (461, "h:8554 does not send over this transport: try another one."),
        (500, "h:8554 answered DESCRIBE with 500 Reason."),
        (302, "h:8554 answered DESCRIBE with 302 Reason."),
    ],
)
def test_a_refusal_is_told_in_one_sentence(status: int, sentence: str) -> None:
    client = ClientProtocol(URL)
    refused = one(respond(client, client.request_describe(), status), Refused)
    assert (refused.method, refused.status, refused.sentence) == ("DESCRIBE", status, sentence)


def test_an_ipv6_address_is_told_in_brackets() -> None:
    client = ClientProtocol("rtsp://[::1]/a")
    refused = one(respond(client, client.request_describe(), 404), Refused)
    assert refused.sentence == "There is no stream 'a' on [::1]:554."


def redirect(client: ClientProtocol, location: str) -> list[Event]:
    return respond(client, client.request_describe(), 302, ("Location", location))


def test_a_redirection_leads_to_another_server_without_the_credentials() -> None:
    client = ClientProtocol("rtsp://me:secret@h/a")
    other = one(redirect(client, "rtsp://other:8555/b"), Redirected).protocol
    assert (other.server.host, other.server.port, other.server.user) == ("other", 8555, None)
    assert read(other.request_describe()).url == "rtsp://other:8555/b"
    events = respond(other, other.request_describe(), 401, ("WWW-Authenticate", DIGEST))
    assert one(events, Refused).status == 401


def test_a_redirection_on_the_same_server_keeps_the_credentials() -> None:
    client = ClientProtocol("rtsp://me:secret@h/a")
    same = one(redirect(client, "rtsp://h/b"), Redirected).protocol
    events = respond(same, same.request_describe(), 401, ("WWW-Authenticate", DIGEST))
    assert one(events, SendNeeded)


def test_redirections_come_to_an_end() -> None:
    client = ClientProtocol(URL)
    for _ in range(MAX_REDIRECTS):
        client = one(redirect(client, URL), Redirected).protocol
    assert "without end" in one(redirect(client, URL), Refused).sentence


@pytest.mark.parametrize("location", ["http://h/a", "/b", "rtsp://[h", "rtsp://"])
def test_a_redirection_to_nowhere_makes_no_sense(location: str) -> None:
    with pytest.raises(ParseError):
        redirect(ClientProtocol(URL), location)


def test_packets_and_requests_of_the_server_come_in_between() -> None:
    client = ClientProtocol(URL)
    describe = client.request_describe()
    data = (
        Frames([(0, b"packet")]).serialise()
        + b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 42\r\n\r\n"
        + b"ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 43\r\n\r\n"
    )
    packet, first, second = client.receive(data)
    assert packet == InterleavedReceived([(0, b"packet")])
    assert isinstance(first, SendNeeded)
    assert first.data.startswith(b"RTSP/1.0 200 OK\r\nCSeq: 42\r\n")
    assert isinstance(second, SendNeeded)
    assert second.data.startswith(b"RTSP/1.0 501 Not Implemented\r\nCSeq: 43\r\n")
    assert one(respond(client, describe, body=SDP), Responded).method == "DESCRIBE"


def test_answers_to_nothing_and_provisional_ones_are_ignored() -> None:
    client = ClientProtocol(URL)
    assert list(client.receive(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")) == []
    request = client.request_options()
    assert list(client.receive(b"RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n")) == []
    assert respond(client, request, 100) == []
    assert one(respond(client, request), Responded).method == "OPTIONS"
    assert respond(client, request) == []


def test_an_answer_without_a_number_answers_the_oldest_request() -> None:
    client = ClientProtocol(URL)
    client.request_options()
    client.request_describe()
    (event,) = client.receive(b"RTSP/1.0 404 Not Found\r\n\r\n")
    assert isinstance(event, Refused)
    assert event.method == "OPTIONS"


def test_requests_that_are_never_answered_do_not_pile_up() -> None:
    client = ClientProtocol(URL)
    first = client.request_keep_alive()
    for _ in range(MAX_UNANSWERED):
        last = client.request_keep_alive()
    assert respond(client, first) == []
    assert one(respond(client, last), Responded)


def test_a_description_that_is_none_makes_no_sense() -> None:
    client = ClientProtocol(URL)
    with pytest.raises(ParseError, match="media"):
        respond(client, client.request_describe(), 200, body="<html>")


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ParseError):
        ClientProtocol("http://h/a")


class OurServer:
    """Our own server's rules at the other end, with one stream of two tracks."""

    def __init__(self) -> None:
        self.protocol = ServerProtocol("127.0.0.1", 0.0)

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._answers(data))

    def _answers(self, data: bytes) -> list[bytes]:
        protocol = self.protocol
        answers = []
        for event in protocol.receive(data, 0.0):
            match event:
                case Reply():
                    answers.append(event.data)
                case DescribeRequested():
                    tracks = [Track(Opus(2)), Track(Opus(1))]
                    text = sdp.build(tracks, name=event.url.path, host="127.0.0.1")
                    answers.append(protocol.described(event, text))
                case SetupRequested():
                    assert event.url.track is not None
                    answers.append(protocol.setup_done(event, track=event.url.track, ssrc=7))
                case PlayRequested():
                    positions = {track: (track, 9) for track in event.tracks}
                    answers.append(protocol.playing(event, positions))
                    answers.append(Frames([(0, b"packet")]).serialise())
                case TeardownRequested():
                    answers.append(protocol.torn_down(event))
                case _:
                    raise AssertionError(event)
        return answers


@given(
    st.sampled_from(["rtsp://h/a", "rtsp://h:8554/live/lobby?x=1", "rtsp://me:pw@h/a%20b/"]),
    st.integers(1, 400),
)
def test_our_client_plays_from_our_server(url: str, size: int) -> None:
    client, server = ClientProtocol(url), OurServer()

    def exchange(request: bytes) -> list[Event]:
        answer = server.answer(request)
        pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
        return [event for piece in pieces for event in client.receive(piece)]

    assert one(exchange(client.request_options()), Responded)
    description = one(exchange(client.request_describe()), Responded).description
    assert description
    assert [media.codec for media in description.medias] == [Opus(2), Opus(1)]
    transports = [TCP, UDP]
    for media, transport in zip(description.medias, transports, strict=True):
        setup = one(exchange(client.request_setup(media, transport)), Responded)
        assert setup.transport
        assert setup.transport.ssrc == 7
    played, packet = exchange(client.request_play())
    assert isinstance(played, Responded)
    assert [entry.sequence for entry in played.rtp_info] == [0, 1]
    assert packet == InterleavedReceived([(0, b"packet")])
    kept = one(exchange(client.request_keep_alive()), Responded)
    assert kept.method == "GET_PARAMETER"
    assert one(exchange(client.request_teardown()), Responded)
    assert server.protocol.session_id is None
