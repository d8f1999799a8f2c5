"""Settings: one documented model, filled from a file, the environment and options."""

from streamsocket.settings.layers import Value, load_settings
from streamsocket.settings.model import RecordSettings, Settings, StreamSettings, UserSettings

__all__ = ["RecordSettings", "Settings", "StreamSettings", "UserSettings", "Value", "load_settings"]
