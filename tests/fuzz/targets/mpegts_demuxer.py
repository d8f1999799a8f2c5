"""Transport streams, cut into datagrams as the input says."""

from itertools import pairwise

from multiplexer import (
    AUDIO_PID,
    H265,
    H265_SETS,
    OPUS,
    OPUS_DESCRIPTORS,
    SECOND,
    VIDEO_PID,
    Multiplexer,
    annexb,
    movie,
    opus,
)

from streamsocket.mpegts.demuxer import Demuxer, Refused, TracksKnown, Unit
from streamsocket.mpegts.packets import SIZE


def _with_opus() -> bytes:
    mux = Multiplexer()
    data = mux.tables({VIDEO_PID: (H265, b""), AUDIO_PID: (OPUS, OPUS_DESCRIPTORS)})
    idr = bytes([19 << 1, 1, 0x80]) + bytes(range(1, 21))
    data += mux.pes(VIDEO_PID, annexb(*H265_SETS, idr), SECOND + 7200, SECOND)
    for number in range(3):
        packets = opus(b"\xfc" + bytes(50), start_trim=312) + opus(b"\xfd" + bytes(20))
        data += mux.pes(AUDIO_PID, packets, SECOND + number * 3600)
    return data + mux.tables({VIDEO_PID: (0x1B, b"")}, version=1)


SEEDS = [
    b"\x07" + movie(0.3)[: 20 * SIZE],
    b"\x00" + _with_opus(),
    b"\x03" + movie(0.2)[: 10 * SIZE] + movie(0.2, begin=5 * SECOND)[: 10 * SIZE],
]


def fuzz_one(data: bytes) -> None:
    if not data:
        return
    size, data = data[0] * 50 + 1, data[1:]
    demuxer = Demuxer()
    tracks = 0
    decoding: dict[int, list[int]] = {}
    for number, start in enumerate(range(0, len(data), size)):
        for event in demuxer.feed(data[start : start + size], number / 10):
            match event:
                case TracksKnown(known):
                    assert 1 <= len(known) <= 2
                    assert len({track.kind for track in known}) == len(known)
                    assert all(track.codec.clock_rate > 0 for track in known)
                    sizes = [getattr(track.codec, "size", (1, 1)) for track in known]
                    assert all(min(size) > 0 for size in sizes)
                    tracks = len(known)
                    decoding.clear()
                case Unit():
                    assert 0 <= event.track < tracks
                    assert all(event.unit.units)
                    assert event.decoding <= event.shown
                    decoding.setdefault(event.track, []).append(event.decoding)
                case Refused(text):
                    assert text.endswith(".")
    for times in decoding.values():
        assert all(earlier < later + SECOND for earlier, later in pairwise(times))
