"""The processes that `frames.py` measures; each prints what it has seen as JSON when it ends.

    python -m bench.frames_worker ROLE ADDRESS SECONDS [OPTIONS]

Times are seconds since the epoch: all processes are on one machine.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import streamsocket as ss
from bench.harness import memory_kb
from bench.pictures import SIZE, Pictures, number_of
from streamsocket.sources import yardstick

FPS = 30

Told = dict[str, Any]


def ticks(seconds: float) -> Iterator[int]:
    """Numbers at the pace of pictures, for so long."""
    began = time.monotonic()
    for number in range(round(seconds * FPS)):
        time.sleep(max(0.0, began + number / FPS - time.monotonic()))
        yield number


def publish(url: str, seconds: float, marked: bool = False, **options: Any) -> Told:
    """Publish numbered pictures; tell when each was written.

    If they are `marked`, each says so itself, in the test pattern's blocks.
    """
    pictures, written = Pictures(), []
    image = pictures.draw(0)
    with ss.Publisher(url, fps=FPS, size=SIZE, **options) as publisher:
        for number in ticks(seconds):
            written.append(time.time())
            for channel in range(3 * marked):
                yardstick.draw_code(image[:, :, channel], number, written[-1])
            publisher.write(image, written[-1])
            image = pictures.draw(number + 1)
        return {"written": written, "dropped": publisher.dropped, "encoder": publisher.encoder}


def subscribe(url: str, seconds: float, pause_s: float = 0.0, **options: Any) -> Told:
    """Take the newest picture as an array, again and again; pause after each."""
    seen = []
    with ss.Subscriber(url, **options) as subscriber:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            frame = subscriber.read(10)
            image = frame.image
            seen.append((number_of(image), time.time(), frame.capture_time))
            time.sleep(pause_s)
    return {"seen": seen}


def opencv(url: str, seconds: float, pause_s: float = 0.0) -> Told:
    """The same by OpenCV."""
    import cv2

    capture = cv2.VideoCapture(url)
    seen = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _, image = capture.read()
        seen.append((number_of(np.asarray(image, np.uint8)), time.time(), 0.0))
        time.sleep(pause_s)
    return {"seen": seen}


def send_jpeg(address: str, seconds: float, quality: int = 80) -> Told:
    """Send numbered pictures as imagezmq's users do: JPEG, and wait for the answer."""
    import cv2
    import imagezmq

    sender = imagezmq.ImageSender(connect_to=address)
    pictures, written, sent = Pictures(), [], 0
    image = pictures.draw(0)
    for number in ticks(seconds):
        written.append(time.time())
        _, coded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
        sender.send_jpg("camera", coded)
        sent += len(coded)
        image = pictures.draw(number + 1)
    sender.send_jpg("end", coded)
    return {"written": written, "bits_a_second": sent * 8 / seconds}


def receive_jpeg(address: str, seconds: float) -> Told:
    """The other side of it, for as long as somebody sends."""
    import cv2
    import imagezmq

    hub = imagezmq.ImageHub(open_port=address)
    seen = []
    while True:
        name, coded = hub.recv_jpg()
        image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
        seen.append((number_of(np.asarray(image)), time.time(), 0.0))
        hub.send_reply(b"OK")
        if name == "end":
            return {"seen": seen[:-1]}


def synchronized(urls: str, seconds: float) -> Told:
    """Sets of pictures of several cameras."""
    sets = []
    until = time.monotonic() + seconds
    for frames in ss.synchronized(urls.split()):
        sets.append(
            [(number_of(each.image), time.time(), each.capture_time) for each in frames if each]
        )
        if time.monotonic() > until:
            break
    return {"sets": sets}


def cpu_ours(url: str, seconds: float) -> Told:
    """CPU of receiving every picture and making it an array."""
    with ss.Subscriber(url, every_frame=True, transport="tcp") as subscriber:
        return _cpu(lambda: subscriber.read(10).image, seconds)


def cpu_pyav(url: str, seconds: float) -> Told:
    """The same by PyAV: FFmpeg's RTSP client, its decoder, `to_ndarray`."""
    import av

    with av.open(url, options={"rtsp_transport": "tcp"}) as container:
        pictures = container.decode(container.streams.video[0])
        return _cpu(lambda: next(pictures).to_ndarray(format="rgb24"), seconds)


def cpu_memory(path: str, seconds: float) -> Told:
    """The bare decoder on packets that are in memory, and `to_ndarray`."""
    import av

    with av.open(path) as container:
        video = container.streams.video[0]
        context = video.codec_context
        packets = [packet for packet in container.demux(video) if packet.size]
        decoded = (picture for packet in packets for picture in context.decode(packet))
        return _cpu(lambda: next(decoded).to_ndarray(format="rgb24"), 0, count=len(packets) // 2)


def _cpu(take: Callable[[], object], seconds: float, count: int = 0) -> Told:
    for _ in range(60):  # it catches up with what is live first
        take()
    began, until, taken = time.process_time(), time.monotonic() + seconds, 0
    while taken < count if count else time.monotonic() < until:
        take()
        taken += 1
    return {"ms_a_picture": (time.process_time() - began) / taken * 1000, "pictures": taken}


def churn(url: str, seconds: float, times: int = 1000) -> Told:
    """Open and close Subscribers; tell what is left after the first tenth, and in the end."""
    left = []
    for number in range(1, times + 1):
        with ss.Subscriber(url) as subscriber:
            subscriber.read(10)
        if number in (times // 10, times):
            left.append(_left())
    return {"left": left}


def stay(url: str, seconds: float, times: int = 300) -> Told:
    """Stay with a stream whose server is killed so many times; tell what that leaves behind.

    Says each time that it is live: then the server may be killed.
    """
    left = []
    with ss.Subscriber(url) as subscriber:
        for number in range(times + 1):
            subscriber.read(60)
            if number in (times // 10, times):
                left.append(_left())
            print("live", flush=True)
            while number < times and subscriber.state == "live":
                time.sleep(0.01)
    return {"left": left}


def _left() -> dict[str, int]:
    gc.collect()
    return {
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "memory_kb": memory_kb(os.getpid(), "Anonymous"),
    }


ROLES: dict[str, Callable[..., Told]] = {
    each.__name__: each
    for each in (
        *(publish, subscribe, opencv, send_jpeg, receive_jpeg, synchronized),
        *(cpu_ours, cpu_pyav, cpu_memory, churn, stay),
    )
}

if __name__ == "__main__":
    role, address, length, *rest = sys.argv[1:]
    told = ROLES[role](address, float(length), **(json.loads(rest[0]) if rest else {}))
    print(json.dumps(told))
