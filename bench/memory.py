"""Memory: what a viewer costs, and whether sessions that come and go leave anything behind.

What the kernel keeps in socket buffers is its own and not counted.
"""

from __future__ import annotations

import time

from bench.crowd import Crowd
from bench.harness import Figure, Server, describe, streamsocket
from bench.movies import cached, noisy_movie
from bench.rtsp import Transport

AT_ONCE = 50
SETTLE_S = 3.0
GOAL_KB = 50.0
LEFT_BEHIND_KB = 2048.0
"""How much the processes may have grown between the two marks: allocators breathe."""
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")


def run(quick: bool) -> list[Figure]:
    """KB a viewer over UDP and TCP, and growth over thousands of sessions."""
    viewers = 100 if quick else 300
    early, late = (400, 1200) if quick else (2000, 10_000)
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    figures = []
    for transport in TRANSPORTS:
        with streamsocket(str(movie)) as server:
            figures.append(a_viewer(server, transport, viewers))
    with streamsocket(str(movie)) as server:
        figures += come_and_go(server, early, late)
    return figures


def a_viewer(server: Server, transport: Transport, viewers: int) -> Figure:
    """Growth from no viewer (a few have been there and gone) to many, by the number of them."""
    with Crowd() as crowd:
        crowd.leave(crowd.join(server.url + "fanout", transport, 10))
        time.sleep(SETTLE_S)
        before = server.anonymous_kb()
        crowd.join(server.url + "fanout", transport, viewers)
        time.sleep(SETTLE_S)
        after = server.anonymous_kb()
        said = f"allocated {before} KB with none, {after} KB with {describe(crowd.totals())}"
    return Figure(f"memory a viewer, {transport}", (after - before) / viewers, "KB", GOAL_KB, said)


def come_and_go(server: Server, early: int, late: int) -> list[Figure]:
    """Memory and file descriptors after many sessions, half of which end without a word."""
    descriptors = server.descriptors()
    sessions = 0
    marks: list[int] = []
    with Crowd() as crowd:
        for mark in (early, late):
            while sessions < mark:
                turn = sessions // AT_ONCE
                transport = TRANSPORTS[turn % 2]
                joined = crowd.join(server.url + "fanout", transport, AT_ONCE)
                crowd.leave(joined, teardown=turn % 4 < 2)
                sessions += AT_ONCE
            time.sleep(SETTLE_S)
            marks.append(server.anonymous_kb())
        left = server.descriptors() - descriptors
    said = f"{AT_ONCE} at a time, UDP and TCP in turn, half of them leave without TEARDOWN"
    return [
        Figure(f"growth from {early} to {late} sessions", marks[1] - marks[0], "KB",
               LEFT_BEHIND_KB, f"allocated {marks[0]} KB, then {marks[1]} KB; {said}"),
        Figure("file descriptors left behind", left, "", 0, f"after {late} sessions"),
    ]  # fmt: skip
