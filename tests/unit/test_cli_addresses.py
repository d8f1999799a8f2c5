"""Which addresses others are told."""

from __future__ import annotations

import ipaddress

import pytest

from streamsocket.cli import addresses
from streamsocket.cli.addresses import is_loopback, reachable_hosts


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = ["10.0.0.5", "127.0.0.1", "fe80::1", "2001:db8::5", "10.0.0.5", "169.254.1.1", "::1"]
    monkeypatch.setattr(addresses, "_addresses", lambda: found)
    return found


def test_a_wildcard_stands_for_what_others_can_use(machine: list[str]) -> None:
    assert reachable_hosts("0.0.0.0") == ["10.0.0.5"]
    assert reachable_hosts("::") == ["10.0.0.5", "2001:db8::5"]


def test_a_machine_without_a_network_has_its_loopback_left(machine: list[str]) -> None:
    machine.clear()
    assert reachable_hosts("0.0.0.0") == ["127.0.0.1"]
    assert reachable_hosts("::") == ["::1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "camera.example", "::1"])
def test_a_host_given_by_name_or_number_is_told_as_it_is(host: str) -> None:
    assert reachable_hosts(host) == [host]


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("camera.example", False),
    ],
)
def test_what_is_loopback(host: str, only_here: bool) -> None:
    assert is_loopback(host) == only_here


def test_what_this_machine_tells_are_addresses() -> None:
    found = addresses._addresses()
    assert all(ipaddress.ip_address(address) for address in found)
