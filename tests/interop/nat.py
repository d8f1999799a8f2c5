"""Two machines with a router between them that hides the one from the other (RFC 4787).

The machines are network namespaces: a client's, at `CLIENT`, a server's, at `SERVER`, and the
router's. The server has no way to the client's address; who it sees is the router.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

CLIENT, SERVER = "192.168.177.2", "10.97.0.2"
_INSIDE, _OUTSIDE = "192.168.177.1", "10.97.0.1"
_numbers = itertools.count()


class CannotHideError(Exception):
    """Such a network cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class NatNetwork:
    """The network's two machines, by the names of their namespaces."""

    client: str
    server: str

    def prefix(self, namespace: str) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", namespace]


@contextmanager
def nat_network() -> Iterator[NatNetwork]:
    """Make the network. Raises CannotHideError where that is refused."""
    unique = f"{os.getpid()}-{next(_numbers)}"
    client, router, server = (f"streamsocket-{n}-{unique}" for n in ("client", "nat", "world"))
    with ExitStack() as stack:
        for name in (client, router, server):
            _run("ip", "netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], timeout=10)
        for machine, device, address, port, gateway in (
            (client, "home0", CLIENT, "inside0", _INSIDE),
            (server, "world0", SERVER, "outside0", _OUTSIDE),
        ):
            ends = ("netns", machine, "type", "veth", "peer", "name", port, "netns", router)
            _run("ip", "link", "add", device, *ends)
            for namespace, name, own in ((machine, device, address), (router, port, gateway)):
                _run("ip", "-n", namespace, "address", "add", f"{own}/24", "dev", name)
                _run("ip", "-n", namespace, "link", "set", name, "up")
                _run("ip", "-n", namespace, "link", "set", "lo", "up")
        _run("ip", "-n", client, "route", "add", "default", "via", _INSIDE)
        inside = ("ip", "netns", "exec", router)
        _run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        masquerade = ("-A", "POSTROUTING", "-o", "outside0", "-j", "MASQUERADE")
        _run(*inside, "iptables", "-t", "nat", *masquerade)
        yield NatNetwork(client, server)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        raise CannotHideError(f"there is no command {command[0]}") from None
    if done.returncode:
        raise CannotHideError(f"{' '.join(command)}: {done.stderr.strip()}")
