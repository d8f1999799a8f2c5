"""Opus packets."""

from __future__ import annotations


def packet_duration(packet: bytes) -> int:
    """How long a packet lasts, in ticks of 48 kHz, from its first bytes (RFC 6716, 3.1)."""
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:  # SILK
        frame = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:  # hybrid
        frame = (480, 960)[configuration & 1]
    else:  # CELT
        frame = 120 << (configuration & 3)
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 1)[code]
    return max(frames, 1) * frame
