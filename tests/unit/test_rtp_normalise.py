"""Ingress: whatever way publishers send, viewers get the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Aac, Opus
from streamsocket.rtp.h264 import H264Depacketizer, pack
from streamsocket.rtp.h264_normaliser import H264Normaliser
from streamsocket.rtp.normalise import normaliser
from streamsocket.rtp.normalised import Normalised, Normaliser
from streamsocket.rtp.packet import MAX_PAYLOAD

SPS, PPS = b"\x67\x42\xc0\x1f\xda\x01", b"\x68\xce\x38\x80"
AUD, SEI = b"\x09\xf0", b"\x06\x05\x02ab\x80"
CODEC = H264(SPS, PPS)
IDR, PICTURE = b"\x65\x88" + b"i" * 5000, b"\x41\x9a" + b"p" * 3000


def fragments(unit: bytes, size: int) -> list[bytes]:
    """FU-A payloads with `size` bytes of the unit each, as any publisher may cut it."""
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    parts = [unit[1:][start : start + size] for start in range(0, len(unit) - 1, size)]
    payloads = []
    for index, part in enumerate(parts):
        flags = (0x80 if index == 0 else 0) | (0x40 if index == len(parts) - 1 else 0)
        payloads.append(bytes((indicator, kind | flags)) + part)
    return payloads


class Publisher:
    """Sends payloads to a normaliser, one by one, as one access unit."""

    def __init__(self, ingress: Normaliser) -> None:
        self.ingress = ingress
        self.gap = False

    def send(
        self, payloads: list[bytes], timestamp: int, lost: set[int] | None = None
    ) -> list[Normalised]:
        passed_on = []
        for index, payload in enumerate(payloads):
            marker = index == len(payloads) - 1
            if index in (lost or ()):
                self.gap = True
            else:
                passed_on += self.ingress.push([payload], timestamp, marker, self.gap)
                self.gap = False
        return passed_on


def seen(passed_on: list[Normalised]) -> list[AccessUnit]:
    """What a viewer makes of it."""
    viewer = H264Depacketizer(H264(b"", b""))
    units = []
    for part in passed_on:
        for index, payload in enumerate(part.payloads):
            assert 0 < len(payload) <= MAX_PAYLOAD
            marker = part.marker and index == len(part.payloads) - 1
            units += viewer.push(payload, part.timestamp, marker, gap=False)
    return units + viewer.flush()


@pytest.mark.parametrize("size", [1, 700, 1198, 1199, 1400, 5000, 60_000])
def test_fragments_of_any_size_become_full_packets(size: int) -> None:
    publisher = Publisher(normaliser(CODEC))
    passed_on = publisher.send(fragments(PICTURE, size), 0)
    assert [unit.units for unit in seen(passed_on)] == [[PICTURE]]
    payloads = [payload for part in passed_on for payload in part.payloads]
    assert [len(payload) for payload in payloads] == [1200, 1200, 3001 - 2 * 1198 + 2]


@pytest.mark.parametrize("size", [898, 1000, 1198])
def test_fragments_that_fit_are_passed_on_as_they_are(size: int) -> None:
    publisher = Publisher(normaliser(CODEC))
    sent = fragments(PICTURE, size)
    passed_on = publisher.send(sent, 0)
    assert [payload for part in passed_on for payload in part.payloads] == sent
    # The ones of one wakeup, too.
    [together] = publisher.ingress.push(sent, 1, marker=True, gap=False)
    assert together.payloads == sent


@pytest.mark.parametrize("odd", [0, 1, 2, 3])
@pytest.mark.parametrize("other", [5, 700, 1100, 1400])
def test_fragments_that_are_not_alike_are_cut_anew(odd: int, other: int) -> None:
    parts = [b"p" * 1000] * 4
    parts[odd] = b"q" * other
    picture = b"\x41\x9a" + b"".join(parts)
    sent = [b"\x5c" + bytes((flags,)) for flags in (0x81, 0x01, 0x01, 0x41)]
    payloads = [header + part for header, part in zip(sent, parts, strict=True)]
    payloads[0] = b"\x5c\x81\x9a" + parts[0]
    publisher = Publisher(normaliser(CODEC))
    passed_on = publisher.send(payloads, 0)
    assert [unit.units for unit in seen(passed_on)] == [[picture]]
    [together] = publisher.ingress.push(payloads, 1, marker=True, gap=False)
    assert [unit.units for unit in seen([together])] == [[picture]]


def test_what_follows_a_loss_among_fragments_that_fit_is_dropped() -> None:
    publisher = Publisher(normaliser(CODEC))
    sent = fragments(PICTURE, 1000)
    passed_on = publisher.send(sent, 0, lost={1})
    assert [payload for part in passed_on for payload in part.payloads] == sent[:1]
    passed_on = publisher.send(sent, 1)
    assert [payload for part in passed_on for payload in part.payloads] == sent


def test_nothing_waits_for_the_rest_of_the_access_unit() -> None:
    publisher = Publisher(normaliser(CODEC))
    first, *_ = fragments(PICTURE, 1400)
    [part] = publisher.ingress.push([first], 0, marker=False, gap=False)
    assert [len(payload) for payload in part.payloads] == [1200]
    assert not part.complete


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3000), st.integers(100, 3000), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_viewers_see_what_was_published(
    pictures: list[tuple[bool, int, int, bool]],
) -> None:
    publisher = Publisher(normaliser(CODEC))
    for timestamp, (is_idr, size, cut, aggregated) in enumerate(pictures):
        picture = (IDR if is_idr else PICTURE)[:2] + bytes(size)
        prefix = [AUD, SPS, PPS, SEI] if is_idr else [AUD, SEI]
        payloads = pack(prefix) if aggregated else list(prefix)
        payloads += fragments(picture, cut) if size > cut else [picture]
        passed_on = publisher.send(payloads, timestamp)
        [unit] = seen(passed_on)
        assert unit == AccessUnit([*prefix, picture], timestamp, keyframe=is_idr)
        assert [part.keyframe for part in passed_on] == [is_idr] + [False] * (len(passed_on) - 1)
        assert [part.complete for part in passed_on] == [False] * (len(passed_on) - 1) + [True]


@pytest.mark.parametrize("prefix", [[], [SPS], [PPS], [SEI], [AUD, SEI]])
def test_every_keyframe_has_its_parameter_sets_in_band(prefix: list[bytes]) -> None:
    publisher = Publisher(normaliser(CODEC))
    passed_on = publisher.send([*prefix, *fragments(IDR, 1400)], 0)
    [unit] = seen(passed_on)
    kept = [nal for nal in prefix if nal in (AUD, SEI)]
    assert unit.units == [*kept[: kept.count(AUD)], SPS, PPS, *kept[kept.count(AUD) :], IDR]
    assert passed_on[0].keyframe


def test_a_keyframe_begins_with_its_parameter_sets_however_small_its_fragments() -> None:
    passed_on = Publisher(normaliser(H264(b"", b""))).send(fragments(IDR, 100), 0)
    assert [part.keyframe for part in passed_on] == [True] + [False] * (len(passed_on) - 1)


def test_a_recovery_point_begins_a_keyframe() -> None:
    publisher = Publisher(normaliser(CODEC))
    passed_on = publisher.send([b"\x06\x06\x01\xc4\x80", *fragments(PICTURE, 1400)], 0)
    assert passed_on[0].keyframe
    assert seen(passed_on)[0].units[:2] == [SPS, PPS]


def test_slices_of_one_picture_stay_together() -> None:
    publisher = Publisher(normaliser(CODEC))
    slices = [b"\x65\x88" + bytes(50), b"\x65\x40" + bytes(50)]
    aggregated = b"\x78" + b"".join(len(s).to_bytes(2, "big") + s for s in slices)
    for payloads in (slices, [aggregated], [*fragments(slices[0], 20), slices[1]]):
        passed_on = publisher.send(payloads, len(payloads))
        assert [unit.units for unit in seen(passed_on)] == [[SPS, PPS, *slices]]
        assert [part.keyframe for part in passed_on] == [True] + [False] * (len(passed_on) - 1)


def test_new_parameter_sets_are_told_by_a_new_codec() -> None:
    publisher = Publisher(normaliser(CODEC))
    publisher.send([SPS, PPS, b"\x65\x88"], 0)
    assert publisher.ingress.codec == CODEC
    before = publisher.ingress.codec
    publisher.send([SPS, PPS, b"\x65\x88"], 1)
    assert publisher.ingress.codec is before
    publisher.send([SPS + b"\x02", PPS, b"\x65\x88"], 2)
    assert publisher.ingress.codec == H264(SPS + b"\x02", PPS)


def test_parameter_sets_with_a_time_of_their_own_go_with_the_next_picture() -> None:
    publisher = Publisher(normaliser(H264(b"", b"")))
    assert publisher.send([SPS], 0) == []
    assert publisher.send([PPS], 1) == []
    [unit] = seen(publisher.send([b"\x65\x88"], 2))
    assert (unit.units, unit.timestamp) == ([SPS, PPS, b"\x65\x88"], 2)


def test_what_follows_a_loss_within_a_unit_is_dropped() -> None:
    publisher = Publisher(normaliser(CODEC))
    payloads = fragments(PICTURE, 1400)
    passed_on = publisher.send([b"\x41\x9a", *payloads], 0, lost={2})
    passed_on += publisher.send([b"\x41\x9a"], 1)
    broken, whole = seen(passed_on)
    assert broken.damaged
    assert broken.units == [b"\x41\x9a"]
    assert whole == AccessUnit([b"\x41\x9a"], 1, keyframe=False)
    assert publisher.send(payloads[1:], 2) == []


def test_a_unit_that_is_never_ended_is_not_mixed_up_with_the_next() -> None:
    publisher = Publisher(normaliser(CODEC))
    start, middle, _ = fragments(PICTURE, 1400)
    publisher.send([start], 0)
    assert publisher.send([middle], 1) == []
    publisher.send([start], 2)
    [unit] = seen(publisher.send([b"\x41\x9a"], 2))
    assert unit.units == [b"\x41\x9a"]


def test_a_keyframe_without_its_beginning_is_none() -> None:
    publisher = Publisher(normaliser(CODEC))
    assert not any(part.keyframe for part in publisher.send([b"\x65\x40" + bytes(50)], 0))


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x7c", b"\x7c\x85", b"\x00a", b"\x1eabc", b"\x19\x00\x00\x00\x01a", b"\x18\x00\x09a"],
)
def test_what_breaks_the_rules_is_refused_and_the_next_picture_is_fine(payload: bytes) -> None:
    publisher = Publisher(normaliser(CODEC))
    with pytest.raises(ParseError):
        publisher.send([payload], 0)
    assert [unit.units for unit in seen(publisher.send([PICTURE], 1))] == [[PICTURE]]


@pytest.mark.parametrize("unit", [SEI, b"\x06" + bytes(3000)])
def test_parameter_sets_without_end_are_refused(unit: bytes) -> None:
    ingress = H264Normaliser(CODEC)
    with pytest.raises(ParseError, match="no picture"):
        Publisher(ingress).send([unit] * 100, 0)
    assert len(seen(Publisher(ingress).send([PICTURE], 1))[0].units) < 40


def test_sound_goes_one_frame_a_packet_each_with_its_time() -> None:
    publisher = Publisher(normaliser(Aac(bytes.fromhex("1190"))))
    together = b"\x00\x20\x00\x18\x00\x10" + b"abc" + b"de"
    assert publisher.send([together], 9000) == [
        Normalised([b"\x00\x10\x00\x18abc"], 9000, True, True, True),
        Normalised([b"\x00\x10\x00\x10de"], 9000 + 1024, True, True, True),
    ]


def test_a_long_frame_of_sound_is_cut_anew() -> None:
    publisher = Publisher(normaliser(Aac(bytes.fromhex("1190"))))
    halves = [b"\x00\x10" + (2800 << 3).to_bytes(2, "big") + bytes(1400)] * 2
    [part] = publisher.send(halves, 0)
    assert [len(payload) for payload in part.payloads] == [1200, 1200, 2800 - 2 * 1196 + 4]
    assert publisher.send([*halves, halves[0]], 1, lost={1}) == []


def test_opus_passes_as_it_is() -> None:
    publisher = Publisher(normaliser(Opus()))
    assert publisher.ingress.push([b"packet"], 7, marker=False, gap=False) == [
        Normalised([b"packet"], 7, True, False, True)
    ]
    for size in (0, MAX_PAYLOAD + 1):
        with pytest.raises(ParseError):
            publisher.send([bytes(size)], 8)
