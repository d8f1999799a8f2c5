"""The machine's floor: what sending the same packets to the same viewers costs and nothing else.

It answers RTSP with canned sentences, then a bare loop hands ready-made packets to the kernel: UDP
with GSO, one call a viewer for a picture and one for the sound that is due with it; TCP, one send
a viewer for both. No movie is read, nothing is routed, kept or reported. A server that is near
this figure has little left to gain; a figure that is high here too tells of the machine.

    python floor.py PORT VIEWERS    begins to send when the last viewer has joined
"""

from __future__ import annotations

import itertools
import re
import select
import socket
import struct
import sys
import time

FRAME_RATE = 30
AUDIO_RATE = 48_000 / 1024
PICTURE = [1200] * 8 + [800]
"""Payloads of a picture: 2.5 Mbit/s at 30 a second."""
SOUND = 341
SOL_UDP, UDP_SEGMENT = 17, 103
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=floor\r\nt=0 0\r\na=control:*\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n"
    "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\na=control:track1\r\n"
)


class Listener:
    """A viewer: its connection and, over UDP, where its tracks go."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.addresses: list[tuple[str, int]] = []

    def handshake(self) -> None:
        """Answer until PLAY."""
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                buffer += self.connection.recv(65536)
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            text = head.decode()
            self.connection.sendall(self._answer(text))
            if text.startswith("PLAY"):
                return

    def _answer(self, request: str) -> bytes:
        sequence = re.search(r"CSeq: (\d+)", request)
        lines = ["RTSP/1.0 200 OK", f"CSeq: {sequence[1] if sequence else 0}", "Session: floor"]
        body = ""
        if request.startswith("DESCRIBE"):
            body = SDP
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        if request.startswith("SETUP"):
            transport = re.search(r"Transport: (.*)", request)
            lines.append(f"Transport: {transport[1].strip() if transport else ''}")
            port = re.search(r"client_port=(\d+)", request)
            if port:
                self.addresses.append((self.connection.getpeername()[0], int(port[1])))
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def packets(sizes: list[int], payload_type: int, sequence: int, timestamp: int) -> list[bytes]:
    """RTP packets with empty payloads of these sizes, the last with the marker."""
    made = []
    for index, size in enumerate(sizes):
        marker = 0x80 if index == len(sizes) - 1 else 0
        number, ticks = (sequence + index) & 0xFFFF, timestamp & 0xFFFFFFFF
        header = struct.pack(">BBHII", 0x80, payload_type | marker, number, ticks, payload_type)
        made.append(header + bytes(size))
    return made


def send(listeners: list[Listener], tracks: list[list[bytes]], udp: socket.socket) -> None:
    """Hand what is due, track by track, to every viewer; over UDP sound goes first."""
    if listeners[0].addresses:
        for track, burst in reversed(list(enumerate(tracks))):
            joined = b"".join(burst)
            segment = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", len(burst[0])))]
            for listener in listeners:
                udp.sendmsg([joined], segment, 0, listener.addresses[track])
        return
    framed = b"".join(
        struct.pack(">cBH", b"$", 2 * track, len(packet)) + packet
        for track, burst in enumerate(tracks)
        for packet in burst
    )
    for listener in listeners:
        listener.connection.sendall(framed)


def main(port: int, viewers: int) -> None:
    server = socket.create_server(("127.0.0.1", port), backlog=512)
    listeners: list[Listener] = []
    while len(listeners) < viewers:
        listener = Listener(server.accept()[0])
        listener.handshake()
        listeners.append(listener)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connections = [listener.connection for listener in listeners]
    start = time.monotonic()
    sound = 0
    for picture in itertools.count():
        time.sleep(max(0.0, start + picture / FRAME_RATE - time.monotonic()))
        pictures = packets(PICTURE, 96, picture * len(PICTURE), picture * 90_000 // FRAME_RATE)
        sounds = []
        while sound / AUDIO_RATE <= (picture + 1) / FRAME_RATE:
            sounds += packets([SOUND], 97, sound, sound * 1024)
            sound += 1
        send(listeners, [pictures, sounds], udp)
        if picture % FRAME_RATE == 0:
            for connection in select.select(connections, [], [], 0)[0]:
                if not connection.recv(65536):
                    return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
