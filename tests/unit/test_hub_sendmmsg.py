"""Many sends in one system call, on loopback."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from streamsocket.hub.sendmmsg import MAX_MESSAGES, ManySends, address_of

if sys.platform != "linux":
    pytest.skip("sendmmsg is Linux's", allow_module_level=True)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class Receivers:
    """Sockets on loopback, and one to send from."""

    def __init__(self, family: int, count: int) -> None:
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self.sending = self._bound(family, host)
        self.many = ManySends(self.sending)
        self.sockets = [self._bound(family, host) for _ in range(count)]
        self.names = [self.many.name(each.getsockname()) for each in self.sockets]

    @staticmethod
    def _bound(family: int, host: str) -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((host, 0))
        made.settimeout(2)
        return made

    def close(self) -> None:
        for each in (self.sending, *self.sockets):
            each.close()


@pytest.fixture
def receivers(family: int) -> Iterator[Receivers]:
    made = Receivers(family, MAX_MESSAGES)
    yield made
    made.close()


def test_everybody_gets_what_is_theirs(receivers: Receivers) -> None:
    memory = bytearray(b"".join(b"%3d" % number * 100 for number in range(MAX_MESSAGES)))
    sent = receivers.many.send(receivers.names, address_of(memory), 300, 300, 120)
    assert sent == MAX_MESSAGES
    for number, each in enumerate(receivers.sockets):
        expected = b"%3d" % number * 100
        assert [each.recv(2000) for _ in range(3)] == [
            expected[:120], expected[120:240], expected[240:]
        ]  # fmt: skip


def test_the_same_may_go_to_all(receivers: Receivers) -> None:
    memory = bytearray(b"the same for all")
    for part in (receivers.names[:5], receivers.names[5:7]):
        assert receivers.many.send(part, address_of(memory), 0, 16, 16) == len(part)
    assert {each.recv(2000) for each in receivers.sockets[:7]} == {b"the same for all"}


def test_memory_of_another_size_is_laid_out_anew(receivers: Receivers) -> None:
    for size in (100, 50, 100):
        memory = bytearray(bytes([size]) * size * 2)
        assert receivers.many.send(receivers.names[:2], address_of(memory), size, size, size) == 2
        assert {each.recv(2000) for each in receivers.sockets[:2]} == {bytes([size]) * size}


def test_who_is_refused_ends_the_call(receivers: Receivers) -> None:
    host = receivers.sending.getsockname()[0]
    nowhere = receivers.many.name((host, 0))  # there is no port 0
    memory = bytearray(b"hello")
    names = [*receivers.names[:2], nowhere, receivers.names[2]]
    assert receivers.many.send(names, address_of(memory), 0, 5, 5) == 2
    assert receivers.many.send(names[2:], address_of(memory), 0, 5, 5) == 0


def test_what_is_no_address_has_no_name(receivers: Receivers, family: int) -> None:
    assert receivers.many.name(("localhost", 80)) == b""
    size = 28 if family == socket.AF_INET6 else 16
    assert {len(name) for name in receivers.names} == {size}


def test_other_systems_have_no_such_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsocket.hub.sendmmsg.sys.platform", "darwin")
    from streamsocket.hub import sendmmsg

    sendmmsg._system_call.cache_clear()
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with own, pytest.raises(OSError, match="Linux"):
        ManySends(own)
