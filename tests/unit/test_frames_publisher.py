"""Publishing arrays: what arrives at the server, and which pictures are refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import av
import numpy as np
import pytest
from frames_helpers import SIZE, until
from publisher_helpers import Far, far_server, number_of, numbered

from streamsocket.errors import ArgumentError, TimedOutError
from streamsocket.frames.encoding import Encoding
from streamsocket.frames.frame import Frame
from streamsocket.frames.publisher import Publisher
from streamsocket.media.codec import H264


@pytest.fixture
def far() -> Iterator[Far]:
    with far_server() as server:
        yield server


def test_pictures_arrive_in_order_with_their_times_of_capture(far: Far) -> None:
    begun = time.time() - 0.5
    times = [begun + each for each in (0.0, 0.05, 0.07, 0.2, 0.33)]
    with Publisher(far.url()) as publisher:
        assert publisher.state == "connecting"
        for number, at in enumerate(times):
            assert publisher.write(numbered(number), at)
            until(lambda count=number: len(far.frames[0]) > count)
        assert publisher.state == "live"
        assert publisher.encoder == "libx264"
        assert publisher.dropped == 0
        assert far.numbers == [0, 1, 2, 3, 4]
        assert publisher.url in repr(publisher)
    units = far.units[0]
    assert [unit.keyframe for unit in units] == [True, False, False, False, False]
    assert [unit.capture_time for unit in units] == pytest.approx(times, abs=0.002)
    ticks = [unit.timestamp - units[0].timestamp for unit in units]
    assert ticks == pytest.approx([(at - begun) * 90_000 for at in times], abs=2)


def test_what_was_written_is_there_before_it_leaves(far: Far) -> None:
    with Publisher(far.url()) as publisher:
        publisher.write(numbered(1))
        until(lambda: far.frames[0])
        publisher.write(numbered(2))
    until(lambda: far.numbers == [1, 2])
    until(lambda: far.ended == 1)


def test_every_form_of_picture_is_taken(far: Far) -> None:
    gray = numbered(20)[:, :, 0].copy()
    yuv = np.full((72, 64), 128, np.uint8)
    wide = np.zeros((48, 128, 3), np.uint8)
    wide[:, ::2] = numbered(21)
    with Publisher(far.url()) as publisher:
        for image, pixel_format in [
            (gray, "rgb24"),
            (gray, "gray"),
            (yuv, "yuv420p"),
            (numbered(20), "bgr24"),
            (wide[:, ::2], "rgb24"),
            (numbered(20)[::-1, ::-1], "rgb24"),
        ]:
            count = len(far.frames[0])
            assert publisher.write(image, format=pixel_format)  # type: ignore[arg-type]
            until(lambda had=count: len(far.frames[0]) > had)
    assert all(abs(a - b) <= 1 for a, b in zip(far.numbers, [20, 20, 28, 20, 21, 20], strict=True))


def test_a_frame_that_was_received_keeps_its_time(far: Far) -> None:
    captured = time.time() - 0.25
    theirs = av.VideoFrame.from_ndarray(numbered(9), "rgb24").reformat(format="yuv420p")
    frame = Frame(
        theirs,
        capture_time=captured,
        capture_clock="sender",
        rtp_timestamp=0,
        keyframe=True,
        intact=True,
    )
    with Publisher(far.url()) as publisher:
        publisher.write(frame)
        until(lambda: far.units[0])
    assert far.units[0][0].capture_time == pytest.approx(captured, abs=0.002)


def test_a_wrong_picture_is_refused_and_does_no_harm(far: Far) -> None:
    with Publisher(far.url()) as publisher:
        for number in range(3):
            publisher.write(numbered(number))
            until(lambda count=number: len(far.frames[0]) > count)
            for wrong in (None, np.zeros(SIZE), np.zeros((4, 4, 4), np.uint8)):
                with pytest.raises(ArgumentError, match=r"^image: "):
                    publisher.write(wrong)
            with pytest.raises(ArgumentError, match=r"^capture_time: nan"):
                publisher.write(numbered(0), float("nan"))
    assert far.numbers == [0, 1, 2]


def test_another_size_changes_the_stream(far: Far) -> None:
    with Publisher(far.url()) as publisher:
        for number, size in enumerate([SIZE, (128, 80), (127, 81), SIZE]):
            publisher.write(numbered(number, *size))
            until(lambda count=number: len(far.frames[0]) > count)
        assert far.stream
        codec = far.stream.tracks[0].track.codec
        assert isinstance(codec, H264)
        assert codec.size == SIZE
    shapes = [image.shape[1::-1] for image in far.images]
    assert shapes == [SIZE, (128, 80), (126, 80), SIZE]
    assert far.numbers == [0, 1, 2, 3]
    assert [unit.keyframe for unit in far.units[0]] == [True, True, True, True]


def test_a_size_that_cannot_be_coded_is_refused_or_fitted_in(far: Far) -> None:
    too_wide = np.full((16, 16_384), 100, np.uint8)
    with (
        pytest.raises(ArgumentError, match=r"^codec: pictures of 16384x16 cannot be made vp8"),
        Publisher(far.url(), codec="vp8") as publisher,
    ):
        publisher.write(too_wide)
    with Publisher(far.url(), codec="vp8") as publisher:
        for image in (numbered(1), too_wide, numbered(2)):
            count = len(far.frames[0])
            assert publisher.write(image)
            until(lambda had=count: len(far.frames[0]) > had)
    assert {image.shape for image in far.images} == {(48, 64, 3)}
    assert far.numbers[-1] == 2


def test_with_a_size_it_is_black_until_the_first_picture(far: Far) -> None:
    with Publisher(far.url(), size=SIZE, repeat_after=0.1) as publisher:
        until(lambda: len(far.frames[0]) >= 2)
        assert publisher.write(numbered(30))
        until(lambda: far.images[-1].min() > 100)
    assert far.images[0].max() < 5


def test_with_a_size_pictures_are_fitted_and_it_connects_at_once(far: Far) -> None:
    with Publisher(far.url(), size=SIZE) as publisher:
        assert publisher.state == "live"
        publisher.write(numbered(5, 48, 48))
        publisher.write(numbered(6, 640, 480), block=True)
        until(lambda: len(far.frames[0]) == 2)
    assert [image.shape for image in far.images] == [(48, 64, 3)] * 2
    assert far.images[0][24, 2].max() < 10
    assert abs(int(far.images[0][24, 32, 0]) - 40) < 4


def test_the_newest_wins_when_pictures_come_too_fast(far: Far) -> None:
    with Publisher(far.url(), fps=10) as publisher:
        publisher.write(numbered(0))
        until(lambda: far.frames[0])
        begun = time.monotonic()
        for number in range(1, 51):
            publisher.write(numbered(number))
            time.sleep(0.01)
        took_s = time.monotonic() - begun
        until(lambda: far.numbers[-1] == 50)
        # Two at once, then 12.5 a second.
        assert len(far.frames[0]) <= 3 + 1 + took_s * 12.5
        assert publisher.dropped >= 51 - len(far.frames[0])
    assert far.numbers == sorted(far.numbers)


def test_whoever_blocks_is_held_to_the_rate(far: Far) -> None:
    with Publisher(far.url(), fps=50) as publisher:
        for number in range(21):
            assert publisher.write(numbered(number), block=True)
        until(lambda: far.numbers and far.numbers[-1] == 20)
        assert publisher.dropped == 0
    assert far.numbers == list(range(21))
    captured = [unit.capture_time or 0.0 for unit in far.units[0]]
    assert 0.35 < captured[-1] - captured[0] < 1.5


def test_writing_never_waits_for_a_slow_encoder(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Encoding._encode

    def slowly(*arguments: object) -> object:
        time.sleep(0.2)
        return make(*arguments)  # type: ignore[arg-type]

    with Publisher(far.url(), timeout=0.1, size=SIZE) as publisher:
        monkeypatch.setattr(Encoding, "_encode", slowly)
        publisher.write(numbered(0))
        time.sleep(0.05)
        begun = time.monotonic()
        for number in range(1, 10):
            publisher.write(numbered(number))
        assert time.monotonic() - begun < 0.1
        assert publisher.dropped == 8
        with pytest.raises(TimedOutError, match=r"No picture has been taken for 0\.1 s"):
            publisher.write(numbered(10), block=True)
        until(lambda: far.numbers == [0, 9])


def test_the_last_picture_is_repeated_while_none_come(far: Far) -> None:
    with Publisher(far.url(), repeat_after=0.1) as publisher:
        publisher.write(numbered(3))
        until(lambda: len(far.frames[0]) >= 4)
    assert set(far.numbers) == {3}
    captured = [unit.capture_time or 0.0 for unit in far.units[0]]
    assert all(0.08 < b - a < 0.5 for a, b in pairwise(captured))
    assert abs(captured[-1] - time.time()) < 1.5


def test_it_is_not_repeated_where_that_is_not_wanted(far: Far) -> None:
    with Publisher(far.url(), repeat_after=None) as publisher:
        publisher.write(numbered(3))
        time.sleep(1.3)
    assert far.numbers == [3]


def test_keyframes_come_by_the_clock_and_when_they_are_asked_for(far: Far) -> None:
    base = time.time() - 2
    with Publisher(far.url(), keyframe_interval=1.0, repeat_after=0.1) as publisher:
        for number in range(12):
            publisher.write(numbered(number), base + number * 0.2)
            until(lambda count=number: len(far.frames[0]) > count)
            assert publisher.dropped == 0
        keyframes = [n for n, unit in enumerate(far.units[0][:12]) if unit.keyframe]
        assert keyframes[:3] == [0, 5, 10]
        count = len(far.units[0])
        far.request_keyframe()
        until(lambda: any(unit.keyframe for unit in far.units[0][count:]), 0.95)


def test_every_codec_and_preset_arrives(far: Far) -> None:
    for codec, preset, pixel_format, encoder, size in [
        ("h264", "quality", "rgb24", "libx264", SIZE),
        ("h265", "low-delay", "rgb24", "libx265", SIZE),
        ("vp8", "low-delay", "rgb24", "libvpx", SIZE),
        ("mjpeg", "low-delay", "bgr24", "libjpeg-turbo", SIZE),
        ("h264", "mjpeg", "rgb24", "libjpeg-turbo", SIZE),
        ("mjpeg", "mjpeg", "yuv420p", "mjpeg", SIZE),
        ("mjpeg", "mjpeg", "rgb24", "libjpeg-turbo", (100, 60)),
    ]:
        before = len(far.frames[0])
        options = {"codec": codec, "preset": preset}
        image: object = numbered(7, *size)
        if pixel_format == "yuv420p":
            image = av.VideoFrame.from_ndarray(numbered(7), "rgb24").reformat(format="yuv420p")
        with Publisher(far.url(), **options) as publisher:  # type: ignore[arg-type]
            publisher.write(image, format="bgr24" if pixel_format == "bgr24" else "rgb24")
            until(lambda had=before: len(far.frames[0]) > had)
            assert publisher.encoder == encoder
        assert number_of(far.images[-1]) == 7, options
        until(lambda: far.stream is None)
        far.background.call(lambda: far._hub.remove("cam"))
        until(lambda: far._hub.find("cam") is None)
    assert far.images[-1].shape == (56, 96, 3)  # what RTP can carry: multiples of 8


def test_sound_arrives_beside_the_picture_on_the_same_clock(far: Far) -> None:
    tone = (np.sin(np.arange(48_000) / 20) * 16_000).astype(np.int16)
    audio = {"rate": 48_000, "channels": 1}
    with Publisher(far.url(), audio=audio) as publisher:
        assert not publisher.write_audio(tone[:960])  # nobody is connected to yet
        captured = time.time()
        publisher.write(numbered(1), captured)
        for first in range(0, 9_600, 700):
            publisher.write_audio(tone[first : first + 700], captured + first / 48_000)
        until(lambda: len(far.units[1]) >= 9)
        assert far.stream
        assert [track.track.codec.name for track in far.stream.tracks] == ["h264", "opus"]
    units = far.units[1]
    steps = {b.timestamp - a.timestamp for a, b in pairwise(units)}
    assert steps == {960}
    # Opus begins a few milliseconds before what was put in first.
    assert units[0].capture_time == pytest.approx(captured, abs=0.015)
    loud = np.abs(far.frames[1][5].to_ndarray()).max()
    assert 0.3 < loud < 0.7


def test_where_no_sound_is_written_there_is_silence(far: Far) -> None:
    with Publisher(far.url(), audio=True) as publisher:
        publisher.write(numbered(1))
        until(lambda: len(far.units[1]) >= 20)
    assert {b.timestamp - a.timestamp for a, b in pairwise(far.units[1])} == {960}
    assert np.abs(far.frames[1][-1].to_ndarray()).max() < 0.001


def test_sound_has_to_be_declared(far: Far) -> None:
    with (
        Publisher(far.url()) as publisher,
        pytest.raises(ArgumentError, match="has no sound: make it with audio="),
    ):
        publisher.write_audio(np.zeros(960, np.float32))


def test_what_is_no_ice_server_is_refused_by_the_arguments_name() -> None:
    with pytest.raises(ArgumentError, match=r"^ice_servers: 'http://x' is no STUN or TURN server"):
        Publisher("http://127.0.0.1:1/cam/whip", ice_servers=["http://x"])
