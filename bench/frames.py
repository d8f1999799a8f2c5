"""Arrays in, arrays out: how soon, how true their times are, and for how much work.

Publisher, server and subscriber are three processes (`frames_worker.py`). A picture's age counts
from just before it is given to `write` to when its array of RGB is there on the other side; the
number that it carries tells which one it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.harness import (
    START_TIMEOUT_S,
    Figure,
    Server,
    free_ports,
    percentile,
    running,
    streamsocket,
)
from bench.movies import cached, noisy_movie
from bench.rtsp import BenchError

ROOT = Path(__file__).parents[1]
SETTLING_S = 3.0
PICTURE_S = 1 / 30
BIT_RATE = 2_900_000
QUICK_S, WHOLE_S = 6.0, 60.0
HALF_A_PICTURE_MS = 1000 * PICTURE_S / 2


def run(quick: bool) -> list[Figure]:
    """Ages with both codecs and of a slow consumer, times against the truth, CPU, growth."""
    seconds = QUICK_S if quick else WHOLE_S
    return [
        *ages(seconds),
        *slow_consumer(seconds),
        *times_of_capture(seconds),
        *work(seconds),
        *churn(50 if quick else 1000),
        *reconnects(5 if quick else 300),
    ]


def ages(seconds: float) -> list[Figure]:
    """H.264 and Motion JPEG through a server, beside imagezmq's JPEG."""
    with streamsocket(expect=0) as server:
        h264 = one_way(server, seconds, bitrate=BIT_RATE)
        mjpeg = one_way(server, seconds, preset="mjpeg")
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with worker("receive_jpeg", address.replace("127.0.0.1", "*"), seconds) as receiving:
        sent = finished(worker_process("send_jpeg", address, seconds), seconds)
        seen = result(receiving, seconds)
    zmq = ages_ms(seen["seen"], sent["written"])
    beside = f"imagezmq's JPEG (quality 80) beside it: p50 {percentile(zmq, 50):.1f}, "
    beside += f"p99 {percentile(zmq, 99):.1f} ms at {sent['bits_a_second'] / 1e6:.1f} Mbit/s"
    said = f"1280x720, 30 a second, noisy, {seconds:.0f} s"
    return [
        Figure("frames: array to array, H.264", percentile(h264.ages_ms, 50), "ms p50", 10.0,
               f"{said}, {h264.bits / 1e6:.2f} Mbit/s; {beside}"),
        Figure("frames: array to array, H.264", percentile(h264.ages_ms, 99), "ms p99", 25.0,
               f"worst {max(h264.ages_ms):.1f} ms; {h264.missing} of {h264.written} not seen"),
        Figure("frames: bits, H.264", h264.bits / 1e6, "Mbit/s", 3.0, "what the server took in"),
        Figure("frames: array to array, Motion JPEG", percentile(mjpeg.ages_ms, 50), "ms p50", 4.0,
               f"{said}, {mjpeg.bits / 1e6:.1f} Mbit/s; p99 {percentile(mjpeg.ages_ms, 99):.1f}, "
               f"{mjpeg.missing} of {mjpeg.written} not seen"),
        Figure("frames: array to array, imagezmq's JPEG", percentile(zmq, 50), "ms p50", None,
               f"{sent['bits_a_second'] / 1e6:.1f} Mbit/s; no server between, no capture times"),
    ]  # fmt: skip


class OneWay:
    """What has come of one publisher's pictures at one subscriber's."""

    def __init__(self, sent: dict[str, Any], seen: dict[str, Any], bits: float) -> None:
        pictures = settled(seen["seen"])
        self.ages_ms = ages_ms(pictures, sent["written"])
        numbers = {number for number, _, _ in pictures}
        self.written = max(numbers) - min(numbers) + 1
        self.missing = self.written - len(numbers)
        self.bits = bits


