"""Motion JPEG over RTP, RFC 2435."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Mjpeg
from streamsocket.media.jpeg import EOI, Headers, build_headers, parse_jpeg
from streamsocket.rtp.frame import MAX_FRAME
from streamsocket.rtp.mjpeg import (
    MjpegDepacketizer,
    MjpegNormaliser,
    MjpegPacketizer,
    quantisation_tables,
    read_header,
)
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD

PICTURE = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
TABLES = bytes(range(1, 129))
HEADERS = Headers(160, 120, "4:2:0", TABLES)
SCAN = bytes(index % 251 for index in range(5000))
FILE = build_headers(HEADERS) + SCAN + EOI


def libjpeg(picture: NDArray[Any] = PICTURE, **options: int) -> bytes:
    """A JPEG by libjpeg-turbo; options by the names of OpenCV's flags."""
    flags = [each for name, value in options.items() for each in (getattr(cv2, name), value)]
    done, data = cv2.imencode(".jpg", picture, flags)
    assert done
    return data.tobytes()


def payloads_of(
    scan: bytes = SCAN,
    size: int = 1000,
    *,
    kind: int = 1,
    q: int = 255,
    tables: bytes = TABLES,
    restart: bytes = b"",
) -> list[bytes]:
    """A frame as a camera sends it, with so many bytes of data a packet."""
    payloads = []
    for start in range(0, len(scan), size):
        payload = start.to_bytes(4, "big") + bytes((kind, q, 20, 15)) + restart
        if q >= 128 and not start:
            payload += bytes(2) + len(tables).to_bytes(2, "big") + tables
        payloads.append(payload + scan[start : start + size])
    return payloads


def received(payloads: list[bytes], timestamp: int = 0) -> AccessUnit:
    """The one picture that these payloads are."""
    receiver = MjpegDepacketizer(Mjpeg())
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, timestamp, index == len(payloads) - 1, False)
    [unit] = units
    return unit


def sent(data: bytes) -> list[bytes]:
    return MjpegPacketizer().packetize(AccessUnit([data], 0))


def test_a_picture_is_cut_into_equal_payloads_with_its_tables_in_the_first() -> None:
    first, *following = sent(FILE)
    assert first[:12] == bytes.fromhex("00000000 01 ff 14 0f 0000 0080")
    assert first[12:] == TABLES + SCAN[:1060]
    assert following[0][:8] == (1060).to_bytes(4, "big") + bytes.fromhex("01 ff 14 0f")
    assert [len(each) for each in (first, *following)] == [1200] * 4 + [5000 - 1060 - 3576 + 8]
    assert MjpegPacketizer.marker


def test_restarts_are_told_in_every_payload() -> None:
    headers = replace(HEADERS, subsampling="4:2:2", restart_interval=0x0123)
    payloads = sent(build_headers(headers) + SCAN)
    assert {payload[4] for payload in payloads} == {64}
    assert {payload[8:12] for payload in payloads} == {bytes.fromhex("0123ffff")}
    assert received(payloads).units == [build_headers(headers) + SCAN + EOI]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"IMWRITE_JPEG_QUALITY": 20},
        {"IMWRITE_JPEG_SAMPLING_FACTOR": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422},
        {"IMWRITE_JPEG_RST_INTERVAL": 2},
    ],
)
def test_pictures_arrive_as_they_were(options: dict[str, int]) -> None:
    data = libjpeg(PICTURE, **options)
    unit = received(sent(data), 9)
    assert (unit.timestamp, unit.keyframe, unit.damaged) == (9, True, False)
    before, after = (
        cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR)
        for each in (data, *unit.units)
    )
    assert before is not None
    assert after is not None
    assert np.array_equal(before, after)


