"""REMB, FIR, extended reports, and feedback on a whole transport."""

from streamsocket.errors import ParseError
from streamsocket.rtp.rtcp import Unknown, parse_rtcp
from streamsocket.webrtc.feedback import (
    Delay,
    ExtendedReport,
    Feedback,
    Fir,
    Remb,
    build_extended_report,
    build_fir,
    build_remb,
    parse_feedback,
)
from streamsocket.webrtc.transport_feedback import TransportFeedback, build_transport_feedback


def _build(feedback: Feedback) -> bytes:
    match feedback:
        case Remb():
            return build_remb(feedback)
        case Fir():
            return build_fir(feedback)
        case ExtendedReport():
            return build_extended_report(feedback)
        case TransportFeedback():
            return build_transport_feedback(feedback)


SEEDS = [
    _build(Remb(1, 2_500_000, (5, 6))),
    _build(Fir(1, ((5, 1), (6, 255)))),
    _build(ExtendedReport(1, 1 << 60, (Delay(1, 2, 3), Delay(4, 5, 6)))),
    _build(TransportFeedback(1, 2, 65_534, 3, (256, None, None, 300, 3000, 2000, *[2000] * 20))),
]


def fuzz_one(data: bytes) -> None:
    """What is read can be written and read again."""
    try:
        packets = parse_rtcp(data)
    except ParseError:
        return
    for packet in packets:
        if not isinstance(packet, Unknown):
            continue
        try:
            feedback = parse_feedback(packet)
        except ParseError:
            continue
        if feedback is None or (
            isinstance(feedback, TransportFeedback) and set(feedback.arrivals) <= {None}
        ):
            continue  # feedback that nothing came is read, and never written
        (again,) = parse_rtcp(_build(feedback))
        assert isinstance(again, Unknown)
        assert parse_feedback(again) == feedback
