"""What can go wrong with a recording."""

from __future__ import annotations

from streamsocket.errors import StreamSocketError
from streamsocket.media.codec import Track


class RecordError(StreamSocketError):
    """A recording that cannot begin, or cannot go on."""


class NewFileNeededError(RecordError):
    """The stream goes on in a form that the file being written cannot hold.

    Close that file and begin another one for `tracks`; the access unit that raised this belongs
    into it.
    """

    def __init__(self, reason: str, tracks: tuple[Track, ...]) -> None:
        super().__init__(reason)
        self.tracks = tracks
