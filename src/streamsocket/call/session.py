"""A call: a small server, the other's picture large, one's own small."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from streamsocket.call.parties import (
    CALLER,
    LISTENER,
    caller_settings,
    credentials,
    listener_settings,
    watching_url,
)
from streamsocket.desktop.sdl.sound import SdlSpeaker
from streamsocket.desktop.sdl.window import SdlWindow
from streamsocket.errors import StreamSocketError
from streamsocket.player.front import Waiting
from streamsocket.player.player import Loudness, Player
from streamsocket.player.reception import Reception, Wishes
from streamsocket.player.session import run, sound_maker, steady_clock
from streamsocket.player.view import View
from streamsocket.server import Server
from streamsocket.sources.devices.spec import CaptureSpec
from streamsocket.sources.spec import parse_source
from streamsocket.webrtc.ice_server import parse_ice_servers

KEYS = (
    (("m",), "Microphone off, and on"),
    (("c",), "Camera off, and on"),
    (("f",), "Full screen, also by a double click"),
    (("up", "down"), "Volume, also + and -"),
    (("s",), "Snapshot of the other's picture"),
    (("i",), "Figures"),
    (("h",), "This help"),
    (("q", "escape"), "Hang up"),
)

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Party:
    """One of the two."""

    host: str
    """Who listens: the address to listen on. Who calls: the other's."""
    port: int
    secret: str
    source: str
    """What is sent: `camera+mic`, `screen+mic`, `mic`, …"""
    listens: bool
    waiting: Waiting
    """What the window says until the other is there."""
    ice_servers: tuple[str, ...] = ()
    """STUN and TURN servers, for who calls."""


def hold_call(party: Party, *, say: Callable[[str], None] = print) -> None:
    """Talk until the window is closed, or Ctrl-C. To be called by the main thread.

    `say` is told what a person should know. Raises StreamSocketError where the port is taken, no
    window can be had, or the other doesn't take the secret.
    """
    whom_and_what = party.host, party.port, party.source, party.secret
    if party.listens:
        server = Server(listener_settings(*whom_and_what), sealed_by=credentials(party.secret))
    else:
        server = Server(caller_settings(*whom_and_what, party.ice_servers), http=False)
    try:
        server.start()
    except StreamSocketError as error:
        # The server's sentence names the options of `streamsocket serve`.
        said = str(error).replace("--http-port", "--port").replace("--webrtc-port", "--port")
        raise StreamSocketError(said) from None
    try:
        _Call(party, server, say).hold()
    finally:
        server.stop()


class _Call:
    """The window of one of the two, and what its keys do to what is sent."""

    def __init__(self, party: Party, server: Server, say: Callable[[str], None]) -> None:
        self._party = party
        self._server = server
        self._say = say
        self._own_name = LISTENER if party.listens else CALLER
        self._own_url = server.preview_url(self._own_name)
        if party.listens:
            self._other_url = server.preview_url(CALLER)  # who calls publishes it here
        else:
            self._other_url = watching_url(party.host, party.port, party.secret)
        self._clock = steady_clock()
        _, spec = parse_source(party.source)
        devices = spec if isinstance(spec, CaptureSpec) else None
        self._has_microphone = bool(devices and devices.sound)
        self._has_camera = bool(devices and devices.picture)
        self._silent = False
        self._hidden = False
        self._told = ""

    def hold(self) -> None:
        """Until somebody hangs up here."""
        clock, loudness = self._clock, Loudness()
        with closing(SdlWindow("Call – StreamSocket")) as window:
            other = Reception(
                Wishes(
                    self._other_url,
                    longest_retry_s=_RETRY_S,
                    ice_servers=parse_ice_servers(" ".join(self._party.ice_servers)),
                ),
                clock=clock,
                make_sound=sound_maker(clock, loudness, SdlSpeaker),
                wake=window.wake,
            )
            own = Reception(
                Wishes(self._own_url, kinds=("video",), transport="tcp", longest_retry_s=_RETRY_S),
                clock=clock,
                make_sound=None,
                wake=window.wake,
            )
            self._player = Player(
                window,
                View(window, "main", other, clock),
                inset=View(window, "inset", own, clock),
                clock=clock,
                loudness=loudness,
                name="The other",
                waiting=self._party.waiting,
                keys={"m": self._toggle_microphone, "c": self._toggle_camera},
                key_words=KEYS,
            )
            try:
                run(self._player, [other, own], each=self._look_after)
            except StreamSocketError:
                if other.state.kind == "refused":
                    raise StreamSocketError(
                        f"{self._party.host} doesn't take this secret: ask for it once more."
                    ) from None
                raise

    def _toggle_microphone(self) -> str:
        if not self._has_microphone:
            return "You send no microphone."
        self._silent = not self._silent
        self._server.mute(self._own_name, self._silent)
        self._player.set_badge("microphone", "Microphone off" if self._silent else None)
        return "Microphone off" if self._silent else "Microphone on"

    def _toggle_camera(self) -> str:
        if not self._has_camera:
            return "You send no camera and no screen."
        self._hidden = not self._hidden
        self._server.hide_picture(self._own_name, self._hidden)
        self._player.set_badge("camera", "Camera off" if self._hidden else None)
        return "Camera off" if self._hidden else "Camera on"

    def _look_after(self) -> None:
        """Say what becomes of what is sent: a device that is missing, a call that is refused."""
        if failure := self._server.failure:
            raise failure
        status = self._server.status()
        troubles = [
            *(stream.message for stream in status.streams if stream.name == self._own_name),
            *(forward.message for forward in status.forwards),
        ]
        told = " ".join(trouble for trouble in troubles if trouble)
        if told != self._told:
            self._told = told
            if told:
                self._say(told)
                self._player.say(told)
