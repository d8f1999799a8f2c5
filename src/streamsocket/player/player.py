"""The window's life: keys, what is written over the picture, and the loop of the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamsocket.client.opening import stream_name
from streamsocket.desktop.backend import DoubleClick, Event, Key, Quit, Window
from streamsocket.errors import StreamSocketError
from streamsocket.player.drawing.notices import MOST_VOLUME, draw_volume
from streamsocket.player.drawing.overlay import KEYS
from streamsocket.player.facts import rows
from streamsocket.player.figures import Figures
from streamsocket.player.front import Front, Waiting
from streamsocket.player.snapshot import save_snapshot
from streamsocket.player.view import View

VOLUME_STEP = 0.05
OFFSET_STEP_S = 0.01

_LONGEST_WAIT_S = 0.25
_FACTS_EVERY_S = 0.5


@dataclass(slots=True)
class Loudness:
    """How the sound is to be heard."""

    volume: float = 1.0
    muted: bool = False
    offset_s: float = 0.0
    """How much later than the picture."""
    paused: bool = False
    """The picture stands: nothing is heard meanwhile."""

    @property
    def silent(self) -> bool:
        """Nothing is to be heard."""
        return self.muted or self.paused


class Player:
    """Shows a stream, and perhaps a small second one, until the user has had enough.

    To be used by the main thread.
    """

    def __init__(
        self,
        window: Window,
        main: View,
        *,
        clock: Callable[[], float],
        loudness: Loudness,
        inset: View | None = None,
        snapshots: Path | None = None,
        name: str | None = None,
        waiting: Waiting | None = None,
        keys: dict[str, Callable[[], str | None]] | None = None,
        key_words: Sequence[tuple[Sequence[str], str]] = KEYS,
    ) -> None:
        """`keys` are other keys than the player's own, and what they do: they return a notice.

        `name` is what the stream is called, by itself as in its URL; `waiting` is what is written
        where there is no stream yet, `key_words` the help.
        """
        self.main = main
        self._window = window
        self._views = [main] + ([inset] if inset else [])
        self._clock = clock
        self._loudness = loudness
        self._snapshots = snapshots or Path()
        self._front = Front(window, main, clock, name=name, waiting=waiting, keys=key_words)
        self._figures = Figures(main, clock)
        self._facts_shown = False
        self._next_facts = 0.0
        self._over = False
        self._saved: list[str] = []
        self._keys: dict[str, Callable[[], str | None]] = {
            "q": self.quit,
            "escape": self.quit,
            "f": self._toggle_full_screen,
            "f11": self._toggle_full_screen,
            "i": self._toggle_facts,
            "h": self._front.toggle_help,
            "m": self._toggle_mute,
            "up": lambda: self._change_volume(VOLUME_STEP),
            "+": lambda: self._change_volume(VOLUME_STEP),
            "down": lambda: self._change_volume(-VOLUME_STEP),
            "-": lambda: self._change_volume(-VOLUME_STEP),
            "right": lambda: self._change_offset(OFFSET_STEP_S),
            "left": lambda: self._change_offset(-OFFSET_STEP_S),
            "space": self._toggle_pause,
            "s": self._snapshot,
            **(keys or {}),
        }
        self._badge_muted()

    def run(self, each: Callable[[], None] = lambda: None) -> None:
        """Until the window is closed; `each` is called at every step.

        Raises StreamSocketError where the stream refuses us.
        """
        while not self._over:
            self.step()
            each()
            state = self.main.reception.state
            if state.kind == "refused":
                raise StreamSocketError(state.sentence)

    def step(self) -> None:
        """Show what is due, then wait for what comes next, for a moment."""
        changed = [view for view in self._views if view.update(paused=self._loudness.paused)]
        self._tell_saved()
        self._update_facts()
        if self._front.update(paused=self._loudness.paused) or changed:
            self._window.present()
            for view in changed:
                view.presented()
        for event in self._window.events(self._wait_s()):
            self._handle(event)

    def quit(self) -> None:
        """Let `run` return."""
        self._over = True

    def say(self, words: str) -> None:
        """Show these words for a moment."""
        self._front.say(words)

    def set_badge(self, key: str, words: str | None) -> None:
        """Say something all the time, under a key of its own; None: no longer."""
        if words is None:
            self._front.badges.pop(key, None)
        else:
            self._front.badges[key] = words

    def _wait_s(self) -> float:
        waits = [_LONGEST_WAIT_S, self._front.wait_s()]
        if not self._loudness.paused:
            waits += [due for view in self._views if (due := view.next_due_s()) is not None]
        return max(0.0, min(waits))

    def _handle(self, event: Event) -> None:
        match event:
            case Key(name):
                action = self._keys.get(name)
                if action and (notice := action()):
                    self._front.say(notice)
            case DoubleClick():
                self._toggle_full_screen()
            case Quit():
                self._over = True
            case _:
                self._front.redraw()

    def _update_facts(self) -> None:
        if not self._facts_shown or self._clock() < self._next_facts:
            return
        self._next_facts = self._clock() + _FACTS_EVERY_S
        self._front.facts(rows(self._figures.gather()))

    # What the keys do.

    def _toggle_full_screen(self) -> None:
        self._window.toggle_full_screen()
        self._front.redraw()

    def _toggle_facts(self) -> None:
        self._facts_shown = not self._facts_shown
        self._next_facts = 0.0
        if not self._facts_shown:
            self._front.facts(None)

    def _toggle_mute(self) -> None:
        self._loudness.muted = not self._loudness.muted
        self._tell_loudness()

    def _change_volume(self, step: float) -> None:
        loudness = self._loudness
        loudness.volume = round(min(MOST_VOLUME, max(0.0, loudness.volume + step)), 2)
        loudness.muted = False
        self._tell_loudness()

    def _tell_loudness(self) -> None:
        loudness = self._loudness
        self._badge_muted()
        if sound := self.main.reception.sound:
            sound.volume, sound.muted = loudness.volume, loudness.silent
        window = self._window
        self._front.notice(
            draw_volume(loudness.volume, loudness.muted, window.scale, window=window.size)
        )

    def _badge_muted(self) -> None:
        self.set_badge("muted", "Muted" if self._loudness.muted else None)

    def _change_offset(self, step: float) -> str:
        loudness = self._loudness
        loudness.offset_s = round(loudness.offset_s + step, 3)
        if sound := self.main.reception.sound:
            sound.offset_s = loudness.offset_s
        return f"Sound {loudness.offset_s * 1000:+.0f} ms"

    def _toggle_pause(self) -> None:
        loudness = self._loudness
        loudness.paused = not loudness.paused
        if sound := self.main.reception.sound:
            sound.muted = loudness.silent

    def _snapshot(self) -> str | None:
        frame, captured = self.main.frame, self.main.captured
        pixel_aspect = self.main.pixel_aspect
        if frame is None:
            return "There is no picture to save yet."
        name = stream_name(self.main.reception.wishes.url)

        def save() -> None:
            try:
                path = save_snapshot(
                    frame, self._snapshots, name, captured, pixel_aspect=pixel_aspect
                )
                self._saved.append(f"Saved {path.name}")
            except StreamSocketError as error:
                self._saved.append(str(error))
            self._window.wake()

        threading.Thread(target=save, name="snapshot").start()
        return None

    def _tell_saved(self) -> None:
        while self._saved:
            self._front.say(self._saved.pop(0))
