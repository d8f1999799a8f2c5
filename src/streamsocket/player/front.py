"""What lies over the picture: cards while there is none, badges, notices, figures, help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from streamsocket.client.opening import stream_name
from streamsocket.desktop.backend import Layer, Window
from streamsocket.player.drawing.cards import Symbol, draw_card
from streamsocket.player.drawing.notices import BadgeKind, draw_badge, draw_notice
from streamsocket.player.drawing.overlay import KEYS, draw_facts, draw_help
from streamsocket.player.view import View
from streamsocket.rtsp.url import without_credentials

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Image

NOTICE_S = 2.0
_REVOLUTION_S = 2.0
_FRAME_S = 0.1
_STILL_S = 1.0
_GRACE_S = 1.5
"""A picture stays for so long after its stream was lost: most come back at once."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a card says while there is nothing to be seen."""

    title: str
    message: str
    hint: str = ""
    moves: bool = True
    """Something is under way."""
    symbol: Symbol = "mark"


class Front:
    """Keeps the window's layers as they have to be at this moment."""

    def __init__(
        self,
        window: Window,
        view: View,
        clock: Callable[[], float],
        *,
        name: str | None = None,
        waiting: Waiting | None = None,
        keys: Sequence[tuple[Sequence[str], str]] = KEYS,
    ) -> None:
        """`name` is what the stream is called, by itself as in its URL.

        `waiting` is what stands there instead of this program's own words; `keys` the help.
        """
        self.badges: dict[str, str] = {}
        """What is to be known all the time, each under the key that it can be taken away by."""
        self._waiting = waiting
        self._keys = keys
        self._window = window
        self._view = view
        self._clock = clock
        self._url = without_credentials(view.reception.wishes.url)
        self._name = name or stream_name(view.reception.wishes.url)
        self._present: dict[Layer, object] = {}
        self._stale = True
        self._dirty = True
        self._notice: Image | None = None
        self._notice_until = -inf
        self._help = False
        self._rows: Sequence[tuple[str, str]] | None = None
        self._away_since: float | None = None
        self._next_frame = -inf

    def notice(self, image: Image) -> None:
        """Show something for a moment."""
        self._notice = image
        self._notice_until = self._clock() + NOTICE_S

    def say(self, words: str) -> None:
        """Show these words for a moment."""
        self.notice(draw_notice(words, self._window.scale, window=self._window.size))

    def facts(self, rows: Sequence[tuple[str, str]] | None) -> None:
        """Show these figures; None: none."""
        self._rows = rows

    def toggle_help(self) -> None:
        """Show what the keys do, or no longer."""
        self._help = not self._help

    def redraw(self) -> None:
        """Draw everything again: the window has changed."""
        self._stale = True

    def wait_s(self) -> float:
        """In how many seconds something changes here by itself."""
        now = self._clock()
        waits = [inf]
        if self._present.get("card"):
            waits.append(self._next_frame - now)
        if self._notice is not None:
            waits.append(self._notice_until - now)
        return max(0.0, min(waits))

    def update(self, *, paused: bool) -> bool:
        """Bring all layers up to date; whether anything has changed since the last time."""
        now = self._clock()
        if now >= self._notice_until:
            self._notice = None
        window = self._window
        self._update_card(now, paused)
        badge, rows, scale, size = self._badge(paused), self._rows, window.scale, window.size
        self._layer(
            "top-right",
            badge,
            lambda: draw_badge(*badge, scale, window=size) if badge else None,
        )
        self._layer(
            "bottom", None if self._notice is None else id(self._notice), lambda: self._notice
        )
        self._layer(
            "top-left",
            rows and tuple(rows),
            lambda: draw_facts(rows, title=self._name, scale=scale, window=size) if rows else None,
        )
        self._layer(
            "centre",
            self._help,
            lambda: draw_help(scale, keys=self._keys, window=size) if self._help else None,
        )
        dirty, self._dirty, self._stale = self._dirty, False, False
        return dirty

    def _layer(self, layer: Layer, key: object, draw: Callable[[], Image | None]) -> None:
        """Set a layer if it is not already what `key` stands for."""
        if self._stale or self._present.get(layer) != (key or None):
            self._present[layer] = key or None
            self._window.set_layer(layer, draw())
            self._dirty = True

    def _update_card(self, now: float, paused: bool) -> None:
        words = None if paused and self._view.frame is not None else self._words(now)
        if words and now < self._next_frame and self._present.get("card") and not self._stale:
            return
        phase = now / _REVOLUTION_S % 1 if words and words.moves else None
        self._next_frame = now + (_FRAME_S if phase is not None else _STILL_S)
        size, scale = self._window.size, self._window.scale

        def draw() -> Image | None:
            if words is None:
                return None
            return draw_card(
                words.title,
                words.message,
                size=size,
                scale=scale,
                phase=phase,
                hint=words.hint,
                symbol=words.symbol,
            )

        self._layer("card", words and (words, phase, size, scale), draw)

    def _words(self, now: float) -> Waiting | None:
        """What the card says; None while there is a picture."""
        view = self._view
        state = view.reception.state
        if state.kind != "away":
            self._away_since = None
        if state.kind == "live":
            if view.kind_missing:
                return Waiting(self._name or self._url, "Sound only", moves=False, symbol="speaker")
            if view.frame is None or (view.joining and self._present.get("card")):
                return self._waiting or Waiting("Waiting for the picture", self._url)
            return None
        if state.kind == "away" and self._away_since is None:
            self._away_since = now
        away_s = 0.0 if self._away_since is None else now - self._away_since
        if state.kind == "away" and view.frame is not None and away_s < _GRACE_S:
            return None
        if self._waiting:
            return self._waiting
        if state.kind == "connecting":
            return Waiting("Connecting", self._url, "H shows the keys, Q ends")
        title = "The stream is off" if state.ended else "Connecting again"
        if view.reception.session is None:
            title = "Not there yet"
        return Waiting(title, state.sentence, "It goes on by itself when it is back.")

    def _badge(self, paused: bool) -> tuple[str, BadgeKind] | None:
        view = self._view
        if paused:
            return "Paused", "warning"
        if not self._present.get("card"):
            if view.reception.state.kind == "away" or view.joining:
                return "Reconnecting …", "warning"
            if view.damaged:
                return "Waiting for a whole picture", "warning"
        if self.badges:
            return ", ".join(self.badges.values()), "muted"
        return None
