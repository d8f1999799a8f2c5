"""Turning, scaling and letterboxing of pictures."""

from __future__ import annotations

from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame

# By FFmpeg's count, a rotation is against the clock.
_TURN = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}

# Two bars that are narrower than this together are not worth it: the picture is stretched instead.
_LEAST_BARS = 16


class Scaler:
    """Turns pictures upright and fits them into a size, between black bars if need be."""

    def __init__(
        self,
        size: tuple[int, int],
        rotation: int,
        pixel_aspect: Fraction,
        pixel_format: str,
        *,
        in_bt601: bool = False,
    ) -> None:
        """`rotation` in degrees against the clock; `pixel_aspect` is a pixel's width by height.

        What comes out has square pixels and the `pixel_format` of that name, in limited range but
        for JPEG's formats; `in_bt601` converts colours to that matrix, otherwise they keep theirs.
        """
        matrix = ":out_color_matrix=bt601" if in_bt601 else ""
        # Encoders take what they are given for limited range, unless its format says otherwise.
        self._colours = f"{matrix}:out_range={'full' if 'yuvj' in pixel_format else 'limited'}"
        self._size = size
        self._rotation = rotation
        self._pixel_aspect = pixel_aspect
        self._pixel_format = pixel_format
        self._graph: Graph | None = None
        self._graph_input: tuple[int, int, str, int, int] | None = None

    def scale(self, frame: VideoFrame) -> VideoFrame:
        """The picture as it is to be seen, at the size that was announced."""
        given = (
            *(frame.width, frame.height, frame.format.name),
            *(frame.colorspace, frame.color_range),
        )
        if self._graph is None or self._graph_input != given:
            self._graph, self._graph_input = self._build_graph(frame), given
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build_graph(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        node = graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
            f":time_base=1/90000:colorspace={frame.colorspace}:range={frame.color_range}",
        )
        shown = shown_size(frame.width, frame.height, self._rotation, self._pixel_aspect)
        width, height = fitted(shown, self._size)
        steps = [*_TURN.get(self._rotation, []), f"scale={width}:{height}{self._colours}"]
        if (width, height) != self._size:
            steps.append("pad={}:{}:(ow-iw)/2:(oh-ih)/2".format(*self._size))
        for step in [*steps, "setsar=1", f"format={self._pixel_format}", "buffersink"]:
            name, _, arguments = step.partition("=")
            following = graph.add(name, arguments or None)
            node.link_to(following)
            node = following
        graph.configure()
        return graph


def shown_size(width: int, height: int, rotation: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """The size of a picture as it is seen, upright and in square pixels."""
    width = round(width * pixel_aspect)
    return (height, width) if rotation in (90, 270) else (width, height)


def fitted(shown: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """The largest even size of the same shape that the room holds, or the room if that is near."""
    scale = min(Fraction(inner, outer) for inner, outer in zip(room, shown, strict=True))
    width, height = (max(2, round(side * scale / 2) * 2) for side in shown)
    if room[0] - width < _LEAST_BARS and room[1] - height < _LEAST_BARS:
        return room
    return width, height
