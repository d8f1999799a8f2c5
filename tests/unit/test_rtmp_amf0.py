"""AMF0: values in RTMP's commands."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtmp.amf0 import MAX_BYTES, MAX_DEPTH, EcmaArray, Value, decode, encode

_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_TEXT.filter(bool), inner, max_size=4)
        | st.dictionaries(_TEXT.filter(bool), inner, max_size=4).map(EcmaArray)
    ),
    max_leaves=8,
)


def test_a_connect_command_is_read_as_flash_writes_it() -> None:
    data = bytes.fromhex(
        "02 0007 636f6e6e656374"  # "connect"
        "00 3ff0000000000000"  # 1
        "03 0003 617070 02 0004 6c697665"  # app: "live"
        "   0004 6670 6164 01 00 000009"  # fpad: false
    )
    assert decode(data) == ["connect", 1.0, {"app": "live", "fpad": False}]
    assert encode("connect", 1.0, {"app": "live", "fpad": False}) == data


def test_an_ecma_array_is_read_whatever_number_of_members_it_announces() -> None:
    data = bytes.fromhex("08 ffffffff 0005 7769647468 00 4094000000000000 000009")
    (value,) = decode(data)
    assert isinstance(value, EcmaArray)
    assert value == {"width": 1280.0}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("05", None),
        ("06", None),
        ("0d", None),
        ("0b 4277f0d030000000 0000", 1645190774784.0),  # a date
        ("0c 00000002 6869", "hi"),
        ("0f 00000003 3c612f", "<a/"),
        ("10 0003 466f6f 0001 78 05 000009", {"x": None}),  # a typed object
        ("0a 00000002 0101 0100", [True, False]),
        ("02 0002 ff68", "\ufffdh"),  # Latin-1 in a title
    ],
)
def test_every_type_of_value_is_read(data: str, value: Value) -> None:
    assert decode(bytes.fromhex(data)) == [value]


def test_a_string_is_long_from_64_kilobytes_on() -> None:
    assert encode("x" * 65_535)[:3] == b"\x02\xff\xff"
    assert encode("x" * 65_536)[:5] == b"\x0c\x00\x01\x00\x00"


@given(st.lists(_VALUES, max_size=3))
def test_what_is_written_is_read(values: list[Value]) -> None:
    assert decode(encode(*values)) == values


def test_infinity_and_nan_are_numbers() -> None:
    first, second = decode(encode(math.inf, math.nan))
    assert first == math.inf
    assert isinstance(second, float)
    assert math.isnan(second)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x03\x00\x01a" * 20_000,  # objects in objects
        b"\x0a\x00\x00\x00\x01" * 10_000,  # arrays in arrays
        b"\x0a\xff\xff\xff\xff" + b"\x05" * 60_000,  # four thousand million values
        b"\x08\xff\xff\xff\xff",
        b"\x05" * 60_000,
        b"\x0c\xff\xff\xff\xffx",
        b"\x05" * (MAX_BYTES + 1),
    ],
)
def test_bombs_are_refused(bomb: bytes) -> None:
    with pytest.raises(ParseError):
        decode(bomb)


def test_nesting_is_allowed_up_to_a_depth() -> None:
    value: Value = 1.0
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode(encode(value)) == [value]
    with pytest.raises(ParseError):
        decode(encode([value]))


@pytest.mark.parametrize("marker", [0x04, 0x07, 0x09, 0x0E, 0x11, 0x12, 0xFF])
def test_types_that_mean_nothing_here_are_refused(marker: int) -> None:
    with pytest.raises(ParseError, match="not understood"):
        decode(bytes((marker, 0, 0)))


def test_a_message_cut_anywhere_is_refused() -> None:
    data = encode({"a": [1.0, "text", True]})
    for end in range(1, len(data)):
        with pytest.raises(ParseError):
            decode(data[:end])
