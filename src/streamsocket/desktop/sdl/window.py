"""The window."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from streamsocket.desktop.backend import (
    DoubleClick,
    Event,
    Key,
    Layer,
    Quit,
    Resized,
    Slot,
)
from streamsocket.desktop.sdl import geometry, keys, library, renderer
from streamsocket.desktop.sdl.textures import Drawing, Picture
from streamsocket.errors import DeviceError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from streamsocket.desktop.backend import Image

_PANELS: tuple[Layer, ...] = ("top-left", "top-right", "bottom", "centre")
"""The later lie above the earlier ones."""
_MOST_EVENTS = 256
"""In one go; what is beyond waits for the next."""
_LONGEST_WAIT_S = 0.1
"""In SDL; meanwhile Python doesn't see that somebody presses Ctrl-C."""
_BORDER = 200, 200, 200


class SdlWindow:
    """A `backend.Window`. Raises DeviceError where none can be opened."""

    def __init__(self, title: str, width: int = 1280, height: int = 720) -> None:
        self._sdl = sdl = library.load()
        if why := library.start(sdl, sdl.SDL_INIT_VIDEO):
            raise DeviceError(
                f"No window can be opened: {why}. Run it on a desktop, or use `streamsocket probe`."
            )
        opened = renderer.open_window(sdl, title, width, height)
        if opened is None:
            why = library.error(sdl)
            library.stop(sdl, sdl.SDL_INIT_VIDEO)
            raise DeviceError(f"No window can be opened: {why}.")
        self._window, self._renderer = opened
        self._scale = renderer.scale(sdl, *opened)
        self._closed = False
        self._full_screen = False
        self._wake_event = sdl.SDL_RegisterEvents(1)
        self._waking = False
        # Keys are commands here; an input method would collect them to write words.
        sdl.SDL_StopTextInput()
        self._pictures: dict[Slot, Picture] = {
            "main": Picture(sdl, self._renderer),
            "inset": Picture(sdl, self._renderer),
        }
        self._drawings: dict[Layer, Drawing] = {}

    @property
    def size(self) -> tuple[int, int]:
        return renderer.output_size(self._sdl, self._renderer)

    @property
    def scale(self) -> float:
        return self._scale

    @property
    def renderer(self) -> str:
        """The name of what draws: `software`, `opengl`, `direct3d`, `metal`, …"""
        return renderer.name(self._sdl, self._renderer)

    def set_picture(self, slot: Slot, frame: VideoFrame | None, pixel_aspect: float = 1.0) -> None:
        """`pixel_aspect` is a pixel's width by its height: PyAV's frames don't say, decoders do."""
        self._pictures[slot].set(frame, pixel_aspect)

    def set_layer(self, layer: Layer, image: Image | None) -> None:
        drawing = self._drawings.get(layer)
        if image is None:
            if drawing is not None:
                drawing.close()
                del self._drawings[layer]
        elif drawing is None:
            self._drawings[layer] = Drawing(self._sdl, self._renderer, image)
        else:
            drawing.set(image)

    def present(self) -> float:
        sdl, target, size, scale = self._sdl, self._renderer, self.size, self.scale
        sdl.SDL_SetRenderDrawColor(target, 0, 0, 0, 255)
        sdl.SDL_RenderClear(target)
        main, inset = self._pictures["main"], self._pictures["inset"]
        if main.size is not None:
            main.draw(geometry.fit(main.size, main.pixel_aspect, geometry.Rect(0, 0, *size)))
        self._draw_layer("card")  # instead of the large picture: the small one lies above it
        if inset.size is not None:
            at = geometry.inset(inset.size, inset.pixel_aspect, size, scale)
            around = max(1, round(scale))
            sdl.SDL_SetRenderDrawColor(target, *_BORDER, 255)
            sdl.SDL_RenderFillRect(target, sdl.SDL_Rect(*at.grown(around)))
            inset.draw(at)
        for layer in _PANELS:
            self._draw_layer(layer)
        sdl.SDL_RenderPresent(target)
        return monotonic()

    def _draw_layer(self, layer: Layer) -> None:
        if drawing := self._drawings.get(layer):
            drawing.draw(geometry.place(layer, drawing.size, self.size, self.scale))

    def events(self, timeout_s: float) -> list[Event]:
        sdl, event = self._sdl, self._sdl.SDL_Event()
        timeout_s = max(0.0, timeout_s)  # less than none is for ever to SDL
        until = monotonic() + timeout_s
        while not sdl.SDL_WaitEventTimeout(event, int(1000 * min(timeout_s, _LONGEST_WAIT_S))):
            timeout_s = until - monotonic()
            if timeout_s < 0.001:
                # SDL counts in milliseconds; asked to wait for the rest, it would return at once.
                sleep(max(0.0, timeout_s))
                return []
        found: list[Event] = []
        for _ in range(_MOST_EVENTS):
            known = self._understood(event)
            if known is not None and (isinstance(known, Key) or known not in found):
                found.append(known)
            if not sdl.SDL_PollEvent(event):
                break
        return found

    def _understood(self, event: Any) -> Event | None:
        sdl = self._sdl
        match event.type:
            case sdl.SDL_KEYDOWN:
                return self._key(event.key)
            case sdl.SDL_MOUSEBUTTONDOWN:
                twice = event.button.button == sdl.SDL_BUTTON_LEFT and event.button.clicks == 2
                return DoubleClick() if twice else None
            case sdl.SDL_QUIT:
                return Quit()
            case sdl.SDL_WINDOWEVENT:
                match event.window.event:
                    case sdl.SDL_WINDOWEVENT_SIZE_CHANGED | sdl.SDL_WINDOWEVENT_EXPOSED:
                        # It may be on another screen now.
                        self._scale = renderer.scale(sdl, self._window, self._renderer)
                        return Resized()
                    case sdl.SDL_WINDOWEVENT_CLOSE:
                        return Quit()
            case sdl.SDL_RENDER_DEVICE_RESET:
                for picture in self._pictures.values():
                    picture.restore()
                for drawing in self._drawings.values():
                    drawing.restore()
                return Resized()
            case self._wake_event:
                self._waking = False
        return None

    def _key(self, event: Any) -> Key | None:
        sdl, held = self._sdl, event.keysym.mod
        name = keys.key_name(
            sdl.SDL_GetKeyName(event.keysym.sym).decode(errors="replace"),
            event.keysym.scancode,
            shift=bool(held & sdl.KMOD_SHIFT),
            # The right Alt key is many keyboards' AltGr, which writes characters.
            command=bool(held & (sdl.KMOD_CTRL | sdl.KMOD_LALT | sdl.KMOD_GUI)),
            repeat=bool(event.repeat),
        )
        return Key(name) if name else None

    def wake(self) -> None:
        if self._waking or self._closed:
            return
        self._waking = True
        event = self._sdl.SDL_Event()
        event.type = self._wake_event
        self._sdl.SDL_PushEvent(event)

    def toggle_full_screen(self) -> None:
        sdl = self._sdl
        self._full_screen = not self._full_screen
        sdl.SDL_SetWindowFullscreen(
            self._window, sdl.SDL_WINDOW_FULLSCREEN_DESKTOP if self._full_screen else 0
        )
        sdl.SDL_ShowCursor(sdl.SDL_DISABLE if self._full_screen else sdl.SDL_ENABLE)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._sdl.SDL_DestroyRenderer(self._renderer)  # and its textures
        self._sdl.SDL_DestroyWindow(self._window)
        library.stop(self._sdl, self._sdl.SDL_INIT_VIDEO)
