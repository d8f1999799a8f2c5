"""`streamsocket play`, put together: a window, a speaker, a stream."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from streamsocket.client.opening import stream_name
from streamsocket.client.report import TRANSPORTS
from streamsocket.desktop.backend import Speaker
from streamsocket.desktop.sdl.sound import SdlSpeaker
from streamsocket.desktop.sdl.window import SdlWindow
from streamsocket.errors import StreamSocketError
from streamsocket.media.codec import Codec
from streamsocket.player.player import Loudness, Player
from streamsocket.player.reception import Reception, State, Wishes
from streamsocket.player.schedule import Schedule
from streamsocket.player.sound_track import SoundTrack
from streamsocket.player.view import View
from streamsocket.rtsp.url import without_credentials


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch that go on steadily, also where the wall clock is set meanwhile."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


def play_in_window(
    wishes: Wishes,
    loudness: Loudness,
    *,
    title: str | None = None,
    full_screen: bool = False,
    snapshots: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Play a stream until the window is closed, or Ctrl-C. To be called by the main thread.

    `say` is told what a person should know, a sentence at a time. Raises StreamSocketError where
    no window can be had, or the stream refuses us.
    """
    clock = steady_clock()
    shown = without_credentials(wishes.url)
    try:
        name = stream_name(wishes.url)
    except StreamSocketError as error:
        raise StreamSocketError(f"'{shown}' cannot be played: {error}") from None
    make_sound = sound_maker(clock, loudness, SdlSpeaker) if "audio" in wishes.kinds else None
    with closing(SdlWindow(title or f"{name or shown} – StreamSocket")) as window:
        reception = Reception(wishes, clock=clock, make_sound=make_sound, wake=window.wake)
        view = View(window, "main", reception, clock)
        player = Player(window, view, clock=clock, loudness=loudness, snapshots=snapshots)
        if full_screen:
            window.toggle_full_screen()
        run(player, [reception], each=Teller(reception, say).update)


def run(
    player: Player, receptions: Sequence[Reception], each: Callable[[], None] = lambda: None
) -> None:
    """Receive and show until the window is closed, or Ctrl-C; `each` is called again and again.

    Raises StreamSocketError where the stream refuses us. To be called by the main thread.
    """
    before = {
        number: signal.signal(number, lambda *_: player.quit())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        for reception in receptions:
            reception.start()
        player.run(each)
    finally:
        for reception in receptions:
            reception.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def sound_maker(
    clock: Callable[[], float], loudness: Loudness, open_speaker: Callable[[], Speaker]
) -> Callable[[Codec, Schedule], SoundTrack]:
    """What opens a reception's sound, as loud as it is to be at that moment."""

    def make(codec: Codec, schedule: Schedule) -> SoundTrack:
        return SoundTrack(
            codec,
            open_speaker,
            clock=clock,
            on_ready=lambda captured, at: schedule.ready("audio", captured, at),
            delay_s=lambda: schedule.delay_s(clock()),
            volume=loudness.volume,
            muted=loudness.silent,
            offset_s=loudness.offset_s,
        )

    return make


class Teller:
    """Says on the terminal what becomes of a stream, each thing once."""

    def __init__(self, reception: Reception, say: Callable[[str], None]) -> None:
        self._reception = reception
        self._say = say
        self._told: State | None = None
        self._told_sound: str | None = None

    def update(self) -> None:
        """Say what is new."""
        state = self._reception.state
        if state != self._told:
            self._told = state
            session = self._reception.session
            if state.kind == "live" and session:
                tracks = ", ".join(
                    f"{track.kind} {track.codec.name} over {TRANSPORTS[track.transport]}"
                    for track in session.tracks
                )
                self._say(f"Playing {session.url}: {tracks}.")
                if session.fallback:
                    self._say(session.fallback)
                for left in session.left_alone:
                    self._say(left.reason)
            elif state.kind == "away":
                self._say(f"{state.sentence} It is tried again until it is back.")
        sound = self._reception.sound
        error = sound.error if sound else None
        if error and error != self._told_sound:
            self._say(error)
        self._told_sound = error
