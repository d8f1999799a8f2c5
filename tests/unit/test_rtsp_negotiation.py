"""Which transport a track gets, and whom media is never sent to."""

from __future__ import annotations

import pytest

from streamsocket.rtsp.headers import TransportSpec, parse_transport
from streamsocket.rtsp.negotiation import (
    ForeignDestinationError,
    UnsupportedTransportError,
    choose_transport,
)


def choose(
    offers: str, *, client_host: str = "192.0.2.7", in_use: tuple[int, ...] = ()
) -> TransportSpec:
    return choose_transport(
        parse_transport(offers), client_host=client_host, channels_in_use=in_use
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
