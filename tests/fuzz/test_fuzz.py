"""Every fuzz target for a moment, without atheris: random bytes, and damaged inputs that mean much.

`python tests/fuzz/run.py` fuzzes for real.
"""

from __future__ import annotations

import pytest
import registry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def _damaged(seed: bytes) -> st.SearchStrategy[bytes]:
    """The seed cut short, with some bytes replaced and something put in."""
    positions = st.integers(0, max(0, len(seed) - 1))

    def damage(changes: list[tuple[int, int]], end: int, position: int, inserted: bytes) -> bytes:
        data = bytearray(seed)
        for index, value in changes:
            data[index] = value
        return bytes(data[:end] + inserted) if position > end else _insert(data, position, inserted)

    def _insert(data: bytearray, position: int, inserted: bytes) -> bytes:
        return bytes(data[:position] + inserted + data[position:])

    return st.builds(
        damage,
        st.lists(st.tuples(positions, st.integers(0, 255)), max_size=4 if seed else 0),
        positions,
        positions,
        st.binary(max_size=4),
    )


@pytest.mark.parametrize("name", registry.names())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_bytes_are_parsed_or_refused(name: str, data: st.DataObject) -> None:
    target = registry.load(name)
    data_or_seed = st.one_of(
        st.binary(max_size=600), st.sampled_from(target.SEEDS).flatmap(_damaged)
    )
    target.fuzz_one(data.draw(data_or_seed))


@pytest.mark.parametrize("name", registry.names())
def test_seeds_are_parsed(name: str) -> None:
    target = registry.load(name)
    assert target.SEEDS
    for seed in target.SEEDS:
        target.fuzz_one(seed)
