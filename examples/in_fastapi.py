"""A server inside a FastAPI program, and a route that answers with the newest picture.

    python examples/in_fastapi.py movie.mp4
    curl http://127.0.0.1:8000/newest.jpg > newest.jpg

The stream itself is watched at what http://127.0.0.1:8000/streams says.
"""

import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from PIL import Image

import streamsocket as ss

source, port = sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 8000


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The stream server, and a subscriber of it, live as long as the program."""
    async with (
        ss.aio.Server({"lobby": source}, rtsp_port=0, http_port=0) as server,
        ss.aio.Subscriber(server.url("lobby")) as subscriber,
    ):
        app.state.server, app.state.subscriber = server, subscriber
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/streams")
async def streams() -> dict[str, str]:
    """Where the streams can be watched."""
    return {each.name: app.state.server.url(each.name) for each in app.state.server.streams()}


@app.get("/newest.jpg")
async def newest() -> Response:
    """The next picture: never an old one, even if nobody has asked for an hour."""
    try:
        frame = await app.state.subscriber.read(timeout=2)
    except ss.TimedOutError as error:
        raise HTTPException(503, str(error)) from None
    jpeg = io.BytesIO()
    Image.fromarray(frame.image).save(jpeg, "JPEG", quality=85)
    return Response(jpeg.getvalue(), media_type="image/jpeg")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port)
