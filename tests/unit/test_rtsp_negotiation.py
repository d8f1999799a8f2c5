"""Which transport a track gets, and whom media is never sent to."""

from __future__ import annotations

from typing import Literal

import pytest

from streamsocket.rtsp.headers import TransportSpec, parse_transport
from streamsocket.rtsp.negotiation import (
    ForeignDestinationError,
    UnsupportedTransportError,
    choose_transport,
)


def choose(
    offers: str,
    *,
    client_host: str = "192.0.2.7",
    in_use: tuple[int, ...] = (),
    mode: Literal["PLAY", "RECORD"] = "PLAY",
    udp: bool = True,
    multicast: bool = False,
) -> TransportSpec:
    return choose_transport(
        parse_transport(offers),
        client_host=client_host,
        channels_in_use=in_use,
        mode=mode,
        udp=udp,
        multicast=multicast,
    )


def test_the_first_alternative_that_can_be_served_is_taken() -> None:
    udp = "RTP/AVP;unicast;client_port=5000-5001"
    assert choose(f"{udp},RTP/AVP/TCP") == TransportSpec("udp", client_ports=(5000, 5001))
    assert choose(f"RTP/AVP/TCP,{udp}") == TransportSpec("tcp", interleaved=(0, 1))
    assert choose(f"RTP/AVP;multicast,RTP/SAVP/TCP,RTP/AVP,{udp}").client_ports == (5000, 5001)


def test_channels_are_chosen_where_none_are_named() -> None:
    assert choose("RTP/AVP/TCP", in_use=(0, 1)).interleaved == (2, 3)
    assert choose("RTP/AVP/TCP", in_use=(1, 2)).interleaved == (4, 5)
    assert choose("RTP/AVP/TCP;interleaved=7-8", in_use=(0, 1)).interleaved == (7, 8)


@pytest.mark.parametrize(
    ("offers", "word"),
    [
        ("", "UDP or TCP"),
        ("RTP/AVP", "client_port"),
        ("RTP/AVP;client_port=0-1", "1024"),
        ("RTP/AVP;client_port=53-5000", "1024"),
        ("RTP/AVP;multicast", "multicast"),
        ("RTP/SAVP/TCP", "SAVP"),
        ("RTP/AVP/TCP;mode=record", "PLAY is"),
        ("RTP/AVP/TCP;interleaved=1-2", "taken"),
        ("RTP/AVP/TCP;interleaved=6-6", "taken"),
    ],
)
def test_why_nothing_can_be_served_is_said(offers: str, word: str) -> None:
    with pytest.raises(UnsupportedTransportError, match=word):
        choose(offers, in_use=(0, 1))


@pytest.mark.parametrize(
    "offer",
    [
        "RTP/AVP/UDP;multicast",
        "RTP/AVP;multicast;mode=PLAY",
        # The group is the server's to choose, whatever a player wishes for.
        "RTP/AVP;multicast;destination=224.2.0.1;port=5000-5001;ttl=16",
        "RTP/AVP;multicast,RTP/AVP/TCP",
        "RTP/AVP/TCP;multicast,RTP/AVP;multicast",
    ],
)
def test_multicast_is_to_be_had_where_it_is_on(offer: str) -> None:
    assert choose(offer, multicast=True) == TransportSpec("udp", multicast=True)


def test_unicast_is_still_what_it_was_where_multicast_is_on() -> None:
    udp = "RTP/AVP;unicast;client_port=5000-5001"
    assert choose(f"{udp},RTP/AVP;multicast", multicast=True).client_ports == (5000, 5001)
    assert choose("RTP/AVP/TCP,RTP/AVP;multicast", multicast=True).interleaved == (0, 1)


@pytest.mark.parametrize(
    ("offer", "mode", "udp", "word"),
    [
        ("RTP/AVP;multicast", "RECORD", True, "received"),
        ("RTP/AVP;multicast", "PLAY", False, "over TLS"),
        ("RTP/AVP/TCP;multicast", "PLAY", True, "over TCP"),
        ("RTP/SAVP;multicast", "PLAY", True, "SAVP"),
        ("RTP/AVP;multicast;mode=record", "PLAY", True, "PLAY is"),
    ],
)
def test_what_cannot_be_had_by_multicast_is_said(
    offer: str, mode: Literal["PLAY", "RECORD"], udp: bool, word: str
) -> None:
    with pytest.raises(UnsupportedTransportError, match=word):
        choose(offer, mode=mode, udp=udp, multicast=True)


def test_channels_run_out() -> None:
    with pytest.raises(UnsupportedTransportError, match="free"):
        choose("RTP/AVP/TCP", in_use=tuple(range(256)))


@pytest.mark.parametrize(
    "destination", ["198.51.100.1", "localhost", "192.0.2.70", "::1", "0.0.0.0", "192.0.2.7.evil"]
)
def test_media_is_never_sent_to_somebody_else(destination: str) -> None:
    with pytest.raises(ForeignDestinationError):
        choose(f"RTP/AVP;client_port=5000-5001;destination={destination}")


@pytest.mark.parametrize(
    ("client_host", "destination"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "FE80:0::1"),
        ("2001:db8::1", "[2001:db8::1]"),
    ],
)
def test_a_destination_that_is_the_players_own_is_fine(client_host: str, destination: str) -> None:
    offer = f"RTP/AVP;client_port=5000-5001;destination={destination}"
    assert choose(offer, client_host=client_host).destination is None
