"""The values in RTMP's commands."""

import contextlib

from streamsocket.errors import ParseError
from streamsocket.rtmp.amf0 import EcmaArray, decode, encode

SEEDS = [
    encode("connect", 1.0, {"app": "live", "fourCcList": ["avc1", "hvc1"]}),
    encode("onMetaData", EcmaArray(width=1280.0, stereo=True, title=None)),
    b"\x0b" + bytes(10) + b"\x0c\x00\x00\x00\x02hi" + b"\x10\x00\x01a\x00\x01b\x05\x00\x00\x09\x06",
]


def fuzz_one(data: bytes) -> None:
    """What was read can be written, and is read the same again."""
    with contextlib.suppress(ParseError):
        values = decode(data)
        written = encode(*values)
        assert encode(*decode(written)) == written
