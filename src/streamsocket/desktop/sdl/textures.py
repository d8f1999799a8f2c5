"""Pictures and drawings on their way into the renderer."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from streamsocket.desktop.sdl import colours, library
from streamsocket.errors import DeviceError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from streamsocket.desktop.backend import Image
    from streamsocket.desktop.sdl.geometry import Rect


_BYTES = ctypes.POINTER(ctypes.c_uint8)
# SDL_YUV_CONVERSION_MODE, which PySDL2 doesn't hand out.
_CONVERSIONS: dict[colours.Conversion, int] = {"jpeg": 0, "bt601": 1, "bt709": 2}


class Picture:
    """A decoded picture, brought to the renderer without a copy in between."""

    def __init__(self, sdl: Any, renderer: Any) -> None:
        self._sdl = sdl
        self._renderer = renderer
        self._texture: Any = None
        self._made_for: tuple[int, int, bool, colours.Conversion] | None = None
        self._shown: colours.Shown | None = None
        self.pixel_aspect = 1.0

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in its own pixels; None: there is no picture."""
        return (self._shown.frame.width, self._shown.frame.height) if self._shown else None

    def set(self, frame: VideoFrame | None, pixel_aspect: float) -> None:
        """Show this one from now on."""
        self._shown = colours.for_sdl(frame) if frame is not None else None
        self.pixel_aspect = pixel_aspect
        self._upload()

    def restore(self) -> None:
        """Bring it to the renderer again, which has lost everything."""
        self._drop()
        self._upload()

    def draw(self, at: Rect) -> None:
        """Show it there, if there is one."""
        sdl = self._sdl
        if self._shown is None or self._texture is None:
            return
        # Some renderers convert now, others did when it was uploaded.
        self._set_conversion(self._shown.conversion)
        sdl.SDL_RenderCopy(self._renderer, self._texture, None, sdl.SDL_Rect(*at))
        sdl.SDL_RenderFlush(self._renderer)

    def _upload(self) -> None:
        if self._shown is None:
            return
        sdl = self._sdl
        frame, conversion = self._shown
        is_nv12 = frame.format.name == "nv12"
        self._set_conversion(conversion)
        wanted = frame.width, frame.height, is_nv12, conversion
        if self._made_for != wanted:
            self._drop()
            self._texture = _texture(
                sdl,
                self._renderer,
                sdl.SDL_PIXELFORMAT_NV12 if is_nv12 else sdl.SDL_PIXELFORMAT_IYUV,
                (frame.width, frame.height),
            )
            self._made_for = wanted
        planes = [
            part
            for plane in frame.planes
            for part in (ctypes.cast(plane.buffer_ptr, _BYTES), plane.line_size)
        ]
        update = sdl.SDL_UpdateNVTexture if is_nv12 else sdl.SDL_UpdateYUVTexture
        update(self._texture, None, *planes)

    def _set_conversion(self, conversion: colours.Conversion) -> None:
        self._sdl.SDL_SetYUVConversionMode(_CONVERSIONS[conversion])

    def _drop(self) -> None:
        if self._texture is not None:
            self._sdl.SDL_DestroyTexture(self._texture)
        self._texture = self._made_for = None


class Drawing:
    """A layer: something drawn, uploaded when it changes."""

    def __init__(self, sdl: Any, renderer: Any, image: Image) -> None:
        self._sdl = sdl
        self._renderer = renderer
        self._texture: Any = None
        self.size = (0, 0)
        self.set(image)

    def set(self, image: Image) -> None:
        """Show this one from now on."""
        self._image = image if image.flags.c_contiguous else image.copy(order="C")
        size = image.shape[1], image.shape[0]
        if size != self.size:
            self.close()
            self.size = size
        self._upload()

    def restore(self) -> None:
        """Bring it to the renderer again, which has lost everything."""
        self.close()
        self._upload()

    def draw(self, at: Rect) -> None:
        """Show it there."""
        self._sdl.SDL_RenderCopy(self._renderer, self._texture, None, self._sdl.SDL_Rect(*at))

    def close(self) -> None:
        """Give its memory back."""
        if self._texture is not None:
            self._sdl.SDL_DestroyTexture(self._texture)
        self._texture = None

    def _upload(self) -> None:
        sdl = self._sdl
        if self._texture is None:
            self._texture = _texture(sdl, self._renderer, sdl.SDL_PIXELFORMAT_RGBA32, self.size)
            sdl.SDL_SetTextureBlendMode(self._texture, sdl.SDL_BLENDMODE_BLEND)
        sdl.SDL_UpdateTexture(self._texture, None, self._image.ctypes.data, self.size[0] * 4)


def _texture(sdl: Any, renderer: Any, pixel_format: int, size: tuple[int, int]) -> Any:
    texture = sdl.SDL_CreateTexture(renderer, pixel_format, sdl.SDL_TEXTUREACCESS_STREAMING, *size)
    if not texture:
        raise DeviceError(
            f"A picture of {size[0]} × {size[1]} cannot be shown: {library.error(sdl)}."
        )
    sdl.SDL_SetTextureScaleMode(texture, sdl.SDL_ScaleModeLinear)
    return texture
