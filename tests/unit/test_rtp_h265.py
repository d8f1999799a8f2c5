"""H.265 in RTP: packetizing, putting together what arrives, and normalising it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.client.decode import Decoder
from streamsocket.errors import ParseError
from streamsocket.media import h265
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H265
from streamsocket.rtp.h265 import FORMAT, H265Depacketizer, H265Packetizer
from streamsocket.rtp.h265_normaliser import H265Normaliser
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD

VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959409")
SPS = bytes.fromhex(
    "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"
)
PPS = bytes.fromhex("4401c073c089")
SETS = [VPS, SPS, PPS]
CODEC = H265(VPS, SPS, PPS)
AUD, SEI, SUFFIX_SEI = b"\x46\x01\x50", b"\x4e\x01\x05\x02ab\x80", b"\x50\x01\x84\x01\x00\x80"
IDR, CRA = b"\x26\x01\xaf" + b"i" * 5000, b"\x2a\x01\xaf" + b"c" * 5000
PICTURE, LATER_SLICE = b"\x02\x01\xd0" + b"p" * 3000, b"\x02\x01\x50" + b"q" * 2000
SMALL_IDR, SMALL_PICTURE = b"\x26\x01\xaf", b"\x02\x01\xd0"

slices = st.builds(
    lambda header, size: header + b"\xd0" + bytes(size),
    st.sampled_from([b"\x02\x01", b"\x00\x02", b"\x26\x01", b"\x2a\x01", b"\x12\x03"]),
    st.integers(0, 4000),
)
others = st.sampled_from([AUD, SEI, SUFFIX_SEI, VPS, SPS, PPS, b"\x4e\x01" + bytes(1197)])
pictures = st.lists(st.one_of(slices, others), max_size=6).flatmap(
    lambda units: slices.map(lambda last: [*units, last])
)


@cache
def film(options: str = "") -> tuple[AccessUnit, ...]:
    """Noise, as x265 encodes it: 20 pictures, a keyframe every 8."""
    encoder = av.CodecContext.create("libx265", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 128, 96, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    params = f"log-level=none:pools=none:frame-threads=1:keyint=8:min-keyint=8:{options}"
    encoder.options = {"preset": "ultrafast", "x265-params": params.rstrip(":")}
    noise = random.Random(1)
    packets = []
    for number in range(20):
        frame = av.VideoFrame(128, 96, "yuv420p")
        for plane in frame.planes:
            plane.update(noise.randbytes(plane.buffer_size))
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(
        AccessUnit(units, packet.pts or 0, keyframe=h265.is_keyframe(units))
        for packet in packets
        if (units := h265.split_annexb(bytes(packet)))
    )


def decoded(codec: H265, units: Sequence[AccessUnit]) -> list[int]:
    """The times of the pictures that FFmpeg makes of it."""
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)] + decoder.flush()
    assert not decoder.errors
    return [frame.pts or 0 for frame in frames]


def received(
    payloads: list[bytes], receiver: H265Depacketizer | None = None, timestamp: int = 0
) -> list[AccessUnit]:
    """What comes out of an access unit's payloads, the last with the marker."""
    receiver = receiver or H265Depacketizer(CODEC)
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, timestamp, index == len(payloads) - 1, gap=False)
    return units


def fragments(unit: bytes, size: int) -> list[bytes]:
    """Fragmentation units with `size` bytes of the unit each, as any publisher may cut it."""
    header = bytes((unit[0] & 0x81 | 49 << 1, unit[1]))
    parts = [unit[2:][start : start + size] for start in range(0, len(unit) - 2, size)]
    payloads = []
    for index, part in enumerate(parts):
        flags = (0x80 if index == 0 else 0) | (0x40 if index == len(parts) - 1 else 0)
        payloads.append(header + bytes((flags | unit[0] >> 1 & 0x3F,)) + part)
    return payloads


# Packetizing and depacketizing.


