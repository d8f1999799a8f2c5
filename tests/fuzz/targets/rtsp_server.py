"""What a player sends a server."""

import re

from streamsocket.rtsp.message import Parser, Response
from streamsocket.rtsp.server_events import (
    AnnounceRequested,
    DescribeRequested,
    InterleavedReceived,
    PauseRequested,
    PlayRequested,
    RecordRequested,
    Reply,
    SetupRequested,
    TeardownRequested,
)
from streamsocket.rtsp.server_protocol import ServerProtocol

_URL = b"rtsp://h/live/a"


_SDP = (
    b"v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n"
    b"m=audio 0 RTP/AVP 0\r\na=control:streamid=1\r\n"
)


def _request(method: bytes, url: bytes = _URL, *headers: bytes, body: bytes = b"") -> bytes:
    length = [b"Content-Length: %d" % len(body)] if body else []
    lines = [method + b" " + url + b" RTSP/1.0", b"CSeq: 1", *headers, *length, b"", b""]
    return b"\r\n".join(lines) + body


SEEDS = [
    b"".join(
        [
            _request(b"OPTIONS"),
            _request(b"DESCRIBE", _URL, b"Accept: application/sdp"),
            _request(
                b"SETUP", _URL + b"/trackID=0", b"Transport: RTP/AVP;unicast;client_port=5000-5001"
            ),
            _request(b"SETUP", _URL + b"?x=1/trackID=1", b"Transport: RTP/AVP/TCP;interleaved=0-1"),
            _request(b"PLAY", _URL + b"/", b"Range: npt=0.000-"),
            b"$\x01\x00\x02hi",
            _request(b"PAUSE", _URL + b"/trackID=1"),
            _request(b"TEARDOWN"),
        ]
    ),
    b"".join(
        [
            _request(b"ANNOUNCE", _URL, b"Content-Type: application/sdp", body=_SDP),
            _request(
                b"SETUP",
                _URL + b"/streamid=0",
                b"Transport: RTP/AVP/UDP;unicast;client_port=5000-5001;mode=record",
            ),
            _request(
                b"SETUP", _URL + b"?x/streamid=1", b"Transport: RTP/AVP/TCP;unicast;mode=record"
            ),
            b"$\x00\x00\x02hi",
            _request(b"RECORD"),
            b"$\x00\x00\x02hi$\x01\x00\x02ho",
            _request(b"PAUSE"),
            _request(b"TEARDOWN"),
        ]
    ),
    _request(b"GET_PARAMETER", b"*") + _request(b"ANNOUNCE") + _request(b"PLAY", b"x"),
]


def fuzz_one(data: bytes) -> None:
    """Every request gets one answer that a client can read, and nothing is raised."""
    protocol = ServerProtocol("127.0.0.1", 0.0)
    for event in protocol.receive(data, 1.0):
        match event:
            case Reply(answer):
                pass
            case DescribeRequested():
                answer = protocol.described(event, "v=0\r\n")
            case SetupRequested():
                assert min(event.transport.client_ports or (1024,)) >= 1024
                answer = protocol.setup_done(event, track=event.url.track or 0)
            case PlayRequested():
                answer = protocol.playing(event, dict.fromkeys(event.tracks, (1 << 40, 1 << 40)))
            case AnnounceRequested():
                answer = protocol.announced(event)
            case RecordRequested():
                answer = protocol.recording(event)
            case PauseRequested():
                answer = protocol.paused(event)
            case TeardownRequested():
                answer = protocol.torn_down(event)
            case InterleavedReceived():
                continue
        (response,) = Parser().feed(answer)
        assert isinstance(response, Response)
        assert re.fullmatch("[0-9A-Za-z]{0,64}", protocol.session_id or "")
