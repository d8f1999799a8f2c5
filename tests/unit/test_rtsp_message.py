"""RTSP messages and interleaved frames: read however chopped, refused where they would do harm."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtsp.message import (
    MAX_BODY,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_LINE,
    Frames,
    Headers,
    Message,
    Parser,
    Request,
    Response,
)


def parse(data: bytes) -> list[Message]:
    return list(Parser().feed(data))


def fault(data: bytes) -> str:
    with pytest.raises(ParseError) as raised:
        parse(data)
    return str(raised.value)


def request(*lines: str) -> bytes:
    return "\r\n".join(["OPTIONS rtsp://h/a RTSP/1.0", *lines, "", ""]).encode()


def test_a_request_is_read() -> None:
    (message,) = parse(request("CSeq: 1", "Content-Length: 4") + b"body")
    headers = Headers({"CSeq": "1", "Content-Length": "4"})
    assert message == Request("OPTIONS", "rtsp://h/a", headers, b"body")


def test_a_response_is_read_with_and_without_a_reason() -> None:
    assert parse(b"RTSP/1.0 200 All is well\r\nCSeq: 1\r\n\r\n") == [
        Response(200, "All is well", Headers({"CSeq": "1"}))
    ]
    assert parse(b"RTSP/1.0 404\r\n\r\n") == [Response(404, "")]


def test_another_version_is_told_apart() -> None:
    (message,) = parse(b"OPTIONS * RTSP/2.0\r\n\r\n")
    assert isinstance(message, Request)
    assert message.version == "RTSP/2.0"


@pytest.mark.parametrize(
    "data",
    [
        b"OPTIONS rtsp://h/a RTSP/1.0\nCSeq: 1\n\n",
        b"\r\n\n\r\nOPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS rtsp://h/a RTSP/1.0\r\ncseq:1\r\n\r\n",
        b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq :  1  \r\n\r\n",
        b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq:\r\n  1\r\n\r\n",
        b"OPTIONS  rtsp://h/a  rtsp/1.0 \r\nCSeq: 1\r\n\r\n",
    ],
    ids=["bare LF", "blank lines before", "lower case", "spaces", "folded", "spaces in first line"],
)
def test_careless_peers_are_understood(data: bytes) -> None:
    assert parse(data) == [Request("OPTIONS", "rtsp://h/a", Headers({"CSeq": "1"}))]


def test_frames_between_messages_are_handed_on() -> None:
    data = request() + b"$\x02\x00\x03abc$\x03\x00\x00" + request()
    kinds = [type(message) for message in parse(data)]
    assert kinds == [Request, Frames, Request]
    assert parse(data)[1] == Frames([(2, b"abc"), (3, b"")])


def test_a_dollar_inside_a_body_or_a_header_is_no_frame() -> None:
    (message,) = parse(request("$Name: $", "Content-Length: 4") + b"$\x00\x00\x00")
    assert isinstance(message, Request)
    assert message.body == b"$\x00\x00\x00"
    assert message.headers.get("$name") == "$"


def test_what_comes_before_a_fault_is_yielded_first() -> None:
    messages = Parser().feed(request() + b"\x16\x03\x01\x00\n")
    assert isinstance(next(messages), Request)
    with pytest.raises(ParseError):
        next(messages)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\n", "control characters"),
        (b"hello there\r\n", "begins with"),
        (b"OPT(IONS rtsp://h/a RTSP/1.0\r\n", "begins with"),
        (b"RTSP/1.0 2OO OK\r\n", "begins with"),
        (b"RTSP/1.0 700 OK\r\n", "begins with"),
        (request("no colon"), "header line"),
        (request("bad name: 1"), "header line"),
        (request(": 1"), "header line"),
        (request(" folded"), "continuation"),
        (request("A: \x00"), "control characters"),
        (request("A: a\rb"), "control characters"),
    ],
)
def test_what_is_no_rtsp_is_refused_at_once(data: bytes, word: str) -> None:
    assert word in fault(data)


@pytest.mark.parametrize("length", ["-1", "+1", "1.5", "0x10", "ten", "", "1, 1", "²", "9" * 11])
def test_a_content_length_that_is_no_number_is_refused(length: str) -> None:
    assert "Content-Length" in fault(request(f"Content-Length: {length}"))


def test_content_lengths_that_differ_are_refused() -> None:
    assert "differ" in fault(request("Content-Length: 1", "Content-Length: 2"))
    assert len(parse(request("Content-Length: 0", "content-length: 0"))) == 1


def test_every_part_of_a_message_is_bounded() -> None:
    assert "line" in fault(b"A" * (MAX_LINE + 1))
    assert "line" in fault(request("A: " + "a" * MAX_LINE))
    assert "head" in fault(request(*[f"A: {'a' * 4000}"] * (MAX_HEAD // 4000 + 1)))
    assert "headers" in fault(request(*["A: a"] * (MAX_HEADERS + 1)))
    assert "body" in fault(request(f"Content-Length: {MAX_BODY + 1}"))


def test_a_message_as_large_as_allowed_is_read() -> None:
    names = [f"H{number}: 1" for number in range(MAX_HEADERS - 1)]
    (message,) = parse(request(*names, f"Content-Length: {MAX_BODY}") + bytes(MAX_BODY))
    assert isinstance(message, Request)
    assert len(message.headers) == MAX_HEADERS
    assert len(message.body) == MAX_BODY


def test_blank_lines_without_end_are_never_kept() -> None:
    parser = Parser()
    for _ in range(100):
        assert list(parser.feed(b"\r\n" * 1000)) == []
    assert len(list(parser.feed(request()))) == 1


def test_a_body_that_comes_in_drops_costs_time_in_proportion_to_its_size() -> None:
    parser = Parser()
    drops = [request(f"Content-Length: {MAX_BODY}"), *[b"x" * 16] * (MAX_BODY // 16)]
    began = time.process_time()
    messages = [message for drop in drops for message in parser.feed(drop)]
    assert len(messages) == 1
    assert time.process_time() - began < 1.0


def test_headers_compare_without_case_and_keep_their_order() -> None:
    headers = Headers([("Via", "a"), ("CSeq", "1"), ("VIA", "b")])
    assert headers.get("via") == "a"
    assert headers.get_all("Via") == ["a", "b"]
    assert "cseq" in headers
    assert headers.get("Session") is None
    assert headers.get("Session", "none") == "none"
    assert headers == Headers([("via", "a"), ("cseq", "1"), ("via", "b")])
    assert headers != Headers([("via", "b"), ("cseq", "1"), ("via", "a")])
    headers["via"] = "c"
    assert headers.items() == [("CSeq", "1"), ("via", "c")]


def test_header_values_are_not_shown_in_tracebacks() -> None:
    assert "secret" not in repr(Headers({"Authorization": "secret"}))


def test_a_line_break_cannot_be_smuggled_into_a_header() -> None:
    with pytest.raises(ValueError, match="control"):
        Response(200, "OK", Headers({"A": "b\r\nC: d"})).serialise()


tokens = st.text("abcXYZ-019", min_size=1, max_size=12)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20)
header_values = st.builds(" ".join, st.lists(texts.filter(bool), max_size=3))
all_headers = st.builds(
    Headers, st.lists(st.tuples(st.builds("X-{}".format, tokens), header_values), max_size=5)
)
bodies = st.binary(max_size=40)
messages_with_bodies = st.one_of(
    st.builds(Request, tokens, st.builds("rtsp://h/{}".format, tokens), all_headers, bodies),
    st.builds(Response, st.integers(100, 599), header_values, all_headers, bodies),
)


def _with_length(message: Request | Response) -> Request | Response:
    if message.body:
        message.headers.add("Content-Length", str(len(message.body)))
    return message


def frame_by_frame(messages: list[Message]) -> list[Message]:
    """The messages, with frames that came together told apart."""
    apart: list[Message] = []
    for message in messages:
        if isinstance(message, Frames):
            apart += [Frames([frame]) for frame in message.frames]
        else:
            apart.append(message)
    return apart


any_message = st.one_of(
    messages_with_bodies.map(_with_length),
    st.builds(lambda *frame: Frames([frame]), st.integers(0, 255), st.binary(max_size=60)),
)


@given(st.lists(any_message, max_size=5), st.lists(st.integers(0, 400), max_size=10))
def test_what_is_written_is_read_again_however_it_is_chopped(
    messages: list[Message], cuts: list[int]
) -> None:
    data = b"".join(message.serialise() for message in messages)
    assert frame_by_frame(parse(data)) == messages
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parser = Parser()
    pieces = [data[start:end] for start, end in itertools.pairwise(borders)]
    read = [message for piece in pieces for message in parser.feed(piece)]
    assert frame_by_frame(read) == messages
    parser = Parser()
    assert [m for byte in data for m in parser.feed(bytes([byte]))] == messages
