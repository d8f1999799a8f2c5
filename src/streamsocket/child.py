"""A child process of the server, joined to it by a socket pair: started, and ended in order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

STOP_WAIT_S = 2.0
TERMINATE_WAIT_S = 1.0
KILL_WAIT_S = 5.0  # only a process stuck in the system itself takes longer
_EXIT_POLL_S = 0.02


def start_child(module: str, argument: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Run `python -m module ARGUMENT [SOCKET]`; return it and our end of the socket pair.

    Our end is non-blocking. Raises OSError where the system refuses.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        return _spawn(module, argument, theirs), ours
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()


def inherited_socket(arguments: list[str]) -> socket.socket:
    """In the child: its end of the socket pair.

    `arguments` holds the inherited socket's file descriptor; without it, the socket comes over
    standard input as `socket.share` made it (Windows).
    """
    if arguments:
        return socket.socket(fileno=int(arguments[0]))
    if sys.platform == "win32":
        return socket.fromshare(sys.stdin.buffer.read())
    raise SystemExit("This is a process of the server's own, not to be started by hand.")


async def end_child(process: subprocess.Popen[bytes], *, stop_wait_s: float | None = None) -> None:
    """Wait for a process that was told to end, with growing insistence."""
    if await _exited(process, STOP_WAIT_S if stop_wait_s is None else stop_wait_s):
        return
    process.terminate()
    if await _exited(process, TERMINATE_WAIT_S):
        return
    process.kill()
    await _exited(process, KILL_WAIT_S)


def describe_exit(code: int) -> str:
    """What the return code says: `"exit code 1"`, `"SIGSEGV"`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _spawn(module: str, argument: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
    # -P: what lies about in the current directory must not pass for a module.
    command = [sys.executable, "-P", "-m", module, argument]
    if sys.platform == "win32":
        # Untried: no file descriptors there, but a socket can be shared with a process by its id.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        assert process.stdin
        with process.stdin:
            process.stdin.write(theirs.share(process.pid))
        return process
    descriptor = theirs.fileno()
    return subprocess.Popen(
        [*command, str(descriptor)],
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
        start_new_session=True,  # the terminal's Ctrl-C is for the server, which ends us in order
    )


async def _exited(process: subprocess.Popen[bytes], within_s: float) -> bool:
    # Here and not above: the child does without, and begins 30 ms sooner.
    import asyncio

    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while process.poll() is None:
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(_EXIT_POLL_S)
    return True
