"""Whether everything a picture is made from has arrived. No I/O."""

from __future__ import annotations

from streamsocket.media import h264, h265
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Codec, Mjpeg
from streamsocket.media.nal import NalSyntax


class References:
    """Judges access units in the order in which they are decoded.

    A picture refers to others before it, and these to others, back to the keyframe. So what is lost
    of one, or one that is lost altogether, spoils all until the next keyframe, whole as they may
    be. That nothing would have referred to what was lost is not known of what never came: pictures
    may be called spoilt that are not, but none is called intact that isn't.

    A keyframe of H.264 or H.265 right after a gap has to bring its parameter sets: else it may be
    these that were lost, and they may be others than before.

    Sound and the pictures of Motion JPEG stand for themselves. A keyframe by a recovery point
    (H.264, D.2.8) is taken to be whole at once.
    """

    def __init__(self, codec: Codec) -> None:
        self.keyframe_wanted = False
        """Pictures are spoilt, and no keyframe has come yet. Who wants one anyway may set it."""
        self._refer = codec.kind == "video" and not isinstance(codec, Mjpeg)
        self._broken = self._refer  # until a first keyframe comes
        self._syntax = _syntax(codec)
        self._after_gap = False  # nothing has come since something was lost
        self._begins_at: int | None = None  # the keyframe that all is well again since

    def lose(self) -> None:
        """Something of what comes next was lost."""
        if self._refer:
            self._broken = self.keyframe_wanted = self._after_gap = True

    def judge(self, unit: AccessUnit) -> bool:
        """Whether the next unit, and all that it refers to, has arrived whole."""
        if unit.damaged:
            self.lose()
        after_gap, self._after_gap = self._after_gap, False
        if unit.damaged:
            return False
        if not self._refer:
            return True
        if unit.keyframe and not (after_gap and self._may_lack_parameter_sets(unit)):
            self._begins_at = unit.timestamp if self._broken else None
            self._broken = self.keyframe_wanted = False
        if self._broken:
            self.keyframe_wanted = True
            return False
        # What is shown before a keyframe but comes after it refers to pictures before it, too.
        return self._begins_at is None or unit.timestamp >= self._begins_at

    def _may_lack_parameter_sets(self, unit: AccessUnit) -> bool:
        syntax = self._syntax
        return syntax is not None and not any(
            syntax.nal_type(each) == syntax.parameter_sets[0] for each in unit.units
        )


def _syntax(codec: Codec) -> NalSyntax | None:
    match codec:
        case H264():
            return h264.SYNTAX
        case H265():
            return h265.SYNTAX
        case _:
            return None
