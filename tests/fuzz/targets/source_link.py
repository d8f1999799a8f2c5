"""What a source's process says to the server."""

from fractions import Fraction

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Aac, Opus, Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources import link

_TRACKS = (
    Track(H264(b"\x67\x42", b"\x68\xce"), Fraction(30_000, 1001)),
    Track(Aac(b"\x11\x90")),
    Track(Opus(1)),
)

SEEDS = [
    link.encode_event(link.Tracks(_TRACKS, makes_keyframes=True)),
    link.encode_event(link.Note("It is transcoded.")) + link.encode_event(link.Ended()),
    link.encode_event(link.Progress(1.5, None, 3)) + link.encode_event(link.Failed("No.", True)),
    link.encode_batch(1, Batch(bytes(50), (20, 30), 1 << 40, 1.7e9, True, True)),
]


def fuzz_one(data: bytes) -> None:
    try:
        messages = link.Decoder().feed(data)
    except ParseError:
        return
    for message in messages:
        if isinstance(message, link.TrackBatch):
            again = link.encode_batch(message.track, message.batch)
            assert sum(message.batch.sizes) == len(message.batch.buffer)
        else:
            again = link.encode_event(message)
        assert len(link.Decoder().feed(again)) == 1
