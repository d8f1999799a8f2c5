"""Live audio and video: one source in, any number of viewers out, in sync."""

from streamsocket.version import __version__

__all__ = ["__version__"]
