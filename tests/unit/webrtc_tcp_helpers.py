"""What the tests of WebRTC over TCP look at."""

from __future__ import annotations

import socket

from test_webrtc_server import ServerUnderTest

from streamsocket.hub.output import Output
from streamsocket.webrtc.sender import SrtpTarget
from streamsocket.webrtc.tcp_sender import SrtpTcpSender


def connect(under_test: ServerUnderTest) -> socket.socket:
    return socket.create_connection(("127.0.0.1", under_test.server.port), timeout=5)


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def outputs(under_test: ServerUnderTest, track: int = 0) -> list[Output]:
    return list(under_test.hub.stream.tracks[track].outputs)


def stop_ticking(under_test: ServerUnderTest) -> None:
    """What the server puts right every second is to be right at once."""
    assert under_test.server._timer
    under_test.server._timer.cancel()


def tcp_sender(output: Output) -> SrtpTcpSender:
    assert isinstance(output.sender, SrtpTcpSender)
    return output.sender


def goes_by_tcp(under_test: ServerUnderTest) -> bool:
    """Whether the first viewer's picture does."""
    return isinstance(outputs(under_test)[0].sender, SrtpTcpSender)


def target(output: Output) -> SrtpTarget:
    assert isinstance(output.target, SrtpTarget)
    return output.target
