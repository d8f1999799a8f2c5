"""What `import streamsocket` offers, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import streamsocket as ss
from streamsocket.version import __version__

HEAVY = ("numpy", "av", "sdl2", "PIL", "soxr", "fastapi", "pydantic", "asyncio")


def loaded_after(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of these modules an interpreter has loaded that ran this."""
    ask = f"{code}\nimport sys; print(*(n for n in {names!r} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


def test_importing_it_loads_nothing_that_is_large() -> None:
    assert loaded_after("import streamsocket", HEAVY) == []
    assert loaded_after("import streamsocket.errors, streamsocket.version", HEAVY) == []


def test_the_server_loads_neither_numpy_nor_ffmpeg() -> None:
    start = (
        "import streamsocket as ss\n"
        "with ss.Server(rtsp_port=0, http_port=0) as server: server.streams()\n"
    )
    assert loaded_after(start, ("numpy", "av", "soxr", "sdl2")) == []


def test_the_command_line_loads_neither_to_begin_with() -> None:
    assert loaded_after("import streamsocket.cli.main", ("numpy", "av")) == []


def test_everything_it_names_is_there() -> None:
    for name in ss.__all__:
        assert getattr(ss, name) is not None
    assert set(ss.__all__) <= set(dir(ss))
    assert ss.__version__ == __version__
    from streamsocket.frames import publisher, server, subscriber

    assert ss.Publisher is publisher.Publisher
    assert ss.Server is server.Server
    assert ss.Subscriber is subscriber.Subscriber


def test_asyncio_has_its_own_forms() -> None:
    for name in ("Subscriber", "Publisher", "Server", "synchronized", "process"):
        assert getattr(ss.aio, name) is not getattr(ss, name)


def test_what_is_not_there_is_told_of() -> None:
    with pytest.raises(AttributeError, match="module 'streamsocket' has no attribute 'Publsher'"):
        ss.Publsher  # type: ignore[attr-defined]  # noqa: B018


def test_every_error_is_one_of_ours() -> None:
    for name in ss.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(ss, name), ss.StreamSocketError)
    assert issubclass(ss.ArgumentError, ValueError)
    assert issubclass(ss.TimedOutError, TimeoutError)
