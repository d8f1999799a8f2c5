"""An ICE-lite agent (RFC 8445, 2.5): it has addresses everybody can reach, and answers checks.

`IceLite` is one peer: its credentials, the paths its checks came by and the one media goes by.
`ice_table` finds it among all the peers of a port.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from streamsocket.errors import ParseError
from streamsocket.webrtc import stun
from streamsocket.webrtc.stun import MessageClass, StunMessage

CONSENT_S = 30.0
"""For so long a check allows to send media by the path it came by (RFC 7675, 5.1)."""
FIRST_CHECK_S = 30.0
"""So long a peer has from our answer on until its first check."""
MAX_PATHS = 16
"""Paths of one peer; past them the one checked longest ago is forgotten."""

# An agent of RFC 5245 may nominate all pairs at once and mean the one of the highest priority. One
# of RFC 8445 nominates the pair that it means. Both are understood if the priority counts only
# while nominations are so close together.
_NOMINATING_S = 3.0
# Peers check the path they use at least every 6 s (RFC 7675, 5.1). One that was silent for longer
# is left for another nominated one, before consent for it runs out.
_SILENT_S = 10.0

# By the RFC only letters, digits, + and /; some peers take others of ASCII.
_UFRAG = re.compile(r"[!-9;-~]{4,256}")
_PASSWORD = re.compile(r"[!-~]{22,256}")

Owner = TypeVar("Owner")

Path = tuple[Any, ...]
"""How a peer is reached. For UDP the address as the socket tells it; for TCP host and port with the
connection (`tcp.TcpPath`). Only host and port, the first two, are looked into."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A username fragment and its password (RFC 8445, 5.3)."""

    ufrag: str
    password: str

    def __post_init__(self) -> None:
        if not _UFRAG.fullmatch(self.ufrag):
            raise ParseError(
                f"The ICE username fragment {self.ufrag[:40]!r} is not one of 4 to 256 characters "
                "(RFC 8839, 5.4)."
            )
        if not _PASSWORD.fullmatch(self.password):
            raise ParseError("The ICE password is not one of 22 to 256 characters (RFC 8839, 5.4).")

    @classmethod
    def generate(cls) -> Credentials:
        """Make new ones: 48 bits of username, 144 bits of password."""
        return cls(secrets.token_hex(6), secrets.token_hex(18))


@dataclass(slots=True)
class _Seen:
    """A path by which a check of the peer came."""

    generation: int
    """Which credentials the check was made with: 1 more at each restart."""
    checked: float
    priority: int = 0
    nominated: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check led to."""

    reply: bytes
    """To be sent back the way the check came."""
    refused: str | None = None
    """Why, where the reply is an error."""
    valid: bool = False
    """The path may be used: media that comes by it is the peer's."""
    moved: bool = False
    """Media goes by another path now: `IceLite.path`."""


