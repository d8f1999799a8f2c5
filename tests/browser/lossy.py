"""A relay for UDP between one browser and the server that loses some of the media on its way."""

from __future__ import annotations

import random
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class LossyRelay:
    """Passes datagrams on; of every hundred packets of media from the server it loses some."""

    def __init__(self, server: tuple[str, int], loss: float) -> None:
        self.lost = 0
        self._loss = loss
        self._random = random.Random(1)
        self._browser: tuple[str, int] | None = None
        self._server = server
        self._front = _bound()
        self._back = _bound()
        self._back.connect(server)
        self._moves = False
        self._ended = False

    @property
    def port(self) -> int:
        """Where the browser is to send to."""
        port: int = self._front.getsockname()[1]
        return port

    def run(self) -> None:
        """Pass on until `end`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._front, selectors.EVENT_READ, self._forth)
            selector.register(self._back, selectors.EVENT_READ, self._on)
            while not self._ended:
                for key, _ in selector.select(0.1):
                    key.data()
                if self._moves:
                    self._moves = False
                    selector.unregister(self._back)
                    self._back.close()
                    self._back = _bound()
                    self._back.connect(self._server)
                    selector.register(self._back, selectors.EVENT_READ, self._on)

    def move(self) -> None:
        """Send to the server from another port from now on, as a router does that was restarted."""
        self._moves = True

    def end(self) -> None:
        self._ended = True

    def close(self) -> None:
        self._front.close()
        self._back.close()

    def _forth(self) -> None:
        datagram, self._browser = self._front.recvfrom(4096)
        self._back.send(datagram)

    def _on(self) -> None:
        datagram = self._back.recv(4096)
        is_media = 128 <= datagram[0] <= 191 and not 192 <= datagram[1] <= 223
        if is_media and self._random.random() < self._loss:
            self.lost += 1
        elif self._browser:
            self._front.sendto(datagram, self._browser)


def _bound() -> socket.socket:
    udp_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    udp_socket.bind(("127.0.0.1", 0))
    return udp_socket


@contextmanager
def lossy_relay(server: tuple[str, int], loss: float) -> Iterator[LossyRelay]:
    """A relay to that address, in a thread, until the block ends."""
    relay = LossyRelay(server, loss)
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield relay
    finally:
        relay.end()
        thread.join()
        relay.close()
