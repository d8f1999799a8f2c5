"""Opus packets."""

from __future__ import annotations

import pytest

from streamsocket.media.opus import packet_duration


@pytest.mark.parametrize(
    ("packet", "milliseconds"),
    [
        ("00", 10),  # SILK
        ("18", 60),
        ("60", 10),  # hybrid
        ("68", 20),
        ("80", 2.5),  # CELT
        ("78", 20),
        ("f8", 20),
        ("f9", 40),  # two frames
        ("fa", 40),
        ("e306", 15),
        ("fb03", 60),  # as many as are told
        ("fb", 20),
        ("fb00", 20),
    ],
)
def test_how_long_an_opus_packet_lasts(packet: str, milliseconds: float) -> None:
    assert packet_duration(bytes.fromhex(packet)) == milliseconds * 48
