"""What a WHEP or WHIP server says beside SDP, and the URLs that users and servers write."""

from streamsocket.errors import ParseError
from streamsocket.webrtc.endpoint import is_whep, parse_endpoint
from streamsocket.webrtc.http_client import _said, read_links
from streamsocket.webrtc.ice_server import IceServer, parse_ice_servers

SEEDS = [
    b"http://anna:secret@[::1]:8080/live/lobby/whep?a=b#insecure",
    b"turn:anna:se:c@ret@turn.example:3478?transport=tcp, stun:[2001:db8::1]",
    b'<turn:turn.example>; rel="ice-server"; username="a"; credential="b\\"c", <x>; rel=next',
    b'{"title": "no", "detail": "It is taken."}',
]


def fuzz_one(data: bytes) -> None:
    """It is read, or ParseError is raised."""
    text = data.decode("utf-8", "replace")
    is_whep(text)
    try:
        endpoint = parse_endpoint(text)
        # What is shown leads to the same place, without the login.
        assert parse_endpoint(endpoint.url).origin == endpoint.origin
        assert parse_endpoint(endpoint.url).authorization is None
    except ParseError:
        pass
    try:
        parse_ice_servers(text)
    except ParseError:
        pass
    assert all(isinstance(server, IceServer) for server in read_links([text]))
    for kind in ("text/plain", "application/problem+json"):
        said = _said(kind, text)
        assert len(said) <= 301
        assert not said or said.isprintable()
