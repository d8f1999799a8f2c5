"""From the bytes of a transport stream to tracks and access units."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.multiplexer import (
    AAC,
    AUDIO_PID,
    FRAME,
    H264,
    H265,
    H265_SETS,
    OPUS,
    OPUS_DESCRIPTORS,
    OTHER_SPS,
    PMT_PID,
    PPS,
    SECOND,
    SPS,
    VIDEO_PID,
    Multiplexer,
    adts,
    annexb,
    keyframe,
    movie,
    opus,
    pat,
    picture,
    pmt,
)

from streamsocket.media import codec
from streamsocket.mpegts.demuxer import Demuxer, Event, Refused, TracksKnown, Unit
from streamsocket.mpegts.packets import SIZE

MOVIE = movie(2)
ONLY_VIDEO = {VIDEO_PID: (H264, b"")}
STEP = SECOND // 25


def demuxed(datagrams: Iterable[bytes], demuxer: Demuxer | None = None) -> list[Event]:
    """What a demuxer makes of datagrams that come every 10 ms."""
    demuxer = demuxer or Demuxer()
    events: list[Event] = []
    for number, datagram in enumerate(datagrams):
        events += demuxer.feed(datagram, number / 100)
    return events


def in_sevens(data: bytes) -> list[bytes]:
    return [data[start : start + 7 * SIZE] for start in range(0, len(data), 7 * SIZE)]


def units(events: Iterable[Event], track: int) -> list[Unit]:
    return [event for event in events if isinstance(event, Unit) and event.track == track]


def contents(events: Iterable[Event]) -> list[tuple[int, list[bytes], int, bool]]:
    """What does not depend on the time of arrival."""
    found = [event for event in events if isinstance(event, Unit)]
    return [(each.track, each.unit.units, each.shown, each.unit.keyframe) for each in found]


def test_tracks_and_their_access_units() -> None:
    events = demuxed(in_sevens(MOVIE))
    [known] = [event for event in events if isinstance(event, TracksKnown)]
    assert [track.codec for track in known.tracks] == [
        codec.H264(SPS, PPS),
        codec.Aac(bytes.fromhex("1190")),
    ]
    assert known.tracks[0].frame_rate == Fraction(25)
    pictures = units(events, 0)
    assert len(pictures) >= 49
    assert [each.shown for each in pictures[:3]] == [10 * SECOND + n * STEP for n in range(3)]
    assert [n for n, each in enumerate(pictures) if each.unit.keyframe][:3] == [0, 12, 24]
    assert pictures[0].unit.units[1:3] == [SPS, PPS]
    sound = units(events, 1)
    assert [each.unit.units for each in sound[:3]] == [[bytes([n]) * 60] for n in range(3)]
    assert {b.unit.timestamp - a.unit.timestamp for a, b in pairwise(sound)} == {1024}
    assert sound[0].unit.timestamp == 10 * 48_000


@settings(max_examples=50)
@given(st.lists(st.integers(1, len(MOVIE) - 1), max_size=40))
def test_any_cutting_gives_the_same_access_units(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(MOVIE)]
    parts = [MOVIE[first:last] for first, last in pairwise(borders)]
    assert contents(demuxed(parts)) == contents(demuxed([MOVIE]))


@settings(max_examples=50)
@given(st.sets(st.integers(0, len(MOVIE) // SIZE - 1), max_size=30))
def test_whatever_is_lost_nothing_is_passed_on_with_a_hole(lost: set[int]) -> None:
    packets = [MOVIE[start : start + SIZE] for start in range(0, len(MOVIE), SIZE)]
    left = b"".join(packet for number, packet in enumerate(packets) if number not in lost)
    whole = {(track, tuple(nals), shown) for track, nals, shown, _ in contents(demuxed([MOVIE]))}
    found = {(track, tuple(nals), shown) for track, nals, shown, _ in contents(demuxed([left]))}
    assert {each[:2] for each in found} <= {each[:2] for each in whole}


@settings(max_examples=50)
@given(st.binary(max_size=2000), st.data())
def test_anything_can_be_fed(garbage: bytes, data: st.DataObject) -> None:
    mutated = bytearray(MOVIE[: 60 * SIZE])
    for _ in range(data.draw(st.integers(0, 20))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    demuxed([garbage, bytes(mutated), garbage, MOVIE])


def test_pictures_with_b_frames_keep_both_times() -> None:
    mux = Multiplexer()
    data = mux.tables(ONLY_VIDEO)
    order = [0, 3, 1, 2, 6, 4, 5]
    for decoded, shown in enumerate(order):
        make = picture if decoded else keyframe
        dts = SECOND + decoded * STEP
        data += mux.pes(VIDEO_PID, make(), SECOND + (shown + 2) * STEP, dts)
    pictures = units(demuxed(in_sevens(data)), 0)
    assert [(each.shown - SECOND) // STEP - 2 for each in pictures] == order[:-1]
    assert [(each.decoding - SECOND) // STEP for each in pictures] == list(range(6))
    assert all(each.unit.timestamp == each.shown for each in pictures)


def test_33_bits_wrap_without_a_trace() -> None:
    begin = (1 << 33) - SECOND
    events = demuxed(in_sevens(movie(2, begin=begin)))
    assert [each.shown - begin for each in units(events, 0)][:49] == [n * STEP for n in range(49)]
    assert {b.unit.timestamp - a.unit.timestamp for a, b in pairwise(units(events, 1))} == {1024}


def test_a_sender_that_begins_anew_goes_on() -> None:
    mux = Multiplexer()
    both = movie(2, begin=7000 * SECOND, mux=mux) + movie(2, begin=SECOND, mux=mux)
    datagrams = in_sevens(both)
    demuxer = Demuxer()
    events = []
    for number, datagram in enumerate(datagrams):
        events += demuxer.feed(datagram, 4 * number / len(datagrams))
    assert demuxer.repairs == 1
    assert len([event for event in events if isinstance(event, TracksKnown)]) == 1
    steps = {b.shown - a.shown for a, b in pairwise(units(events, 0))}
    assert steps == {STEP}
    # The second half's sound is as far from its pictures as it was.
    keyframes = [each for each in units(events, 0) if each.unit.units[-1][-300:-298] == b"\0\0"]
    first_frames = [each for each in units(events, 1) if each.unit.units == [bytes(60)]]
    apart = {
        round((v.shown - a.shown) / FRAME, 2) for v, a in zip(keyframes, first_frames, strict=True)
    }
    assert len(keyframes) == 2
    assert apart == {0}


def test_a_picture_with_a_hole_is_left_out_and_those_after_it_are_not() -> None:
    mux = Multiplexer()
    data = [mux.tables(ONLY_VIDEO), mux.pes(VIDEO_PID, keyframe(), SECOND)]
    data += [
        mux.pes(VIDEO_PID, picture(bytes([number]) * 600), SECOND + number * STEP)
        for number in range(1, 10)
    ]
    data[5] = data[5][:188] + data[5][376:]
    demuxer = Demuxer()
    pictures = units(demuxed(data, demuxer), 0)
    assert [(each.shown - SECOND) // STEP for each in pictures] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert (demuxer.lost, demuxer.damaged) == (1, 1)


def test_sound_before_a_hole_is_kept() -> None:
    mux = Multiplexer()
    streams = {AUDIO_PID: (AAC, b"")}
    frames = [adts(bytes([n]) * 150) for n in range(8)]
    data = [mux.tables(streams)]
    data += [mux.pes(AUDIO_PID, b"".join(frames), SECOND + n * 8 * FRAME) for n in range(3)]
    data[2] = data[2][: 3 * SIZE] + data[2][4 * SIZE :]
    sound = units(demuxed(data), 0)
    found = [(each.unit.units[0][0], round((each.shown - SECOND) / FRAME)) for each in sound]
    assert found[:8] == [(n, n) for n in range(8)]
    assert found[-8:] == [(n, n + 16) for n in range(8)]
    assert found[8:-8] == [(0, 8), (1, 9), (2, 10)]


def test_frames_of_sound_need_not_end_where_pes_packets_do() -> None:
    mux = Multiplexer()
    stream = b"".join(adts(bytes([n]) * (100 + n), crc=bool(n % 2)) for n in range(20))
    data = [mux.tables({AUDIO_PID: (AAC, b"")})]
    for start in range(0, len(stream), 500):
        begins = next(n for n in range(21) if sum(107 + k + 2 * (k % 2) for k in range(n)) >= start)
        data.append(mux.pes(AUDIO_PID, stream[start : start + 500], SECOND + begins * FRAME))
    sound = units(demuxed(data), 0)
    assert [each.unit.units for each in sound] == [[bytes([n]) * (100 + n)] for n in range(20)]
    assert [each.unit.timestamp for each in sound] == [48_000 + n * 1024 for n in range(20)]


def test_opus() -> None:
    mux = Multiplexer()
    data = [mux.tables({AUDIO_PID: (OPUS, OPUS_DESCRIPTORS)})]
    packet = b"\xfc" + bytes(300)  # 20 ms
    for number in range(4):
        two = opus(packet, start_trim=None if number else 312) + opus(packet)
        data.append(mux.pes(AUDIO_PID, two, SECOND + number * SECOND // 25))
    events = demuxed(data)
    assert events[0] == TracksKnown((codec.Track(codec.Opus(2)),))
    sound = units(events, 0)
    assert [each.unit.units for each in sound] == [[packet]] * 8
    assert [each.unit.timestamp for each in sound] == [48_000 + n * 960 for n in range(8)]


@pytest.mark.parametrize(
    ("stream_type", "descriptors", "name"),
    [
        (0x02, b"", "picture is MPEG-2"),
        (0x03, b"", "sound is MPEG audio"),
        (0x11, b"", "sound is AAC in LATM"),
        (0x81, b"", "sound is AC-3"),
        (0x06, b"\x6a\x01\x00", "sound is AC-3"),
        (0x06, b"\x05\x04AV01", "picture is AV1"),
        (0x06, b"\x05\x04Opus\x7f\x02\x80\x06", "sound is Opus with 6 channels"),
    ],
)
def test_what_cannot_be_passed_on_is_named_once_and_the_rest_plays(
    stream_type: int, descriptors: bytes, name: str
) -> None:
    mux = Multiplexer()
    streams = {0x200: (stream_type, descriptors), VIDEO_PID: (H264, b"")}
    data = [mux.tables(streams, version) for version in (0, 0, 1)]
    data += [mux.pes(VIDEO_PID, keyframe(), SECOND + n * STEP) for n in range(3)]
    events = demuxed(data)
    [refused] = [event for event in events if isinstance(event, Refused)]
    assert name in refused.text
    assert refused.text.endswith(".")
    assert len(units(events, 0)) == 2


@pytest.mark.parametrize("stream_type", [0x05, 0x86, 0x06])
def test_data_of_other_kinds_is_no_matter(stream_type: int) -> None:
    mux = Multiplexer()
    data = mux.tables({0x200: (stream_type, b"\x59\x00"), VIDEO_PID: (H264, b"")})
    assert demuxed([data]) == []


def test_a_stream_of_nothing_known_is_told() -> None:
    [refused] = demuxed([Multiplexer().tables({0x200: (0x05, b"")}) * 2])
    assert isinstance(refused, Refused)


def test_a_scrambled_stream_is_told() -> None:
    data = bytearray(MOVIE)
    for start in range(0, len(data), SIZE):
        if data[start + 1] & 0x1F or data[start + 2]:
            data[start + 3] |= 0x80
    # The map is scrambled as well here; in broadcasts it is not.
    clear = Multiplexer().tables()
    events = demuxed([clear, bytes(data)])
    assert events == [Refused("The stream is scrambled: send it without encryption.")]


def test_of_several_programmes_the_first_is_taken() -> None:
    mux = Multiplexer()
    data = mux.section(0, pat(programmes={3: PMT_PID, 4: 0x300}))
    data += mux.section(0x300, pmt({0x301: (AAC, b"")}, number=4))
    data += mux.section(PMT_PID, pmt(ONLY_VIDEO, number=3))
    data += mux.pes(0x301, adts(bytes(50)), SECOND, bounded=True)
    data += b"".join(mux.pes(VIDEO_PID, keyframe(), SECOND + n * STEP) for n in range(3))
    [known] = [event for event in demuxed([data]) if isinstance(event, TracksKnown)]
    assert [track.kind for track in known.tracks] == ["video"]


def test_another_map_brings_other_tracks() -> None:
    mux = Multiplexer()
    data = [movie(1, mux=mux), mux.tables({0x201: (H264, b"")}, version=1)]
    data += [mux.pes(0x201, keyframe(), 11 * SECOND + n * STEP) for n in range(5)]
    data += [mux.tables({0x201: (H264, b"")}, version=2)]
    data += [mux.pes(0x201, picture(), 11 * SECOND + n * STEP) for n in range(5, 9)]
    events = demuxed(data)
    known = [event for event in events if isinstance(event, TracksKnown)]
    assert [len(each.tracks) for each in known] == [2, 1]
    later = events[events.index(known[1]) :]
    assert [each.shown for each in units(later, 0)] == [11 * SECOND + n * STEP for n in range(9)]


def test_a_map_that_changes_before_the_tracks_are_known_loses_no_keyframe() -> None:
    mux = Multiplexer()
    data = [
        mux.tables(),
        mux.pes(VIDEO_PID, keyframe(), SECOND),
        mux.pes(VIDEO_PID, picture(), SECOND + STEP),
        mux.tables(ONLY_VIDEO, version=1),
        mux.pes(VIDEO_PID, picture(), SECOND + 2 * STEP),
    ]
    pictures = units(demuxed(data), 0)
    assert [each.shown for each in pictures] == [SECOND, SECOND + STEP]
    assert pictures[0].unit.keyframe


def test_sound_changes_while_the_parameter_sets_cannot_be_read() -> None:
    mux = Multiplexer()
    data = [mux.tables()]
    for number in range(6):
        sps = SPS if number < 2 else SPS[:6]
        data.append(mux.pes(VIDEO_PID, keyframe(sps=sps), SECOND + number * STEP))
        frame = adts(bytes(60), channels=2 if number < 4 else 1)
        data.append(mux.pes(AUDIO_PID, frame, SECOND + number * STEP))
    known = [event for event in demuxed(data) if isinstance(event, TracksKnown)]
    assert [each.tracks[0].codec for each in known] == [codec.H264(SPS, PPS)] * 2
    assert [getattr(each.tracks[1].codec, "channels", 0) for each in known] == [2, 1]


def test_a_broken_map_changes_nothing() -> None:
    mux = Multiplexer()
    demuxer = Demuxer()
    data = [movie(1, mux=mux)]
    broken = bytearray(mux.section(PMT_PID, pmt({0x201: (H264, b"")}, 1)))
    broken[20] ^= 1
    events = demuxed([*data, bytes(broken), movie(1, begin=11 * SECOND, mux=mux)], demuxer)
    assert len([event for event in events if isinstance(event, TracksKnown)]) == 1
    assert demuxer.malformed == 1
    assert len(units(events, 0)) == 50


def test_another_picture_size_is_announced_with_its_keyframe() -> None:
    mux = Multiplexer()
    data = [mux.tables(ONLY_VIDEO)]
    other_pps = PPS + b"\x01"
    made = [
        keyframe(),
        annexb(SPS, other_pps, b"\x65\x88"),  # only decoders want to know
        keyframe(sps=OTHER_SPS),
        picture(),
        picture(),
    ]
    data += [mux.pes(VIDEO_PID, each, SECOND + n * STEP) for n, each in enumerate(made)]
    events = demuxed(data)
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["TracksKnown", "Unit", "Unit", "TracksKnown", "Unit", "Unit"]
    assert isinstance(events[3], TracksKnown)
    assert events[3].tracks[0].codec == codec.H264(OTHER_SPS, PPS)


def test_nothing_begins_before_a_keyframe() -> None:
    mux = Multiplexer()
    data = [mux.tables(ONLY_VIDEO)]
    for number in range(10):
        make = keyframe if number == 6 else picture
        data.append(mux.pes(VIDEO_PID, make(), SECOND + number * STEP))
    events = demuxed(data)
    assert [each.shown for each in units(events, 0)] == [
        SECOND + number * STEP for number in range(6, 10)
    ]


def test_parameter_sets_that_nobody_can_read_are_no_beginning() -> None:
    mux = Multiplexer()
    data = [mux.tables(ONLY_VIDEO)]
    made = [keyframe(sps=SPS[:6]), picture(), keyframe(), picture()]
    data += [mux.pes(VIDEO_PID, each, SECOND + n * STEP) for n, each in enumerate(made)]
    events = demuxed(data)
    assert [each.shown for each in units(events, 0)] == [SECOND + 2 * STEP]


def test_a_track_that_stays_silent_is_not_waited_for_and_may_come_later() -> None:
    mux = Multiplexer()
    demuxer = Demuxer()
    demuxer.feed(mux.tables(), 0.0)
    known = {}
    for number in range(150):
        now = number / 25
        data = mux.pes(VIDEO_PID, picture() if number % 25 else keyframe(), SECOND + number * STEP)
        if number > 100:
            data += mux.pes(AUDIO_PID, adts(bytes(60)), SECOND + number * STEP)
        for event in demuxer.feed(data, now):
            if isinstance(event, TracksKnown):
                known[now] = len(event.tracks)
    assert list(known.values()) == [1, 2]
    first, second = known
    assert 2.0 <= first <= 2.2
    assert 4.0 <= second <= 4.2


def test_pictures_that_come_without_a_keyframe_are_waited_for_longer() -> None:
    mux = Multiplexer()
    demuxer = Demuxer()
    demuxer.feed(mux.tables(), 0.0)
    events = []
    for number in range(160):
        make = keyframe if number == 150 else picture
        data = mux.pes(VIDEO_PID, make(), SECOND + number * STEP)
        data += mux.pes(AUDIO_PID, adts(bytes(60)), SECOND + number * STEP)
        events += demuxer.feed(data, number / 25)
    assert isinstance(events[0], TracksKnown)
    assert len(events[0].tracks) == 2
    # Sound that is older than the first picture is of no use any more.
    assert units(events, 1)[0].shown >= units(events, 0)[0].shown - SECOND // 2


def test_a_picture_that_needs_several_pes_packets_is_put_together() -> None:
    mux = Multiplexer()
    whole = keyframe(bytes(range(1, 251)) * 600)
    data = [mux.tables(ONLY_VIDEO)]
    for number in range(3):
        pts = SECOND + number * STEP
        data.append(mux.pes(VIDEO_PID, whole[:65_500], pts, bounded=True))
        data.append(mux.pes(VIDEO_PID, whole[65_500:131_000], bounded=True))
        data.append(mux.pes(VIDEO_PID, whole[131_000:], bounded=True))
    pictures = units(demuxed(data), 0)
    assert [each.unit.annexb() for each in pictures] == [whole] * 3
    assert [each.shown for each in pictures] == [SECOND + n * STEP for n in range(3)]


def test_pictures_without_times_are_as_far_apart_as_those_before() -> None:
    mux = Multiplexer()
    data = [mux.tables(ONLY_VIDEO), mux.pes(VIDEO_PID, keyframe(), SECOND)]
    data += [
        mux.pes(VIDEO_PID, picture(), SECOND + n * STEP if n < 3 else None) for n in range(1, 9)
    ]
    assert [each.shown for each in units(demuxed(data), 0)] == [SECOND + n * STEP for n in range(9)]


def test_h265() -> None:
    vps, sps, pps = H265_SETS
    idr = bytes([19 << 1, 1, 0x80]) + b"slice" * 20
    mux = Multiplexer()
    data = [mux.tables({VIDEO_PID: (H265, b"")})]
    whole = b"".join(b"\x00\x00\x00\x01" + unit for unit in (vps, sps, pps, idr))
    data += [mux.pes(VIDEO_PID, whole, SECOND + n * STEP) for n in range(3)]
    events = demuxed(data)
    assert isinstance(events[0], TracksKnown)
    assert isinstance(events[0].tracks[0].codec, codec.H265)
    assert units(events, 0)[0].unit.units == [vps, sps, pps, idr]
