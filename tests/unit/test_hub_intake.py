"""What publishers send becomes batches of the stream."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hub_helpers import SOUND, VIDEO, HubUnderTest, hub_under_test
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsocket.hub.intake import REORDER_S, REPAIR_S, Intake
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Codec
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import HEADER
from streamsocket.rtp.payload import depacketizer, packetizer
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    SenderReport,
    build_bye,
    build_sender_report,
    parse_rtcp,
)

PICTURE = [b"\x65\x88" + bytes(n % 251 for n in range(5000))]
SSRC = 7


class Written:
    """A publication that keeps what is written."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.reports = 0
        self.jumps = 0

    def write_payloads(self, track: int, piece: Normalised, capture_time: float) -> None:
        self.batches.append(build_batch(**piece._asdict(), capture_time=capture_time))

    def report_soon(self, track: int) -> None:
        self.reports += 1

    def note_jumps(self, count: int) -> None:
        self.jumps += count

    def learn(self, track: int, codec: Codec) -> None:
        self.codec = codec

    def units(self, codec: Codec = VIDEO.codec) -> list[AccessUnit]:
        receiver = depacketizer(codec)
        units = []
        for batch in self.batches:
            for packet in batch.packets():
                marker = packet[1] >= 0x80
                units += receiver.push(bytes(packet[12:]), batch.timestamp, marker, gap=False)
        return units


def intake(written: Written, *, ordered: bool = False, **options: object) -> Intake:
    return Intake(written, 0, VIDEO.codec, ordered=ordered, **options)  # type: ignore[arg-type]


def packets_of(picture: list[bytes], timestamp: int, first: int, ssrc: int = SSRC) -> list[bytes]:
    """One access unit as a publisher sends it."""
    codec = VIDEO.codec
    assert isinstance(codec, H264)
    payloads = packetizer(codec).packetize(AccessUnit(picture, timestamp))
    last = len(payloads) - 1
    return [
        HEADER.pack(
            0x80,
            96 | (0x80 if n == last else 0),
            first + n & 0xFFFF,
            timestamp & 0xFFFF_FFFF,
            ssrc,
        )
        + payload
        for n, payload in enumerate(payloads)
    ]


PACKETS_A_PICTURE = len(packets_of(PICTURE, 0, 0))


def pictures(count: int, *, first: int = 0, step: int = 3000) -> list[bytes]:
    return [
        packet
        for number in range(count)
        for packet in packets_of(PICTURE, number * step, first + number * PACKETS_A_PICTURE)
    ]


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


def test_a_wakeups_packets_are_one_batch_and_the_picture_arrives_whole() -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    for number in range(3):
        timestamp = 2**32 - 3000 + number * 3000
        first = 65_535 - 2 + number * PACKETS_A_PICTURE
        received.receive(packets_of(PICTURE, timestamp, first), now + number / 30)
    assert [batch.complete for batch in written.batches] == [True] * 3
    assert [batch.keyframe for batch in written.batches] == [True] * 3
    assert [unit.units[-1:] for unit in written.units()] == [PICTURE] * 3
    stamps = [batch.timestamp for batch in written.batches]
    assert [after - before for before, after in pairwise(stamps)] == [3000] * 2


def test_what_is_written_reaches_the_hub(hub: HubUnderTest) -> None:
    received = Intake(hub.publication, 0, VIDEO.codec, ordered=True)
    received.receive(packets_of(PICTURE, 0, 0), time.time())
    hub.publication.flush()
    assert len(hub.stream.tracks[0].cache.group()) == 1


def test_nothing_waits_for_the_rest_of_a_picture() -> None:
    written = Written()
    intake(written).receive(packets_of(PICTURE, 0, 0)[:3], time.time())
    [batch] = written.batches
    assert batch.keyframe
    assert not batch.complete


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_the_network_may_shuffle_and_repeat_and_chop(chance: random.Random, at_once: int) -> None:
    written = Written()
    received = intake(written)
    sent = pictures(6, first=65_520)
    # Each packet moves a few places at most, and some come twice.
    order = sorted(range(len(sent)), key=lambda n: n + chance.uniform(0, 6) * (n > 0))
    arrived = [sent[n] for n in order for _ in range(1 + (chance.random() < 0.1))]
    now = time.time()
    for start in range(0, len(arrived), at_once):
        received.receive(arrived[start : start + at_once], now + start / 1000)
    assert [unit.units[-1:] for unit in written.units()] == [PICTURE] * 6
    assert received.statistics.lost == 0


