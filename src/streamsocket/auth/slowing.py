"""Who guesses passwords has to wait, longer each time; nobody else does."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass

from streamsocket.auth.users import MAX_NAME

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 4.0
LONGEST_WAIT_S = 8.0
FORGOTTEN_AFTER_S = 300.0
MAX_REMEMBERED = 10_000
MAX_NAMES_PER_ADDRESS = 32


_Key = tuple[str, str]


@dataclass(slots=True)
class _Attempts:
    failed: int
    """How many went wrong, or are not known yet to have gone right."""
    next_at: float
    """When the next one may be made."""


class Slowing:
    """The rules, without a clock: `now` is one that only goes forward, the same at every call.

    An attempt counts as failed from its beginning until it has `succeeded`, so that many at once
    are no way around. What is remembered is bounded: the oldest is forgotten first. An address
    that comes with very many names has what is beyond them counted as one name, so that it can
    neither go on for ever nor make the others' be forgotten.
    """

    def __init__(self) -> None:
        self._attempts: OrderedDict[_Key, _Attempts] = OrderedDict()
        self._names: Counter[str] = Counter()

    def begin(self, host: str, user: str, now: float) -> float | None:
        """Note an attempt, and return in how many seconds it may be made; 0 for the first.

        None: too many wait already, the attempt must not be made at all.
        """
        self._forget_old(now)
        key = _key(host, user)
        if key not in self._attempts and self._names[key[0]] >= MAX_NAMES_PER_ADDRESS:
            key = key[0], ""
        attempts = self._attempts.get(key)
        if attempts is None:
            attempts = self._attempts[key] = _Attempts(0, now)
            self._names[key[0]] += 1
        start = max(now, attempts.next_at)
        if start - now > LONGEST_WAIT_S:
            return None
        delay = FIRST_DELAY_S * 2.0 ** min(attempts.failed, 10)
        attempts.failed += 1
        attempts.next_at = start + min(delay, LONGEST_DELAY_S)
        self._attempts.move_to_end(key)
        return start - now

    def succeeded(self, host: str, user: str) -> None:
        """The attempt was good: all that went wrong before is forgiven."""
        self._forget(_key(host, user))

    def __len__(self) -> int:
        return len(self._attempts)

    def _forget_old(self, now: float) -> None:
        while self._attempts:
            key, oldest = next(iter(self._attempts.items()))
            if len(self) < MAX_REMEMBERED and now - oldest.next_at <= FORGOTTEN_AFTER_S:
                return
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        if self._attempts.pop(key, None):
            self._names[key[0]] -= 1
            if not self._names[key[0]]:
                del self._names[key[0]]


def _key(host: str, user: str) -> _Key:
    return network(host), user[: MAX_NAME + 1]


def network(host: str) -> str:
    """What counts as one address: of IPv6 the first half, since one household has the rest."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


def is_loopback(host: str) -> bool:
    """Whether that is this machine."""
    try:
        return ipaddress.ip_address(network(host)).is_loopback or host.partition("%")[0] == "::1"
    except ValueError:
        return False
