"""A stream's tracks for one viewer: its own, and renditions that are made when they are needed."""

from __future__ import annotations

import asyncio
from typing import Protocol

from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.match import Pick, match
from streamsocket.matching.target import Target
from streamsocket.media.decode_order import reorder_depth


class Converter(Protocol):
    """Makes renditions."""

    async def obtain(self, stream: Stream, index: int, target: Target) -> StreamTrack:
        """The rendition of that published track; made, if there is none, and waited for.

        Raises `StreamSocketError` where it can't be made.
        """


class Matcher:
    """Finds the tracks for a viewer."""

    def __init__(self, converter: Converter | None = None) -> None:
        """Without a `converter`, everything is passed on as it is."""
        self._converter = converter

    async def tracks_for(self, stream: Stream, ability: Ability) -> list[StreamTrack]:
        """The tracks that the viewer is to get, in the order of the stream's own.

        Raises `NothingFitsError`, and `StreamSocketError` where a rendition can't be made.
        """
        forms = [form_of(track) for track in stream.tracks]
        picks = match(forms, ability, converts=self._converter is not None)
        if not any(pick.target for pick in picks):
            return [stream.tracks[pick.track] for pick in picks]
        return await asyncio.gather(*(self._track(stream, pick) for pick in picks))

    async def _track(self, stream: Stream, pick: Pick) -> StreamTrack:
        if pick.target and self._converter:
            return await self._converter.obtain(stream, pick.track, pick.target)
        return stream.tracks[pick.track]


def form_of(track: StreamTrack) -> Form:
    """What a published track is, by its parameters and by what has come of it."""
    codec = track.track.codec
    return Form(codec, track.reorders or bool(reorder_depth(codec)))