@given(pictures)
def test_what_is_cut_is_put_together_again(units: list[bytes]) -> None:
    payloads = FORMAT.pack(units)
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    [unit] = received(payloads)
    assert unit.units == units
    assert not unit.damaged
    assert unit.keyframe == any(16 <= h265.nal_type(u) <= 21 for u in units)


@pytest.mark.parametrize("options", ["", "open-gop=0:repeat-headers=1:aud=1", "bframes=0:ctu=16"])
def test_a_film_survives_the_journey(options: str) -> None:
    sender, receiver = H265Packetizer(CODEC), H265Depacketizer(H265(b"", b"", b""))
    sent = film(options)
    arrived: list[AccessUnit] = []
    for unit in sent:
        payloads = sender.packetize(unit)
        assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
        arrived += received(payloads, receiver, unit.timestamp)
    assert decoded(receiver.codec, arrived) == list(range(20))
    assert [unit.keyframe for unit in arrived] == [unit.keyframe for unit in sent]
    assert sum(unit.keyframe for unit in arrived) == 3
    for before, after in zip(sent, arrived, strict=True):
        assert after == before or (after.keyframe and after.units[-1] == before.units[-1])
        if after.keyframe:
            assert {32, 33, 34} <= set(map(h265.nal_type, after.units))
    assert receiver.codec.size == (128, 96)


def test_parameter_sets_that_the_description_has_are_enough() -> None:
    sets: dict[int, bytes] = {}
    bare = []
    for unit in film("open-gop=0"):
        sets |= {h265.nal_type(nal): nal for nal in unit.units}
        slices = [nal for nal in unit.units if h265.nal_type(nal) <= h265.LAST_SLICE]
        bare.append(AccessUnit(slices, unit.timestamp, unit.keyframe))
    codec = H265(sets[h265.VPS], sets[h265.SPS], sets[h265.PPS])
    assert decoded(codec, bare) == list(range(20))
    sender, receiver = H265Packetizer(codec), H265Depacketizer(H265(b"", b"", b""))
    for before in bare:
        [after] = received(sender.packetize(before), receiver, before.timestamp)
        added = [codec.vps, codec.sps, codec.pps] if before.keyframe else []
        assert after.units == added + before.units
    assert receiver.codec == codec


def test_fragments_have_one_length_but_the_last_which_is_shorter() -> None:
    for size in (1201, 2396, 2397, 5000):
        *equal, last = [len(payload) for payload in FORMAT.pack([b"\x26\x01" + bytes(size - 2)])]
        assert set(equal) == {MAX_PAYLOAD}
        assert 3 < last <= MAX_PAYLOAD


def test_fragments_tell_where_a_unit_begins_and_ends() -> None:
    headers = [payload[:3] for payload in FORMAT.pack([IDR])]
    assert headers == [b"\x62\x01\x93", *[b"\x62\x01\x13"] * 3, b"\x62\x01\x53"]
    [whole] = FORMAT.fragment(0x0305, b"data")  # layer 32, temporal id 4
    assert whole == b"\x63\x05\xc1data"


def test_small_units_share_a_packet_and_slices_do_not() -> None:
    payloads = FORMAT.pack([AUD, *SETS, SEI, SMALL_IDR, SMALL_IDR])
    assert [h265.nal_type(payload) for payload in payloads] == [48, 19, 19]
    assert payloads[0][:5] == b"\x60\x01" + b"\x00\x03" + AUD[:1]


def test_an_aggregation_packet_has_the_lowest_temporal_id_and_layer() -> None:
    [payload] = FORMAT.pack([b"\x4f\x0b\x01", b"\xce\x1a\x01"])  # layers 33 and 3, ids 3 and 2
    assert payload[:2] == b"\xe0\x1a"


def test_what_has_no_meaning_in_a_stream_is_left_out() -> None:
    units = [b"", b"\x26", b"\x60\x01abc", b"\x62\x01abc", b"\x7e\x01", SMALL_PICTURE]
    assert FORMAT.pack(units) == [SMALL_PICTURE]
    assert FORMAT.pack([]) == []


