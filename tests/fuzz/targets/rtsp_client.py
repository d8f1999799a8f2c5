"""What a server sends a client."""

from streamsocket.errors import ParseError
from streamsocket.rtsp.client_protocol import ClientProtocol, Redirected, Refused, Responded
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.sdp import Media

_SDP = b"m=audio 0 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=control:trackID=0\r\n"

SEEDS = [
    b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE, GET_PARAMETER\r\n\r\n"
    b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Base: rtsp://h/a/\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_SDP), _SDP) + b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n"
    b"Session: 1;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n"
    b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nRTP-Info: url=x;seq=1;rtptime=2\r\n\r\n$\x00\x00\x01x",
    b'RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm="r", nonce="n"\r\n\r\n'
    b"RTSP/1.0 401 No\r\nCSeq: 5\r\nWWW-Authenticate: Digest nonce=m, stale=true\r\n\r\n",
    b"RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: rtsp://other:8554/b\r\n\r\n",
    b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 9\r\n\r\nRTSP/1.0 404 \r\n\r\n",
]


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError is raised, and the password is nowhere to be seen."""
    protocol = ClientProtocol("rtsp://user:hunter2@h/a")
    protocol.request_options()
    protocol.request_describe()
    protocol.request_setup(Media("audio"), TransportSpec("tcp", interleaved=(0, 1)))
    protocol.request_play()
    try:
        for event in protocol.receive(data):
            assert "hunter2" not in repr(event) or b"hunter2" in data
            match event:
                case Refused():
                    assert event.sentence.isprintable()
                case Responded(method="DESCRIBE"):
                    assert event.description
                    assert event.description.medias
                case Redirected():
                    event.protocol.request_describe()
        protocol.request_keep_alive()
        protocol.request_teardown()
    except ParseError:
        pass
