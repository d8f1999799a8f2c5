"""RTP header extensions."""

from streamsocket.errors import ParseError
from streamsocket.rtp.packet import parse_rtp
from streamsocket.webrtc.header_extensions import (
    CaptureTime,
    ExtensionMap,
    ExtensionUri,
    HeaderExtensions,
    build_elements,
    packet_elements,
)

_SESSION = ExtensionMap({uri: number for number, uri in enumerate(ExtensionUri, 1)})
_HEADER = bytes.fromhex("90600001000000020000000a")
_FEW = HeaderExtensions(mid="0", rid="h", abs_send_time=1.5, transport_sequence=7)
_ALL = HeaderExtensions("m", "r" * 20, "q", 2.5, CaptureTime(1.7e9, -0.5), 65535)
SEEDS = [_HEADER + _SESSION.build(each) + b"payload" for each in (_FEW, _ALL)]


def fuzz_one(data: bytes) -> None:
    """What is read can be written, and is what a packet's reader skips."""
    try:
        elements = packet_elements(data)
    except ParseError:
        return
    if elements:
        assert packet_elements(_HEADER + build_elements(elements)) == elements
        assert len(parse_rtp(_HEADER + build_elements(elements) + b"x").payload) == 1
    try:
        extensions = _SESSION.parse(data)
    except ParseError:
        return
    again = _SESSION.parse(_HEADER + (_SESSION.build(extensions) or bytes(4)))
    assert again.transport_sequence == extensions.transport_sequence
    assert again.abs_send_time == extensions.abs_send_time