@pytest.mark.parametrize("keyframe", [IDR, CRA])
@pytest.mark.parametrize(
    ("before", "sent"),
    [
        ([], SETS),
        ([AUD, SEI], [AUD, *SETS, SEI]),
        ([AUD, *SETS, SEI], [AUD, *SETS, SEI]),
        ([SPS, PPS], SETS),
        ([VPS, SEI], [*SETS, SEI]),
    ],
)
def test_keyframes_get_the_parameter_sets_they_lack(
    before: list[bytes], sent: list[bytes], keyframe: bytes
) -> None:
    payloads = H265Packetizer(CODEC).packetize(AccessUnit([*before, keyframe], 0, keyframe=True))
    assert received(payloads)[0].units == [*sent, keyframe]


def test_parameter_sets_are_learnt_in_band() -> None:
    receiver = H265Depacketizer(H265(b"", b"", b""))
    for unit in SETS:
        assert received([unit], receiver, 1) == []
    [picture] = received([SMALL_IDR], receiver, 2)
    assert picture.units == [*SETS, SMALL_IDR]
    assert receiver.codec == CODEC


def test_a_lost_packet_damages_its_access_unit_and_no_other() -> None:
    first, second = [IDR, LATER_SLICE], [PICTURE]
    payloads = FORMAT.pack(first)
    for lost in range(1, len(payloads)):
        receiver = H265Depacketizer(CODEC)
        units: list[AccessUnit] = []
        for index, payload in enumerate(payloads):
            if index != lost:
                last = index == len(payloads) - 1
                units += receiver.push(payload, 1, last, gap=index == lost + 1)
        gap = lost == len(payloads) - 1
        for index, payload in enumerate(again := FORMAT.pack(second)):
            units += receiver.push(payload, 2, index == len(again) - 1, gap and index == 0)
        *damaged, whole = units
        assert whole == AccessUnit(second, 2, keyframe=False)
        assert [unit.damaged for unit in damaged] in ([True], [])
        assert all(set(unit.units) < set(first) for unit in damaged)


def test_a_picture_that_lost_its_beginning_is_damaged() -> None:
    beginnings = (LATER_SLICE[:50], fragments(LATER_SLICE, 1000)[0], fragments(PICTURE, 1000)[1])
    for payload in beginnings:
        receiver = H265Depacketizer(CODEC)
        receiver.push(payload, 2, False, gap=True)
        [unit] = receiver.push(LATER_SLICE[:40], 2, True, False)
        assert unit.damaged


def test_a_picture_whose_beginning_came_is_not_damaged_by_what_was_lost_before() -> None:
    message = SEI + bytes(2000)
    for payloads in ([SEI], [AUD], fragments(message, 1500), FORMAT.pack([AUD, SEI]), []):
        receiver = H265Depacketizer(CODEC)
        for index, payload in enumerate([*payloads, SMALL_PICTURE]):
            units = receiver.push(payload, 2, index == len(payloads), gap=index == 0)
        assert [unit.damaged for unit in units] == [False]


BROKEN = [
    *(b"", b"\x26", b"\x62\x01", b"\x62\x01\x93", b"\x64\x01\x00abc", b"\x7e\x01"),
    *(b"\x60\x01\x00", b"\x60\x01\x00\x00", b"\x60\x01\x00\x05abc", b"\x60\x01\x00\x01a"),
]


@pytest.mark.parametrize("payload", BROKEN)
def test_what_breaks_the_rules_is_refused_and_the_next_picture_is_fine(payload: bytes) -> None:
    receiver = H265Depacketizer(CODEC)
    receiver.push(SMALL_PICTURE, 1, False, False)
    with pytest.raises(ParseError):
        receiver.push(payload, 1, False, False)
    [unit] = receiver.push(LATER_SLICE[:9], 1, True, False)
    assert unit.damaged
    assert not received([SMALL_PICTURE], receiver, timestamp=2)[0].damaged


