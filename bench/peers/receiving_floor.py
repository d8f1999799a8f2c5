"""The machine's floor for taking in: what receiving the same packets costs and nothing else.

It answers RTSP with canned sentences until RECORD; then one epoll loop reads what comes and lets it
go. Nothing is parsed, put in order, cut anew or kept.

    python receiving_floor.py PORT PUBLISHERS    begins to read when the last one has come
"""

from __future__ import annotations

import re
import select
import socket
import sys


class Publisher:
    """A publisher: its connection and, over UDP, where its tracks arrive."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.sockets: list[socket.socket] = []
        buffer = b""
        method = ""
        while method != "RECORD":
            while b"\r\n\r\n" not in buffer:
                buffer += connection.recv(65536)
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            text = head.decode()
            method = text.split()[0]
            length = re.search(r"Content-Length: (\d+)", text)
            while length and len(buffer) < int(length[1]):
                buffer += connection.recv(65536)
            buffer = buffer[int(length[1]) :] if length else buffer
            connection.sendall(self._answer(text))
        for each in (connection, *self.sockets):
            each.setblocking(False)

    def _answer(self, request: str) -> bytes:
        sequence = re.search(r"CSeq: (\d+)", request)
        lines = ["RTSP/1.0 200 OK", f"CSeq: {sequence[1] if sequence else 0}", "Session: floor"]
        if transport := re.search(r"Transport: (.*)", request):
            ports = ""
            if "client_port" in transport[1]:
                rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
                rtp.bind(("127.0.0.1", 0))
                # The publisher takes the port below RTCP's for RTP's, as it is for everybody.
                port = rtp.getsockname()[1]
                try:
                    rtcp.bind(("127.0.0.1", port + 1))
                except OSError:
                    return self._answer(request)
                rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                self.sockets += [rtp, rtcp]
                ports = f";server_port={port}-{port + 1}"
            lines.append(f"Transport: {transport[1].strip()}{ports}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def main(port: int, count: int) -> None:
    server = socket.create_server(("127.0.0.1", port), backlog=512)
    publishers = [Publisher(server.accept()[0]) for _ in range(count)]
    epoll = select.epoll()
    receive = {}
    for each in publishers:
        for readable in (each.connection, *each.sockets):
            epoll.register(readable, select.EPOLLIN)
            receive[readable.fileno()] = readable.recv
    datagrams = {each.fileno() for publisher in publishers for each in publisher.sockets}
    while True:
        for descriptor, _ in epoll.poll():
            take = receive[descriptor]
            if descriptor in datagrams:
                try:
                    while True:
                        take(9216)
                except BlockingIOError:
                    pass
            elif not take(65536):
                return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
