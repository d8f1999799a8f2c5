"""The RTCP that accompanies a track."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamsocket.rtp.rtcp import Bye, SenderReport, build_bye, build_sender_report

if TYPE_CHECKING:
    from streamsocket.hub.track import StreamTrack

CNAME = "streamsocket"
"""One name for all tracks: they share a clock (RFC 3550, 6.5.1)."""


def sender_report(track: StreamTrack, wall_clock: float) -> bytes:
    """A sender report with SDES: the timestamp of what is captured at this wall-clock time."""
    return build_sender_report(
        SenderReport(
            ssrc=track.ssrc,
            ntp_time=wall_clock,
            rtp_timestamp=track.timestamp_captured(wall_clock) & 0xFFFF_FFFF,
            packet_count=track.packets & 0xFFFF_FFFF,
            octet_count=track.octets & 0xFFFF_FFFF,
        ),
        cname=CNAME,
    )


def goodbye(track: StreamTrack) -> bytes:
    """The packet that tells a viewer that a track is over (RFC 3550, 6.6)."""
    return build_bye(Bye(sources=(track.ssrc,)))
