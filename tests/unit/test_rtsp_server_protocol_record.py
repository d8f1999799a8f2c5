"""One publisher's connection as the server sees it, told request by request."""

from __future__ import annotations

import pytest
from client_helpers import SOUND, VIDEO
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.media.codec import Track
from streamsocket.rtsp import sdp
from streamsocket.rtsp.message import Frames, Parser, Response
from streamsocket.rtsp.server_events import (
    AnnounceRequested,
    DescribeRequested,
    Event,
    InterleavedReceived,
    PauseRequested,
    PlayRequested,
    RecordRequested,
    Reply,
    SetupRequested,
    TeardownRequested,
)
from streamsocket.rtsp.server_protocol import ServerProtocol

URL = "rtsp://h:8554/live/cam"
UDP = "Transport: RTP/AVP;unicast;client_port=5000-5001;mode=record"
TCP = "Transport: RTP/AVP/TCP;unicast;mode=record"
SDP = sdp.build([VIDEO, SOUND], name="cam", host="192.0.2.7")


def request(method: str, url: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{method} {url} RTSP/1.0", "CSeq: 7", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Peer:
    """Sends requests to a server that grants all it may."""

    def __init__(self, *, udp: bool = True) -> None:
        self.server = ServerProtocol("192.0.2.7", 0.0, udp=udp)
        self.events: list[Event] = []

    def ask(self, method: str, url: str = URL, *headers: str, body: str = "") -> Response:
        (response,) = self.send(request(method, url, *headers, body=body))
        assert response.headers.get("CSeq") == "7"
        return response

    def announce(self, url: str = URL, text: str = SDP, *headers: str) -> Response:
        return self.ask("ANNOUNCE", url, *(headers or ["Content-Type: application/sdp"]), body=text)

    def send(self, data: bytes) -> list[Response]:
        answers = b"".join(map(self.grant, self.server.receive(data, 1.0)))
        responses = list(Parser().feed(answers))
        return [each for each in responses if isinstance(each, Response)]

    def grant(self, event: Event) -> bytes:
        self.events.append(event)
        server = self.server
        match event:
            case Reply():
                return event.data
            case DescribeRequested():
                return server.described(event, SDP)
            case AnnounceRequested():
                return server.announced(event)
            case SetupRequested():
                ports = (6000, 6001) if event.transport.protocol == "udp" else None
                return server.setup_done(event, track=event.url.track or 0, server_ports=ports)
            case PlayRequested():
                return server.playing(event, dict.fromkeys(event.tracks, (0, 0)))
            case RecordRequested():
                return server.recording(event)
            case PauseRequested():
                return server.paused(event)
            case TeardownRequested():
                return server.torn_down(event)
            case InterleavedReceived():
                return b""

    @property
    def last(self) -> Event:
        return self.events[-1]


def announced() -> Peer:
    peer = Peer()
    assert peer.announce().status == 200
    return peer


def ready() -> Peer:
    """The picture over UDP, the sound over TCP."""
    peer = announced()
    assert peer.ask("SETUP", f"{URL}/trackID=0", UDP).status == 200
    assert peer.ask("SETUP", f"{URL}/trackID=1", TCP).status == 200
    return peer


def recording() -> Peer:
    peer = ready()
    assert peer.ask("RECORD").status == 200
    return peer


def test_from_announce_to_teardown() -> None:
    peer = Peer()
    peer.announce()
    event = peer.last
    assert isinstance(event, AnnounceRequested)
    assert event.url.path == "live/cam"
    assert [media.codec for media in event.description.medias] == [VIDEO.codec, SOUND.codec]
    assert peer.server.session_id is None
    first = peer.ask("SETUP", f"{URL}/trackID=0", UDP)
    assert (
        first.headers.get("Transport")
        == "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;mode=record"
    )
    second = peer.ask("SETUP", f"{URL}/trackID=1", TCP)
    assert second.headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
    assert isinstance(peer.last, SetupRequested)
    assert peer.last.records
    session = first.headers.get("Session")
    assert session
    assert session == second.headers.get("Session")
    assert peer.ask("RECORD", URL, f"Session: {session}", "Range: npt=0.000-").status == 200
    assert isinstance(peer.last, RecordRequested)
    assert peer.last.tracks == (0, 1)
    assert peer.last.url.path == "live/cam"
    assert peer.ask("GET_PARAMETER", URL, f"Session: {session}").status == 200
    assert peer.ask("TEARDOWN", URL, f"Session: {session}").status == 200
    assert isinstance(peer.last, TeardownRequested)
    assert peer.server.session_id is None
    # The connection can be used again, also to watch.
    assert peer.ask("SETUP", "rtsp://h/other/trackID=0", "Transport: RTP/AVP/TCP").status == 200
    assert isinstance(peer.last, SetupRequested)
    assert not peer.last.records


@pytest.mark.parametrize(
    ("control", "setup"),
    [
        ("streamid={}", f"{URL}/streamid={{}}"),  # FFmpeg
        ("stream={}", f"{URL}/stream={{}}"),  # GStreamer
        ("trackID={}", f"{URL}/trackID={{}}"),  # ours, live555
        ("trackID={}", f"{URL}/trackID={{}}/"),
        ("{}", f"{URL}/{{}}"),
        ("/a/b/{}", f"{URL}/a/b/{{}}"),
        (f"{URL}/x={{}}", f"{URL}/x={{}}"),
        (f"{URL}/x={{}}", "rtsp://me:secret@h:8554/live/cam/x={}"),
        ("rtsp://elsewhere/{}", "rtsp://elsewhere/{}"),
        ("streamid={}", f"{URL}?key=1/streamid={{}}"),  # FFmpeg
        ("stream={}", f"{URL}/stream={{}}?key=1"),  # GStreamer
        ("stream={}", f"{URL}/stream={{}}/?key=1"),
    ],
)
def test_every_publishers_way_to_name_a_track_leads_to_it(control: str, setup: str) -> None:
    text = SDP
    for index in range(2):
        text = text.replace(f"control:trackID={index}", f"control:{control.format(index)}")
    peer = Peer()
    assert peer.announce(URL + "?key=1", text).status == 200
    for index in (1, 0):
        assert peer.ask("SETUP", setup.format(index), TCP).status == 200
        assert isinstance(peer.last, SetupRequested)
        assert peer.last.url.track == index
        assert peer.last.url.path == "live/cam"
    assert peer.ask("RECORD", URL + "?key=1").status == 200


def test_of_many_tracks_each_is_told_from_the_others() -> None:
    """`1` is also the end of `11`."""
    text = sdp.build([SOUND] * 12, name="x", host="h").replace("control:trackID=", "control:")
    peer = Peer()
    assert peer.announce(URL, text).status == 200
    for index in (11, 1):
        assert peer.ask("SETUP", f"{URL}/{index}", TCP).status == 200
        assert isinstance(peer.last, SetupRequested)
        assert peer.last.url.track == index


def test_the_only_track_needs_no_control() -> None:
    text = sdp.build([VIDEO], name="x", host="h").replace("a=control:trackID=0\r\n", "")
    for setup in (URL, f"{URL}/whatever"):
        peer = Peer()
        peer.announce(URL, text)
        assert peer.ask("SETUP", setup, TCP).status == 200
        assert isinstance(peer.last, SetupRequested)
        assert peer.last.url.track == 0


def test_tracks_that_were_not_announced_are_refused() -> None:
    peer = announced()
    for setup in (URL, f"{URL}/trackID=2", "rtsp://h/live/cam/xtrackID=0"):
        assert peer.ask("SETUP", setup, TCP).status == 404
    assert peer.server.session_id is None


@pytest.mark.parametrize(
    ("peer", "method", "url"),
    [
        (Peer, "RECORD", URL),
        (announced, "RECORD", URL),
        (announced, "PLAY", URL),
        (announced, "PAUSE", URL),
        (ready, "ANNOUNCE", URL),
        (ready, "PLAY", URL),
        (ready, "SETUP", f"{URL}/trackID=0"),
        (recording, "ANNOUNCE", URL),
        (recording, "PLAY", URL),
        (recording, "SETUP", f"{URL}/trackID=0"),
    ],
)
def test_what_comes_in_the_wrong_order_is_refused(peer: type[Peer], method: str, url: str) -> None:
    each = peer()
    body = SDP if method == "ANNOUNCE" else ""
    before = each.server.session_id
    answer = each.ask(method, url, TCP, body=body)
    assert answer.status == 455
    assert ": " in answer.reason, "players show the reason alone"
    assert each.server.session_id == before


def test_further_tracks_are_refused_once_it_records() -> None:
    peer = announced()
    peer.ask("SETUP", f"{URL}/trackID=0", UDP)
    peer.ask("RECORD")
    assert peer.ask("SETUP", f"{URL}/trackID=1", TCP).status == 455


def test_who_watches_cannot_publish_over_the_same_session() -> None:
    peer = Peer()
    peer.ask("SETUP", f"{URL}/trackID=0", "Transport: RTP/AVP/TCP")
    assert peer.announce().status == 455
    assert peer.ask("RECORD").status == 455


def test_recording_twice_is_no_error() -> None:
    peer = recording()
    assert peer.ask("RECORD").status == 200
    assert isinstance(peer.last, Reply)


def test_a_publisher_may_pause() -> None:
    """GStreamer does so before TEARDOWN, and takes a refusal for a failure."""
    for peer in (ready(), recording()):
        assert peer.ask("PAUSE").status == 200
        assert isinstance(peer.last, Reply)
        assert peer.ask("RECORD").status == 200
        assert peer.ask("TEARDOWN").status == 200


def test_an_announcement_can_be_taken_back_or_replaced() -> None:
    peer = announced()
    assert peer.ask("TEARDOWN").status == 200
    assert peer.ask("SETUP", f"{URL}/trackID=0", TCP).status == 461, "it is a viewer's now"
    peer = announced()
    other = "rtsp://h:8554/other"
    assert peer.announce(other, sdp.build([SOUND], name="x", host="h")).status == 200
    assert peer.ask("SETUP", f"{URL}/trackID=1", TCP).status == 200
    assert isinstance(peer.last, SetupRequested)
    assert peer.last.url.path == "other"


@pytest.mark.parametrize(
    ("url", "text", "headers", "status"),
    [
        (URL, SDP, ["Content-Type: application/json"], 415),
        (URL, "", ["Content-Type: application/sdp"], 400),
        (URL, "v=0\r\ns=x\r\n", ["Content-Type: application/sdp"], 400),
        (URL, "\x00\x01", ["Content-Type: application/sdp"], 400),
        (URL, "m=audio 0 RTP/AVP 0\r\n" * 33, ["Content-Type: application/sdp"], 400),
        ("rtsp://h:8554/", SDP, ["Content-Type: application/sdp"], 400),
        ("rtsp://h:8554/a/../b", SDP, ["Content-Type: application/sdp"], 400),
        ("*", SDP, ["Content-Type: application/sdp"], 400),
    ],
)
def test_announcements_that_make_no_sense_are_refused(
    url: str, text: str, headers: list[str], status: int
) -> None:
    peer = Peer()
    assert peer.announce(url, text, *headers).status == status
    assert peer.announce().status == 200


def test_a_missing_content_type_is_forgiven() -> None:
    assert Peer().announce(URL, SDP, "X-Nothing: here").status == 200


def test_a_refused_announcement_leaves_nothing() -> None:
    peer = Peer()
    data = request("ANNOUNCE", URL, "Content-Type: application/sdp", body=SDP)
    (event,) = peer.server.receive(data, 1.0)
    assert isinstance(event, AnnounceRequested)
    (answer,) = Parser().feed(peer.server.refuse(event, 409, "somebody publishes it already"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason) == (409, "Conflict: somebody publishes it already")
    assert peer.ask("RECORD").status == 455


@pytest.mark.parametrize(
    ("transport", "status"),
    [
        ("RTP/AVP/TCP;unicast;mode=record", 200),
        ('RTP/AVP/TCP;unicast;mode="RECORD"', 200),
        ("RTP/AVP/TCP;unicast;mode=receive", 200),
        ("RTP/AVP/TCP;unicast", 200),
        ("RTP/AVP/UDP;unicast;client_port=5000-5001;mode=record", 200),
        ("RTP/AVP/TCP;unicast;interleaved=0-1;mode=PLAY", 461),
        ("RTP/AVP;unicast;mode=record", 461),
        ("RTP/SAVP;unicast;client_port=5000-5001;mode=record", 461),
        ("nonsense", 461),
    ],
)
def test_transports_of_publishers(transport: str, status: int) -> None:
    peer = announced()
    assert peer.ask("SETUP", f"{URL}/trackID=0", f"Transport: {transport}").status == status


def test_without_udp_tracks_come_over_the_connection() -> None:
    peer = Peer(udp=False)
    peer.announce()
    answer = peer.ask("SETUP", f"{URL}/trackID=0", UDP)
    assert answer.status == 461
    assert "TLS" in answer.reason
    # An alternative is taken where one is offered.
    answer = peer.ask("SETUP", f"{URL}/trackID=0", f"{UDP},RTP/AVP/TCP;unicast;mode=record")
    assert answer.status == 200
    assert "interleaved" in answer.headers.get("Transport", "")


def test_packets_come_with_their_track_before_and_after_record() -> None:
    peer = announced()
    for index in range(2):
        wish = f"Transport: RTP/AVP/TCP;interleaved={4 * index}-{4 * index + 1};mode=record"
        assert peer.ask("SETUP", f"{URL}/trackID={index}", wish).status == 200
    frames = Frames([(0, b"a"), (0, b"b"), (5, b"c"), (4, b"d"), (9, b"?")]).serialise()
    expected = [
        InterleavedReceived(0, False, [b"a", b"b"]),
        InterleavedReceived(1, True, [b"c"]),
        InterleavedReceived(1, False, [b"d"]),
    ]
    peer.send(frames)
    assert peer.events[-3:] == expected
    peer.ask("RECORD")
    peer.send(frames)
    assert peer.events[-3:] == expected


_URLS = [URL, f"{URL}/trackID=0", f"{URL}/trackID=1", f"{URL}/trackID=9", "rtsp://h/other", "*"]
_REQUESTS = st.builds(
    lambda method, url, headers, body: request(method, url, *headers, body=body),
    st.sampled_from(
        ["OPTIONS", "DESCRIBE", "ANNOUNCE", "SETUP", "PLAY", "RECORD", "PAUSE", "TEARDOWN"]
    ),
    st.sampled_from(_URLS),
    st.lists(st.sampled_from([UDP, TCP, "Transport: RTP/AVP/TCP", "Session: 1"]), max_size=2),
    st.sampled_from(["", SDP, sdp.build([Track(SOUND.codec)], name="x", host="h"), "v=0"]),
)
_PACKETS = st.builds(
    lambda channel, data: Frames([(channel, data)]).serialise(),
    st.integers(0, 5),
    st.binary(max_size=20),
)


@given(st.lists(st.one_of(_REQUESTS, _PACKETS), max_size=20), st.booleans())
def test_whatever_comes_in_whatever_order_is_answered(messages: list[bytes], grants: bool) -> None:
    peer = Peer()
    for message in messages:
        if not grants and b"ANNOUNCE" in message:
            for event in peer.server.receive(message, 1.0):
                if isinstance(event, AnnounceRequested):
                    peer.server.refuse(event, 409, "taken")
            continue
        answers = peer.send(message)
        assert len(answers) == (not message.startswith(b"$"))
        if peer.server.session_id is None:
            assert not peer.server._tracks
            assert not peer.server._recording
