"""What a UDP socket that many viewers share didn't take: kept for them until it has room."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from streamsocket.hub.datagrams import Address, DatagramSocket
from streamsocket.hub.wire import DatagramRun

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

# For one viewer, beside its queue of batches.
_MAX_RUNS = 256


class WaitingRuns:
    """Runs of packets in the order they are to be sent, viewer by viewer."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        datagrams: DatagramSocket,
        address_of: Callable[[Output], Address | None],
    ) -> None:
        """`address_of` tells where a viewer is now; None: nowhere, and what waits is dropped."""
        self._loop = loop
        self._datagrams = datagrams
        self._address_of = address_of
        self._runs: dict[Output, deque[DatagramRun]] = {}

    def __contains__(self, output: Output) -> bool:
        """Whether something waits for that viewer."""
        return output in self._runs

    def send(self, output: Output, runs: Sequence[DatagramRun]) -> bool:
        """Send runs to a viewer, behind what waits already; False if some of them have to wait.

        The runs have memory of their own.
        """
        if output not in self._runs:
            address = self._address_of(output)
            if address is None:
                return True
            for position, run in enumerate(runs):
                if not self._datagrams.send(run, address, output):
                    self.keep(output, runs[position:])
                    return False
            return True
        self.keep(output, runs)
        return False

    def keep(self, output: Output, runs: Sequence[DatagramRun]) -> None:
        """Keep runs that the socket has no room for; past 256 they count as unsent."""
        if not self._runs:
            self._loop.add_writer(self._datagrams.socket, self._writable)
        waiting = self._runs.setdefault(output, deque())
        if len(waiting) + len(runs) <= _MAX_RUNS:
            waiting.extend(runs)
        else:
            output.track.unsent_packets += sum(run.packets for run in runs)

    def forget(self, output: Output) -> None:
        """Drop what waits for a viewer."""
        self._runs.pop(output, None)

    def close(self) -> None:
        """Drop everything, and stop watching the socket."""
        if self._runs:
            self._loop.remove_writer(self._datagrams.socket)
            self._runs.clear()

    def _writable(self) -> None:
        for output, runs in tuple(self._runs.items()):
            address = self._address_of(output)
            while runs and address is not None:
                if not self._datagrams.send(runs[0], address, output):
                    return
                runs.popleft()
            self._runs.pop(output, None)
            output.pump(time.monotonic())
        if not self._runs:
            self._loop.remove_writer(self._datagrams.socket)
