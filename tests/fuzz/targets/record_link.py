"""What the server and the recorder's process say to each other."""

from fractions import Fraction

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Opus, Track
from streamsocket.record import link
from streamsocket.rtp.batch import Batch
from streamsocket.taps.packets import Packets, batch_header

_TRACKS = (Track(H264(b"\x67\x42", b"\x68\xce"), Fraction(30)), Track(Opus(1)))
_BATCH = Batch(bytes(50), (20, 30), 1 << 40, 1.7e9, True, True, 1 << 33)
_STATE = link.RecordingState(1, "recordings/lobby/1.mp4", 1.5, 1000, None)

SEEDS = [
    link.encode_event(link.Follow(1, "live/lobby", 0, _TRACKS, (5, 6))),
    link.encode_event(link.Lost(1)) + link.encode_event(link.Over(1)),
    link.encode_event(link.KeyframeWanted(1)) + link.encode_event(link.Report((_STATE,))),
    batch_header(1, 0, _BATCH) + _BATCH.buffer,
]


def fuzz_one(data: bytes) -> None:
    try:
        messages = list(link.Decoder().feed(data))
    except ParseError:
        return
    for message in messages:
        if isinstance(message, Packets):
            assert sum(message.sizes) == len(message.data)
            assert min(message.sizes) >= 12
        else:
            assert len(list(link.Decoder().feed(link.encode_event(message)))) == 1
