"""Packets in, access units out."""

from __future__ import annotations

import struct

import pytest
from client_helpers import PICTURE, PPS, SPS
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.client.receiver import (
    KEYFRAME_REQUEST_INTERVAL_S,
    REORDER_S,
    REPAIR_S,
    Received,
    Receiver,
)
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Opus
from streamsocket.rtp.payload import packetizer
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    RtcpPacket,
    Sdes,
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


FEEDBACK = ("nack", "nack pli")


def repairing(codec: H264 | None = None) -> Receiver:
    """A picture's, whose sender sends again what it is asked for."""
    codec = codec or H264(SPS, PPS)
    return Receiver(0, codec, {}, 96, ordered=False, feedback=FEEDBACK, round_trip_s=0.05)


def asked_for(receiver: Receiver, now: float) -> list[RtcpPacket]:
    """What the feedback at that time asks for."""
    data = receiver.feedback(now)
    if data is None:
        return []
    report, name, *requests = parse_rtcp(data)
    assert isinstance(report, ReceiverReport)
    assert isinstance(name, Sdes)
    assert report.ssrc == name.ssrc
    return requests


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
    assert receiver.receiver_report(NOW) is None
    for sequence in (1, 2, 4):
        receiver.receive_rtp(rtp(sequence, 960 * sequence), NOW)
    data = receiver.receiver_report(NOW)
    assert data
    report = parse_rtcp(data)[0]
    assert isinstance(report, ReceiverReport)
    [block] = report.blocks
    assert (block.ssrc, block.cumulative_lost, block.fraction_lost) == (1, 1, 64)


P_PICTURE = b"\x41\x9a" + bytes(40)


def test_what_is_missing_is_asked_for_and_repaired() -> None:
    receiver = repairing()
    receiver.receive_rtp(rtp(65_535, 0, PICTURE), NOW)
    assert receiver.receive_rtp(rtp(1, 6000, P_PICTURE), NOW + 0.04) == []
    assert asked_for(receiver, NOW + 0.04) == []
    assert receiver.deadline == pytest.approx(NOW + 0.042)
    [nack] = asked_for(receiver, NOW + 0.042)
    assert isinstance(nack, Nack)
    assert (nack.media_ssrc, nack.sequences) == (1, (0,))
    assert receiver.deadline == pytest.approx(NOW + 0.107)
    received = receiver.receive_rtp(rtp(0, 3000, P_PICTURE), NOW + 0.1)
    assert [(each.unit.timestamp, each.intact) for each in received] == [(3000, True), (6000, True)]
    assert receiver.deadline is None
    assert (receiver.repaired, receiver.nacks, receiver.plis) == (1, 1, 0)
    statistics = receiver.statistics
    assert (statistics.lost, statistics.reordered, statistics.duplicates) == (0, 0, 0)
    receiver.receive_rtp(rtp(0, 3000, P_PICTURE), NOW + 0.11)
    assert (statistics.lost, statistics.duplicates, statistics.received) == (0, 1, 3)


def test_what_is_repaired_says_nothing_about_the_jitter() -> None:
    receiver = repairing()
    for sequence in range(5):
        receiver.receive_rtp(rtp(sequence, 3000 * sequence, PICTURE), NOW + sequence / 30)
    receiver.receive_rtp(rtp(6, 18_000, PICTURE), NOW + 6 / 30)
    receiver.feedback(NOW + 0.21)
    receiver.receive_rtp(rtp(5, 15_000, PICTURE), NOW + 0.4)
    assert receiver.statistics.jitter_s < 0.001


def test_who_does_not_answer_is_asked_for_nothing() -> None:
    receiver = picture()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(3, 6000, P_PICTURE), NOW + 0.04)
    assert receiver.deadline == pytest.approx(NOW + 0.04 + REORDER_S)
    assert receiver.feedback(NOW + 0.1) is None
    [received] = receiver.expire(NOW + 0.2)
    assert not received.intact
    receiver.request_keyframe()
    assert receiver.feedback(NOW + 0.2) is None
    assert (receiver.nacks, receiver.plis) == (0, 0)


def test_what_can_be_repaired_is_waited_for_longer() -> None:
    assert picture().patience_s == REORDER_S
    assert repairing().patience_s == REPAIR_S > REORDER_S
    assert sound(ordered=True).patience_s == 0.0


