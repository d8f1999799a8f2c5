"""Who may do what: the one place that all protocols ask."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from streamsocket.auth.passwords import verify_password
from streamsocket.auth.slowing import Slowing, is_loopback, network
from streamsocket.auth.users import ANYBODY, Action, User, common_algorithms, harmless
from streamsocket.errors import StreamSocketError

MAX_WAITING = 256
MAX_WAITING_PER_ADDRESS = 16

# How long a password that was right is known without another 50 ms of work.
_REMEMBERED_S = 300.0
_MAX_REMEMBERED = 256

_LINES_PER_SECOND = 10

_log = logging.getLogger("streamsocket.auth")


class AccessDeniedError(StreamSocketError):
    """Somebody may not do what they ask for. The sentence may be shown to them."""

    def __init__(self, message: str, *, ask: bool) -> None:
        super().__init__(message)
        self.ask = ask
        """Whether a name and a password, or better ones, would help: 401 rather than 403."""


class Access:
    """Users, and what is allowed without being one.

    Belongs to one event loop; only hashing happens elsewhere, in one thread: each takes 50 ms, and
    what has many at once to do is an attack, which shall not have all processors.
    """

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = {name: user for name, user in users.items() if name != ANYBODY}
        self._anybody = users.get(ANYBODY)
        self._open = not users
        self._slowing = Slowing()
        self._hashing = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._checks: dict[bytes, asyncio.Task[User]] = {}
        self._waiting: Counter[str] = Counter()
        self._second = self._logged = self._unlogged = 0
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self.digest_algorithms = common_algorithms(self._users.values())
        """Digest's hashes to offer, as `ServerAuthentication` wants them."""

    def close(self) -> None:
        """End the thread, which may have one hash to finish; who still waits is cancelled."""
        for check in self._checks.values():
            check.cancel()
        self._thread.shutdown(cancel_futures=True)

    def user(self, name: str) -> User | None:
        """The user of that name, who has a password."""
        return self._users.get(name)

    # What may be done.

    def anonymous_may(self, action: Action, stream: str, host: str) -> bool:
        """Whether it may be done from that address without a name and a password.

        As long as there are no users: from this machine everything, from elsewhere only watching.
        Once there are: what the entry `any` permits, and nothing without one.
        """
        if self._open:
            return action == "watch" or is_loopback(host)
        return self._anybody is not None and self._anybody.permissions.allow(action, stream)

    def require(self, action: Action, stream: str, host: str, user: User | None) -> None:
        """Raise `AccessDeniedError` unless that user, or anybody, may do it."""
        if user is not None and user.permissions.allow(action, stream):
            return
        if self.anonymous_may(action, stream, host):
            return
        what = f"{action} '{harmless(stream)}'"
        if user is not None:
            _log.warning("%s may not %s, from %s", user.name, what, host)
            raise AccessDeniedError(
                f"'{user.name}' may not {what}: it is not in the user's {action} setting.",
                ask=False,
            )
        if self._users:
            raise AccessDeniedError(f"To {what}, log in.", ask=True)
        _log.warning("nobody may %s from %s", what, host)
        if not self._open:
            raise AccessDeniedError(f"Nobody may {what} here.", ask=False)
        raise AccessDeniedError(
            f"To {what} from another machine, the server needs users: run "
            "'streamsocket auth hash NAME --publish \"*\"' there and put what it prints into "
            "streamsocket.toml.",
            ask=False,
        )

    async def admit(
        self, action: Action, stream: str, host: str, user: str | None, password: str | None
    ) -> None:
        """Check name and password, if there are any, and whether it may be done.

        What anybody may do needs no password, thus not even the right one. Raises
        `AccessDeniedError`.
        """
        if self.anonymous_may(action, stream, host):
            return
        known = None
        if user and self._users:
            known = await self.by_password(user, password or "", host)
        self.require(action, stream, host, known)

    # Who somebody is.

    async def by_password(self, user: str, password: str, host: str) -> User:
        """The user, if that is the password. Raises `AccessDeniedError`.

        Takes as long as a hash does, and seconds more after wrong passwords for this user from
        this address. Many with the same password at once share one check. One that was right is
        remembered for five minutes, so that reconnecting costs nothing: not the password, but a
        keyed hash of it, with a key that never leaves this object. Who could read both could read
        the next password that comes in as well.
        """
        secret = f"{user}\0{password}".encode("utf-8", "surrogatepass")
        secret_hash = hmac.digest(self._key, secret, hashlib.sha256)
        key = hmac.digest(secret_hash, network(host).encode("utf-8", "replace"), hashlib.sha256)
        check = self._checks.get(key)
        if check is None:
            delay = self._begin(host, user)
            check = asyncio.create_task(self._check(user, password, host, secret_hash, delay))
            self._checks[key] = check
            check.add_done_callback(lambda check: self._end_check(key, host, check))
        return await asyncio.shield(check)

    async def by_digest(self, user: str, verified: User | None, host: str) -> User:
        """Return `verified`, the outcome of a Digest, as slowly as a password would have been.

        None stands for a failure, and is raised as `AccessDeniedError`. The outcome must not show
        before: it is by waiting for it that guessing becomes slow.
        """
        delay = self._begin(host, user)
        try:
            if delay:
                await asyncio.sleep(delay)
        finally:
            self._end(host)
        return self._concluded(user, verified, host)

    async def _check(
        self, user: str, password: str, host: str, secret_hash: bytes, delay: float
    ) -> User:
        if delay:
            await asyncio.sleep(delay)
        known = self._users.get(user)
        async with self._hashing:  # who waited here may find that the work has been done
            if known is None or self._remembered.get(secret_hash, 0.0) < time.monotonic():
                right = await asyncio.get_running_loop().run_in_executor(
                    self._thread,
                    verify_password,
                    known.password_hash if known else None,
                    password,
                )
                if right:
                    self._remember(secret_hash)
                else:
                    known = None
        return self._concluded(user, known, host)

    def _concluded(self, user: str, known: User | None, host: str) -> User:
        if known is None:
            self._complain("wrong name or password for '%s' from %s", user, host)
            raise AccessDeniedError("The name or the password is wrong.", ask=True)
        self._slowing.succeeded(host, user)
        return known

    def _remember(self, secret_hash: bytes) -> None:
        self._remembered[secret_hash] = time.monotonic() + _REMEMBERED_S
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _begin(self, host: str, user: str) -> float:
        """Take one of the places for those who wait, and return for how long; or refuse."""
        address = network(host)
        delay = None
        if self._waiting.total() < MAX_WAITING and self._waiting[address] < MAX_WAITING_PER_ADDRESS:
            delay = self._slowing.begin(host, user, time.monotonic())
        if delay is None:
            self._complain("too many logins at once: refused '%s' from %s", user, host)
            raise AccessDeniedError("Too many are logging in at once: try again later.", ask=False)
        self._waiting[address] += 1
        return delay

    def _complain(self, message: str, user: str, host: str) -> None:
        """Log who failed to log in; a flood of them is no flood of lines."""
        second = int(time.monotonic())
        if second != self._second:
            if self._unlogged:
                _log.warning("%d more logins failed", self._unlogged)
            self._second, self._logged, self._unlogged = second, 0, 0
        if self._logged < _LINES_PER_SECOND:
            self._logged += 1
            _log.warning(message, harmless(user), host)
        else:
            self._unlogged += 1

    def _end(self, host: str) -> None:
        address = network(host)
        self._waiting[address] -= 1
        if not self._waiting[address]:
            del self._waiting[address]

    def _end_check(self, key: bytes, host: str, check: asyncio.Task[User]) -> None:
        del self._checks[key]
        self._end(host)
        if not check.cancelled():
            check.exception()  # nobody may be left to hear of it
