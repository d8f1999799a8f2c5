"""A WHIP server in the test's own loop: the real WebRTC server, and just enough of HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streamsocket.auth.access import Access, AccessDeniedError
from streamsocket.auth.authorization import credentials_of
from streamsocket.auth.users import User
from streamsocket.errors import StreamSocketError
from streamsocket.hub.hub import Hub
from streamsocket.webrtc.server import Asker, WebRtcOptions, WebRtcServer


class WhipServer:
    """Takes what is published into a hub of its own, `hub`."""

    def __init__(self, users: dict[str, User] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop)
        self.access = Access(users or {})
        self.asked: list[str] = []
        """The first lines of all requests."""
        self.answers: Callable[[str], str] = lambda text: text
        """What is made of an answer before it goes out."""
        self.webrtc = WebRtcServer(self.hub, self.loop, WebRtcOptions("127.0.0.1", 0), self.access)

    async def open(self, port: int = 0) -> None:
        self.webrtc.open()
        self._http = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port: int = self._http.sockets[0].getsockname()[1]

    def url(self, name: str = "there", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}/{name}/whip"

    async def close(self) -> None:
        self.webrtc.close()
        self._http.close()
        self.hub.close()
        self.access.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1]) if length else 0)
                line = head.splitlines()[0]
                self.asked.append(line)
                status, headers, answer = await self._answer(line, head, body.decode())
                lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(answer)}", *headers, "", ""]
                writer.write("\r\n".join(lines).encode() + answer.encode())
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # it hangs up, or the test is over
        finally:
            writer.close()

    async def _answer(self, line: str, head: str, body: str) -> tuple[int, list[str], str]:
        method, path, _ = line.split()
        _, name, _, *session = path.split("/")
        if method == "OPTIONS":
            return 204, [], ""
        try:
            if method == "DELETE":
                await self.webrtc.end(name, session[0])
                return 200, [], ""
            login = re.search(r"authorization: (.*)\r", head, re.IGNORECASE)
            credentials = credentials_of(login[1] if login else None)
            told = await self.webrtc.publish(
                name, body, Asker("127.0.0.1", "127.0.0.1", credentials)
            )
        except AccessDeniedError as error:
            return 401, ["Content-Type: text/plain"], str(error)
        except StreamSocketError as error:
            return 409, ["Content-Type: text/plain"], str(error)
        headers = [f"Location: {path}/{told.session}", "Content-Type: application/sdp"]
        return 201, headers, self.answers(told.text)


@asynccontextmanager
async def whip_server(users: dict[str, User] | None = None) -> AsyncIterator[WhipServer]:
    server = WhipServer(users)
    await server.open()
    try:
        yield server
    finally:
        await server.close()
