"""What a source's process and the server say to each other."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Aac, Opus, Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources import link

_codecs = st.one_of(
    st.builds(H264, st.binary(max_size=40), st.binary(max_size=20)),
    st.builds(Aac, st.binary(max_size=10)),
    st.builds(Opus, st.integers(1, 2)),
)
_tracks = st.builds(Track, _codecs, st.none() | st.fractions(1, 240, max_denominator=1001))
_seconds = st.floats(0, 1e9)
_events = st.one_of(
    st.builds(link.Tracks, st.lists(_tracks, max_size=3).map(tuple), st.booleans()),
    st.builds(link.Note, st.text(max_size=200)),
    st.builds(link.Waiting, st.text(max_size=200)),
    st.builds(link.Live, st.none() | st.text(max_size=200)),
    st.builds(link.Progress, _seconds, st.none() | _seconds, st.integers(0, 1 << 40)),
    st.just(link.Ended()),
    st.builds(link.Failed, st.text(max_size=200), st.booleans()),
)


@st.composite
def _track_batches(draw: st.DrawFn) -> link.TrackBatch:
    packets = draw(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
    batch = Batch(
        b"".join(packets),
        tuple(map(len, packets)),
        draw(st.integers(0, 1 << 60)),
        draw(_seconds),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    return link.TrackBatch(draw(st.integers(0, 255)), batch)


def _encode(message: link.Event | link.TrackBatch) -> bytes:
    if isinstance(message, link.TrackBatch):
        return link.encode_batch(*message)
    return link.encode_event(message)


@given(st.lists(_events | _track_batches(), max_size=6))
def test_what_is_encoded_is_decoded_again(messages: list[link.Event | link.TrackBatch]) -> None:
    assert link.Decoder().feed(b"".join(map(_encode, messages))) == messages


@given(st.lists(_events | _track_batches(), max_size=4), st.integers(1, 7))
def test_it_does_not_matter_how_the_bytes_arrive(
    messages: list[link.Event | link.TrackBatch], size: int
) -> None:
    data = b"".join(map(_encode, messages))
    decoder = link.Decoder()
    decoded = []
    for start in range(0, len(data), size):
        decoded += decoder.feed(data[start : start + size])
    assert decoded == messages


@given(st.binary(max_size=200))
def test_nonsense_is_refused_by_a_parse_error_and_nothing_else(data: bytes) -> None:
    try:
        link.Decoder().feed(data)
    except ParseError:
        pass


@given(st.binary(max_size=60))
def test_an_events_nonsense_is_refused_too(body: bytes) -> None:
    with pytest.raises(ParseError):
        link.Decoder().feed(b"E" + len(body).to_bytes(4, "big") + body)


def test_a_message_that_is_too_long_is_refused_at_its_header() -> None:
    with pytest.raises(ParseError, match="too long"):
        link.Decoder().feed(b"E" + (1 << 17).to_bytes(4, "big"))


def test_sizes_that_do_not_add_up_are_refused() -> None:
    message = bytearray(link.encode_batch(0, Batch(bytes(30), (10, 20), 0, 0.0, False, True)))
    message[-31] += 1  # the low byte of the last size
    with pytest.raises(ParseError, match="as long as its packets"):
        link.Decoder().feed(bytes(message))


def test_an_unknown_event_is_named() -> None:
    body = b'["Dance", {}]'
    with pytest.raises(ParseError, match="Dance"):
        link.Decoder().feed(b"E" + len(body).to_bytes(4, "big") + body)


def test_a_frame_rate_stays_a_ratio() -> None:
    track = Track(Opus(2), Fraction(30_000, 1001))
    [tracks] = link.Decoder().feed(link.encode_event(link.Tracks((track,), False)))
    assert isinstance(tracks, link.Tracks)
    assert tracks.tracks[0].frame_rate == Fraction(30_000, 1001)
