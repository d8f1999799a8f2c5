"""Two machines with a network between them that is slow, uneven, narrow or loses packets.

The machines are network namespaces, "a" and "b". Each has one TUN device, and a process of its own,
the pump, carries IP packets from the one to the other: what netem does, for kernels without it.

    with impaired_network(delay_s=0.03, jitter_s=0.01, loss=0.03, seed=1) as network:
        network.run_in("a", ["curl", f"http://{network.addresses['b']}"])

Each direction is a `Link` of its own, with its own random numbers, drawn in the order in which
packets come. A packet goes through it like this:

- loss: it is thrown away with the probability `loss`, if its protocol is among `loss_protocols`
  (None: any). TCP repairs its own loss, slowly; who measures datagrams will want `("udp",)`.
- rate: it waits until those before it have left a line of `rate_bps`, and is thrown away where that
  would take more than `MAX_QUEUE_S`.
- delay: then it takes `delay_s`, and evenly spread up to `jitter_s` more or less. Packets overtake
  one another if `reorder`; else none is delivered before those that were sent earlier.

The pump waits in `select` until the next packet is due, which is accurate to a few tenths of a
millisecond; it runs before other processes where it may, and a stream of 3 Mbit/s costs it two per
cent of a core. It ends when its standard input does, so nothing outlives whoever made it. IPv6 is
not carried: its neighbour discovery would draw random numbers, too.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

Machine = Literal["a", "b"]
IpProtocol = Literal["icmp", "tcp", "udp"]

ADDRESSES: dict[Machine, str] = {"a": "10.98.0.1", "b": "10.98.0.2"}
MAX_QUEUE_S = 0.2
"""How much a line with a rate keeps waiting."""
MAX_CARRIED = 10_000
"""Packets under way, in each direction; what comes beyond is lost."""

_ROOT = Path(__file__).parents[2]
_PROTOCOLS: dict[IpProtocol, int] = {"icmp": 1, "tcp": 6, "udp": 17}
_PROTOCOL_AT = 9  # the byte of an IPv4 header that says what is in the packet
_DEVICE = "tun0"
_CLONE_NEWNET = 0x4000_0000
_TUNSETIFF = 0x4004_54CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_numbers = itertools.count()


class CannotImpairError(Exception):
    """Such a network cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What happens to packets on the way, in each direction."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    """How much the delay is more or less."""
    reorder: bool = True
    """Packets may overtake one another where there is jitter."""
    loss: float = 0.0
    """The probability that a packet is lost."""
    loss_protocols: tuple[IpProtocol, ...] | None = None
    """What may be lost; None for everything."""
    rate_bps: float | None = None
    """Bits a second of IP packets; None for no limit."""


@dataclass(slots=True)
class Counts:
    """What has become of the packets of one direction."""

    carried: int = 0
    lost: int = 0
    overflowed: int = 0
    """Thrown away because too much was waiting."""


class Link:
    """One direction: decides about packets. Times in seconds of any steady clock."""

    def __init__(self, impairment: Impairment, seed: int | str) -> None:
        self.impairment = impairment
        self.counts = Counts()
        self._random = random.Random(seed)
        self._free_at = 0.0
        self._last_due = 0.0

    def due(self, packet: bytes, now: float) -> float | None:
        """When a packet that comes now is to be delivered; None for never."""
        wanted = self.impairment
        if wanted.loss and self._can_be_lost(packet) and self._random.random() < wanted.loss:
            self.counts.lost += 1
            return None
        leaves = now
        if wanted.rate_bps:
            leaves = max(now, self._free_at) + 8 * len(packet) / wanted.rate_bps
            if leaves - now > MAX_QUEUE_S:
                self.counts.overflowed += 1
                return None
            self._free_at = leaves
        due = leaves + wanted.delay_s
        if wanted.jitter_s:
            due += self._random.uniform(-wanted.jitter_s, wanted.jitter_s)
        if not wanted.reorder:
            due = self._last_due = max(due, self._last_due)
        self.counts.carried += 1
        return due

    def _can_be_lost(self, packet: bytes) -> bool:
        protocols = self.impairment.loss_protocols
        if protocols is None:
            return True
        return packet[_PROTOCOL_AT] in [_PROTOCOLS[protocol] for protocol in protocols]


class ImpairedNetwork:
    """The two machines, while the network between them lasts."""

    addresses = ADDRESSES

    def __init__(self, namespaces: dict[Machine, str], impairment: Impairment) -> None:
        self.namespaces = namespaces
        self._impairment = impairment
        self._pump: subprocess.Popen[str] | None = None

    def prefix(self, machine: Machine) -> list[str]:
        """What to put before a command that is to run there."""
        return ["ip", "netns", "exec", self.namespaces[machine]]

    def run_in(
        self, machine: Machine, command: Sequence[str], *, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, to its end."""
        return subprocess.run(
            [*self.prefix(machine), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=_ROOT,
        )

    def change(self, **changes: Any) -> None:
        """Change what happens to packets from now on: fields of `Impairment`."""
        self._impairment = replace(self._impairment, **changes)
        self._ask({"change": asdict(self._impairment)})

    def counts(self) -> dict[Machine, Counts]:
        """What has become of the packets that each machine has sent."""
        answer = self._ask({})
        return {"a": Counts(**answer["a"]), "b": Counts(**answer["b"])}

    def start(self, seed: int) -> None:
        """Start the pump."""
        beginning = {
            "namespaces": self.namespaces,
            "impairment": asdict(self._impairment),
            "seed": seed,
        }
        self._pump = subprocess.Popen(
            [sys.executable, __file__, json.dumps(beginning)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def stop(self) -> None:
        """End the pump, if there is one."""
        if self._pump:
            self._pump.communicate(timeout=10)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._pump
        assert self._pump.stdin
        self._pump.stdin.write(json.dumps(question) + "\n")
        self._pump.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._pump
        assert self._pump.stdout
        line = self._pump.stdout.readline()
        if not line:
            raise CannotImpairError(f"the pump has ended with {self._pump.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        if refusal := answer.get("refusal"):
            raise CannotImpairError(refusal)
        return answer


@contextmanager
def impaired_network(
    *,
    delay_s: float = 0.0,
    jitter_s: float = 0.0,
    reorder: bool = True,
    loss: float = 0.0,
    loss_protocols: tuple[IpProtocol, ...] | None = None,
    rate_bps: float | None = None,
    mtu: int = 1500,
    seed: int = 0,
) -> Iterator[ImpairedNetwork]:
    """Two machines and the network between them; see the module and `Impairment`.

    Raises CannotImpairError where namespaces or TUN devices are refused.
    """
    impairment = Impairment(delay_s, jitter_s, reorder, loss, loss_protocols, rate_bps)
    unique = f"{os.getpid()}-{next(_numbers)}"
    names: dict[Machine, str] = {name: f"streamsocket-{name}-{unique}" for name in ADDRESSES}
    with ExitStack() as stack:
        for name in names.values():
            _ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], timeout=10)
        network = ImpairedNetwork(names, impairment)
        stack.callback(network.stop)
        network.start(seed)
        for machine, name in names.items():
            _ip("-n", name, "address", "add", f"{ADDRESSES[machine]}/24", "dev", _DEVICE)
            _ip("-n", name, "link", "set", _DEVICE, "mtu", str(mtu), "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield network


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        raise CannotImpairError("there is no command ip") from None
    if done.returncode:
        raise CannotImpairError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


# The pump's process.


class _Carrier:
    """One direction, from one device to the other, with the packets that are under way."""

    def __init__(self, source: int, target: int, link: Link) -> None:
        self.source = source
        self.link = link
        self._target = target
        self._under_way: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()

    def take(self, now: float) -> None:
        """Take what the device has."""
        while True:
            try:
                packet = os.read(self.source, 65_536)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            due = self.link.due(packet, now)
            if due is not None and len(self._under_way) < MAX_CARRIED:
                heapq.heappush(self._under_way, (due, next(self._order), packet))

    def deliver(self, now: float) -> None:
        """Deliver what is due."""
        while self._under_way and self._under_way[0][0] <= now:
            _, _, packet = heapq.heappop(self._under_way)
            try:
                os.write(self._target, packet)
            except OSError:
                pass  # the device is not up (yet), or full

    @property
    def next_due(self) -> float | None:
        return self._under_way[0][0] if self._under_way else None


def _open_tun(namespace: str) -> int:
    """A new TUN device in a namespace, which this process is in from now on."""
    with open(f"/run/netns/{namespace}") as entrance:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(entrance.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a network namespace cannot be entered")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def _pump(namespaces: dict[Machine, str], impairment: dict[str, Any], seed: int) -> None:
    devices = {machine: _open_tun(name) for machine, name in namespaces.items()}
    a, b = devices["a"], devices["b"]
    carriers = {
        "a": _Carrier(a, b, Link(Impairment(**impairment), f"{seed} a")),
        "b": _Carrier(b, a, Link(Impairment(**impairment), f"{seed} b")),
    }
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        pass  # it is as accurate as others let it be
    _say({})
    while True:
        moments = [each.next_due for each in carriers.values() if each.next_due is not None]
        wait_s = max(0.0, min(moments) - monotonic()) if moments else None
        readable, _, _ = select.select([a, b, sys.stdin], [], [], wait_s)
        now = monotonic()
        for carrier in carriers.values():
            if carrier.source in readable:
                carrier.take(now)
            carrier.deliver(now)
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            if change := json.loads(line).get("change"):
                for carrier in carriers.values():
                    carrier.link.impairment = Impairment(**change)
            _say({machine: asdict(each.link.counts) for machine, each in carriers.items()})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    try:
        _pump(**json.loads(sys.argv[1]))
    except OSError as error:
        _say({"refusal": str(error)})
