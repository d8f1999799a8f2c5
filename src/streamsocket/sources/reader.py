"""Reads a file pass after pass into units that are ready to be sent, ahead of their time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from streamsocket.codecs.coded import Coded
from streamsocket.errors import ParseError, SourceError
from streamsocket.media.codec import G711, L16, Aac, Codec, Opus
from streamsocket.sources.encoding import Encoding
from streamsocket.sources.packing import Packer
from streamsocket.sources.passthrough import Feed, PassedSamples, PassedSound, PassedVideo
from streamsocket.sources.plan import Plan, TrackPlan, open_movie
from streamsocket.sources.schedule import Unit
from streamsocket.sources.timeline import Timeline

# A file that ends so much before it should is worth a word.
_CUT_OFF_S = 1.0


class MovieReader:
    """The units of a file, in the order of the file, once or for ever."""

    def __init__(self, path: str, plan: Plan, loop: bool, note: Callable[[str], None]) -> None:
        self._path = path
        self._plan = plan
        self._loop = loop
        self._note = note
        self._noted: set[str] = set()
        self._timeline = Timeline()
        self._packers: list[Packer] = []
        self.codecs: list[Codec] = []
        """Of the tracks, known once the first unit is there."""

    def units(self) -> Iterator[Unit]:
        """Read on. Raises `SourceError` where a pass cannot be read at all."""
        while True:
            yield from self._one_pass()
            if not self._loop:
                return

    def _one_pass(self) -> Iterator[Unit]:
        with open_movie(self._path) as movie:
            streams = self._streams(movie)
            feeds = [
                _make_feed(track, stream, self._plan.encoding)
                for track, stream in zip(self._plan.tracks, streams, strict=True)
            ]
            self.codecs = [feed.codec for feed in feeds]
            self._packers = [Packer(feed.codec) for feed in feeds]
            self._timeline.begin_pass(_origin(streams))
            for index, coded in self._coded(movie, streams, feeds):
                if unit := self._unit(index, coded):
                    yield unit
        length_s = float(self._timeline.pass_length)
        if length_s <= 0:
            raise SourceError(f"Nothing in '{self._path}' can be read: is it damaged?")
        if self._plan.duration_s and length_s < self._plan.duration_s - _CUT_OFF_S:
            self._note_once(
                f"'{self._path}' is cut off or damaged: it ends after {length_s:.1f} s "
                f"of {self._plan.duration_s:.1f} s."
            )

    def _streams(self, movie: InputContainer) -> list[Stream]:
        wanted = [track.stream_index for track in self._plan.tracks]
        for stream in movie.streams:
            if stream.index not in wanted:
                stream.discard = Discard.all
        try:
            return [movie.streams[index] for index in wanted]
        except IndexError:
            raise SourceError(
                f"'{self._path}' is no longer the file it was: start it again."
            ) from None

    def _coded(
        self, movie: InputContainer, streams: list[Stream], feeds: list[Feed]
    ) -> Iterator[tuple[int, Coded]]:
        place = {stream.index: index for index, stream in enumerate(streams)}
        try:
            for packet in movie.demux(*streams):
                if packet.size:
                    index = place[packet.stream_index]
                    if self._plan.tracks[index].untimed:
                        packet.pts = None
                    for coded in feeds[index].take(packet):
                        yield index, coded
        except av.FFmpegError as error:
            self._note_once(f"'{self._path}' is damaged ({error.strerror}): what follows is lost.")
        for index, feed in enumerate(feeds):
            for coded in feed.flush():
                yield index, coded

    def _unit(self, index: int, coded: Coded) -> Unit | None:
        track = self._plan.tracks[index]
        placed = self._timeline.place(coded, track.kind)
        if placed is None:
            return None
        pts, dts = placed
        try:
            batch = self._packers[index].pack(coded, pts)
        except ParseError as error:
            self._note_once(f"Something in '{self._path}' is left out: {error}")
            return None
        if batch is None:
            return None
        duration_s = float(coded.duration)
        # As from a microphone, sound is there when its last sample is.
        due_s = float(dts) if track.kind == "video" else float(pts) + duration_s
        position_s = self._timeline.position(pts)
        return Unit(track.kind, index, due_s, batch, duration_s, position_s, self._timeline.loops)

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)


def _make_feed(track: TrackPlan, stream: Stream, encoding: Encoding) -> Feed:
    if track.codec is None:
        # What encodes and scales is loaded for those files only that need it.
        from streamsocket.codecs.transcode import TranscodedSound, TranscodedVideo

        if isinstance(stream, VideoStream):
            return TranscodedVideo(
                stream,
                track.rotation,
                codec=track.encode_as,
                size=encoding.size,
                rate=encoding.fps,
                bit_rate=encoding.video_bitrate_bps,
            )
        assert isinstance(stream, AudioStream)
        return TranscodedSound(stream, codec=track.encode_as, bit_rate=encoding.audio_bitrate_bps)
    match track.codec:
        case Aac() | Opus():
            return PassedSound(stream, track.codec)
        case G711() | L16():
            return PassedSamples(stream, track.codec)
        case _:
            return PassedVideo(stream, track.codec)


def _origin(streams: list[Stream]) -> Fraction:
    starts = [
        stream.start_time * stream.time_base
        for stream in streams
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=Fraction(0))
