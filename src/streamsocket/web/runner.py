"""Runs the HTTP application in a thread of its own, with a loop of its own."""

from __future__ import annotations

import logging
import socket
import threading

import uvicorn
from starlette.applications import Starlette

from streamsocket.errors import StreamSocketError
from streamsocket.listening import listening_socket
from streamsocket.web.protocol import BoundedProtocol

MAX_HEADER_BYTES = 16 * 1024
MAX_CONCURRENT = 256
"""Requests beyond this many connections are answered 503."""
KEEP_ALIVE_SECONDS = 5
_BACKLOG = 128
_LOG = logging.getLogger("uvicorn.error")
_START_SECONDS = 10.0
_STOP_SECONDS = 2.0


class HttpServer:
    """An HTTP server for one application.

    The socket is bound when it is made, so that `port` is the real one from the start. Raises
    `StreamSocketError` if the address cannot be had.
    """

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._socket = listening_socket(host, port, backlog=_BACKLOG, port_option="--http-port")
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=MAX_CONCURRENT,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Serve. Returns when requests are answered."""
        _LOG.addFilter(self._is_news)
        self._thread.start()
        if not self._server.settled.wait(_START_SECONDS) or self._failure is not None:
            raise StreamSocketError(
                f"The HTTP server could not start: {self._failure or 'it took too long'}."
            ) from self._failure

    def stop(self) -> None:
        """End it, within two seconds, whatever its clients do. A second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self._socket.close()
        _LOG.removeFilter(self._is_news)

    def _is_news(self, record: logging.LogRecord) -> bool:
        # What our peers do wrong is none, a bug in a handler is. The log is that of all of uvicorn,
        # which may run somebody else's program beside us.
        return record.levelno >= logging.ERROR or record.thread != self._thread.ident

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except BaseException as error:
            self._failure = error
        finally:
            self._server.settled.set()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        """Set when it has started, or has failed to."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
