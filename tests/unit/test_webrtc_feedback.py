"""REMB, FIR, extended reports, and feedback on a whole transport."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from streamsocket.webrtc.transport_feedback import (
    MAX_PACKETS,
    TICK_S,
    ArrivalRecorder,
    TransportFeedback,
    build_transport_feedback,
)

u32 = st.integers(0, 2**32 - 1)
sources = st.lists(u32, max_size=20).map(tuple)


def _read(data: bytes) -> Feedback:
    (packet,) = parse_rtcp(data)
    assert isinstance(packet, Unknown)
    feedback = parse_feedback(packet)
    assert feedback is not None
    return feedback


@given(u32, st.integers(0, 2**40), sources)
def test_remb_comes_back_with_18_bits(sender: int, bitrate: int, ssrcs: tuple[int, ...]) -> None:
    read = _read(build_remb(Remb(sender, bitrate, ssrcs)))
    assert isinstance(read, Remb)
    assert (read.sender_ssrc, read.sources) == (sender, ssrcs)
    assert read.bitrate <= bitrate <= read.bitrate * (1 + 2**-17)
    assert _read(build_remb(read)) == read


def test_a_browsers_remb() -> None:
    data = bytes.fromhex("8fce0005000000010000000052454d42010a9c4083e1ad12")
    assert _read(data) == Remb(1, 0x29C40 << 2, (0x83E1AD12,))


def test_a_bitrate_beyond_all_measure_is_not_written() -> None:
    with pytest.raises(ValueError, match="too many"):
        build_remb(Remb(1, 1 << 82, ()))


@given(u32, st.lists(st.tuples(u32, st.integers(0, 255)), max_size=5).map(tuple))
def test_fir_comes_back(sender: int, requests: tuple[tuple[int, int], ...]) -> None:
    assert _read(build_fir(Fir(sender, requests))) == Fir(sender, requests)


@given(
    st.builds(
        ExtendedReport,
        u32,
        st.none() | st.integers(0, 2**64 - 1),
        st.lists(st.builds(Delay, u32, u32, u32), max_size=4).map(tuple),
    )
)
def test_extended_reports_come_back(report: ExtendedReport) -> None:
    assert _read(build_extended_report(report)) == report


def test_blocks_that_mean_nothing_here_are_skipped() -> None:
    report = ExtendedReport(1, 5)
    data = build_extended_report(report)
    with_another = data[:2] + (int.from_bytes(data[2:4]) + 2).to_bytes(2) + data[4:]
    assert _read(with_another + bytes.fromhex("0700000100000000")) == report


arrivals = st.lists(st.none() | st.integers(0, 3000) | st.just(0), min_size=1, max_size=200).map(
    lambda steps: _climb(steps)
)


def _climb(steps: list[int | None]) -> tuple[int | None, ...]:
    tick, found = 10_000, list[int | None]()
    for step in steps:
        if step is None:
            found.append(None)
        else:
            tick += step - 500
            found.append(tick)
    return (*found, tick)


@given(u32, u32, st.integers(0, 65535), st.integers(0, 255), arrivals)
def test_transport_feedback_comes_back(
    sender: int, media: int, base: int, count: int, ticks: tuple[int | None, ...]
) -> None:
    feedback = TransportFeedback(sender, media, base, count, tuple(t and t % 2**32 for t in ticks))
    assert _read(build_transport_feedback(feedback)) == feedback


def test_the_bytes_of_transport_feedback() -> None:
    # A vector of one-bit statuses, with a loss, and three deltas of one byte.
    feedback = TransportFeedback(1, 2, 3, 4, (256, 260, None, 300))
    data = build_transport_feedback(feedback)
    assert data.hex(" ", 4) == "8fcd0006 00000001 00000002 00030004 00000104 b4000004 28000000"


def test_feedback_that_is_not_possible_is_not_written() -> None:
    for ticks in ((None,), (), (0, 40_000), (1,) * (MAX_PACKETS + 1)):
        with pytest.raises(ValueError, match=r"arrived|apart"):
            build_transport_feedback(TransportFeedback(1, 2, 3, 4, ticks))


def _told(messages: list[bytes]) -> dict[int, int | None]:
    found: dict[int, int | None] = {}
    for message in messages:
        assert len(message) < 1200
        feedback = _read(message)
        assert isinstance(feedback, TransportFeedback)
        for place, tick in enumerate(feedback.arrivals):
            found[(feedback.base_sequence + place) & 0xFFFF] = tick
    return found


def test_a_recorder_tells_what_came_and_what_was_lost() -> None:
    recorder = ArrivalRecorder(1)
    assert recorder.build(2, 0.0) == []
    for sequence in (65534, 65535, 1, 2):
        recorder.received(sequence, 1.0 + sequence % 5 / 1000)
    told = _told(recorder.build(2, 1.1))
    assert [n for n, tick in told.items() if tick is None] == [0]
    assert told[1] == int((1.0 + 0.001) / TICK_S)
    assert recorder.build(2, 1.2) == []
    recorder.received(5, 1.3)
    assert list(_told(recorder.build(2, 1.3))) == [3, 4, 5]


def test_a_packet_that_came_late_is_told_with_those_after_it() -> None:
    recorder = ArrivalRecorder(1)
    for sequence in (1, 2, 4):
        recorder.received(sequence, 1.0)
    recorder.build(2, 1.0)
    recorder.received(3, 1.1)
    assert _told(recorder.build(2, 1.1)) == {3: 4400, 4: 4000}


def test_messages_are_as_many_as_it_takes() -> None:
    recorder = ArrivalRecorder(1)
    for number in range(1000):
        recorder.received(number, 1.0 + (number % 3) / 10)
    recorder.received(1000, 30.0)  # too far from the others for one message
    messages = recorder.build(2, 30.0)
    assert len(messages) == 4
    told = _told(messages)
    assert list(told) == list(range(1001))
    assert None not in told.values()
    counts = [message[19] for message in messages]
    assert counts == [0, 1, 2, 3]


def test_a_recorder_is_bounded_and_begins_anew_with_its_sender() -> None:
    recorder = ArrivalRecorder(1)
    for number in range(3 * MAX_PACKETS):
        recorder.received(number & 0xFFFF, 1.0)
        assert len(recorder._arrivals) <= MAX_PACKETS
    recorder.received(40_000, 1.0)
    assert list(_told(recorder.build(2, 1.0))) == [40_000]
    recorder.build(2, 9.0)
    assert not recorder._arrivals


@given(st.lists(st.tuples(st.integers(0, 65535), st.floats(0, 20)), max_size=60))
def test_whatever_comes_is_told(packets: list[tuple[int, float]]) -> None:
    recorder = ArrivalRecorder(1)
    now = 0.0
    for sequence, seconds in packets:
        now += seconds
        recorder.received(sequence, now)
        assert _told(recorder.build(2, now)).get(sequence, 0) is not None


@pytest.mark.parametrize(
    "data",
    [
        "8fce0003000000010000000052454d42",
        "8fce0004000000010000000052454d42010a9c40",
        "84ce000100000001",
        "84ce0003000000010000000000000001",
        "80cf0000",
        "80cf00020000000104000002",
        "80cf0003000000010400000100000000",
        "80cf0003000000010500000100000000",
        "8fcd0003000000010000000200030004",
        "8fcd000500000001000000020003ffff0000000020012001",
        "8fcd00050000000100000002000300040000000000000000",
        "8fcd00050000000100000002000300040000000060042000",
        "8fcd00050000000100000002000300040000000020040000",
        "8fcd00050000000100000002000300040000000040040000",
    ],
)
def test_broken_packets_are_refused(data: str) -> None:
    (packet,) = parse_rtcp(bytes.fromhex(data))
    assert isinstance(packet, Unknown)
    with pytest.raises(ParseError):
        parse_feedback(packet)


def test_what_is_unknown_here_too_stays_so() -> None:
    assert parse_feedback(Unknown(204, 1, b"12345678")) is None
    assert parse_feedback(Unknown(206, 15, b"12345678WHAT0000")) is None