@pytest.mark.parametrize(("width", "height"), [(854, 480), (161, 121), (7, 9), (2040, 2040)])
def test_sizes_are_told_in_blocks_of_eight(width: int, height: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    receiver = MjpegDepacketizer(Mjpeg())
    units = []
    for payload in sent(libjpeg(picture)):
        units += receiver.push(payload, 0, False, False)
    units += receiver.flush()
    size = -(-width // 8) * 8, -(-height // 8) * 8
    assert receiver.codec == Mjpeg(size)
    shown = cv2.imdecode(np.frombuffer(units[0].units[0], np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (libjpeg(IMWRITE_JPEG_OPTIMIZE=1), "Huffman tables of its own.*-huffman default"),
        (libjpeg(IMWRITE_JPEG_PROGRESSIVE=1), "progressive"),
        (libjpeg(PICTURE[:, :, 0]), "sampled 1x1 is not supported"),
        (build_headers(replace(HEADERS, width=2041)) + SCAN, "2041x120 pixels.*2040x2040"),
        (build_headers(replace(HEADERS, height=2160)) + SCAN, "160x2160 pixels.*2040x2040"),
        (build_headers(HEADERS), "0 bytes of data"),
        (build_headers(HEADERS) + bytes(MAX_FRAME + 1), "bytes of data"),
        (b"", "no JPEG"),
    ],
)
def test_what_the_format_cannot_carry_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        sent(data)


@pytest.mark.parametrize("q", [1, 10, 49, 50, 75, 99])
def test_tables_made_of_q_are_libjpegs(q: int) -> None:
    headers, _ = parse_jpeg(libjpeg(IMWRITE_JPEG_QUALITY=q))
    assert quantisation_tables(q) == headers.tables
    [data] = received(payloads_of(q=q)).units
    assert data == build_headers(replace(HEADERS, tables=headers.tables)) + SCAN + EOI


@pytest.mark.parametrize(
    ("kind", "restart", "headers"),
    [
        (0, b"", replace(HEADERS, subsampling="4:2:2")),
        (1, b"", HEADERS),
        (64, b"\x00\x05\xc0\x01", replace(HEADERS, subsampling="4:2:2", restart_interval=5)),
        (65, b"\x00\x05\xff\xff", replace(HEADERS, restart_interval=5)),
    ],
)
def test_every_type_is_received(kind: int, restart: bytes, headers: Headers) -> None:
    unit = received(payloads_of(kind=kind, restart=restart))
    assert unit == AccessUnit([build_headers(headers) + SCAN + EOI], 0)


def test_one_table_is_for_luma_and_chroma() -> None:
    unit = received(payloads_of(tables=TABLES[:64]))
    assert parse_jpeg(unit.units[0])[0].tables == TABLES[:64] * 2


def test_an_end_marker_in_the_data_is_not_doubled() -> None:
    assert received(payloads_of(SCAN + EOI)).units == [FILE]


def test_tables_may_come_with_a_frame_before() -> None:
    receiver = MjpegDepacketizer(Mjpeg())
    [late] = payloads_of(SCAN[:50], q=130, tables=b"")
    with pytest.raises(ParseError, match="Q 130 have not come yet"):
        receiver.push(late, 0, True, False)
    [first] = payloads_of(SCAN[:50], q=130)
    [unit] = receiver.push(first, 1, True, False)
    assert receiver.push(late, 2, True, False) == [AccessUnit(unit.units, 2)]
    with pytest.raises(ParseError, match="Q 131"):
        receiver.push(late.replace(b"\x82", b"\x83", 1), 3, True, False)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "within its header"),
        ("00000000 01 ff 14", "within its header"),
        ("00000000 02 ff 14 0f aa", "type 2 is not supported"),
        ("00000000 81 ff 14 0f aa", "type 129 is not supported"),
        ("00000000 01 00 14 0f aa", "reserved Q of 0"),
        ("00000000 01 64 14 0f aa", "reserved Q of 100"),
        ("00000000 01 7f 14 0f aa", "reserved Q of 127"),
        ("00000000 01 32 00 0f aa", "more than 2040x2040"),
        ("00000000 01 32 14 00 aa", "more than 2040x2040"),
        ("00000000 01 32 14 0f", "within its header"),
        ("00000000 41 32 14 0f 0005ff", "within its header"),
        ("00000000 01 ff 14 0f 0000", "within its header"),
        ("00000000 01 ff 14 0f 00000000 aa", "lacks its quantisation tables"),
        ("00000000 01 ff 14 0f 00000010 aa", "16 bytes of quantisation"),
        ("00000000 01 ff 14 0f 00000040 aa", "64 bytes of quantisation"),
        ("00000000 01 ff 14 0f 00000080" + "01" * 128, "within its header"),
        ("00000000 01 ff 14 0f 00010080" + "01" * 129, "16 bits"),
        ("00000000 01 ff 14 0f 00000400" + "01" * 1100, "1024 bytes of quantisation"),
    ],
)
def test_broken_payloads_are_refused_by_name(payload: str, reason: str) -> None:
    data = bytes.fromhex(payload)
    with pytest.raises(ParseError, match=reason):
        read_header(data)
    with pytest.raises(ParseError, match=reason):
        MjpegDepacketizer(Mjpeg()).push(data, 0, True, False)
    with pytest.raises(ParseError, match=reason):
        MjpegNormaliser(Mjpeg()).push([data], 0, True, False)


@pytest.mark.parametrize("gap", [True, False])
def test_a_picture_that_lost_its_end_is_damaged_and_the_next_is_not(gap: bool) -> None:
    receiver = MjpegDepacketizer(Mjpeg())
    first, _, *rest = payloads_of()
    receiver.push(first, 0, False, False)
    units = []
    for index, payload in enumerate(rest):  # the offsets tell it, too
        units += receiver.push(payload, 0, index == len(rest) - 1, gap and not index)
    assert units == [AccessUnit([build_headers(HEADERS) + SCAN[:1000] + EOI], 0, damaged=True)]
    for payload in payloads_of():
        units += receiver.push(payload, 1, False, False)
    assert receiver.flush() == [AccessUnit([FILE], 1)]


