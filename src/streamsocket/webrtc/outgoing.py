"""What viewers and servers that we publish on have in common: they get what a reader sends."""

from __future__ import annotations

from collections.abc import Container

from streamsocket.errors import ParseError
from streamsocket.hub.output import Output
from streamsocket.hub.reader import Reader
from streamsocket.rtp.rtcp import Bye, Nack, Pli, Unknown, parse_rtcp
from streamsocket.webrtc.feedback import Fir, Remb, parse_feedback

_NEAR_WRAP = 512


def begin_behind_wrap(output: Output) -> int:
    """The first sequence number of an output that hasn't begun, not shortly before they wrap.

    Who misses the first packets, up to where sequence numbers wrap, would never find out with which
    roll-over counter to decrypt (RFC 3711, 3.3.1).
    """
    if output.position[0] & 0xFFFF > 0xFFFF - _NEAR_WRAP:
        output.sequence_delta += _NEAR_WRAP
    return output.position[0]


def answer_feedback(data: bytes, reader: Reader, repaired: Container[int]) -> bool:
    """Repair what the peer missed of the SSRCs that are `repaired`, ask for keyframes for it.

    What it believes to get through to it is noted. Returns whether it says goodbye.
    """
    try:
        for packet in parse_rtcp(data):
            match packet:
                case Nack(media_ssrc=ssrc, sequences=sequences) if ssrc in repaired:
                    reader.resend(ssrc, sequences)
                case Pli():
                    reader.request_keyframe()
                case Unknown():
                    match parse_feedback(packet):
                        case Fir():
                            reader.request_keyframe()
                        case Remb(bitrate=bitrate):
                            reader.estimated_bps = bitrate
                case Bye():
                    return True
                case _:
                    pass
    except ParseError:
        pass  # it came with the session's key: the peer's mistake, and only its own loss
    return False