def test_a_shuffle_long_after_the_last_is_put_right() -> None:
    written = Written()
    receiver = intake(written)
    each, count = PACKETS_A_PICTURE, 40_000 // PACKETS_A_PICTURE  # past half of the circle
    for number in range(count):
        receiver.receive(packets_of(PICTURE, 3000 * number, number * each), 1e9 + number / 30)
    late, early = (packets_of(PICTURE, 3000 * n, n * each) for n in (count, count + 1))
    receiver.receive([*early, *late], 1e9 + count / 30)
    assert receiver.statistics.lost == 0
    assert [batch.timestamp for batch in written.batches[-2:]] == [
        3000 * count,
        3000 * (count + 1),
    ]


def test_what_is_missing_is_waited_for_and_then_given_up() -> None:
    written = Written()
    received = intake(written)
    sent = pictures(3)
    del sent[PACKETS_A_PICTURE + 1]
    now = time.time()
    received.receive(sent, now)
    assert received.waiting
    assert len(written.units()) == 1
    received.tick(now + REORDER_S / 2)
    assert received.waiting
    received.tick(now + REORDER_S)
    assert not received.waiting
    assert [unit.timestamp for unit in written.units()][-1] == 6000
    assert written.units()[-1].units[-1:] == PICTURE
    assert received.statistics.lost == 1


def test_over_tcp_what_is_missing_is_not_waited_for() -> None:
    written = Written()
    received = intake(written, ordered=True)
    sent = pictures(3)
    del sent[PACKETS_A_PICTURE + 1]
    received.receive(sent, time.time())
    assert not received.waiting
    assert written.units()[-1].units[-1:] == PICTURE


def test_capture_times_are_the_publishers_where_it_can_be_believed() -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    first, *rest = packets_of(PICTURE, 90_000, 0)
    received.receive([first], now)
    report = SenderReport(SSRC, now - 0.25, 90_000, 1, 1000)
    received.receive_rtcp(build_sender_report(report, "camera"), now)
    received.receive(rest, now)
    assert written.batches[-1].capture_time == pytest.approx(now - 0.25, abs=0.001)


def test_viewers_are_told_when_the_dates_change() -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    for number, error in ((0, 0.0), (1, 0.5), (2, 0.5), (3, 0.499)):
        packets = packets_of(PICTURE, number * 3000, number * PACKETS_A_PICTURE)
        received.receive(packets, now + number / 30)
        report = SenderReport(SSRC, now + number / 30 - error, number * 3000, 1, 1000)
        received.receive_rtcp(build_sender_report(report, "camera"), now + number / 30)
    assert written.reports == 1


def test_a_camera_that_lives_in_1970_is_dated_by_arrival() -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    received.receive_rtcp(build_sender_report(SenderReport(SSRC, 60.0, 0, 1, 1), "camera"), now)
    received.receive(packets_of(PICTURE, 0, 0), now)
    assert written.batches[0].capture_time == pytest.approx(now, abs=0.001)


@pytest.mark.parametrize(("reporter", "lag_s"), [(SSRC, 0.25), (SSRC + 1, 0.0)])
def test_a_report_before_all_packets_counts_if_it_is_of_the_announced_source(
    reporter: int, lag_s: float
) -> None:
    written = Written()
    received = intake(written, bundled=True, announced_ssrc=SSRC)
    now = time.time()
    report = SenderReport(reporter, now - 0.25, 90_000, 0, 0)
    received.receive_rtcp(build_sender_report(report, "peer"), now)
    received.receive(packets_of(PICTURE, 90_000, 0), now)
    assert written.batches[0].capture_time == pytest.approx(now - lag_s, abs=0.001)


@pytest.mark.parametrize("jump", [90_000 * 3600, -90_000 * 3600, 2**31 + 5], ids=str)
def test_timestamps_that_begin_anew_are_continued(jump: int) -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    for number in range(6):
        timestamp = 10**9 + number * 3000 + (jump if number >= 3 else 0)
        packets = packets_of(PICTURE, timestamp, number * PACKETS_A_PICTURE)
        received.receive(packets, now + number / 30)
    stamps = [batch.timestamp for batch in written.batches]
    assert [after - before for before, after in pairwise(stamps)] == pytest.approx(
        [3000] * 5, abs=2
    )
    assert written.jumps == 1
    captured = [batch.capture_time - now for batch in written.batches]
    assert captured == pytest.approx([number / 30 for number in range(6)], abs=0.001)


def test_a_stall_of_the_network_is_no_new_beginning() -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    for number, arrival in enumerate([0.0, 0.033, 8.0, 8.001, 8.002]):
        packets = packets_of(PICTURE, number * 3000, number * PACKETS_A_PICTURE)
        received.receive(packets, now + arrival)
    stamps = [batch.timestamp for batch in written.batches]
    assert [after - before for before, after in pairwise(stamps)] == [3000] * 4
    assert written.jumps == 0


