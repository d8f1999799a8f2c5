"""What the server and a transcoder's process say to each other."""

from fractions import Fraction

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Opus, Track
from streamsocket.rtp.batch import Batch
from streamsocket.taps.packets import Packets, batch_header
from streamsocket.transcode import link

_BATCH = Batch(bytes(50), (20, 30), -312, 1.7e9, True, True, 1 << 33)

SEEDS = [
    link.encode_event(link.Begin(Track(H264(b"\x67\x42", b"\x68\xce"), Fraction(30)))),
    link.encode_event(link.MakeKeyframe()) + link.encode_event(link.Skipped(3)),
    link.encode_event(link.Made(Track(Opus(1)))) + link.encode_event(link.KeyframeWanted()),
    link.encode_event(link.Trouble(None)) + link.encode_event(link.Failed("why")),
    batch_header(0, 0, _BATCH) + _BATCH.buffer,
]


def fuzz_one(data: bytes) -> None:
    try:
        messages = list(link.Decoder().feed(data))
    except ParseError:
        return
    for message in messages:
        if isinstance(message, Packets):
            assert sum(message.sizes) == len(message.data)
        else:
            assert len(list(link.Decoder().feed(link.encode_event(message)))) == 1
