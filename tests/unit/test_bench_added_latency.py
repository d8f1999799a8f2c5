"""How the server's own histogram is read."""

from __future__ import annotations

import math

import pytest
from bench.added_latency import METRIC, parse_histogram, quantile_ms


def test_a_quantile_lies_within_its_bucket() -> None:
    text = [
        f"# TYPE {METRIC} histogram",
        f'{METRIC}_bucket{{stream="a",le="0.001"}} 40.0',
        f'{METRIC}_bucket{{stream="b",le="0.001"}} 20.0',
        f'{METRIC}_bucket{{stream="a",le="0.01"}} 80.0',
        f'{METRIC}_bucket{{stream="b",le="0.01"}} 20.0',
        f'{METRIC}_bucket{{stream="a",le="+Inf"}} 80.0',
        f'{METRIC}_bucket{{stream="b",le="+Inf"}} 20.0',
        f'{METRIC}_count{{stream="a"}} 80.0',
    ]
    buckets = parse_histogram(text)
    assert quantile_ms(buckets, 30) == pytest.approx(0.5)
    assert quantile_ms(buckets, 80) == pytest.approx(5.5)


def test_beyond_the_last_bound_no_goal_is_met() -> None:
    buckets = parse_histogram(
        [f'{METRIC}_bucket{{le="0.01"}} 1', f'{METRIC}_bucket{{le="+Inf"}} 9']
    )
    assert quantile_ms(buckets, 99) == math.inf
    assert math.isnan(quantile_ms(parse_histogram([]), 50))