def test_the_patience_can_be_changed_at_any_time() -> None:
    receiver = repairing()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(3, 6000, P_PICTURE), NOW)
    receiver.patience_s = 1.0
    assert receiver.expire(NOW + 0.9) == []
    receiver.patience_s = 0.05
    assert timestamps(receiver.expire(NOW + 0.9)) == [6000]
    receiver = picture()
    receiver.patience_s = 1.0  # nothing comes any more after that long
    assert receiver.patience_s == REORDER_S
    receiver.patience_s = 0.01
    assert receiver.patience_s == 0.01


def test_where_asking_is_in_vain_missing_packets_are_not_waited_for_that_long() -> None:
    receiver = repairing()
    for number in range(60):
        now = NOW + number
        receiver.receive_rtp(rtp(2 * number, 3000 * number, P_PICTURE), now)
        receiver.feedback(now + 0.1)
        receiver.expire(now + 0.5)
    assert receiver.patience_s == REORDER_S
    nacks = receiver.nacks
    receiver.receive_rtp(rtp(1000, 3_000_000, P_PICTURE), NOW + 61)
    assert receiver.deadline == pytest.approx(NOW + 61 + REORDER_S)
    receiver.feedback(NOW + 61.05)
    assert receiver.nacks == nacks


def test_a_picture_that_refers_to_a_lost_one_is_not_intact() -> None:
    receiver = picture()
    [first] = receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(3, 6000, P_PICTURE), NOW)  # a whole picture is missing before it
    [second] = receiver.expire(NOW + 1)
    [third] = receiver.receive_rtp(rtp(4, 9000, P_PICTURE), NOW + 1)
    [fourth] = receiver.receive_rtp(rtp(5, 12_000, PICTURE), NOW + 1)
    assert [each.intact for each in (first, second, third, fourth)] == [True, False, False, True]
    assert not any(each.unit.damaged for each in (first, second, third, fourth))


def test_what_ends_before_the_gap_is_still_intact() -> None:
    receiver = picture()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(2, 3000, P_PICTURE, marker=False), NOW)
    receiver.receive_rtp(rtp(3, 6000, P_PICTURE, marker=False), NOW)
    receiver.receive_rtp(rtp(5, 9000, SPS, marker=False), NOW)
    receiver.receive_rtp(rtp(6, 9000, PICTURE), NOW)
    damaged, keyframe = receiver.expire(NOW + 1)
    # The end of the picture before may be missing, the keyframe is whole.
    assert (damaged.unit.timestamp, damaged.intact) == (6000, False)
    assert (keyframe.unit.timestamp, keyframe.intact) == (9000, True)


def test_a_payload_that_makes_no_sense_spoils_what_follows() -> None:
    receiver = picture()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(2, 3000, b"\x1f"), NOW)
    [received] = receiver.receive_rtp(rtp(3, 6000, P_PICTURE), NOW)
    assert not received.intact


def test_a_keyframe_is_asked_for_when_a_picture_is_lost_and_until_one_comes() -> None:
    receiver = repairing()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(3, 6000, P_PICTURE), NOW)
    receiver.expire(NOW + 1)
    [pli] = asked_for(receiver, NOW + 1)
    assert isinstance(pli, Pli)
    assert pli.media_ssrc == 1
    assert asked_for(receiver, NOW + 1.1) == []
    assert len(asked_for(receiver, NOW + 1 + KEYFRAME_REQUEST_INTERVAL_S)) == 1
    receiver.receive_rtp(rtp(4, 9000, PICTURE), NOW + 1.6)
    assert asked_for(receiver, NOW + 3) == []
    assert receiver.plis == 2


def test_a_keyframe_can_be_asked_for() -> None:
    receiver = repairing()
    receiver.request_keyframe()
    assert receiver.feedback(NOW) is None  # nothing has come yet that it could be asked of
    receiver.receive_rtp(rtp(1, 0, P_PICTURE), NOW)
    [pli] = asked_for(receiver, NOW)
    assert isinstance(pli, Pli)
    receiver.request_keyframe()
    assert asked_for(receiver, NOW + 0.1) == []


def test_where_too_much_is_missing_a_keyframe_is_asked_for_at_once() -> None:
    receiver = repairing()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(500, 6000, P_PICTURE), NOW)
    [pli] = asked_for(receiver, NOW)
    assert isinstance(pli, Pli)


def test_what_should_have_come_first_is_waited_for() -> None:
    receiver = repairing()
    receiver.begin_at(65_535)
    assert receiver.receive_rtp(rtp(1, 6000, P_PICTURE), NOW) == []
    [nack] = asked_for(receiver, NOW + 0.002)
    assert isinstance(nack, Nack)
    assert nack.sequences == (65_535, 0)
    assert receiver.receive_rtp(rtp(0, 3000, P_PICTURE), NOW + 0.06) == []
    received = receiver.receive_rtp(rtp(65_535, 0, PICTURE), NOW + 0.06)
    assert [(each.unit.timestamp, each.intact) for each in received] == [
        *((0, True), (3000, True), (6000, True))
    ]
    assert receiver.statistics.lost == 0


