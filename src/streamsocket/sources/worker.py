"""The process of one source: `python -m streamsocket.sources.worker SPEC [SOCKET]`.

SPEC is the source as JSON. SOCKET is the file descriptor of the inherited socket to the server;
without it, the socket comes over standard input as `socket.share` made it (Windows).
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback

from streamsocket.child import inherited_socket
from streamsocket.errors import StreamSocketError
from streamsocket.sources import link
from streamsocket.sources.devices.spec import CaptureSpec
from streamsocket.sources.outlet import Outlet, StoppedError
from streamsocket.sources.spec import FileSpec, SourceSpec, TestSpec, UdpSpec, spec_from_json


def main(arguments: list[str]) -> None:
    """Run the source until it ends, fails or is told to stop."""
    spec = spec_from_json(arguments[0])
    outlet = Outlet(inherited_socket(arguments[1:]))
    with contextlib.suppress(StoppedError, KeyboardInterrupt):
        try:
            _run(spec, outlet)
            outlet.event(link.Ended())
        except StreamSocketError as error:
            outlet.event(link.Failed(str(error), final=True))
        except Exception as error:
            outlet.event(link.Failed(_where_and_what(error), final=False))


def _run(spec: SourceSpec, outlet: Outlet) -> None:
    # A file that is passed on as it is must not pay for what draws the test pattern (numpy).
    if isinstance(spec, FileSpec):
        from streamsocket.sources.file import run_file

        run_file(spec, outlet)
    elif isinstance(spec, UdpSpec):
        from streamsocket.sources.transport_stream import run_transport_stream

        run_transport_stream(spec, outlet)
    elif isinstance(spec, TestSpec):
        from streamsocket.sources.test_pattern import run_test_pattern

        run_test_pattern(spec, outlet)
    elif isinstance(spec, CaptureSpec):
        from streamsocket.sources.devices.capture import run_capture

        run_capture(spec, outlet)
    else:
        raise TypeError(f"{spec.text} needs no process of its own")


def _where_and_what(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"


if __name__ == "__main__":
    main(sys.argv[1:])
    # A thread may still be reading ahead, inside FFmpeg: nothing is left that an orderly end of
    # the interpreter could do, except to wait for it.
    os._exit(0)
