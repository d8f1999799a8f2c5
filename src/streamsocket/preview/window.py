"""The window's process: `python -m streamsocket.preview.window`, with what to show on its input.

A process of its own, because windows want the main thread, which is the command's already, and
because a window that is busy must not make what is sent late.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing, suppress

from streamsocket.errors import StreamSocketError

_END_S = 3.0
_FPS_EVERY_S = 1.0
_JOINING_S = 2.0
_OF_THE_SOUND = {"m", "up", "left"}
"""Keys that do nothing here."""


class PreviewWindow:
    """A window on a stream of this machine, while it is not closed."""

    def __init__(self, url: str, title: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamsocket.preview.window"], stdin=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        # Not in the command's words, which everybody on the machine can read. The pipe stays open
        # until the end: should the command be killed, the window knows.
        with suppress(OSError):
            self._process.stdin.write(json.dumps({"url": url, "title": title}) + "\n")
            self._process.stdin.flush()

    @property
    def is_open(self) -> bool:
        """Whether it is still there: a user may close it, and what is sent goes on."""
        return self._process.poll() is None

    def close(self) -> None:
        """Close it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> int:
    """Show it until the window is closed; the exit code is 1 where none can be had."""
    wanted = json.loads(sys.stdin.readline())
    try:
        _show(wanted["url"], wanted["title"])
    except StreamSocketError as error:
        print(f"streamsocket: no preview: {error}", file=sys.stderr)
        return 1
    return 0


def _show(url: str, title: str) -> None:
    # What the command itself does without.
    from streamsocket.desktop.sdl.window import SdlWindow
    from streamsocket.player.drawing.overlay import KEYS
    from streamsocket.player.player import Loudness, Player
    from streamsocket.player.reception import Reception, Wishes
    from streamsocket.player.session import run, steady_clock
    from streamsocket.player.view import View

    clock = steady_clock()
    with closing(SdlWindow(f"{title} – preview", 640, 360)) as window:
        wishes = Wishes(url, kinds=("video",), transport="tcp", longest_retry_s=1.0)
        reception = Reception(wishes, clock=clock, make_sound=None, wake=window.wake)
        view = View(window, "main", reception, clock)
        keys = [(names, does) for names, does in KEYS if not _OF_THE_SOUND & set(names)]
        player = Player(window, view, clock=clock, loudness=Loudness(), key_words=keys)
        # While it joins, pictures come faster.
        counted, counted_at = 0, clock() + _JOINING_S

        def tell_frame_rate() -> None:
            nonlocal counted, counted_at
            now, shown = clock(), view.showing.shown
            if now < counted_at:
                counted = shown
            elif now - counted_at >= _FPS_EVERY_S:
                rate = (shown - counted) / (now - counted_at)
                player.set_badge("rate", f"{rate:.1f} fps")
                counted, counted_at = shown, now

        def follow_command() -> None:
            while os.read(sys.stdin.fileno(), 1):
                pass
            player.quit()
            window.wake()

        threading.Thread(target=follow_command, name="command", daemon=True).start()
        run(player, [reception], each=tell_frame_rate)


if __name__ == "__main__":
    # Ctrl-C is for the command, which closes this window in its turn.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(main())
