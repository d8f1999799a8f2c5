"""What waits for a slow server."""

from __future__ import annotations

from streamsocket.media.codec import Kind
from streamsocket.rtmp.send_queue import Outgoing, SendQueue


def _message(kind: Kind, timestamp: int, *, keyframe: bool = False) -> Outgoing:
    return Outgoing(kind, timestamp, b"", keyframe=keyframe)


def _all(queue: SendQueue) -> list[Outgoing]:
    messages = []
    while message := queue.take():
        messages.append(message)
    return messages


def test_what_is_taken_in_time_comes_in_order() -> None:
    queue = SendQueue()
    messages = [_message("video", 0, keyframe=True), _message("audio", 5), _message("video", 40)]
    for message in messages:
        queue.put(message, 0.0)
    assert _all(queue) == messages
    assert queue.dropped == 0


def test_what_is_too_old_is_dropped_up_to_the_next_keyframe() -> None:
    queue = SendQueue()
    configuration = Outgoing("video", 0, b"avcC", keyframe=True, configuration=True)
    queue.put(configuration, 0.0)
    for index in range(60):
        queue.put(_message("video", 40 * index, keyframe=index == 0), 0.04 * index)
        queue.put(_message("audio", 40 * index), 0.04 * index)
    keyframe = _message("video", 2400, keyframe=True)
    queue.put(keyframe, 2.4)
    queue.put(_message("video", 2440), 2.44)
    left = _all(queue)
    assert left[0] == configuration
    pictures = [message for message in left if message.kind == "video"][1:]
    assert pictures == [keyframe, _message("video", 2440)]
    sound = [message.timestamp for message in left if message.kind == "audio"]
    assert sound == list(range(2040, 2400, 40))
    assert queue.dropped == 60 + 51


def test_sound_alone_goes_on_at_once() -> None:
    queue = SendQueue()
    queue.put(_message("audio", 0, keyframe=True), 0.0)
    queue.put(_message("audio", 2100, keyframe=True), 2.1)
    assert [message.timestamp for message in _all(queue)] == [2100]
    assert queue.dropped == 1