def test_a_broken_payload_costs_the_rest_of_its_picture_and_no_other() -> None:
    receiver = MjpegDepacketizer(Mjpeg())
    first, second, *_ = payloads_of()
    receiver.push(first, 0, False, False)
    with pytest.raises(ParseError):
        receiver.push(second[:4] + b"\x05" + second[5:], 0, False, False)
    [broken] = receiver.push(payloads_of()[2], 0, True, False)
    assert broken.damaged


# From a publisher to viewers.


def passed(ingress: MjpegNormaliser, payloads: list[bytes], timestamp: int) -> list[Normalised]:
    """What a picture becomes, packet by packet."""
    parts = []
    for index, payload in enumerate(payloads):
        parts += ingress.push([payload], timestamp, index == len(payloads) - 1, False)
    return parts


def test_packets_that_fit_pass_one_by_one() -> None:
    payloads = payloads_of()
    parts = passed(MjpegNormaliser(Mjpeg()), payloads, 0)
    assert [part.payloads for part in parts] == [[payload] for payload in payloads]
    assert [part.keyframe for part in parts] == [True, False, False, False, False]
    ends = [False, False, False, False, True]
    assert [part.marker for part in parts] == [part.complete for part in parts] == ends


def test_a_q_that_tells_the_tables_is_left() -> None:
    payloads = payloads_of(q=60, kind=65, restart=b"\x00\x05\xff\xff")
    [part] = MjpegNormaliser(Mjpeg()).push(payloads, 0, True, False)
    assert part.payloads == payloads


@pytest.mark.parametrize("size", [1100, 1400, 9000])
def test_longer_packets_become_full_ones(size: int) -> None:
    parts = passed(MjpegNormaliser(Mjpeg()), payloads_of(size=size), 0)
    payloads = [payload for part in parts for payload in part.payloads]
    assert payloads == sent(FILE)
    assert [part.keyframe for part in parts] == [True] + [False] * (len(parts) - 1)
    assert parts[-1].complete


def test_every_picture_gets_its_tables() -> None:
    ingress = MjpegNormaliser(Mjpeg())
    assert passed(ingress, payloads_of(q=200), 0)[0].payloads[0][5] == 255
    parts = passed(ingress, payloads_of(q=200, tables=b"", size=1190), 1)
    assert [payload for part in parts for payload in part.payloads] == sent(FILE)


def test_pictures_whose_tables_have_not_come_are_not_passed_on() -> None:
    ingress = MjpegNormaliser(Mjpeg())
    first, *rest = payloads_of(q=200, tables=b"")
    with pytest.raises(ParseError, match="have not come yet"):
        ingress.push([first], 0, False, False)
    assert ingress.push(rest, 0, True, False) == []


@pytest.mark.parametrize(("size", "gap"), [(1000, True), (1000, False), (1400, True)])
def test_what_follows_a_loss_within_a_picture_is_dropped(size: int, gap: bool) -> None:
    ingress = MjpegNormaliser(Mjpeg())
    first, _, *rest = payloads_of(size=size)
    [part] = ingress.push([first], 0, False, False)
    assert part.keyframe
    assert not part.complete
    assert ingress.push(rest, 0, True, gap) == []
    assert ingress.push(rest, 1, True, True) == []
    [part] = ingress.push(payloads_of(size=size), 2, True, False)
    assert received(part.payloads).units == [FILE]


def test_a_picture_without_end_is_given_up() -> None:
    with pytest.raises(ParseError, match="longer than"):
        passed(MjpegNormaliser(Mjpeg()), payloads_of(bytes(MAX_FRAME + 60_000), 60_000), 0)


def test_a_new_size_is_told_by_a_new_codec() -> None:
    ingress = MjpegNormaliser(Mjpeg())
    passed(ingress, payloads_of(), 0)
    before = ingress.codec
    assert before == Mjpeg((160, 120))
    passed(ingress, payloads_of(), 1)
    assert ingress.codec is before


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 3000)), max_size=5))
def test_viewers_see_what_was_published(pictures: list[tuple[int, int]]) -> None:
    ingress, viewer = MjpegNormaliser(Mjpeg()), MjpegDepacketizer(Mjpeg())
    units: list[AccessUnit] = []
    for timestamp, (length, size) in enumerate(pictures):
        for part in passed(ingress, payloads_of(bytes(length), size), timestamp):
            ends = [*[False] * (len(part.payloads) - 1), part.marker]
            for payload, end in zip(part.payloads, ends, strict=True):
                assert len(payload) <= MAX_PAYLOAD
                units += viewer.push(payload, part.timestamp, end, False)
    start = build_headers(HEADERS)
    assert units == [
        AccessUnit([start + bytes(length) + EOI], timestamp)
        for timestamp, (length, _) in enumerate(pictures)
    ]
