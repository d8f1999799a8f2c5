"""RTCP compound packets."""

from streamsocket.errors import ParseError
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    build_bye,
    build_nack,
    build_pli,
    build_receiver_report,
    build_sender_report,
    parse_rtcp,
)

_BLOCK = ReportBlock(7, 12, -3, 70_000, 90, 0x1234_5678, 65_536)
SEEDS = [
    build_sender_report(SenderReport(1, 1.7e9, 90_000, 10, 12_000, (_BLOCK,)), "somebody"),
    build_receiver_report(ReceiverReport(2, (_BLOCK, _BLOCK)), "somebody else"),
    build_bye(Bye((1, 2), "the end")),
    build_nack(Nack(1, 2, (65_535, 0, 5, 1000))),
    build_pli(Pli(1, 2)),
]


def fuzz_one(data: bytes) -> None:
    try:
        packets = parse_rtcp(data)
    except ParseError:
        return
    for packet in packets:
        match packet:
            case SenderReport():
                assert parse_rtcp(build_sender_report(packet, "x"))[0] == packet
            case ReceiverReport():
                assert parse_rtcp(build_receiver_report(packet, "x"))[0] == packet
            case Nack():
                [again] = parse_rtcp(build_nack(packet))
                assert isinstance(again, Nack)
                assert set(again.sequences) == set(packet.sequences)