def one_way(server: Server, seconds: float, **options: object) -> OneWay:
    """Publish and subscribe at once."""
    name = str(options.get("preset", "h264"))
    url = server.url + name
    with worker("publish", url, seconds + 2 * SETTLING_S, **options) as publishing:
        wait_for(server, name)
        subscribing = worker_process("subscribe", url, seconds + SETTLING_S)
        rates = []
        for _ in range(round(seconds)):
            time.sleep(1)
            rates += [each["bitrate_bps"] for each in streams(server) if each["name"] == name]
        seen = finished(subscribing, seconds)
        sent = result(publishing, seconds)
    return OneWay(sent, seen, max(rates))


def slow_consumer(seconds: float) -> list[Figure]:
    """Who takes ten pictures a second of thirty, here and by OpenCV."""
    with (
        streamsocket(expect=0) as server,
        worker("publish", server.url + "h264", seconds + 3 * SETTLING_S, bitrate=BIT_RATE) as made,
    ):
        wait_for(server, "h264")
        url = server.url + "h264"
        theirs = worker_process("opencv", url, seconds + SETTLING_S, pause_s=0.1)
        ours = worker_process("subscribe", url, seconds + SETTLING_S, pause_s=0.1)
        seen, other = finished(ours, seconds), finished(theirs, seconds)
        written = result(made, seconds)["written"]
    pictures = settled(seen["seen"])
    behind = ages_ms(other["seen"], written)
    old = ages_ms(pictures, written)
    return [
        Figure("frames: oldest picture of a slow consumer", max(old), "ms", 100.0,
               f"10 of 30 a second for {seconds:.0f} s, {len(old)} pictures, "
               f"p50 {percentile(old, 50):.1f} ms"),
        Figure("frames: the same by cv2.VideoCapture, at the end", behind[-1], "ms", None,
               f"in the same run, {len(behind)} pictures"),
    ]  # fmt: skip


def times_of_capture(seconds: float) -> list[Figure]:
    """Two publishers at once, and sets of their pictures."""
    length = seconds + 3 * SETTLING_S
    with (
        streamsocket(expect=0) as server,
        worker("publish", server.url + "a", length, bitrate=BIT_RATE) as a,
        worker("publish", server.url + "b", length, bitrate=BIT_RATE) as b,
    ):
        wait_for(server, "a", "b")
        urls = f"{server.url}a {server.url}b"
        told = finished(worker_process("synchronized", urls, seconds + SETTLING_S), seconds)
        written = [result(each, seconds)["written"] for each in (a, b)]
    sets = told["sets"][round(SETTLING_S / PICTURE_S) :]
    wrong = [
        abs(captured - written[place][number]) * 1000
        for each in sets
        for place, (number, _, captured) in enumerate(each)
    ]
    apart = [abs(written[0][first[0]] - written[1][second[0]]) * 1000 for first, second in sets]
    return [
        Figure("frames: capture_time against the truth", percentile(wrong, 95), "ms p95", 5.0,
               f"two publishers, {len(wrong)} pictures; worst {max(wrong):.2f} ms"),
        Figure("frames: spread of synchronized sets", percentile(apart, 95), "ms p95",
               round(HALF_A_PICTURE_MS + 1, 1),
               f"half a picture is {HALF_A_PICTURE_MS:.1f}, and the publishers' pace is true to "
               f"1 ms; {len(sets)} sets, by the truth; median {median(apart):.1f} ms"),
    ]  # fmt: skip


def work(seconds: float) -> list[Figure]:
    """CPU of receiving, decoding and handing out every picture."""
    movie = cached("gop2.mp4", lambda path: noisy_movie(path, seconds=60))
    costs: dict[str, list[float]] = {"cpu_ours": [], "cpu_pyav": []}
    rounds = 3
    with streamsocket(str(movie)) as server:
        for _ in range(rounds):  # in turns: the machine is not the same all the time
            for role, found in costs.items():
                told = finished(worker_process(role, server.url + "gop2", seconds / 2), seconds)
                found.append(told["ms_a_picture"])
    bare = finished(worker_process("cpu_memory", str(movie), seconds), seconds)["ms_a_picture"]
    ours, theirs = (median(found) for found in costs.values())
    return [
        Figure("frames: CPU a picture, beside PyAV's", ours / theirs, "times", 1.2,
               f"720p30 at 2.5 Mbit/s by RTSP over TCP, decoded and made RGB: {ours:.2f} ms; PyAV "
               f"with FFmpeg's RTSP client, its decoder, `to_ndarray`: {theirs:.2f} ms; median of "
               f"{rounds}"),
        Figure("frames: CPU a picture, packets in memory", bare, "ms", None,
               "PyAV's decoder and `to_ndarray`, nothing received"),
    ]  # fmt: skip


