"""How reception is counted and measured."""

from __future__ import annotations

import pytest

from streamsocket.rtp.rtcp import ReportBlock, ntp_from_unix
from streamsocket.rtp.statistics import ReceptionStatistics


def receive(statistics: ReceptionStatistics, sequences: list[int]) -> None:
    for sequence in sequences:
        statistics.packet(sequence, 3000 * sequence, sequence / 30)


def test_nothing_received_is_nothing_lost() -> None:
    statistics = ReceptionStatistics(90_000)
    assert (statistics.expected, statistics.lost, statistics.jitter_s) == (0, 0, 0.0)
    assert statistics.report_block(1, 10.0).fraction_lost == 0


@pytest.mark.parametrize(
    ("sequences", "received", "lost", "reordered", "duplicates"),
    [
        ([5, 6, 7, 8], 4, 0, 0, 0),
        ([5, 6, 9, 10], 4, 2, 0, 0),
        ([5, 7, 6, 8], 4, 0, 1, 0),
        ([5, 6, 6, 8, 5], 3, 1, 0, 2),
        ([5, 3, 4, 6], 4, 0, 2, 0),
        ([65_534, 65_535, 65_536, 65_537], 4, 0, 0, 0),
        ([5, 6, 100_000, 100_001], 4, 0, 0, 0),
        ([100_000, 100_002, 5, 7], 4, 2, 0, 0),
        ([-2, -1, 0, 1], 4, 0, 0, 0),
    ],
    ids=[
        *("in order", "loss", "reordering", "duplicates", "before the first", "wrap"),
        *("restart upwards", "restart downwards", "negative"),
    ],
)
def test_packets_are_counted(
    sequences: list[int], received: int, lost: int, reordered: int, duplicates: int
) -> None:
    statistics = ReceptionStatistics(90_000)
    receive(statistics, sequences)
    assert (statistics.received, statistics.lost) == (received, lost)
    assert (statistics.reordered, statistics.duplicates) == (reordered, duplicates)
    assert statistics.expected == received + lost


def test_a_steady_stream_has_no_jitter() -> None:
    statistics = ReceptionStatistics(90_000)
    receive(statistics, list(range(100)))
    assert statistics.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_jitter_is_the_mean_deviation_of_transit_times() -> None:
    statistics = ReceptionStatistics(90_000)
    for sequence in range(1000):
        statistics.packet(sequence, 3000 * sequence, sequence / 30 + 0.01 * (sequence % 2))
    assert statistics.jitter_s == pytest.approx(0.01, rel=0.01)


def test_a_restart_is_no_jitter() -> None:
    statistics = ReceptionStatistics(90_000)
    receive(statistics, list(range(10)))
    statistics.packet(1_000_000, 0, 10 / 30)
    statistics.packet(1_000_001, 3000, 11 / 30)
    assert statistics.jitter_s == pytest.approx(0.0, abs=1e-9)


def test_a_report_tells_the_loss_since_the_last_one() -> None:
    statistics = ReceptionStatistics(90_000)
    receive(statistics, [65_530, 65_531, 65_534, 65_535])
    assert statistics.report_block(7, 0.0) == ReportBlock(7, 85, 2, 65_535, 0, 0, 0)
    receive(statistics, [65_536, 65_537, 65_538, 65_540])
    block = statistics.report_block(7, 0.0)
    assert (block.fraction_lost, block.cumulative_lost) == (51, 3)
    assert block.highest_sequence == 65_540
    assert statistics.report_block(7, 0.0).fraction_lost == 0


def test_a_report_echoes_the_last_sender_report() -> None:
    statistics = ReceptionStatistics(90_000)
    receive(statistics, [1])
    statistics.sender_report(ntp_time=1_700_000_000.25, arrival=100.0)
    block = statistics.report_block(7, 102.5)
    assert block.last_sr == ntp_from_unix(1_700_000_000.25) >> 16 & 0xFFFF_FFFF
    assert block.delay_since_last_sr == 2.5 * 65_536
    assert statistics.report_block(7, 99.0).delay_since_last_sr == 0
