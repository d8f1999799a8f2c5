"""Timestamps that go wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.rtmp.timestamps import Kind, SoundClock, TimestampRepair

_VIDEO_MS, _AUDIO_MS = 40, 21


class Encoder:
    """Two tracks that run in sync, each message arriving when its timestamp is due."""

    def __init__(self) -> None:
        self.repair = TimestampRepair()
        self.base: dict[Kind, int] = {"video": 0, "audio": 0}
        self.now_ms = 0
        self.repaired: dict[Kind, list[tuple[int, int]]] = {"video": [], "audio": []}

    def run(self, milliseconds: int, *, delay_ms: int = 0) -> None:
        """Send what is due in that time."""
        for now in range(self.now_ms, self.now_ms + milliseconds):
            for kind, step in (("video", _VIDEO_MS), ("audio", _AUDIO_MS)):
                if now % step == 0:
                    self.send(kind, now, delay_ms)
        self.now_ms += milliseconds

    def send(self, kind: Kind, due_ms: int, delay_ms: int = 0) -> None:
        raw = (due_ms + self.base[kind]) & 0xFFFF_FFFF
        repaired = self.repair.repair(kind, raw, (due_ms + delay_ms) / 1000)
        self.repaired[kind].append((due_ms, repaired))

    def off(self, kind: Kind) -> set[int]:
        """By how much the repaired timestamps differ from when they were due."""
        return {repaired - due for due, repaired in self.repaired[kind]}

    def shift(self, milliseconds: int) -> None:
        for kind in self.base:
            self.base[kind] += milliseconds


@pytest.fixture
def encoder() -> Encoder:
    encoder = Encoder()
    encoder.run(2000)
    return encoder


def test_what_is_right_is_left_alone(encoder: Encoder) -> None:
    encoder.run(60_000)
    assert encoder.off("video") == encoder.off("audio") == {0}
    assert encoder.repair.repairs == 0


@pytest.mark.parametrize("jump", [5000, 3_600_000, -1500, -2000, (1 << 31) - 5000, -(1 << 24)])
def test_both_tracks_jump_and_stay_in_sync(encoder: Encoder, jump: int) -> None:
    encoder.shift(jump)
    encoder.run(3000)
    # The first to jump goes on at its own pace, and the other is moved by just as much.
    assert encoder.off("video") == encoder.off("audio")
    assert all(abs(off) <= _VIDEO_MS for off in encoder.off("video"))
    assert encoder.repair.repairs == 1


@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize("jump", [10_000, -10_000, 1 << 30])
def test_one_track_jumps_alone_and_goes_on_where_it_was(
    encoder: Encoder, kind: Kind, jump: int
) -> None:
    encoder.base[kind] += jump
    encoder.run(3000)
    assert all(abs(off) <= 1 for off in encoder.off("video") | encoder.off("audio"))
    assert encoder.repair.repairs == 1


def test_a_restart_at_zero(encoder: Encoder) -> None:
    encoder.run(60_000)
    encoder.shift(-encoder.now_ms)
    encoder.run(5000)
    assert encoder.off("video") == encoder.off("audio")
    assert max(encoder.off("video")) <= _VIDEO_MS
    assert encoder.repair.repairs == 1


def test_jump_after_jump(encoder: Encoder) -> None:
    for jump in (7000, -90_000, 1 << 29, 3000, -2500):
        encoder.shift(jump)
        encoder.run(2000)
    assert encoder.off("video") == encoder.off("audio")
    assert encoder.repair.repairs == 5


def test_messages_of_the_old_base_may_come_after_the_first_of_the_new(encoder: Encoder) -> None:
    encoder.base["video"] += 50_000
    encoder.run(300)  # sound that had been queued
    encoder.base["audio"] += 50_000
    encoder.run(2000)
    assert all(abs(off) <= 1 for off in encoder.off("video") | encoder.off("audio"))
    assert encoder.repair.repairs == 1


def test_32_bits_wrap() -> None:
    encoder = Encoder()
    encoder.shift((1 << 32) - 1000)
    encoder.run(4000)
    assert len(encoder.off("video") | encoder.off("audio")) == 1
    assert encoder.repair.repairs == 0


def test_a_stalled_network_is_no_jump(encoder: Encoder) -> None:
    encoder.run(6000, delay_ms=0)
    for due in range(encoder.now_ms, encoder.now_ms + 8000, _VIDEO_MS):
        # All at once, when the stall is over.
        encoder.repair.repair("video", due, (encoder.now_ms + 8000) / 1000)
    assert encoder.repair.repairs == 0


def test_a_real_pause_is_kept(encoder: Encoder) -> None:
    encoder.now_ms = 10_000
    encoder.run(1000)
    assert encoder.off("video") == {0}
    assert encoder.repair.repairs == 0


def test_a_slide_show_faster_than_real_time_is_left_alone() -> None:
    encoder = Encoder()
    for due in range(0, 60_000, 20):
        encoder.send("audio", due, delay_ms=-due * 9 // 10)
        if due % 2000 == 0:
            encoder.send("video", due, delay_ms=-due * 9 // 10)
    assert encoder.off("video") == encoder.off("audio") == {0}


def test_tracks_that_begin_far_apart_are_brought_together() -> None:
    encoder = Encoder()
    encoder.base["audio"] = 1_000_000
    encoder.run(1000)
    assert encoder.off("video") == {0}
    assert encoder.off("audio") == {0}
    assert encoder.repair.repairs == 1


def test_small_disorder_is_held_back() -> None:
    repair = TimestampRepair()
    stamps = [repair.repair("audio", ms, ms / 1000) for ms in (100, 123, 120, 146)]
    assert stamps == [100, 123, 123, 146]
    assert (repair.held_back, repair.repairs) == (1, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["video", "audio"]),
            st.integers(0, 0xFFFF_FFFF),
            st.floats(0, 5),
        ),
        max_size=50,
    )
)
def test_whatever_comes_time_never_goes_back(messages: list[tuple[Kind, int, float]]) -> None:
    repair, now = TimestampRepair(), 0.0
    last: dict[Kind, int] = {}
    for kind, timestamp, later in messages:
        now += later
        repaired = repair.repair(kind, timestamp, now)
        assert repaired >= last.get(kind, repaired)
        last[kind] = repaired


def test_frames_of_sound_get_their_exact_times() -> None:
    clock = SoundClock(44_100)
    stamps = [clock.stamp(round(index * 1024 / 44.1), 1024) for index in range(5000)]
    assert stamps == [index * 1024 for index in range(5000)]


def test_a_gap_in_the_sound_is_a_gap() -> None:
    clock = SoundClock(48_000)
    assert [clock.stamp(ms, 960) for ms in (0, 20, 40, 1040, 1060)] == [
        *(0, 960, 1920, 49_920, 50_880)
    ]


def test_a_sloppy_sound_clock_is_followed() -> None:
    clock = SoundClock(44_100)
    for index in range(3000):
        stamp = clock.stamp(index * 23, 1024)  # rather than 23.22
    assert abs(stamp - 2999 * 23 * 44.1) < 44.1 * 15


def test_one_frame_out_of_step_moves_nothing() -> None:
    clock = SoundClock(48_000)
    times = [0, 21, 43, 30, 85, 107]
    assert [clock.stamp(ms, 1024) for ms in times] == [index * 1024 for index in range(6)]


def test_sound_never_goes_back_further_than_a_frame() -> None:
    clock = SoundClock(48_000)
    first = clock.stamp(1000, 1024)
    assert clock.stamp(200, 1024) == first + 1
