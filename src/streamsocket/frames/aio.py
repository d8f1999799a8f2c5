"""The asyncio forms: `ss.aio.Subscriber` and its like."""

from streamsocket.frames.aio_publisher import Publisher
from streamsocket.frames.aio_subscriber import Sound, Subscriber
from streamsocket.frames.process import process_async as process
from streamsocket.frames.server import AsyncServer as Server
from streamsocket.frames.synchronized import synchronized_async as synchronized

__all__ = ["Publisher", "Server", "Sound", "Subscriber", "process", "synchronized"]
