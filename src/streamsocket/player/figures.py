"""Gathering the figures of a stream that is played."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import isfinite

from streamsocket.client.codec_form import codec_form
from streamsocket.client.session import Session, SessionTrack
from streamsocket.media.codec import Kind
from streamsocket.player.facts import Facts, PictureFacts, SoundFacts
from streamsocket.player.view import View
from streamsocket.rtsp.url import without_credentials

_SAMPLES = 6
"""Rates are those between the newest and the oldest of so many looks."""


class Figures:
    """Looks at a view now and then; rates are those since a few looks ago."""

    def __init__(self, view: View, clock: Callable[[], float]) -> None:
        self._view = view
        self._clock = clock
        self._session: Session | None = None
        self._rates: dict[tuple[Kind, str], deque[tuple[float, float]]] = {}

    def gather(self) -> Facts:
        """The figures of this moment."""
        view = self._view
        reception = view.reception
        session = reception.session
        url = without_credentials(reception.wishes.url)
        if session is None:
            return Facts(url=url)
        if session is not self._session:
            self._session = session
            self._rates.clear()
        picture, sound, video = None, None, None
        packets = lost = repaired = 0
        for track in session.tracks:
            receiver = track.receiver
            packets += receiver.statistics.expected
            lost += receiver.lost
            repaired += receiver.repaired
            if track.kind == "video":
                video = receiver
                picture = self._picture(track)
            else:
                sound = self._sound(track)
        schedule, showing = reception.schedule, view.showing
        stored_s = schedule.stored_s()
        trusted = video is not None and video.clock.source == "sender_report"
        return Facts(
            url=url,
            server=session.server,
            picture=picture,
            sound=sound,
            packets=packets,
            lost=lost,
            repaired=repaired,
            damaged=showing.damaged,
            dropped=showing.late,
            buffer_s=stored_s if isfinite(stored_s) else None,
            target_s=reception.wishes.latency_s,
            latency_s=showing.latency_s,
            clock="sender" if trusted else "arrival",
            sync_s=showing.sync_s,
        )

    def _picture(self, track: SessionTrack) -> PictureFacts:
        form = codec_form(track.codec)
        frame = self._view.frame
        pictures = self._view.reception.pictures
        return PictureFacts(
            codec=track.codec.name,
            profile=form.get("profile"),
            size=(frame.width, frame.height) if frame else form.get("size"),
            fps=self._rate("video", "pictures", pictures.decoded) if pictures else None,
            bitrate_bps=self._rate("video", "bits", 8 * track.receiver.bytes),
            transport=track.transport,
        )

    def _sound(self, track: SessionTrack) -> SoundFacts:
        form = codec_form(track.codec)
        return SoundFacts(
            codec=track.codec.name,
            sample_rate=form.get("sample_rate"),
            channels=form.get("channels"),
            bitrate_bps=self._rate("audio", "bits", 8 * track.receiver.bytes),
            transport=track.transport,
        )

    def _rate(self, kind: Kind, what: str, count: float) -> float | None:
        """How much a second a count grows."""
        samples = self._rates.setdefault((kind, what), deque(maxlen=_SAMPLES))
        samples.append((self._clock(), count))
        (before, less), (now, more) = samples[0], samples[-1]
        return (more - less) / (now - before) if now > before else None