@pytest.mark.parametrize("said", [2, 1000, 60_000])
def test_a_beginning_that_makes_no_sense_is_not_believed(said: int) -> None:
    receiver = repairing()
    receiver.begin_at(said)
    assert len(receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)) == 1
    assert len(receiver.receive_rtp(rtp(2, 3000, P_PICTURE), NOW)) == 1


def keyframe(first: int = 10) -> list[bytes]:
    """The packets of a keyframe with its parameter sets, five of them."""
    unit = AccessUnit([SPS, PPS, PICTURE[:2] + bytes(4000)], 3000, keyframe=True)
    payloads = packetizer(H264(SPS, PPS)).packetize(unit)
    assert len(payloads) == 5
    return [
        rtp(first + place, 3000, bytes(payload), marker=place == 4)
        for place, payload in enumerate(payloads)
    ]


def seeking() -> Receiver:
    """A picture's, whose sender begins with a keyframe, but doesn't say where."""
    return Receiver(
        0,
        H264(SPS, PPS),
        {},
        96,
        ordered=False,
        feedback=FEEDBACK,
        round_trip_s=0.05,
        begins_with_keyframe=True,
    )


@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4], [3, 0, 1, 2, 4], [4, 3, 2, 1, 0], [2, 4, 1, 0, 3], [1, 0, 2, 3, 4]]
)
@pytest.mark.parametrize("first", [10, 65_534])
def test_a_beginning_that_was_overtaken_is_waited_for(order: list[int], first: int) -> None:
    receiver = seeking()
    packets = keyframe(first)
    finished = [each for place in order for each in receiver.receive_rtp(packets[place], NOW)]
    assert timestamps(finished) == [3000]
    assert finished[0].intact
    assert receiver.deadline is None or not asked_for(receiver, receiver.deadline)
    (following,) = receiver.receive_rtp(rtp(first + 5, 6000, b"\x41\x88slice"), NOW + 0.03)
    assert following.intact


def test_what_is_lost_of_an_overtaken_beginning_is_asked_for() -> None:
    receiver = seeking()
    packets = keyframe()
    for place in (4, 2, 0):
        assert not receiver.receive_rtp(packets[place], NOW)
    assert receiver.deadline
    (nack,) = asked_for(receiver, NOW + 0.01)
    assert isinstance(nack, Nack)
    assert nack.sequences == (11, 13)
    finished = [each for n in (1, 3) for each in receiver.receive_rtp(packets[n], NOW + 0.06)]
    assert timestamps(finished) == [3000]
    assert finished[0].intact
    assert receiver.repaired == 2


def test_a_beginning_that_never_comes_is_given_up_and_a_keyframe_asked_for() -> None:
    receiver = seeking()
    for packet in keyframe()[1:]:
        assert not receiver.receive_rtp(packet, NOW)
    assert not asked_for(receiver, NOW + 0.1)
    assert receiver.deadline == pytest.approx(NOW + REPAIR_S)
    receiver.expire(NOW + REPAIR_S)
    (pli,) = asked_for(receiver, NOW + REPAIR_S)
    assert isinstance(pli, Pli)
    (unit,) = receiver.receive_rtp(rtp(15, 6000, b"\x41\x88slice"), NOW + 0.3)
    assert not unit.intact
    finished = [e for p in keyframe(16) for e in receiver.receive_rtp(p, NOW + 0.4)]
    assert finished[-1].intact


def test_who_does_not_say_how_it_begins_is_taken_as_it_comes() -> None:
    receiver = repairing()
    packets = keyframe()
    finished = [each for n in (3, 0, 1, 2, 4) for each in receiver.receive_rtp(packets[n], NOW)]
    assert not any(each.intact for each in finished)


def test_another_source_is_counted_on() -> None:
    receiver = repairing()
    receiver.receive_rtp(rtp(1, 0, PICTURE), NOW)
    receiver.receive_rtp(rtp(3, 6000, P_PICTURE), NOW)
    receiver.feedback(NOW + 0.01)
    receiver.receive_rtp(rtp(2, 3000, P_PICTURE), NOW + 0.06)
    [received] = receiver.receive_rtp(rtp(9, 0, P_PICTURE, ssrc=2), NOW + 1)
    assert receiver.repaired == 1
    assert not received.intact


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
