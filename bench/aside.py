"""What goes on in a process of its own beside the measuring one, and answers its commands."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from bench.rtsp import BenchError

ANSWER_TIMEOUT_S = 180.0


class Aside:
    """The measuring process's handle: a context manager that lets the other process go."""

    def __init__(self, what: str, run: Callable[..., None], *arguments: object) -> None:
        """`run` is called there with the pipe's other end and the arguments."""
        self._what = what
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs, *arguments), daemon=True)
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

    def call(self, name: str, *arguments: object) -> Any:
        """Let the other process do something, and wait for what it answers."""
        self._pipe.send((name, arguments))
        if not self._pipe.poll(ANSWER_TIMEOUT_S):
            raise BenchError(f"the {self._what} process did not answer in {ANSWER_TIMEOUT_S:.0f} s")
        try:
            status, value = self._pipe.recv()
        except EOFError:
            raise BenchError(f"the {self._what} process ended; its last words are above") from None
        if status == "failed":
            raise BenchError(value)
        return value


def obey(control: Connection, master: object) -> bool:
    """Do the command that waits in the pipe, by the method of its name; False is the end."""
    try:
        name, arguments = control.recv()
    except EOFError:
        return False
    if name == "stop":
        return False
    try:
        control.send(("done", getattr(master, name)(*arguments)))
    except (BenchError, OSError, KeyError, ValueError) as error:
        control.send(("failed", f"{type(error).__name__}: {error}"))
    return True
