"""What goes wrong in a transcoder, as a sentence for the user. Pure."""

from __future__ import annotations

from streamsocket.wording import codec_name, counted

_SHOWN_S = 10.0
"""So long after the last time it is still said."""
_MANY_SKIPPED = 10
"""Fewer are a hiccup."""
_UNDECODABLE_S = 3.0
_MANY_ERRORS = 10


class Troubles:
    """Counts them, and says so."""

    def __init__(self, stream: str, codec: str) -> None:
        self.message: str | None = None
        self._stream = stream
        self._codec = codec_name(codec)
        self._skipped = 0
        self._skipped_at = 0.0
        self._errors = 0
        self._encoded = 0
        self._encoded_at: float | None = None

    def skip(self, pictures: int, now: float) -> None:
        """So many pictures were left out, because time was too short for them."""
        if pictures:
            self._skipped += pictures
            self._skipped_at = now

    def note(self, errors: int, encoded: int, now: float) -> None:
        """So many more could not be decoded; so many have been encoded, all in all."""
        if encoded > self._encoded or self._encoded_at is None:
            self._encoded, self._encoded_at, self._errors = encoded, now, 0
        self._errors += errors

    def changed(self, now: float) -> bool:
        """Whether the message is another one now."""
        before = self.message
        self.message = self._sentence(now)
        return self.message != before

    def _sentence(self, now: float) -> str | None:
        if (
            self._errors >= _MANY_ERRORS
            and self._encoded_at is not None
            and now - self._encoded_at > _UNDECODABLE_S
        ):
            return (
                f"'{self._stream}' cannot be turned into {self._codec}: what its publisher sends "
                "cannot be decoded. Does it play elsewhere?"
            )
        if now - self._skipped_at >= _SHOWN_S:
            self._skipped = 0
        if self._skipped >= _MANY_SKIPPED:
            return (
                f"The machine is too slow to turn '{self._stream}' into {self._codec}: "
                f"{counted(self._skipped, 'picture')} were left out. "
                f"Publish smaller pictures, or {self._codec} without B-frames."
            )
        return None
