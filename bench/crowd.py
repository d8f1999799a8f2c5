"""The measuring process's handle on a crowd of viewers, who are in a process of their own."""

from __future__ import annotations

import gc
import math
from multiprocessing.connection import Connection
from typing import Any, Self

from bench.aside import Aside
from bench.rtsp import Transport
from bench.viewers import Gathering, Totals, ViewerReport


def _gather(control: Connection, rest_s: float) -> None:
    gc.disable()  # a collection among a million kept packets takes longer than a buffer lasts
    gathering = Gathering(control, rest_s)
    gathering.run()
    gathering.close()


class Crowd:
    """The handle of a crowd of viewers in another process; a context manager.

    `rest_s` is how long the crowd sleeps between two rounds of reading. Viewers that wait for each
    packet are woken for each, and on one machine the kernel charges that to whoever sent it.
    """

    def __init__(self, rest_s: float = 0.0) -> None:
        self._aside = Aside("viewers'", _gather, rest_s)

    def __enter__(self) -> Self:
        self._aside.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._aside.__exit__(*raised)

    def join(
        self,
        url: str,
        transport: Transport,
        count: int = 1,
        *,
        keep: int = 0,
        keep_s: float = math.inf,
    ) -> list[int]:
        """Let `count` viewers begin to watch; back when all their PLAYs are answered.

        `keep` is how many bytes of each packet are kept, with the kernel's time of arrival (over
        UDP), during the first `keep_s` seconds.
        """
        joined: list[int] = self._aside.call("join", url, transport, count, keep, keep_s)
        return joined

    def leave(self, viewers: list[int], *, teardown: bool = True) -> None:
        """Let viewers go, with a TEARDOWN or without a word."""
        self._aside.call("leave", viewers, teardown)

    def reports(self, viewers: list[int]) -> list[ViewerReport]:
        """What these viewers saw so far."""
        reports: list[ViewerReport] = self._aside.call("reports", viewers)
        return reports

    def totals(self) -> Totals:
        """What all viewers who are there saw so far."""
        totals: Totals = self._aside.call("totals")
        return totals
