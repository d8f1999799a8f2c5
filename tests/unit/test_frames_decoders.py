"""From access units to what is handed out."""

from __future__ import annotations

import av
import numpy as np
import pytest
from frames_helpers import SIZE, TICKS, coded_pictures, connection

from streamsocket.client.receiver import Received
from streamsocket.errors import ArgumentError
from streamsocket.frames.coded_queue import Coded, Connection
from streamsocket.frames.decoders import PictureDecoder, SoundDecoder, _samples
from streamsocket.frames.frame import Frame
from streamsocket.frames.hardware import DEVICES, check_decoder, make_decoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, L16


def decoder(*, damaged: bool = False, wish: str = "software") -> PictureDecoder:
    return PictureDecoder(connection().codec, decoder=wish, damaged=damaged)


def decoded(pictures: list[Coded], *, damaged: bool = False) -> list[Frame]:
    made = decoder(damaged=damaged)
    return [frame for each in pictures for frame in made.decode(each)] + made.flush()


def test_each_picture_keeps_its_own_times() -> None:
    frames = decoded(coded_pictures())
    assert len(frames) == 30
    for number, frame in enumerate(frames):
        assert (frame.width, frame.height) == SIZE
        assert frame.rtp_timestamp == number * TICKS
        assert frame.capture_time == 1_000 + number / 30
        assert frame.capture_clock == "sender"
        assert frame.keyframe == (number % 10 == 0)
        assert frame.intact
        assert frame.dropped == 0
        assert abs(int(frame.to_ndarray("gray").mean()) - (16 + number * 8 % 220)) <= 1


def test_pictures_come_in_the_order_in_which_they_are_shown() -> None:
    frames = decoded(coded_pictures(b_frames=2))
    assert len(frames) == 30
    values = [int(frame.to_ndarray("gray").mean()) for frame in frames]
    assert (np.abs(np.diff(values[:26]) - 8) <= 2).all(), "one after the other, each 8 brighter"


def test_what_is_too_old_is_decoded_and_not_handed_out() -> None:
    pictures = coded_pictures()
    for each in pictures[:4]:
        each.stale = True
    frames = decoded(pictures)
    assert len(frames) == 26
    assert frames[0].dropped == 4
    assert abs(int(frames[0].to_ndarray("gray").mean()) - 48) <= 1


@pytest.mark.parametrize("how", ["lost before", "damaged"])
def test_pictures_with_holes_are_left_out_unless_they_are_wanted(how: str) -> None:
    def pictures() -> list[Coded]:
        made = coded_pictures()
        for each in made[5:8]:
            each.received.intact = how != "lost before"
            each.received.unit.damaged = how == "damaged"
        return made

    frames = decoded(pictures())
    assert len(frames) == 27
    assert all(frame.intact for frame in frames)
    assert frames[5].dropped == 3
    all_frames = decoded(pictures(), damaged=True)
    assert [frame.intact for frame in all_frames] == [
        number not in (5, 6, 7) for number in range(30)
    ]


def test_what_cannot_be_decoded_is_told_as_left_out() -> None:
    pictures = coded_pictures()
    pictures[15].received.unit.units = [b"\x41\xff"]
    pictures[20].dropped = 7
    frames = decoded(pictures[7:])
    assert frames[0].rtp_timestamp == 10 * TICKS
    assert frames[0].dropped == 3, "before the first keyframe"
    assert sum(frame.dropped for frame in frames) >= 3 + 1 + 7


def test_a_device_that_does_not_open_is_replaced_by_software() -> None:
    for wish in ("hardware", *DEVICES):
        made = decoder(wish=wish)
        frames = [frame for each in coded_pictures() for frame in made.decode(each)]
        assert len(frames) >= 25
        assert made.name.startswith("h264")
        assert frames[0].image.shape == (SIZE[1], SIZE[0], 3)


def test_the_first_device_that_opens_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class Accelerated:
        def __init__(self, codec: object, device: str) -> None:
            tried.append(device)
            if device != "vaapi":
                raise ValueError("no such device")

    monkeypatch.setattr("streamsocket.frames.hardware.HardwareDecoder", Accelerated)
    made, name = make_decoder(connection().codec, "hardware")
    assert isinstance(made, Accelerated)
    assert name == "h264 (vaapi)"
    assert tried == ["cuda", "vaapi"]
    assert make_decoder(connection().codec, "qsv")[1] == "h264"


def test_a_decoder_that_does_not_exist_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match=r"^decoder: 'gpu' is none of software, hardware, "):
        check_decoder("gpu")


def sound(codec: G711 | L16, payload: bytes) -> Coded:
    unit = AccessUnit([payload], 800, capture_time=1_000.0)
    return Coded(Received(1, unit, 1_000.1), "arrival", Connection(codec), dropped=2)


def test_sound_is_float_between_minus_one_and_one() -> None:
    coded = np.array([[0, 16384], [-32768, 8192], [32767, -8192]], ">i2")
    (block,) = SoundDecoder(L16(48_000, 2)).decode(sound(L16(48_000, 2), coded.tobytes()))
    assert block.samples.dtype == np.float32
    assert block.samples.flags.c_contiguous
    assert np.allclose(block.samples, coded.astype(np.float32) / 32768)
    assert block.sample_rate == 48_000
    assert (block.capture_time, block.capture_clock, block.dropped) == (1_000.0, "arrival", 2)


def test_telephone_sound_is_one_channel() -> None:
    codec = G711("pcmu")
    (block,) = SoundDecoder(codec).decode(sound(codec, b"\xff" * 160))
    assert block.samples.shape == (160, 1)
    assert block.duration == 0.02
    assert np.abs(block.samples).max() < 0.001


@pytest.mark.parametrize("sample_format", ["flt", "fltp", "s16", "s16p", "s32", "u8", "dbl"])
def test_samples_of_all_formats(sample_format: str) -> None:
    given = np.linspace(-0.9, 0.9, 200, dtype=np.float32).reshape(2, 100)
    source = av.AudioFrame.from_ndarray(np.ascontiguousarray(given), "fltp", "stereo")
    source.sample_rate = 48_000
    (frame,) = av.AudioResampler(sample_format).resample(source)
    samples = _samples(frame)
    assert samples.shape == (100, 2)
    assert samples.dtype == np.float32
    assert np.abs(samples - given.T).max() < 0.01
