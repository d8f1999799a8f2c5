"""The errors this package raises on purpose.

Every message is one sentence for the person in front of the screen: it names the thing, the
reason and, where there is one, the way out.
"""


class StreamSocketError(Exception):
    """Base of all errors that are somebody's situation rather than a bug of ours.

    The command line prints the message and exits with status 1, without a traceback.
    """


class ParseError(StreamSocketError, ValueError):
    """Bytes or text from outside that break the rules of their format.

    The one error that every parser raises, whatever it is fed.
    """


class SourceError(StreamSocketError):
    """A source that cannot be opened, read or passed on."""


class ConversionError(StreamSocketError):
    """A track that cannot be turned into what a viewer can play."""


class ConnectError(StreamSocketError):
    """A peer that cannot be reached, refuses us, or went away."""


class ServerLeftError(ConnectError):
    """A server that has said goodbye, as it does when the stream ends."""


class SettingsError(StreamSocketError):
    """A setting with an unknown name or an impossible value."""


class DeviceError(StreamSocketError):
    """A window, a speaker, a microphone or a camera that is not there or cannot be opened."""


class ArgumentError(StreamSocketError, ValueError):
    """An argument that cannot be meant so; the sentence begins with its name."""


class TimedOutError(StreamSocketError, TimeoutError):
    """What was waited for did not happen in time."""


class ClosedError(StreamSocketError):
    """It has been closed, or belongs to another process, and is of no use any more."""
