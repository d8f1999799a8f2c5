"""RTMP's handshake."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.rtmp.handshake import Handshake


@pytest.mark.parametrize("size", [1, 100, 1536, 5000])
def test_both_sides_agree_whatever_pieces_come(size: int) -> None:
    client, server = Handshake(is_server=False), Handshake(is_server=True)
    to_server, to_client = client.begin(), b""
    rest = b""
    while to_server or to_client:
        piece, to_server = to_server[:size], to_server[size:]
        if piece:
            answer, after = server.receive(piece)
            to_client += answer
            rest += after
        piece, to_client = to_client[:size], to_client[size:]
        if piece:
            answer, _ = client.receive(piece)
            to_server += answer
    assert client.done
    assert server.done
    assert rest == b""


def test_the_server_echoes_and_hands_on_what_follows() -> None:
    server = Handshake(is_server=True)
    greeting = bytes((3, *range(256), *bytes(1280)))
    answer, _ = server.receive(greeting)
    assert len(answer) == 1 + 2 * 1536
    assert answer[0] == 3
    assert answer[5:9] == bytes(4)  # no digest
    assert answer[1537:] == greeting[1:]
    assert server.receive(bytes(1536) + b"chunks") == (b"", b"chunks")


@pytest.mark.parametrize("first", [b"\x06", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"])
def test_another_protocol_is_refused_at_its_first_byte(first: bytes) -> None:
    with pytest.raises(ParseError, match="version"):
        Handshake(is_server=True).receive(first)
