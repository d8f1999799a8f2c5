"""The settings of multicast: off at first, and never anywhere but in multicast networks."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from streamsocket.errors import SettingsError
from streamsocket.rtsp.multicast import MulticastOptions
from streamsocket.server_options import rtsp_options
from streamsocket.settings import Settings, Value, load_settings

NETWORK = "239.255.42.0/24"


def loaded(host: str = "127.0.0.1", **multicast: object) -> Settings:
    layer = {("multicast", name): Value(value, name) for name, value in multicast.items()}
    return load_settings({("host",): Value(host, "--host"), **layer}, environ={})


def test_there_is_no_multicast_unless_it_has_a_network() -> None:
    assert rtsp_options(Settings()).multicast is None
    assert rtsp_options(loaded(port=9000)).multicast is None


def test_it_leaves_from_the_servers_address_unless_another_is_named() -> None:
    network = IPv4Network(NETWORK)
    options = rtsp_options(loaded("192.0.2.1", network=NETWORK)).multicast
    assert options == MulticastOptions(network, 8002, 1, "192.0.2.1")
    options = rtsp_options(
        loaded("192.0.2.1", network=NETWORK, port=9000, ttl=16, interface="192.0.2.2")
    ).multicast
    assert options == MulticastOptions(network, 9000, 16, "192.0.2.2")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "2001:db8::1"])
def test_where_the_server_has_no_single_address_the_system_chooses(host: str) -> None:
    options = rtsp_options(loaded(host, network=NETWORK)).multicast
    assert options
    assert options.interface is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("network", "192.0.2.0/24", "network: 192.0.2.0/24 is no network of multicast groups"),
        ("network", "224.0.0.0/3", "network: 224.0.0.0/3 is no network of multicast groups"),
        ("network", "ff05::/64", "choose one of IPv4"),
        ("network", "239.255.42.1/24", "network: '239.255.42.1/24' is no network such as"),
        ("network", "everywhere", "'everywhere' is no network such as 239.255.42.0/24"),
        ("port", 8003, "port should be even"),
        ("port", 80, "port should be greater than or equal to 1024"),
        ("ttl", 256, "ttl should be less than or equal to 255"),
        ("interface", "eth0", "interface: 'eth0' is no IPv4 address of this machine"),
        ("interface", "239.1.1.1", "no address that a single interface has"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(name: str, value: object, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(**{name: value})
    assert words in str(caught.value)