# Normalising what a publisher sends.


def normalised(
    payloads: list[bytes],
    timestamp: int = 0,
    ingress: H265Normaliser | None = None,
    lost: int | None = None,
) -> list[Normalised]:
    """What becomes of an access unit's payloads that come one by one."""
    ingress = ingress or H265Normaliser(CODEC)
    passed_on = []
    gap = False
    for index, payload in enumerate(payloads):
        if index == lost:
            gap = True
        else:
            passed_on += ingress.push([payload], timestamp, index == len(payloads) - 1, gap)
            gap = False
    return passed_on


def seen(passed_on: list[Normalised]) -> list[AccessUnit]:
    """What a viewer makes of it."""
    viewer = H265Depacketizer(H265(b"", b"", b""))
    units = []
    for part in passed_on:
        for index, payload in enumerate(part.payloads):
            assert 0 < len(payload) <= MAX_PAYLOAD
            marker = part.marker and index == len(part.payloads) - 1
            units += viewer.push(payload, part.timestamp, marker, gap=False)
    return units + viewer.flush()


@pytest.mark.parametrize("size", [1, 700, 1197, 1198, 1400, 5000, 60_000])
def test_fragments_of_any_size_become_full_packets(size: int) -> None:
    ingress = H265Normaliser(CODEC)
    cut = fragments(PICTURE, size)
    together = ingress.push(cut, 1, True, False)
    for passed_on in (normalised(cut), together):
        assert [unit.units for unit in seen(passed_on)] == [[PICTURE]]
        payloads = [payload for part in passed_on for payload in part.payloads]
        assert [len(payload) for payload in payloads] == [1200, 1200, 3001 - 2 * 1197 + 3]


