"""Offers of real peers: Chromium 156, Firefox ESR and aiortc made theirs, FFmpeg's and OBS's are
written after what they send."""

from __future__ import annotations

from pathlib import Path

_OFFERS = Path(__file__).parent / "webrtc_offers"

OFFERS = sorted(path.stem for path in _OFFERS.glob("*.sdp"))


def offer_text(name: str) -> str:
    """An offer, with the ends of line that SDP has."""
    return (_OFFERS / f"{name}.sdp").read_text().replace("\n", "\r\n")