def churn(times: int) -> list[Figure]:
    """Subscribers that come and go."""
    with streamsocket("test:320x180") as server:
        told = finished(worker_process("churn", server.url + "test", 0, times=times), times)
    return growth(f"{times} Subscribers opened and closed", times, told["left"])


def reconnects(times: int) -> list[Figure]:
    """One Subscriber, and a server that is killed under it again and again."""
    rtsp, http = free_ports(2)
    command = [str(Path(sys.executable).with_name("streamsocket")), "serve", "test:320x180"]
    command += ["--rtsp-port", str(rtsp), "--http-port", str(http)]
    staying = worker_process("stay", f"rtsp://127.0.0.1:{rtsp}/test", 0, times=times)
    assert staying.stdout
    try:
        for _ in range(times + 1):
            with running(command) as server:
                if staying.stdout.readline().strip() != "live":
                    raise BenchError("the Subscriber did not come back")
                server.kill()
        told = finished(staying, START_TIMEOUT_S)
    finally:
        staying.kill()
        staying.wait()
    return growth(f"a server killed {times} times", times, told["left"])


def growth(what: str, times: int, left: list[dict[str, int]]) -> list[Figure]:
    """What has grown since the first tenth."""
    before, after = left
    since = f"between the {times // 10}th and the {times}th"
    grown = {key: after[key] - before[key] for key in after}
    return [
        Figure(f"frames: {what}: threads and descriptors left",
               max(0, grown["threads"]) + max(0, grown["descriptors"]), "", 0, since),
        Figure(f"frames: {what}: memory", grown["memory_kb"] / 1024, "MB", 4.0,
               f"{since}; {after['memory_kb'] / 1024:.0f} MB in the end"),
    ]  # fmt: skip


def settled(seen: list[list[float]]) -> list[list[float]]:
    """What was seen when joining was over."""
    return [each for each in seen if each[1] >= seen[0][1] + SETTLING_S]


def ages_ms(seen: list[list[float]], written: list[float]) -> list[float]:
    """How old each picture was."""
    return [(at - written[int(number)]) * 1000 for number, at, _ in seen]


def streams(server: Server) -> list[dict[str, Any]]:
    """What the server says of its streams."""
    found: list[dict[str, Any]] = server.get("/api/streams")
    return found


def wait_for(server: Server, *names: str) -> None:
    """Wait until somebody publishes these."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not set(names) <= {each["name"] for each in streams(server) if each["tracks"]}:
        if time.monotonic() > deadline:
            raise BenchError("nobody publishes")
        time.sleep(0.05)


def worker_process(
    role: str, address: str, seconds: float, **options: object
) -> subprocess.Popen[str]:
    """One of `frames_worker.py`."""
    command = [sys.executable, "-m", "bench.frames_worker", role, address, str(seconds)]
    return subprocess.Popen(
        [*command, json.dumps(options)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def worker(
    role: str, address: str, seconds: float, **options: object
) -> Iterator[subprocess.Popen[str]]:
    """One that is not left behind."""
    process = worker_process(role, address, seconds, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def result(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """What it has seen, when it has ended."""
    told, _ = process.communicate(timeout=3 * seconds + 2 * START_TIMEOUT_S)
    if process.returncode:
        raise BenchError(f"{process.args!r} ended with status {process.returncode}")
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


def finished(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """The same, and it is not left behind."""
    try:
        return result(process, seconds)
    finally:
        process.kill()
        process.wait()
