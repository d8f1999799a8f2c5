"""One track being received: packets in, access units out. No I/O, no clock of its own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import H264, Codec
from streamsocket.media.h264 import PPS, SPS, nal_type
from streamsocket.rtp.packet import RtpPacket, Unwrapper, parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.rtp.reorder import ReorderBuffer
from streamsocket.rtp.rtcp import (
    Bye,
    ReceiverReport,
    SenderReport,
    build_receiver_report,
    parse_rtcp,
)
from streamsocket.rtp.statistics import ReceptionStatistics

REORDER_S = 0.1
"""How long a missing packet is waited for: longer than networks reorder, shorter than annoys."""
REORDER_PACKETS = 1024


@dataclass(slots=True)
class Received:
    """An access unit that has arrived."""

    track: int
    """The track's place in the session's tracks."""
    unit: AccessUnit
    arrival: float
    """When its last packet came, in seconds since the epoch."""