@given(
    st.lists(
        st.tuples(st.sampled_from([IDR, CRA, PICTURE]), st.integers(0, 3000), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.integers(100, 3000),
    st.integers(1, 9),
)
def test_viewers_see_what_was_published(
    pictures: list[tuple[bytes, int, bool]], cut: int, run: int
) -> None:
    ingress = H265Normaliser(H265(b"", b"", b""))
    for timestamp, (kind, size, aggregated) in enumerate(pictures):
        picture = kind[:3] + bytes(size)
        keyframe = kind is not PICTURE
        prefix = [AUD, *SETS, SEI] if keyframe else [AUD, SEI]
        payloads = FORMAT.pack(prefix) if aggregated else list(prefix)
        payloads += fragments(picture, cut) if size > cut else [picture]
        payloads.append(SUFFIX_SEI)
        passed_on = []
        for start in range(0, len(payloads), run):
            end = start + run >= len(payloads)
            passed_on += ingress.push(payloads[start : start + run], timestamp, end, False)
        assert seen(passed_on) == [
            AccessUnit([*prefix, picture, SUFFIX_SEI], timestamp, keyframe=keyframe)
        ]
        assert [part.keyframe for part in passed_on] == [keyframe] + [False] * (len(passed_on) - 1)
        assert [part.complete for part in passed_on] == [False] * (len(passed_on) - 1) + [True]


@pytest.mark.parametrize("keyframe", [IDR, CRA])
@pytest.mark.parametrize("prefix", [[], [VPS], [SPS, PPS], [SEI], [AUD, SEI]])
def test_every_keyframe_has_its_parameter_sets_in_band(
    prefix: list[bytes], keyframe: bytes
) -> None:
    passed_on = normalised([*prefix, *fragments(keyframe, 1400)])
    [unit] = seen(passed_on)
    kept = [nal for nal in prefix if nal in (AUD, SEI)]
    assert unit.units == [*kept[: kept.count(AUD)], *SETS, *kept[kept.count(AUD) :], keyframe]
    assert passed_on[0].keyframe


def test_a_long_message_before_a_keyframe_does_not_hide_it() -> None:
    long = b"\x4e\x01\x05" + b"\xff" * 9 + b"\x00" + b"x" * 2400 + b"\x80"  # as x265's settings
    for before in (fragments(long, 1300), [long]):
        passed_on = normalised([*SETS, *before, *fragments(IDR, 1300)])
        assert [unit.units for unit in seen(passed_on)] == [[*SETS, long, IDR]]
        assert [part.keyframe for part in passed_on] == [True] + [False] * (len(passed_on) - 1)
    passed_on = normalised([*fragments(long, 1300), *fragments(IDR, 1300)], lost=1)
    assert [unit.units for unit in seen(passed_on)] == [[*SETS, IDR]]


def test_a_message_without_end_is_given_up() -> None:
    ingress = H265Normaliser(CODEC)
    long = fragments(b"\x4e\x01" + bytes(90_000), 1000)
    for payload in long[:-1]:
        assert ingress.push([payload], 0, False, False) == []
    assert [unit.units for unit in seen(normalised([PICTURE], 1, ingress))] == [[PICTURE]]
    with pytest.raises(ParseError, match="no picture"):
        ingress.push(long, 2, False, False)


def test_slices_of_one_picture_stay_together() -> None:
    slices = [SMALL_IDR + bytes(50), b"\x26\x01\x2f" + bytes(50)]
    aggregated = b"\x60\x01" + b"".join(len(s).to_bytes(2, "big") + s for s in slices)
    for payloads in (slices, [aggregated], [*fragments(slices[0], 20), slices[1]]):
        passed_on = normalised(payloads)
        assert [unit.units for unit in seen(passed_on)] == [[*SETS, *slices]]
        assert [part.keyframe for part in passed_on] == [True] + [False] * (len(passed_on) - 1)


def test_a_keyframe_without_its_beginning_is_none() -> None:
    assert not any(part.keyframe for part in normalised([b"\x26\x01\x2f" + bytes(50)]))
    assert not any(part.keyframe for part in normalised(fragments(IDR, 1000), lost=0))


def test_new_parameter_sets_are_told_by_a_new_codec() -> None:
    ingress = H265Normaliser(CODEC)
    before = ingress.codec
    normalised([*SETS, SMALL_IDR], 1, ingress)
    assert ingress.codec is before
    new = bytes.fromhex("4401c073c08980")
    normalised([VPS, SPS, new, SMALL_IDR], 2, ingress)
    assert ingress.codec == H265(VPS, SPS, new)


def test_what_follows_a_loss_within_a_unit_is_dropped() -> None:
    ingress = H265Normaliser(CODEC)
    passed_on = normalised([SMALL_PICTURE, *fragments(PICTURE, 1400)], 0, ingress, lost=2)
    passed_on += normalised([SMALL_PICTURE], 1, ingress)
    broken, whole = seen(passed_on)
    assert broken.damaged
    assert broken.units == [SMALL_PICTURE]
    assert whole == AccessUnit([SMALL_PICTURE], 1, keyframe=False)
    assert normalised(fragments(PICTURE, 1400)[1:], 2, ingress) == []


@pytest.mark.parametrize("payload", BROKEN)
def test_a_broken_payload_is_refused_and_costs_no_other(payload: bytes) -> None:
    ingress = H265Normaliser(CODEC)
    with pytest.raises(ParseError):
        ingress.push([payload], 0, False, False)
    [part] = ingress.push([payload, *fragments(PICTURE, 1400)], 1, True, False)
    assert [unit.units for unit in seen([part])] == [[PICTURE]]


def test_pictures_with_one_timestamp_are_told_apart_by_their_markers() -> None:
    ingress = H265Normaliser(CODEC)
    for _ in range(2):
        passed_on = normalised([SEI, *fragments(IDR, 1400)], 0, ingress)
        assert passed_on[0].keyframe
        assert [unit.units for unit in seen(passed_on)] == [[*SETS, SEI, IDR]]