class IceLite(Generic[Owner]):
    """One peer, as seen by an agent that never checks by itself and always is the controlled one.

    The peer connects to us: nothing has to be known of its candidates, and nothing of its
    credentials. Media goes by the pair it nominated last: whoever sends looks at `path` each time.
    """

    def __init__(
        self,
        owner: Owner,
        now: float,
        local: Credentials | None = None,
        remote: Credentials | None = None,
    ) -> None:
        """`owner` is whatever is to be found by the peer's packets: a session."""
        self.owner = owner
        self.remote = remote
        """The peer's credentials, by which an offer that restarts ICE is known."""
        self._local = {0: local or Credentials.generate()}
        """By generation: the newest and, until a pair of it is nominated, the one before."""
        self._paths: dict[Path, _Seen] = {}
        self._selected: Path | None = None
        self._deadline = now + FIRST_CHECK_S
        self._nominated_at: float | None = None

    @property
    def local(self) -> Credentials:
        """Ours: the newest, which are to be told to the peer."""
        return self._local[max(self._local)]

    @property
    def ufrags(self) -> list[str]:
        """The username fragments that checks may have now."""
        return [credentials.ufrag for credentials in self._local.values()]

    @property
    def path(self) -> Path | None:
        """Where media goes; None while there is no way.

        It is the pair that was nominated. Browsers begin before they nominate, as they may
        (RFC 8445, 12.1), and nominate seconds later: until then it is the one of the highest
        priority by which a check came.
        """
        return self._selected

    @property
    def paths(self) -> list[Path]:
        """Where the peer's packets may come from. Answers to DTLS go back the way it came."""
        return list(self._paths)

    def heard(self, path: Path, now: float) -> None:
        """A packet that SRTP vouches for came by this path: as good a sign as a check.

        For publishers, to whom hardly anything is sent that wants their consent: the first versions
        of FFmpeg's check once and never again.
        """
        if path in self._paths:
            self._paths[path].checked = now

    def expired(self, now: float) -> bool:
        """Whether the peer is gone: it never came, or gave no consent for 30 s.

        Forgets the paths that consent ran out for (RFC 7675, 5.1).
        """
        for path in [p for p, seen in self._paths.items() if now - seen.checked >= CONSENT_S]:
            self.forget(path)
        if self._selected is not None:
            return False
        return now >= self._deadline

    def forget(self, path: Path) -> bool:
        """A path is no more: its TCP connection ended. Returns whether media has to move."""
        seen = self._paths.pop(path, None)
        if seen is None or path != self._selected:
            return False
        self._selected = max(
            self._paths,
            key=lambda p: (self._paths[p].nominated, self._paths[p].checked),
            default=None,
        )
        if self._selected is None:
            # It may come by another way, as one whose TCP connection broke does. But consent was
            # given by the last check, and no longer than for its 30 s.
            self._deadline = seen.checked + CONSENT_S
        return True

    def restart(self, remote: Credentials | None = None) -> Credentials:
        """Begin an ICE restart (RFC 8445, 9); returns our new credentials.

        The old ones are good until the peer nominates a pair with the new. A restart that never
        got that far is replaced.
        """
        self.remote = remote
        generations = sorted(self._local)
        current = next((n for n in generations if self._uses(n)), generations[0])
        self._local = {
            current: self._local[current],
            generations[-1] + 1: Credentials.generate(),
        }
        return self.local

    def _uses(self, generation: int) -> bool:
        return any(seen.generation == generation for seen in self._paths.values())

    def check(
        self, data: bytes | memoryview, request: StunMessage, path: Path, now: float
    ) -> Checked:
        """Answer a binding request whose username begins with one of `ufrags`."""
        ufrag = (request.username or "").partition(":")[0]
        generation = next(n for n, local in self._local.items() if local.ufrag == ufrag)
        password = self._local[generation].password
        try:
            stun.check_integrity(data, password)
        except stun.IntegrityError:
            return _refusal(request, stun.UNAUTHENTICATED, "Unauthenticated", None)
        if request.not_understood:
            return _refusal(request, stun.UNKNOWN_ATTRIBUTE, "Unknown Attribute", password)
        if request.ice_controlled is not None:
            # An agent that isn't lite has to control one that is (RFC 8445, 6.1.1).
            return _refusal(request, stun.ROLE_CONFLICT, "Role Conflict", password)
        before = self._selected
        self._saw(request, generation, path, now)
        answer = StunMessage(
            MessageClass.SUCCESS,
            request.transaction_id,
            mapped_address=(_unmapped(path[0]), path[1]),
        )
        reply = stun.build(answer, password)
        return Checked(reply, valid=True, moved=self._selected != before)

    def _saw(self, request: StunMessage, generation: int, path: Path, now: float) -> None:
        seen = self._paths.get(path)
        if seen is None:
            if len(self._paths) >= MAX_PATHS:
                others = (p for p in self._paths if p != self._selected)
                del self._paths[min(others, key=lambda p: self._paths[p].checked)]
            seen = self._paths[path] = _Seen(generation, now)
        if generation > seen.generation:
            seen.generation, seen.nominated = generation, False
        seen.checked = now
        seen.priority = request.priority or 0
        if request.use_candidate:
            seen.nominated = True
            self._nominate(path, seen, now)
        elif self._better(path, seen, now):
            self._selected = path

    def _better(self, path: Path, seen: _Seen, now: float) -> bool:
        """Whether a check that nominates nothing moves media to the path it came by."""
        if self._selected is None:
            return True
        selected = self._paths[self._selected]
        if self._nominated_at is None:
            return seen.priority > selected.priority
        return seen.nominated and self._selected_is_silent(now)

    def _nominate(self, path: Path, seen: _Seen, now: float) -> None:
        newest = seen.generation == max(self._local)
        if newest and len(self._local) > 1:
            # The restart is done: what the old credentials found is over (RFC 8445, 9).
            self._local = {seen.generation: self._local[seen.generation]}
            self._keep(p for p, other in self._paths.items() if other.generation == seen.generation)
            self._selected = self._nominated_at = None
        if self._selected is None or self._nominated_at is None:
            self._selected, self._nominated_at = path, now
        elif (
            now - self._nominated_at >= _NOMINATING_S
            or seen.priority >= self._paths[self._selected].priority
            or self._selected_is_silent(now)
        ):
            self._selected = path

    def _keep(self, paths: Iterable[Path]) -> None:
        self._paths = {path: self._paths[path] for path in list(paths)}

    def _selected_is_silent(self, now: float) -> bool:
        if self._selected is None:
            return True
        return now - self._paths[self._selected].checked >= _SILENT_S


def _refusal(request: StunMessage, code: int, reason: str, password: str | None) -> Checked:
    error = StunMessage(
        MessageClass.ERROR,
        request.transaction_id,
        error_code=code,
        reason=reason,
        unknown_attributes=request.not_understood if code == stun.UNKNOWN_ATTRIBUTE else (),
    )
    return Checked(stun.build(error, password), refused=reason)


def _unmapped(host: str) -> str:
    """A socket for both families shows IPv4 addresses as IPv6's; their owner doesn't know them."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host
