"""Recording a stream from its URL, on the client's side: what `streamsocket record` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from streamsocket.client.receiver import Received
from streamsocket.client.session import Session, TransportWish, open_url
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Track
from streamsocket.record.errors import NewFileNeededError, RecordError
from streamsocket.record.formats import container_for, what_changed
from streamsocket.record.writer import RecordingWriter
from streamsocket.rtsp.url import without_credentials

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
"""A lost connection is tried again after a time that doubles from the one to the other."""

KEYFRAME_PATIENCE_S = 30.0
"""Where it is said how much to record, how long its beginning is waited for."""
_GRACE_S = 1.0

Result = TypeVar("Result")

State = Literal["connecting", "waiting for a keyframe", "recording", "reconnecting"]


@dataclass(slots=True)
class Progress:
    """How a recording is going. Sums are over all of its files."""

    path: Path
    """The file that is being written, or the last one."""
    state: State = "connecting"
    seconds: float = 0.0
    bytes: int = 0
    pictures: int = 0
    lost: int = 0
    """Packets that never came."""
    left_out: int = 0
    """Pictures and frames of sound that came faster than the disk could take them."""
    files: list[Path] = field(default_factory=list)
    """Those that something was written into."""
    tracks: list[Track] = field(default_factory=list)
    """What is recorded."""


def check_path(path: Path, *, overwrite: bool) -> None:
    """Raise RecordError where it is plain already that nothing can be recorded to this path."""
    container_for(path, ())
    if path.is_dir():
        raise RecordError(f"'{path}' is a folder: name a file in it, such as {path.name}/clip.mp4.")
    if path.exists() and not overwrite:
        raise RecordError(f"'{path}' exists already: use another name, or --overwrite.")
    if not path.parent.is_dir():
        raise RecordError(f"There is no folder '{path.parent}' for '{path.name}'.")


class Recording:
    """Records a stream into a file, and goes on in further ones where it changes its form.

    The stream's end ends it. A connection that is lost is tried again until it is back; the
    recording then goes on in the same file, with a gap as long as it was (see `Timeline`).
    """

    def __init__(
        self,
        url: str,
        path: Path,
        *,
        seconds: float | None = None,
        transport: TransportWish = "auto",
        overwrite: bool = False,
        timeout_s: float = 10.0,
        ice_servers: Sequence[IceServer] = (),
        on_news: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """`seconds` is how much to record, None all; `on_news` is told what a person should know.

        Raises RecordError where the path will not do.
        """
        check_path(path, overwrite=overwrite)
        self.progress = Progress(path)
        self._url = url
        self._first_path = path
        self._seconds = seconds
        self._transport: TransportWish = transport
        self._overwrite = overwrite
        self._timeout_s = timeout_s
        self._ice_servers = ice_servers
        self._on_news = on_news
        self._writer: RecordingWriter | None = None
        # All that waits for the disk is done there, one after the other.
        self._disk = ThreadPoolExecutor(1, "disk")
        self._work: asyncio.Task[None] | None = None
        self._limit = asyncio.timeout_at(None)
        self._finished_s, self._finished_bytes, self._finished_pictures = 0.0, 0, 0

    async def run(self) -> None:
        """Record until the end, or until `stop` is called. To be called once.

        Raises ConnectError if the stream cannot be had in the first place, RecordError if it can't
        be written or nothing of it came. What was written until then is finished in any case.
        """
        self._work = asyncio.create_task(self._record_in_time())
        try:
            await asyncio.wait((self._work,))
        finally:
            self._work.cancel()
            await asyncio.wait((self._work,))
            try:
                await self._finish_file()
            finally:
                self._disk.shutdown()
        if not self._work.cancelled():
            self._work.result()
        if not self.progress.files:
            shown = without_credentials(self._url)
            raise RecordError(f"Nothing was recorded: no keyframe came from {shown}.")

    def stop(self) -> None:
        """End the recording: the file is finished, and `run` returns."""
        if self._work:
            self._work.cancel()

    async def _record_in_time(self) -> None:
        try:
            async with self._limit:
                if self._seconds is not None:
                    self._end_within(self._seconds + KEYFRAME_PATIENCE_S)
                await self._record_with_retries()
        except TimeoutError:
            if not self._limit.expired():
                raise

    def _end_within(self, seconds: float) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _record_with_retries(self) -> None:
        progress = self.progress
        retry_s = FIRST_RETRY_S
        while True:
            try:
                async with open_url(
                    self._url,
                    transport=self._transport,
                    timeout_s=self._timeout_s,
                    keep_timestamps=True,
                    ice_servers=self._ice_servers,
                ) as session:
                    retry_s = FIRST_RETRY_S
                    await self._record(session)
                    return
            except ConnectError as error:
                if not progress.files:
                    raise
                if progress.state != "reconnecting":
                    self._on_news(f"{error} It is tried again until it is back.")
                progress.state = "reconnecting"
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    async def _record(self, session: Session) -> None:
        """Record a session until it ends, or there is enough."""
        progress = self.progress
        tracks = tuple(Track(track.codec, track.frame_rate) for track in session.tracks)
        if self._writer is None:
            await self._begin_file(tracks)
        else:
            self._on_news("The connection is back.")
            reason = _difference(self._writer.tracks, tracks)
            if reason:
                await self._begin_next_file(reason, tracks)
            else:
                self._writer.rejoin()
        progress.state = "waiting for a keyframe"
        lost_before, left_out_before = progress.lost, progress.left_out
        async for received in session:
            await self._write(received)
            progress.lost = lost_before + sum(track.receiver.lost for track in session.tracks)
            progress.left_out = left_out_before + session.dropped.total()
            if self._seconds is not None and progress.seconds >= self._seconds:
                return

    async def _write(self, received: Received) -> None:
        assert self._writer
        try:
            await self._on_disk(self._writer.write, received.track, received.unit)
        except NewFileNeededError as error:
            await self._begin_next_file(str(error), error.tracks)
            await self._on_disk(self._writer.write, received.track, received.unit)
        before = self.progress.seconds
        self._count()
        if self.progress.seconds > before:
            self.progress.state = "recording"
            if self._seconds is not None and not before:
                self._end_within(self._seconds + _GRACE_S)

    def _count(self) -> None:
        assert self._writer
        progress = self.progress
        progress.seconds = self._finished_s + self._writer.duration_s
        progress.bytes = self._finished_bytes + self._writer.bytes
        progress.pictures = self._finished_pictures + self._writer.pictures
        progress.tracks = list(self._writer.tracks)
        if self._writer.duration_s and progress.path not in progress.files:
            progress.files.append(progress.path)

    async def _begin_file(self, tracks: tuple[Track, ...]) -> None:
        self._writer = await self._on_disk(
            lambda: RecordingWriter(self.progress.path, tracks, overwrite=self._overwrite)
        )

    async def _begin_next_file(self, reason: str, tracks: tuple[Track, ...]) -> None:
        await self._finish_file()
        first = self._first_path
        number = 2
        while (path := first.with_stem(f"{first.stem}-{number}")) in self.progress.files or (
            path.exists() and not self._overwrite
        ):
            number += 1
        self.progress.path = path
        self._on_news(f"{reason} The recording goes on in '{path}'.")
        await self._begin_file(tracks)

    async def _finish_file(self) -> None:
        if self._writer is None:
            return
        try:
            await self._on_disk(self._writer.close)
        finally:
            self._count()
            progress = self.progress
            self._finished_s, self._finished_bytes = progress.seconds, progress.bytes
            self._finished_pictures = progress.pictures
            self._writer = None

    async def _on_disk(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)


def _difference(before: Sequence[Track], now: Sequence[Track]) -> str | None:
    """Why these tracks cannot go on in the file of those, a sentence; None if they can."""
    if [track.kind for track in before] != [track.kind for track in now]:
        return "The stream has other tracks than before."
    for old, new in zip(before, now, strict=True):
        # What a picture is like, its next keyframe says.
        if type(old.codec) is not type(new.codec) or new.kind == "audio":
            reason = what_changed(old.codec, new.codec)
            if reason:
                return reason
    return None
