"""The addresses at which others can reach this machine, from the standard library alone."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from pathlib import Path

_IPV6_TABLE = Path("/proc/net/if_inet6")
_SIOCGIFADDR = 0x8915  # linux/sockios.h
# linux/if_addr.h: deprecated, tentative, or somebody else's after all.
_UNUSABLE_IPV6 = 0x20 | 0x40 | 0x08

# Addresses for documentation (RFC 5737, RFC 3849): no packet is sent to them, connecting a UDP
# socket only asks the routing table which of our addresses would be used.
_ANYWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def reachable_hosts(host: str) -> list[str]:
    """Return what to write in a URL for a server that listens on `host`, the best first.

    A wildcard address stands for all addresses of this machine that others can use; it gives
    `127.0.0.1` or `::1` where there is none. Everything else is returned as it is.
    """
    if host not in ("0.0.0.0", "::"):
        return [host]
    addresses = _usable(_addresses())
    if host == "0.0.0.0":
        addresses = [address for address in addresses if address.version == 4]
    return [str(address) for address in addresses] or ["127.0.0.1" if host == "0.0.0.0" else "::1"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _usable(found: list[str]) -> list[IpAddress]:
    """Those that other machines can use, each once, in the order found."""
    addresses = dict.fromkeys(map(ipaddress.ip_address, found))
    return [
        address
        for address in addresses
        if not (address.is_loopback or address.is_link_local or address.is_unspecified)
    ]


def _addresses() -> list[str]:
    """All addresses that can be found out: that of the default route, interfaces', the name's."""
    return [*_default_route(), *_linux_ipv4(), *_linux_ipv6(), *_by_own_name()]


def _default_route() -> list[str]:
    found = []
    for family, anywhere in _ANYWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            found.append(probe.getsockname()[0])
    return found


def _linux_ipv4() -> list[str]:
    """The IPv4 address of each interface (netdevice(7))."""
    try:
        from fcntl import ioctl
    except ImportError:
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):  # an interface without an address, or no Linux
                answer = ioctl(probe, _SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _linux_ipv6() -> list[str]:
    """The global IPv6 addresses: address, interface, prefix, scope, flags and name a line."""
    found = []
    with contextlib.suppress(OSError):
        for line in _IPV6_TABLE.read_text().splitlines():
            address, _, _, _, flags, _ = line.split()
            if not int(flags, 16) & _UNUSABLE_IPV6:
                found.append(str(ipaddress.IPv6Address(int(address, 16))))
    return found


def _by_own_name() -> list[str]:
    """What this machine's name resolves to: all there is on macOS and Windows, and there enough."""
    with contextlib.suppress(OSError):
        entries = socket.getaddrinfo(socket.gethostname(), None)
        return [str(entry[4][0]).partition("%")[0] for entry in entries]
    return []
