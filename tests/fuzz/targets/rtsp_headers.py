"""The RTSP headers with a grammar of their own, and what a client is challenged with."""

from collections.abc import Callable

from streamsocket.errors import ParseError
from streamsocket.rtsp.authentication import Credentials, parse_challenges
from streamsocket.rtsp.headers import (
    parse_range,
    parse_rtp_info,
    parse_session,
    parse_transport,
)
from streamsocket.rtsp.url import parse_server_url, parse_stream_url

SEEDS = [
    b'RTP/AVP;unicast;client_port=5000-5001;mode="PLAY,RECORD",RTP/AVP/TCP;interleaved=0-1',
    b"RTP/AVP/UDP;multicast;destination=224.2.0.1;source=1.2.3.4;server_port=6000;ssrc= 0xD93FF",
    b"RTP/AVP;multicast;destination=239.255.42.1;port=8002-8003;ttl=1",
    b"0123456789ABCDEF;timeout=60",
    b"npt=0:01:02.5-now;time=19970123T143720Z",
    b"url=rtsp://h/a?b=c;d/trackID=0;seq=1;rtptime=2, url=x;rtptime=99999999999",
    b'Digest realm="a, \\"b\\"", nonce=c, qop="auth,auth-int", algorithm=SHA-256, Basic realm="x"',
    b"rtsp://user:pass@[::1]:8554/live/lobby%20two?x=1/trackID=1",
]


def _transport(text: str) -> None:
    for spec in parse_transport(text):
        again = parse_transport(spec.serialise())[0]
        assert again.client_ports == spec.client_ports
        assert again.interleaved == spec.interleaved
        assert again.ssrc == spec.ssrc


def _challenge(text: str) -> None:
    credentials = Credentials("user", "secret")
    if credentials.accept(parse_challenges([text])):
        credentials.authorization("DESCRIBE", "rtsp://h/a")


_PARSERS: list[Callable[[str], object]] = [
    _transport,
    _challenge,
    parse_range,
    parse_rtp_info,
    parse_session,
    parse_server_url,
    parse_stream_url,
]


def fuzz_one(data: bytes) -> None:
    """Each parser reads it, or raises ParseError."""
    text = data.decode("utf-8", "replace")
    for parser in _PARSERS:
        try:
            parser(text)
        except ParseError:
            pass
