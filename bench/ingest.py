"""Taking in: what one packet from a publisher costs the server, from the socket to the hub.

The cost is what the kernel charges to the server's process, user and system time, while many
publishers send at once, less what the same server uses without any; divided by the RTP packets
they sent. Waking up, reading, parsing, putting in order, cutting anew, the timeline, the keyframe
cache, reports, the page's figures of each stream: all of it is in there, and none of it is shared
with viewers, of whom there are none.

That is not what the code alone costs: it is measured by itself, too, in one process that does
nothing else and is never idle. Between the two lie the kernel's part, the event loop, and caches
that others have filled whenever the server is woken for some ten packets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.harness import Figure, Server, cpu_seconds, receiving_floor, streamsocket
from bench.publishing import (
    FFMPEG,
    FRAME_RATE,
    GOP,
    OURS,
    REPORT_S,
    SAMPLE_RATE,
    SAMPLES,
    SDP,
    Publishers,
    Style,
    TrackSender,
)
from bench.rtsp import Transport
from streamsocket.hub.hub import Hub
from streamsocket.hub.intake import Intake
from streamsocket.media.codec import Track
from streamsocket.rtsp import sdp

GOAL_US = 3.0
SETTLE_S = 3.0
IDLE_S = 5.0
TOO_LATE_S = 0.5
"""Publishers later than this sent what had piled up at once, which flatters whoever takes it."""
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")
STYLES = {"FFmpeg's packets": FFMPEG, "ours": OURS}


def run(quick: bool) -> list[Figure]:
    """Server CPU a packet over UDP and TCP, beside a bare receive loop."""
    publishers, seconds = (50, 5.0) if quick else (100, 15.0)
    figures = []
    for transport in TRANSPORTS:
        for named, style in STYLES.items():
            what = f"ingest {transport}, {named}"
            figures += measure(
                what, lambda: streamsocket(expect=0), transport, style, publishers, seconds,
                GOAL_US,
            )  # fmt: skip
            figures += measure(
                f"{what}, bare receive loop", lambda: receiving_floor(publishers), transport,
                style, publishers, seconds, None,
            )  # fmt: skip
    figures += [code_alone(named, style) for named, style in STYLES.items()]
    return figures


def measure(
    what: str,
    serve: Callable[[], AbstractContextManager[Server]],
    transport: Transport,
    style: Style,
    publishers: int,
    seconds: float,
    goal: float | None,
) -> list[Figure]:
    """CPU a packet of one server, and for ours that no packet was missed."""
    with serve() as server, Publishers() as newsroom:
        idle = cpu_a_second(server, IDLE_S)
        for number in range(publishers):
            newsroom.begin(f"{server.url}live/{number}", transport, style)
        time.sleep(SETTLE_S)
        before, cpu_before, start = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, end = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        packets = after.packets - before.packets
        cost_s = cpu_after - cpu_before - idle * (end - start)
        if goal is not None:
            time.sleep(REPORT_S + 1)  # by then it has reported on all of this
        last = newsroom.sent()
    bits = (after.bytes - before.bytes) * 8 / (end - start)
    said = (
        f"{publishers} publishers, {bits / publishers / 1e6:.2f} Mbit/s each, no viewers; "
        f"{packets / (end - start):.0f} packets/s of up to {style.payload} bytes, "
        f"{'a picture' if style.at_once else 'a packet'} a send; user and system time of the "
        f"server, less {idle:.1%} of a core when idle; publishers late by "
        f"{after.late_s * 1000:.0f} ms at most"
    )
    cost_us = cost_s / packets * 1e6 if after.late_s <= TOO_LATE_S else float("nan")
    figures = [Figure(what, cost_us, "µs CPU/packet", goal, said)]
    if goal is not None:
        figures.append(Figure(f"{what}: gaps", last.trouble, "packets", 0, str(last)))
    return figures


def cpu_a_second(server: Server, seconds: float) -> float:
    """What the server uses at the moment, in cores."""
    before, start = cpu_seconds(server.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(server.pid) - before) / (time.monotonic() - start)


def code_alone(named: str, style: Style) -> Figure:
    """From received packets to the hub, many publishers in turn, without sockets and never idle."""
    publishers, pictures = 50, 3 * GOP
    hub = Hub(asyncio.new_event_loop())
    sending = [Sending(hub, f"live/{number}", style) for number in range(publishers)]
    packets, cost_s = 0, 0.0
    for picture in range(pictures):
        bursts = [(each, *burst) for each in sending for burst in each.bursts(picture)]
        arrival = 1e9 + picture / FRAME_RATE
        start = time.thread_time()
        for each, track, burst in bursts:
            each.intakes[track].receive(burst, arrival)
            each.publication.flush()
        cost_s += time.thread_time() - start
        packets += sum(len(burst) for _, _, burst in bursts)
    hub.close()
    return Figure(
        f"ingest, {named}: the code alone", cost_s / packets * 1e6, "µs CPU/packet", None,
        f"{publishers} publishers in turn, in order, whole pictures; received packets to hub",
    )  # fmt: skip


class Sending:
    """A publisher whose packets go straight into the hub."""

    def __init__(self, hub: Hub, name: str, style: Style) -> None:
        medias = sdp.parse(SDP).medias
        codecs = [media.codec for media in medias if media.codec]
        self.publication = hub.publish(name, [Track(codec) for codec in codecs])
        self.intakes = [
            Intake(self.publication, index, codec, medias[index].fmtp, ordered=True)
            for index, codec in enumerate(codecs)
        ]
        self._style = style
        self._senders = [TrackSender(index) for index in range(len(medias))]
        self._sounds = 0

    def bursts(self, picture: int) -> list[tuple[int, list[bytes]]]:
        """Track and packets of what is sent with this picture."""
        video, audio = self._senders
        style = self._style
        bursts = []
        while self._sounds * SAMPLES / SAMPLE_RATE <= picture / FRAME_RATE:
            bursts.append((1, audio.pack(style.sound(), self._sounds * SAMPLES)))
            self._sounds += style.sounds
        payloads = style.picture() if picture % GOP else style.keyframe()
        return [*bursts, (0, video.pack(payloads, picture * 90_000 // FRAME_RATE))]
