"""Pictures into another codec: every one, at its time, with its colours."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from tests.unit.record_helpers import BASES, CAPTURED, Units, video
from tests.unit.transcode_helpers import batches_of, coded, decoded, moved, rgb

from streamsocket.media import h264
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Av1, Mjpeg, Track, Vp9
from streamsocket.rtp.batch import Batch
from streamsocket.transcode import pictures as pictures_module
from streamsocket.transcode.pictures import Pictures


class Run:
    """Pictures through a transcoder, one after the other."""

    def __init__(self, track: Track, codec: str = "h264") -> None:
        self.made: list[Track] = []
        self.batches: list[Batch] = []
        self.pictures = Pictures(track, codec, self.made.append)

    def take(self, units: Units, *, encode: bool = True) -> list[Batch]:
        """What came out of these."""
        out = [batch for _, unit in units for batch in self.pictures.take(unit, encode=encode)]
        self.batches += out
        return out

    @property
    def keyframes_s(self) -> list[float]:
        """When keyframes are shown, after the first picture."""
        first = self.batches[0].timestamp
        return [(each.timestamp - first) / 90_000 for each in self.batches if each.keyframe]


def source(name: str) -> tuple[Track, Units]:
    match name:
        case "h264":
            return video("libx264", seconds=1, bf="2")
        case "h265":
            return video("libx265", seconds=1, **{"x265-params": "log-level=error"})
        case "vp8":
            return video("libvpx", seconds=1, deadline="realtime")
        case "vp9":
            live = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
            return coded("libvpx-vp9", Vp9(), seconds=1, **live)
        case "av1":
            live = {"preset": "10", "svtav1-params": "pred-struct=1:rtc=1"}
            return coded("libsvtav1", Av1(), seconds=1, **live)
    return video("mjpeg", seconds=1)


@pytest.mark.parametrize("target", ["h264", "vp8"])
@pytest.mark.parametrize("name", ["h264", "h265", "vp8", "vp9", "av1", "mjpeg"])
def test_every_picture_comes_out_at_its_time_and_looks_the_same(name: str, target: str) -> None:
    track, units = source(name)
    run = Run(track, target)
    run.take(units)
    held = 2 if name in ("h264", "h265") else 0  # these wait for B-frames
    shown = sorted(unit.timestamp for _, unit in units)
    assert [batch.timestamp for batch in run.batches] == shown[: len(shown) - held]
    captured = [batch.capture_time - CAPTURED for batch in run.batches]
    assert captured == pytest.approx([number / 25 for number in range(len(captured))], abs=1e-5)
    assert max(size for batch in run.batches for size in batch.sizes) <= 1212
    assert run.made[-1].codec.name == target
    before = {frame.pts: rgb(frame) for frame in decoded(track, batches_of(track, units))}
    after = {frame.pts: rgb(frame) for frame in decoded(run.made[-1], run.batches)}
    assert after.keys() == {batch.timestamp for batch in run.batches}
    for pts, picture in after.items():
        difference = picture - before[pts]
        assert np.sqrt((difference**2).mean()) < 12
        assert np.abs(difference.mean((0, 1))).max() < 3  # no shift of colours


def test_h264_is_what_every_browser_decodes_and_has_no_b_frames() -> None:
    track, units = video("libx264", seconds=1, bf="2")
    run = Run(track)
    assert [type(made.codec) for made in run.made] == [H264]  # before any picture
    run.take(units)
    [made] = run.made
    assert isinstance(made.codec, H264)
    sps = h264.parse_sps(made.codec.sps)
    assert made.codec.sps[1] == 66  # baseline …
    assert made.codec.sps[2] & 0x40  # … constrained (H.264, A.2.1.1)
    assert not sps.max_reorder
    assert made.frame_rate == 25


def test_another_size_midway_is_another_track() -> None:
    small, units = video("libx264", seconds=0.4, bf="0")
    _, larger = video("libx264", seconds=0.4, size=(320, 192), bf="0")
    for target in ("h264", "vp8"):
        run = Run(small, target)
        run.take(units)
        out = run.take(moved(larger, 90_000))
        assert [made.codec.size for made in run.made] == [(160, 96), (320, 192)]  # type: ignore[union-attr]
        assert [batch.keyframe for batch in out] == [True] + [False] * 9
        sizes = [(f.width, f.height) for f in decoded(run.made[0], run.batches)]  # type: ignore[union-attr]
        assert sizes == [(160, 96)] * 10 + [(320, 192)] * 10


def test_odd_sizes_and_oblong_pixels_are_scaled() -> None:
    run = Run(Track(Mjpeg()), "vp8")
    frame = VideoFrame.from_ndarray(np.full((97, 161, 3), 90, np.uint8), "rgb24")
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 161, 97, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.sample_aspect_ratio = Fraction(2)
    [packet] = context.encode(frame.reformat(format="yuvj420p"))
    run.take([(0, AccessUnit([bytes(packet)], 0))])
    [shown] = decoded(run.made[-1], run.batches)
    assert isinstance(shown, VideoFrame)
    assert (shown.width, shown.height) == (322, 96)
    assert np.abs(rgb(shown) - 90).mean() < 3  # full range became limited


def test_hd_colours_are_told_in_h264_and_converted_for_vp8() -> None:
    hd = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709"}
    track, units = video("libx264", seconds=0.2, **hd)
    before = decoded(track, batches_of(track, units))
    for target in ("h264", "vp8"):
        run = Run(track, target)
        run.take(units)
        after = decoded(run.made[-1], run.batches)
        assert isinstance(after[0], VideoFrame)
        assert isinstance(before[0], VideoFrame)
        assert before[0].colorspace == 1
        assert after[0].colorspace == (1 if target == "h264" else 5)
        shift = rgb(after[0]) - rgb(before[0])
        assert np.abs(shift.mean((0, 1))).max() < 3


@pytest.mark.parametrize("target", ["h264", "vp8"])
def test_keyframes_come_every_two_seconds_whatever_the_rate_and_when_they_are_wanted(
    target: str,
) -> None:
    track, units = video("mjpeg", seconds=5, rate=10, size=(64, 48))
    run = Run(replace(track, frame_rate=None), target)
    run.take(units[:30])
    assert run.keyframes_s == [0, 2]
    run.pictures.request_keyframe()
    run.pictures.request_keyframe()
    run.take(units[30:])
    assert run.keyframes_s == [0, 2, 3]
    # Asked for again and again, they still leave room for pictures between them.
    run = Run(track, target)
    for unit in units[:20]:
        run.pictures.request_keyframe()
        run.take([unit])
    assert run.keyframes_s == pytest.approx([0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8])


def test_a_rate_that_is_quite_another_than_declared_has_its_bits() -> None:
    track, units = video("mjpeg", seconds=4, rate=60, size=(64, 48))
    run = Run(Track(track.codec, Fraction(15)))
    run.take(units)
    # At the keyframe when it is due: its parameters say so.
    assert run.keyframes_s == [0, 2]
    assert len(run.made) == 2
    assert len(run.batches) == len(units)


def test_pictures_at_uneven_times_keep_them() -> None:
    track, units = video("mjpeg", seconds=2, size=(64, 48))
    times = np.cumsum(np.random.default_rng(1).integers(1000, 45_000, len(units)))
    for (_, unit), time in zip(units, times, strict=True):
        unit.timestamp = int(time)
    for target in ("h264", "vp8"):
        run = Run(Track(track.codec), target)
        run.take(units)
        assert [batch.timestamp for batch in run.batches] == times.tolist()
        assert len(decoded(run.made[-1], run.batches)) == len(units)


def test_pictures_that_would_take_all_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "_MAX_PIXELS", 200 * 200)
    small, units = video("libx264", seconds=0.2, bf="0")
    large, others = video("libx264", seconds=0.2, size=(320, 192), bf="0")
    run = Run(large)
    assert not run.take(others)
    assert not run.made
    assert run.pictures.errors == 5
    run.pictures.begin(small)
    assert len(run.take(moved(units, 90_000))) == 5


def test_a_picture_that_cannot_be_scaled_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    track, units = video("mjpeg", seconds=0.4)
    run = Run(track)
    run.take(units[:3])
    with monkeypatch.context() as patched:
        patched.setattr(pictures_module.Scaler, "scale", refuse)
        assert not run.take(units[3:4])
    assert run.pictures.errors == 1
    out = run.take(units[4:])
    assert [batch.keyframe for batch in out] == [True] + [False] * 5


def refuse(scaler: object, frame: VideoFrame) -> VideoFrame:
    raise av.error.OverflowError(34, "Numerical result out of range")


def test_pictures_decoded_only_give_nothing_and_the_next_is_whole() -> None:
    track, units = video("libvpx", seconds=1, deadline="realtime")
    run = Run(track)
    assert not run.take(units[:20], encode=False)
    out = run.take(units[20:])
    assert [batch.keyframe for batch in out] == [True, False, False, False, False]
    before = decoded(track, batches_of(track, units))
    [first, *_] = decoded(run.made[-1], out)
    assert np.sqrt(((rgb(first) - rgb(before[20])) ** 2).mean()) < 12


def test_damage_costs_pictures_only() -> None:
    track, units = video("libvpx", seconds=1, deadline="realtime", gop=10)
    run = Run(track)
    broken = [(0, replace(unit, units=[b"\xff" * 40])) for _, unit in units[4:8]]
    run.take([*units[:4], *broken, *units[8:]])
    assert run.pictures.errors == 4
    assert len(run.batches) == len(units) - 4


def test_what_comes_before_the_first_keyframe_is_skipped_and_counted() -> None:
    track, units = video("libvpx", seconds=1, deadline="realtime", gop=10)
    run = Run(track)
    run.take(units[3:])
    assert run.pictures.skipped == 7
    assert run.batches[0].timestamp == units[10][1].timestamp


def test_another_publisher_goes_on_with_other_parameters() -> None:
    track, units = video("libx264", seconds=0.4, bf="2")
    other, following = video(
        "libx264", seconds=0.4, profile="main", bf="2", **{"x264-params": "ref=1"}
    )
    run = Run(track)
    run.take(units)
    assert len(run.batches) == 8
    run.batches += run.pictures.begin(other)
    assert len(run.batches) == 10  # what the decoder had held back
    run.take(moved(following, 90_000))
    assert len(run.batches) == 18
    assert len(run.made) == 1  # to who watches, nothing has changed


def test_time_that_jumps_back_begins_anew() -> None:
    track, units = video("libvpx", seconds=0.4, deadline="realtime")
    run = Run(track)
    run.take(units)
    out = run.take(moved(units, -BASES[0]))
    assert len(out) == 10
    assert out[0].keyframe
    # A little back is a picture too many.
    assert not run.take(moved(units[:1], -BASES[0]))
