"""The HTTP application: health, the API, the metrics and the page. `docs/http-api.md` tells of it.

Nothing here waits: each answer is made from a status that is there already. There are no CORS
headers, so that pages of other origins cannot read any of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.routing import BaseRoute

from streamsocket.status import ForwardStatus, RecordingStatus, ServerStatus, StreamStatus
from streamsocket.version import __version__
from streamsocket.web.hosts import HostCheck, KnownHosts
from streamsocket.web.metrics import create_registry
from streamsocket.web.page import CONTENT_SECURITY_POLICY, render_page

_NAMES_IN_AN_ERROR = 10


class Health(BaseModel):
    """The answer of a server that is ready."""

    status: Literal["ok"] = "ok"


class Problem(BaseModel):
    """Why there is no answer, in a sentence."""

    detail: str


def create_app(
    status: Callable[[], ServerStatus],
    *,
    rtsp_port: int,
    routes: Sequence[BaseRoute] = (),
    hosts: KnownHosts | None = None,
    refused: Counter[str] | None = None,
) -> FastAPI:
    """Return the application. `rtsp_port` is where the page tells players to connect to.

    `routes` are media's, which begin with the names of streams and thus come last. It answers to
    `hosts` alone, or to any name without; `refused` counts, by reason, who is turned away.
    """
    # FastAPI's own documentation pages load scripts from elsewhere; the description itself stays.
    app = FastAPI(
        title="StreamSocket",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    registry = create_registry(status)

    @app.get("/health")
    async def health() -> Health:
        """Answer 200 as soon as the server takes viewers."""
        return Health()

    @app.get("/api/streams")
    async def streams() -> list[StreamStatus]:
        """List all streams."""
        return list(status().streams)

    @app.get("/api/streams/{name:path}", responses={404: {"model": Problem}})
    async def stream(name: str) -> StreamStatus:
        """Tell about one stream. Its name may contain slashes."""
        found = status().streams
        for candidate in found:
            if candidate.name == name:
                return candidate
        raise HTTPException(404, _no_such_stream(name, found))

    @app.get("/api/recordings")
    async def recordings() -> list[RecordingStatus]:
        """List the recordings in progress."""
        return list(status().recordings)

    @app.get("/api/forwards")
    async def forwards() -> list[ForwardStatus]:
        """List the streams that are pushed on to other servers."""
        return list(status().forwards)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Give the metrics in Prometheus's text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        text = render_page(status(), host=request.url.hostname or "localhost", rtsp_port=rtsp_port)
        return HTMLResponse(text, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    app.router.routes.extend(routes)
    if hosts is not None:
        app.add_middleware(
            HostCheck, hosts=hosts, refused=Counter() if refused is None else refused
        )
    return app


def _no_such_stream(name: str, streams: tuple[StreamStatus, ...]) -> str:
    if not streams:
        return f"There is no stream {name!r}; the server has no streams at the moment."
    names = ", ".join(stream.name for stream in streams[:_NAMES_IN_AN_ERROR])
    more = ", …" if len(streams) > _NAMES_IN_AN_ERROR else ""
    return f"There is no stream {name!r}; there are: {names}{more}."
