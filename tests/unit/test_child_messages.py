"""How what the server and a child process say is cut into messages."""

from __future__ import annotations

from typing import Any

import pytest

from streamsocket.child_messages import BATCH, MessageDecoder, event_message, message_header
from streamsocket.errors import ParseError


def decoder() -> MessageDecoder[dict[str, Any], bytes]:
    def read(name: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        return {"half": 1 / fields["count"]} if name == "Count" else None

    return MessageDecoder(read, bytes, max_event=40)


def test_messages_come_out_in_order_however_they_arrive() -> None:
    data = event_message("Count", {"count": 2}) + message_header(BATCH, 3) + b"abc"
    data += message_header(BATCH, 0) + event_message("Count", {"count": 4})
    expected = [{"half": 0.5}, b"abc", b"", {"half": 0.25}]
    assert decoder().feed(data) == expected
    bytewise = decoder()
    assert [each for byte in data for each in bytewise.feed(bytes((byte,)))] == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (message_header(b"E", 41), "A message of 41 bytes is too long"),
        (message_header(BATCH, (1 << 24) + 1), "too long"),
        (message_header(b"X", 0), "the unknown type b'X'"),
        (event_message("Dance", {}), "the unknown name 'Dance'"),
        (event_message("Count", {}), "cannot be read"),
        (event_message("Count", {"count": 0}), "cannot be read"),
        (message_header(b"E", 1) + b"{", "cannot be read"),
        (message_header(b"E", 1) + b"\xff", "cannot be read"),
        (message_header(b"E", 2) + b"[]", "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ParseError, match=said):
        decoder().feed(data)
