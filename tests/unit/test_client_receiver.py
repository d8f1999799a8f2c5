"""Packets in, access units out."""

from __future__ import annotations

import struct

import pytest
from client_helpers import PICTURE, PPS, SPS
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.client.receiver import REORDER_S, Received, Receiver
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Opus
from streamsocket.rtp.payload import packetizer
from streamsocket.rtp.rtcp import (
    Bye,
    ReceiverReport,
    SenderReport,
    build_bye,
    build_sender_report,
    parse_rtcp,
)

NOW = 1_700_000_000.0


def rtp(
    sequence: int,
    timestamp: int,
    payload: bytes = b"\xfcsound",
    *,
    marker: bool = True,
    payload_type: int = 96,
    ssrc: int = 1,
) -> bytes:
    second = payload_type | (0x80 if marker else 0)
    header = struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc)
    return header + payload


def sound(*, ordered: bool = False) -> Receiver:
    return Receiver(1, Opus(), {}, 96, ordered=ordered)


def picture(codec: H264 | None = None) -> Receiver:
    return Receiver(0, codec or H264(SPS, PPS), {}, 96, ordered=False)


def timestamps(received: list[Received]) -> list[int]:
    return [each.unit.timestamp for each in received]


def test_packets_out_of_order_are_put_right() -> None:
    receiver = sound()
    assert timestamps(receiver.receive_rtp(rtp(10, 960), NOW)) == [960]
    assert receiver.receive_rtp(rtp(12, 2880), NOW + 0.04) == []
    assert timestamps(receiver.receive_rtp(rtp(11, 1920), NOW + 0.05)) == [1920, 2880]
    assert receiver.statistics.reordered == 1
    assert receiver.statistics.lost == 0


def test_a_missing_packet_is_waited_for_and_then_given_up() -> None:
    receiver = sound()
    receiver.receive_rtp(rtp(10, 960), NOW)
    assert receiver.receive_rtp(rtp(12, 2880), NOW + 0.04) == []
    assert receiver.expire(NOW + 0.05) == []
    assert timestamps(receiver.expire(NOW + 0.05 + REORDER_S)) == [2880]
    assert receiver.statistics.lost == 1


def test_over_tcp_nothing_is_waited_for() -> None:
    receiver = sound(ordered=True)
    receiver.receive_rtp(rtp(10, 960), NOW)
    assert timestamps(receiver.receive_rtp(rtp(12, 2880), NOW)) == [2880]


def test_numbers_that_wrap_go_on() -> None:
    receiver = sound()
    assert timestamps(receiver.receive_rtp(rtp(65_535, 2**32 - 960), NOW)) == [2**32 - 960]
    assert timestamps(receiver.receive_rtp(rtp(0, 0), NOW)) == [2**32]


def test_arrival_is_that_of_the_last_packet_though_it_is_not_the_last_in_order() -> None:
    receiver = picture()
    first, second, third = packetizer(H264(SPS, PPS)).packetize(
        AccessUnit([b"\x65" + bytes(3000)], 0)
    )[-3:]
    assert receiver.receive_rtp(rtp(1, 0, first, marker=False), NOW) == []
    assert receiver.receive_rtp(rtp(3, 0, third), NOW + 0.01) == []
    [received] = receiver.receive_rtp(rtp(2, 0, second, marker=False), NOW + 0.02)
    assert received.arrival == NOW + 0.02
    assert not received.unit.damaged
    assert received.track == 0


def test_without_a_marker_arrival_is_still_that_of_its_own_packets() -> None:
    receiver = picture()
    assert receiver.receive_rtp(rtp(1, 0, PICTURE, marker=False), NOW) == []
    [received] = receiver.receive_rtp(rtp(2, 3600, PICTURE, marker=False), NOW + 0.04)
    assert (received.unit.timestamp, received.arrival) == (0, NOW)
    [received] = receiver.flush()
    assert (received.unit.timestamp, received.arrival) == (3600, NOW + 0.04)


def test_what_lacks_a_packet_is_damaged() -> None:
    receiver = picture()
    unit = AccessUnit([PICTURE, b"\x65" + bytes(3000)], 0)
    payloads = packetizer(H264(SPS, PPS)).packetize(unit)
    lost = len(payloads) - 2
    for number, payload in enumerate(payloads):
        if number != lost:
            last = number == len(payloads) - 1
            receiver.receive_rtp(rtp(number, 0, payload, marker=last), NOW)
    [received] = receiver.expire(NOW + 1)
    assert received.unit.damaged


