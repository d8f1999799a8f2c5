"""Settings: one documented model, filled from a file, the environment and options."""

from streamsocket.settings.layers import Value, load_settings
from streamsocket.settings.model import Settings, StreamSettings

__all__ = ["Settings", "StreamSettings", "Value", "load_settings"]
