"""The measuring process's handle on a crowd of viewers, who are in a process of their own."""

from __future__ import annotations

import gc
import math
import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from bench.rtsp import BenchError, Transport
from bench.viewers import Gathering, Totals, ViewerReport

ANSWER_TIMEOUT_S = 180.0


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
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_gather, args=(theirs, rest_s), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._pipe.send(("stop", ()))
        except OSError:
            pass
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(10)
        self._pipe.close()

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
        joined: list[int] = self._call("join", url, transport, count, keep, keep_s)
        return joined

    def leave(self, viewers: list[int], *, teardown: bool = True) -> None:
        """Let viewers go, with a TEARDOWN or without a word."""
        self._call("leave", viewers, teardown)

    def reports(self, viewers: list[int]) -> list[ViewerReport]:
        """What these viewers saw so far."""
        reports: list[ViewerReport] = self._call("reports", viewers)
        return reports

    def totals(self) -> Totals:
        """What all viewers who are there saw so far."""
        totals: Totals = self._call("totals")
        return totals

    def _call(self, name: str, *arguments: object) -> Any:
        self._pipe.send((name, arguments))
        if not self._pipe.poll(ANSWER_TIMEOUT_S):
            raise BenchError(f"the viewers' process did not answer in {ANSWER_TIMEOUT_S:.0f} s")
        try:
            status, value = self._pipe.recv()
        except EOFError:
            raise BenchError("the viewers' process ended; its last words are above") from None
        if status == "failed":
            raise BenchError(value)
        return value