def test_parameter_sets_are_learnt_in_band() -> None:
    receiver = picture(H264(b"", b""))
    receiver.receive_rtp(rtp(1, 0, SPS, marker=False), NOW)
    receiver.receive_rtp(rtp(2, 0, PPS, marker=False), NOW)
    receiver.receive_rtp(rtp(3, 0, PICTURE), NOW)
    assert receiver.codec == H264(SPS, PPS)


@pytest.mark.parametrize("report_comes_first", [True, False])
def test_sender_reports_tell_the_time_of_capture(report_comes_first: bool) -> None:
    receiver = sound()
    report = SenderReport(1, NOW - 0.2, 48_000, 0, 0)
    if not report_comes_first:
        receiver.receive_rtp(rtp(1, 48_000), NOW)
    receiver.receive_rtcp(build_sender_report(report, cname="x"), NOW)
    [received] = receiver.receive_rtp(rtp(2, 52_800), NOW + 0.1)
    assert received.unit.capture_time == pytest.approx(NOW - 0.1, abs=1e-4)
    assert receiver.clock.source == "sender_report"
    assert receiver.sender_reports == 1


def test_a_nonsensical_report_does_not_take_the_timestamps_along() -> None:
    receiver = sound()
    receiver.receive_rtp(rtp(1, 48_000), NOW)
    report = SenderReport(1, NOW, 48_000 + 2**31 - 5, 0, 0)
    receiver.receive_rtcp(build_sender_report(report, cname="x"), NOW)
    assert timestamps(receiver.receive_rtp(rtp(2, 48_960), NOW)) == [48_960]
    assert receiver.clock.source == "arrival"


def test_reports_and_goodbyes_of_other_sources_mean_nothing() -> None:
    receiver = sound()
    receiver.receive_rtp(rtp(1, 960), NOW)
    report = SenderReport(9, NOW, 960, 0, 0)
    receiver.receive_rtcp(build_sender_report(report, cname="x"), NOW)
    receiver.receive_rtcp(build_bye(Bye((9,))), NOW)
    assert receiver.sender_reports == 0
    assert not receiver.ended
    receiver.receive_rtcp(build_bye(Bye((9, 1))), NOW)
    assert receiver.ended


def test_a_source_that_begins_anew_is_followed() -> None:
    receiver = sound()
    receiver.receive_rtp(rtp(500, 960_000), NOW)
    assert timestamps(receiver.receive_rtp(rtp(7, 960, ssrc=2), NOW)) == [960]
    assert timestamps(receiver.receive_rtp(rtp(8, 1920, ssrc=2), NOW)) == [1920]
    assert receiver.statistics.lost == 0


def test_other_payload_types_and_nonsense_are_counted_and_left_out() -> None:
    receiver = sound()
    assert receiver.receive_rtp(rtp(1, 0, payload_type=97), NOW) == []
    assert receiver.receive_rtp(b"\x00nonsense....", NOW) == []
    assert receiver.receive_rtp(rtp(1, 0, b""), NOW) == []
    receiver.receive_rtcp(b"\x80", NOW)
    assert receiver.strangers == 1
    assert receiver.malformed == 3


def test_the_receiver_report_tells_of_the_loss() -> None:
    receiver = sound()
    assert receiver.receiver_report(NOW, "me") is None
    for sequence in (1, 2, 4):
        receiver.receive_rtp(rtp(sequence, 960 * sequence), NOW)
    data = receiver.receiver_report(NOW, "me")
    assert data
    report = parse_rtcp(data)[0]
    assert isinstance(report, ReceiverReport)
    [block] = report.blocks
    assert (block.ssrc, block.cumulative_lost, block.fraction_lost) == (1, 1, 64)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=20))
def test_nothing_that_comes_does_harm(packets: list[tuple[bool, bytes]]) -> None:
    receiver = picture(H264(b"", b""))
    for number, (is_rtcp, data) in enumerate(packets):
        if is_rtcp:
            receiver.receive_rtcp(data, NOW + number)
        else:
            receiver.receive_rtp(data, NOW + number)
            receiver.receive_rtp(rtp(number, number, data), NOW + number)
    receiver.flush()
