"""How the recorder is told what a stream flushes."""

from __future__ import annotations

from collections.abc import Sequence

from streamsocket.hub.track import StreamTrack
from streamsocket.taps.feed import Feed
from streamsocket.taps.packets import batch_header


class Tap:
    """One stream's way into the feed: what the stream calls at every flush."""

    def __init__(self, feed: Feed, recording: int, tracks: Sequence[StreamTrack]) -> None:
        self.skipped_packets = 0
        """What the recorder was too late for."""
        self._feed = feed
        self._recording = recording
        self._has_video = any(track.is_video for track in tracks)
        self._skips = False
        # A recording that begins now has the current group of pictures, too.
        for track in tracks:
            for batch in track.cache.group() if track.is_video else ():
                if feed.overrun:
                    self._skips = True
                    return
                feed.gather(batch_header(recording, track.index, batch), batch.buffer)

    def __call__(self, tracks: Sequence[StreamTrack]) -> None:
        """Pass on what is pending of these tracks."""
        feed, recording = self._feed, self._recording
        tracks = [track for track in tracks if track.maker is None]  # renditions can be made anew
        if feed.overrun or self._skips:
            self._skips = feed.overrun or not self._can_resume(tracks)
            if self._skips:
                self.skipped_packets += sum(
                    len(batch.sizes) for track in tracks for batch in track.pending
                )
                return
        for track in tracks:
            index = track.index
            for batch in track.pending:
                feed.gather(batch_header(recording, index, batch), batch.buffer)

    def _can_resume(self, tracks: Sequence[StreamTrack]) -> bool:
        return not self._has_video or any(
            batch.keyframe for track in tracks if track.is_video for batch in track.pending
        )
