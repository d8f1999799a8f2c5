"""The impaired network does what it says, and nothing else."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NoReturn

import pytest
from tests.interop.impaired import (
    MAX_QUEUE_S,
    CannotImpairError,
    ImpairedNetwork,
    Impairment,
    Link,
    impaired_network,
)

UDP_PACKET = bytes([0x45, *bytes(8), 17]) + bytes(990)
TCP_PACKET = bytes([0x45, *bytes(8), 6]) + bytes(990)

_ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], 9))
    server.settimeout(10)
    print("ready", flush=True)
    while True:
        data, sender = server.recvfrom(2000)
        if data == b"end":
            break
        server.sendto(data, sender)
"""

# Sends numbered datagrams, a millisecond apart, and writes down which come back, and when.
_ASK = """
import json, socket, sys, time
address, count = (sys.argv[1], 9), int(sys.argv[2])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.setblocking(False)
    sent, came, began = [], [], time.monotonic()
    while len(sent) < count or time.monotonic() < sent[-1] + 0.3:
        if len(sent) < count and time.monotonic() >= began + 0.001 * len(sent):
            sent.append(time.monotonic())
            client.sendto((len(sent) - 1).to_bytes(4, "big") + bytes(1196), address)
        try:
            number = int.from_bytes(client.recv(2000)[:4], "big")
            came.append((number, time.monotonic() - sent[number]))
        except BlockingIOError:
            time.sleep(0.0002)
    client.sendto(b"end", address)
print(json.dumps(came))
"""


@pytest.fixture
def network(
    request: pytest.FixtureRequest, cannot_test: Callable[[str], NoReturn]
) -> Iterator[ImpairedNetwork]:
    try:
        with impaired_network(**request.param) as made:
            yield made
    except CannotImpairError as refusal:
        cannot_test(f"an impaired network, as it can't be made here ({refusal})")


def impaired(**impairment: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("network", [impairment], indirect=True)


def echoes(network: ImpairedNetwork, count: int) -> list[tuple[int, float]]:
    """Which of so many datagrams came back from "b", in that order, and after how long."""
    echo = subprocess.Popen(
        [*network.prefix("b"), sys.executable, "-c", _ECHO, network.addresses["b"]],
        stdout=subprocess.PIPE,
    )
    assert echo.stdout
    assert echo.stdout.readline()
    try:
        done = network.run_in(
            "a", [sys.executable, "-c", _ASK, network.addresses["b"], str(count)], timeout_s=20
        )
        assert done.returncode == 0, done.stderr
    finally:
        network.change(loss=0.0)
        echo.kill()
        echo.communicate()
    return [(number, seconds) for number, seconds in json.loads(done.stdout)]


@impaired(delay_s=0.03)
def test_every_packet_takes_as_long_as_it_should(network: ImpairedNetwork) -> None:
    came = echoes(network, 300)
    assert [number for number, _ in came] == list(range(300))
    assert min(seconds for _, seconds in came) >= 0.06
    assert statistics.median(seconds for _, seconds in came) < 0.062


@impaired(delay_s=0.02, jitter_s=0.01, loss=0.1, loss_protocols=("udp",), seed=7)
def test_packets_are_lost_delayed_and_reordered_at_random(network: ImpairedNetwork) -> None:
    came = echoes(network, 1000)
    counts = network.counts()
    # 19 % of the round trips, as each way loses 10 %; four standard deviations to each side.
    assert 140 < 1000 - len(came) < 240
    assert 60 < counts["a"].lost < 140
    assert 50 < counts["b"].lost < 132
    seconds = [each for _, each in came]
    assert 0.02 <= min(seconds) < 0.03
    assert statistics.median(seconds) == pytest.approx(0.04, abs=0.003)
    assert max(seconds) > 0.05
    assert sum(after < before for (before, _), (after, _) in pairwise(came)) > 100


@impaired(delay_s=0.02, jitter_s=0.01, reorder=False)
def test_without_reordering_nothing_overtakes(network: ImpairedNetwork) -> None:
    came = echoes(network, 500)
    assert [number for number, _ in came] == list(range(500))
    assert max(seconds for _, seconds in came) - min(seconds for _, seconds in came) > 0.01


@impaired(delay_s=0.005)
def test_it_costs_little(network: ImpairedNetwork) -> None:
    """1,000 datagrams of 1,200 bytes there and back within a second: 9.6 Mbit/s each way."""
    assert network._pump
    before = _cpu_s(network._pump.pid)
    began = time.monotonic()
    echoes(network, 1000)
    share = (_cpu_s(network._pump.pid) - before) / (time.monotonic() - began)
    assert share < 0.25


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_only_what_may_be_lost_is_lost() -> None:
    link = Link(Impairment(loss=1.0, loss_protocols=("udp",)), seed=1)
    assert link.due(UDP_PACKET, 0.0) is None
    assert link.due(TCP_PACKET, 0.0) == 0.0
    assert Link(Impairment(loss=1.0), seed=1).due(TCP_PACKET, 0.0) is None


def test_the_same_seed_loses_the_same_packets() -> None:
    def lost(seed: int) -> list[bool]:
        link = Link(Impairment(loss=0.5), seed)
        return [link.due(UDP_PACKET, 0.0) is None for _ in range(100)]

    assert lost(1) == lost(1) != lost(2)


def test_a_line_with_a_rate_lets_packets_wait_and_overflows() -> None:
    link = Link(Impairment(delay_s=1.0, rate_bps=80_000), seed=1)
    assert [link.due(UDP_PACKET, 5.0), link.due(UDP_PACKET, 5.0)] == pytest.approx([6.1, 6.2])
    assert link.due(UDP_PACKET, 5.0) is None  # it would have to wait for 0.3 s
    assert MAX_QUEUE_S == 0.2
    assert link.counts.overflowed == 1
    assert link.due(UDP_PACKET, 5.1) == pytest.approx(6.3)
