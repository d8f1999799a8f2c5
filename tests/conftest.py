"""For all tests: nothing is left running, and what could not be tested is said aloud."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest
from tests.interop.movies import MovieShelf

# The same examples on every machine, however slow it is: chance is for `make fuzz`.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

_untested = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cannot_test(request: pytest.FixtureRequest) -> Callable[[str], NoReturn]:
    """Skips a test for what this machine lacks, and says so where nobody overlooks it."""

    def say_and_skip(what_and_why: str) -> NoReturn:
        lines = request.config.stash.setdefault(_untested, [])
        if what_and_why not in lines:
            lines.append(what_and_why)
        pytest.skip(what_and_why)

    return say_and_skip


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> MovieShelf:
    """Movies by name, each made when it is first asked for."""
    return MovieShelf(tmp_path_factory.mktemp("movies"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(_untested, []):
        terminalreporter.write_line(f"NOT TESTED: {line}", red=True, bold=True)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a child process or a thread running."""
    children, threads = _children(), set(threading.enumerate())
    yield
    left = [f"process {child}" for child in _children() - children]
    left += [str(thread) for thread in set(threading.enumerate()) - threads]
    assert not left, f"left running: {', '.join(left)}"


def _children() -> set[str]:
    """The child processes of this one; where there is no /proc, none are seen."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        # A thread, or a child, may end just now.
        with suppress(OSError):
            for child in task.read_text().split():
                found.add(f"{child} ({Path(f'/proc/{child}/comm').read_text().strip()})")
    return found
