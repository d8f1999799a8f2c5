"""Which of the transports that a player offers a track is sent over (RFC 2326, 12.39)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

from streamsocket.errors import StreamSocketError
from streamsocket.rtsp.headers import TransportSpec

LOWEST_CLIENT_PORT = 1024
"""Below are the ports of system services: no player listens there, but a victim may."""


class UnsupportedTransportError(StreamSocketError):
    """None of the alternatives can be served; the message says why for each."""


class ForeignDestinationError(StreamSocketError):
    """Media was to be sent to somebody who did not ask for it."""


def choose_transport(
    offers: Iterable[TransportSpec],
    *,
    client_host: str,
    channels_in_use: Collection[int],
    mode: Literal["PLAY", "RECORD"] = "PLAY",
    udp: bool = True,
    multicast: bool = False,
) -> TransportSpec:
    """Take the first offer that can be served, with interleaved channels where it names none.

    `channels_in_use` are those of the connection's other tracks. With `multicast`, tracks are sent
    to groups where that is asked for; which group is for the server to say, whatever the offer
    wishes for. Raises the two errors above.
    """
    objections = []
    for offer in offers:
        if offer.multicast:
            objection = _objection_to_multicast(offer, mode, enabled=multicast)
        else:
            objection = _objection(offer, channels_in_use, mode)
        if offer.protocol == "udp" and not udp:
            objection = "over TLS there is RTP/AVP/TCP only"
        if objection:
            objections.append(objection)
            continue
        if offer.multicast:
            return TransportSpec("udp", offer.profile, multicast=True)
        if offer.destination and not _same_host(offer.destination, client_host):
            raise ForeignDestinationError("media is sent to the address that asks for it only")
        agreed_mode = mode if mode == "RECORD" else None
        if offer.protocol == "udp":
            return TransportSpec(
                "udp", offer.profile, client_ports=offer.client_ports, mode=agreed_mode
            )
        channels = offer.interleaved or _free(channels_in_use)
        return TransportSpec("tcp", offer.profile, interleaved=channels, mode=agreed_mode)
    raise UnsupportedTransportError("; ".join(objections[:4]) or "RTP over UDP or TCP is spoken")


def _objection(
    offer: TransportSpec, channels_in_use: Collection[int], mode: Literal["PLAY", "RECORD"]
) -> str | None:
    """Why an offer to send or to receive for one player alone cannot be served."""
    if objection := _objection_to_terms(offer, mode):
        return objection
    if offer.protocol == "udp":
        if not offer.client_ports:
            return "UDP needs a client_port"
        if min(offer.client_ports) < LOWEST_CLIENT_PORT:
            return f"client_port must be {LOWEST_CLIENT_PORT} or higher"
        return None
    if offer.interleaved:
        rtp, rtcp = offer.interleaved
        if rtp == rtcp or rtp in channels_in_use or rtcp in channels_in_use:
            return f"the interleaved channels {rtp}-{rtcp} are taken"
        return None
    return None if _free(channels_in_use) else "no interleaved channels are free"


def _objection_to_multicast(
    offer: TransportSpec, mode: Literal["PLAY", "RECORD"], *, enabled: bool
) -> str | None:
    """Why an offer to receive what is sent to a group cannot be served."""
    if not enabled:
        return "there is no multicast here"
    if mode == "RECORD":
        return "nothing is received by multicast here"
    if offer.protocol == "tcp":
        return "there is no multicast over TCP"
    return _objection_to_terms(offer, mode)


def _objection_to_terms(offer: TransportSpec, mode: Literal["PLAY", "RECORD"]) -> str | None:
    """Why the profile or the mode of an offer is none that can be served."""
    if offer.profile not in ("AVP", "AVPF"):
        return f"there is no RTP/{offer.profile} here, only RTP/AVP and RTP/AVPF"
    if offer.mode is not None and mode not in offer.mode and not _receives(offer.mode, mode):
        return f"mode={offer.mode[:20]} is not what was asked for before: {mode} is"
    return None


def _receives(offered: str, mode: Literal["PLAY", "RECORD"]) -> bool:
    return mode == "RECORD" and "RECEIVE" in offered  # what RECORD was called in the drafts


def _free(channels_in_use: Collection[int]) -> tuple[int, int] | None:
    for rtp in range(0, 256, 2):
        if rtp not in channels_in_use and rtp + 1 not in channels_in_use:
            return rtp, rtp + 1
    return None


def _same_host(one: str, other: str) -> bool:
    try:
        return _address(one) == _address(other)
    except ValueError:
        return False  # a name: resolving it would leave the answer to whoever owns it


def _address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text.strip("[]").partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