def test_another_source_on_the_same_track_goes_on_where_the_first_ended() -> None:
    written = Written()
    received = intake(written)
    now = time.time()
    received.receive(packets_of(PICTURE, 90_000, 100), now)
    received.receive(packets_of(PICTURE, 4_000_000_000, 9_000, ssrc=8), now + 0.05)
    assert [unit.units[-1:] for unit in written.units()] == [PICTURE] * 2
    stamps = [batch.timestamp for batch in written.batches]
    assert stamps[1] - stamps[0] == pytest.approx(0.05 * 90_000, abs=2)


def test_a_publisher_that_can_is_asked_for_what_is_missing() -> None:
    sent: list[bytes] = []
    written = Written()
    received = intake(written, answers_nack=True, send_rtcp=sent.append)
    packets = pictures(2)
    lost = packets.pop(3)
    now = time.time()
    received.receive(packets, now)
    [[nack]] = [parse_rtcp(data) for data in sent]
    assert isinstance(nack, Nack)
    assert (nack.media_ssrc, nack.sequences) == (SSRC, (3,))
    received.receive([lost], now + 0.02)
    assert [unit.units[-1:] for unit in written.units()] == [PICTURE] * 2


def test_it_is_asked_for_all_that_is_missing_and_again_while_it_is_waited_for() -> None:
    sent: list[bytes] = []
    received = intake(Written(), answers_nack=True, send_rtcp=sent.append)
    packets = pictures(3)
    now = time.time()
    received.receive([packets[n] for n in (0, 1, 2, 4, 5, 8, 9)], now)

    def asked() -> list[tuple[int, ...]]:
        nacks = [packet for data in sent for packet in parse_rtcp(data)]
        sent.clear()
        return [nack.sequences for nack in nacks if isinstance(nack, Nack)]

    assert asked() == [(3,), (6, 7)]
    received.receive([packets[6]], now + 0.02)
    received.tick(now + 0.04)
    assert asked() == [(3, 7)]
    received.tick(now + REORDER_S + 0.01)
    assert asked() == [(3, 7)], "it may come from far away"
    received.tick(now + REPAIR_S + 0.01)
    assert asked() == [], "it is given up"


def test_reports_and_keyframe_requests_name_the_source() -> None:
    sent: list[bytes] = []
    received = intake(Written(), send_rtcp=sent.append)
    received.report(time.time())
    received.request_keyframe()
    assert sent == [], "before anything came there is nobody to name"
    received.receive(pictures(1), time.time())
    received.report(time.time())
    received.request_keyframe()
    report, pli = parse_rtcp(sent[0])[0], parse_rtcp(sent[1])[0]
    assert isinstance(report, ReceiverReport)
    assert report.blocks[0].ssrc == SSRC
    assert isinstance(pli, Pli)
    assert pli.media_ssrc == SSRC


def test_a_goodbye_ends_the_track_if_it_is_its_own() -> None:
    received = intake(Written())
    received.receive(pictures(1), time.time())
    received.receive_rtcp(build_bye(Bye((99,))), time.time())
    assert not received.ended
    received.receive_rtcp(build_bye(Bye((SSRC,))), time.time())
    assert received.ended


def test_broken_packets_are_counted_and_the_next_is_taken() -> None:
    written = Written()
    received = intake(written, payload_type=96)
    now = time.time()
    other_type = bytearray(packets_of(PICTURE, 0, 0)[0])
    other_type[1] = 97
    broken = [b"\x00garbage", b"\x40" + bytes(30), bytes(other_type), b"\x80\x60"]
    received.receive(broken, now)
    received.receive_rtcp(b"\x80", now)
    assert received.malformed == 5
    received.receive([b"", packets_of(PICTURE, 0, 0)[0][:12]], now)
    assert received.malformed == 5, "packets without payload open firewalls"
    received.receive(packets_of(PICTURE, 0, 0), now)
    assert [unit.units[-1:] for unit in written.units()] == [PICTURE]


def test_sound_is_a_batch_a_frame() -> None:
    written = Written()
    received = Intake(written, 0, SOUND.codec, ordered=True)  # type: ignore[arg-type]
    packets = [HEADER.pack(0x80, 97, n, n * 960, 1) + bytes((n + 1,)) * 40 for n in range(3)]
    received.receive(packets, time.time())
    assert [batch.timestamp for batch in written.batches] == [0, 960, 1920]
    assert all(batch.complete and batch.keyframe for batch in written.batches)
