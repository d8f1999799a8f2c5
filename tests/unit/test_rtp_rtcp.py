"""RTCP: what is built is parsed, and what is broken is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtp.rtcp import (
    MAX_COMPOUND,
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    ReportBlock,
    Sdes,
    SenderReport,
    Unknown,
    build_bye,
    build_nack,
    build_pli,
    build_receiver_report,
    build_sender_report,
    ntp_from_unix,
    parse_rtcp,
    unix_from_ntp,
)

u32 = st.integers(0, 2**32 - 1)
u16 = st.integers(0, 2**16 - 1)
blocks = st.lists(
    st.builds(
        ReportBlock, u32, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), u32, u32, u32, u32
    ),
    max_size=31,
).map(tuple)
names = st.text(st.characters(codec="ascii", min_codepoint=32), max_size=40)


@given(
    st.builds(
        SenderReport, u32, st.floats(0, 4e9).map(lambda t: round(t, 3)), u32, u32, u32, blocks
    ),
    names,
)
def test_sender_reports_come_back(report: SenderReport, cname: str) -> None:
    parsed, sdes = parse_rtcp(build_sender_report(report, cname))
    assert isinstance(parsed, SenderReport)
    assert parsed.ntp_time == pytest.approx(report.ntp_time, abs=1e-6)
    assert parsed.blocks == report.blocks
    assert (parsed.ssrc, parsed.rtp_timestamp) == (report.ssrc, report.rtp_timestamp)
    assert (parsed.packet_count, parsed.octet_count) == (report.packet_count, report.octet_count)
    assert sdes == Sdes(report.ssrc, cname)


@given(st.builds(ReceiverReport, u32, blocks), names)
def test_receiver_reports_come_back(report: ReceiverReport, cname: str) -> None:
    assert parse_rtcp(build_receiver_report(report, cname)) == [report, Sdes(report.ssrc, cname)]


@given(st.lists(u32, min_size=1, max_size=31).map(tuple), names)
def test_goodbyes_come_back_behind_a_report(sources: tuple[int, ...], reason: str) -> None:
    bye = Bye(sources, reason)
    assert parse_rtcp(build_bye(bye)) == [ReceiverReport(sources[0]), bye]


@given(u32, u32, u16, st.lists(st.integers(1, 40), max_size=50))
def test_nacks_come_back(sender: int, media: int, first: int, steps: list[int]) -> None:
    sequences = [first]
    for step in steps:
        sequences.append((sequences[-1] + step) & 0xFFFF)
    nack = Nack(sender, media, tuple(sequences))
    assert parse_rtcp(build_nack(nack)) == [nack]


def test_a_nack_of_neighbours_takes_one_item() -> None:
    assert len(build_nack(Nack(1, 2, tuple(range(65_530, 65_536)) + tuple(range(11))))) == 16


def test_picture_loss_indication_comes_back() -> None:
    assert parse_rtcp(build_pli(Pli(1, 2))) == [Pli(1, 2)]


def test_long_names_are_cut() -> None:
    [_, sdes] = parse_rtcp(build_receiver_report(ReceiverReport(1), "x" * 300))
    assert sdes == Sdes(1, "x" * 255)


def test_source_descriptions_of_several_sources_and_items_are_read() -> None:
    chunks = (
        b"\x00\x00\x00\x01\x06\x03abc\x01\x02ab\x00\x00\x00" + b"\x00\x00\x00\x02\x00\x00\x00\x00"
    )
    data = b"\x82\xca" + (len(chunks) // 4).to_bytes(2, "big") + chunks
    assert parse_rtcp(data) == [Sdes(1, "ab"), Sdes(2, "")]


def test_other_packets_are_kept_as_they_are() -> None:
    application = b"\x85\xcc\x00\x02\x00\x00\x00\x01NAME"
    feedback = b"\x8f\xcd\x00\x02" + bytes(8)
    assert parse_rtcp(application + feedback) == [
        Unknown(204, 5, b"\x00\x00\x00\x01NAME"),
        Unknown(205, 15, bytes(8)),
    ]


def test_padding_of_the_last_packet_is_taken_off() -> None:
    assert parse_rtcp(b"\xa0\xc9\x00\x02\x00\x00\x00\x01\x00\x00\x00\x04") == [ReceiverReport(1)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc9",
        b"\x40\xc9\x00\x01\x00\x00\x00\x01",
        b"\x80\xc9\x00\x02\x00\x00\x00\x01",
        b"\x80\xc9\x00\x01\x00\x00\x00\x01\x80\xc9",
        b"\x80\xc9\x00\x00",
        b"\x81\xc9\x00\x01\x00\x00\x00\x01",
        b"\x80\xc8\x00\x01\x00\x00\x00\x01",
        b"\x82\xcb\x00\x01\x00\x00\x00\x01",
        b"\x81\xca\x00\x02\x00\x00\x00\x01\x01\xff\x00\x00\x81",
        b"\x81\xcd\x00\x01\x00\x00\x00\x01",
        b"\x81\xcd\x00\x03" + bytes(11),
        b"\xa0\xc9\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\xa0\xc9\x00\x02\x00\x00\x00\x01\x00\x00\x00\x09",
        b"\xa0\xc9\x00\x00",
        b"\xa0\xc9\x00\x02\x00\x00\x00\x01\x00\x00\x00\x04\x80\xc9\x00\x01\x00\x00\x00\x01",
        bytes(MAX_COMPOUND + 4),
    ],
)
def test_broken_packets_are_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_rtcp(data)


@given(st.floats(-60_000_000, 4_230_000_000))
def test_times_survive_being_ntp_timestamps_until_2104(time: float) -> None:
    assert unix_from_ntp(ntp_from_unix(time)) == pytest.approx(time, abs=1e-6)


def test_ntp_timestamps_count_from_1900_and_wrap_in_2036() -> None:
    assert ntp_from_unix(0.5) == (2_208_988_800 << 32) + (1 << 31)
    wrap = 2**32 - 2_208_988_800
    assert ntp_from_unix(wrap) == 0
    assert unix_from_ntp(0) == wrap
