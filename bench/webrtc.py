"""WebRTC: what a packet costs to send to a viewer and to take in by WHIP, memory, keyframes' delay.

Viewers and publishers are real sessions with ICE, DTLS and SRTP in processes of their own. The CPU
is the server's process alone, user and system time, with everything in it: checks, reports, the
page's figures. It is divided by RTP packets. aiortc passes the same movie's packets through, to
fewer viewers, since it would not manage as many.

A keyframe's delay is counted from before its publisher protects its first packet to when the kernel
has its last packet for the last of all viewers: no part of the server's time is outside of that.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.fanout import REST_S, bit_rate
from bench.harness import (
    Figure,
    Server,
    aiortc_server,
    cpu_seconds,
    describe,
    percentile,
    streamsocket,
    trouble,
)
from bench.ingest import cpu_a_second
from bench.movies import cached, noisy_movie, remux
from bench.publishing import FRAME_RATE, GOP
from bench.webrtc_publishers import (
    SOUND_BYTES,
    SOUND_S,
    TrackSender,
    WhipPublishers,
    picture,
)
from bench.webrtc_session import AUDIO, BASELINE, offer
from bench.webrtc_viewers import Checked, WebRtcCrowd
from streamsocket.hub.hub import Hub
from streamsocket.webrtc import sdp
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.negotiation import plan_publishing
from streamsocket.webrtc.publisher import Publisher
from streamsocket.webrtc.srtp import SrtpKey, SrtpProfile, make_receiver, make_sender

GOAL_US = 2.4
GOAL_KB = 100.0
GOAL_KEYFRAME_MS = 33.0
GOAL_INGEST_US = 4.0
SETTLE_S = 4.0
IDLE_S = 5.0
AIORTC_VIEWERS = 20
TOO_LATE_S = 0.5
"""Publishers later than this sent what had piled up at once, which flatters whoever takes it."""
OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")


def run(quick: bool) -> list[Figure]:
    """Fan-out from a file and from a WHIP publisher, beside aiortc; taking in by WHIP."""
    viewers, publishers, seconds = (100, 30, 5.0) if quick else (300, 100, 15.0)
    movie = cached("webrtc.mp4", lambda path: noisy_movie(path, seconds=90, sound="libopus"))
    # What aiortc passes on has to have start codes.
    bytestream = cached("webrtc.ts", lambda path: remux(movie, path))
    return [
        *fan_out(
            "WebRTC fan-out", lambda: streamsocket(str(movie), *OPTIONS), "webrtc", viewers,
            seconds, GOAL_US,
        ),
        *fan_out("WebRTC fan-out, aiortc", lambda: aiortc_server(bytestream), "webrtc",
                 min(viewers, AIORTC_VIEWERS), seconds, None),
        *live(viewers, seconds),
        *ingest(publishers, seconds),
    ]  # fmt: skip


def fan_out(
    what: str,
    serve: Callable[[], AbstractContextManager[Server]],
    name: str,
    viewers: int,
    seconds: float,
    goal: float | None,
) -> list[Figure]:
    """CPU a packet of one server that plays a movie; for ours memory and gaps, too."""
    with serve() as server, WebRtcCrowd(rest_s=REST_S) as crowd:
        url = f"{server.url_of(name)}/whep"
        # Who has been there and gone leaves behind what the first viewer would be charged with.
        crowd.leave(crowd.join(url, 10))
        time.sleep(SETTLE_S)
        allocated = server.anonymous_kb()
        crowd.join(url, viewers)
        time.sleep(SETTLE_S)
        grown = server.anonymous_kb() - allocated
        before, cpu_before, start = crowd.totals(), cpu_seconds(server.pid), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, end = crowd.totals(), cpu_seconds(server.pid), time.monotonic()
        skipped = server.skipped_packets() if goal is not None else 0
        checked = crowd.checked()
    packets = after.packets - before.packets
    said = (
        f"{viewers} viewers, {bit_rate(before, after, viewers, end - start):.2f} Mbit/s each, "
        f"{packets / (end - start):.0f} packets/s; "
        f"viewers used {(after.cpu_s - before.cpu_s) / (end - start):.0%} of a core"
    )
    cost = (cpu_after - cpu_before) / packets * 1e6 if packets else float("nan")
    figures = [Figure(what, cost, "µs CPU/packet", goal, said)]
    if goal is not None:
        figures += [
            Figure(f"{what}: memory a viewer", grown / viewers, "KB", GOAL_KB,
                   f"allocated {allocated} KB without viewers, {allocated + grown} KB with them"),
            Figure(f"{what}: gaps", trouble(after) + skipped, "packets", 0,
                   f"{describe(after)}, {skipped} skipped by the server"),
            sound(what, checked),
        ]  # fmt: skip
    return figures


def live(viewers: int, seconds: float) -> list[Figure]:
    """The same from a publisher by WHIP, whose sound comes every 20 ms; keyframes' delay."""
    what = "WebRTC fan-out, live"
    with (
        streamsocket(*OPTIONS, expect=0) as server,
        WhipPublishers() as publisher,
        WebRtcCrowd(rest_s=REST_S) as crowd,
    ):
        publisher.begin([f"{server.url_of('live')}/whip"])
        time.sleep(1)
        crowd.join(f"{server.url_of('live')}/whep", viewers, dated=True)
        time.sleep(SETTLE_S)
        before, cpu_before, begin = crowd.totals(), cpu_seconds(server.pid), time.time()
        time.sleep(seconds)
        after, cpu_after, end = crowd.totals(), cpu_seconds(server.pid), time.time()
        skipped = server.skipped_packets()
        time.sleep(1)  # what was sent last has come by then
        checked, arrivals = crowd.checked(), crowd.arrivals()
    packets = after.packets - before.packets
    cost = (cpu_after - cpu_before) / packets * 1e6 if packets else float("nan")
    late_ms = [
        (max(each.get(timestamp, float("inf")) for each in arrivals) - sent_at) * 1000
        for timestamp, sent_at in checked.sent_at.items()
        if begin <= sent_at < end
    ]
    worst = max(late_ms, default=float("nan"))
    return [
        Figure(what, cost, "µs CPU/packet", None,
               f"{viewers} viewers, {packets / (end - begin):.0f} packets/s, one publisher by "
               "WHIP, each frame of sound sent on its own"),
        Figure(f"{what}: a keyframe's delay, the worst", worst, "ms", GOAL_KEYFRAME_MS,
               f"{len(late_ms)} keyframes of 43 KB, p50 {percentile(late_ms, 50):.1f} ms; from "
               "before the publisher's first packet to the last viewer's last"),
        Figure(f"{what}: gaps", trouble(after) + skipped, "packets", 0,
               f"{describe(after)}, {skipped} skipped by the server"),
        sound(what, checked),
    ]  # fmt: skip


def sound(what: str, checked: Checked) -> Figure:
    """Whether what the witnesses decrypted is what it should be."""
    return Figure(
        f"{what}: broken packets", checked.damaged + checked.unmarked, "packets", 0,
        f"{checked.packets} decrypted by libsrtp, {checked.damaged} damaged, {checked.unmarked} "
        f"pictures without a marker; {checked.extended} with header extensions",
    )  # fmt: skip


def ingest(publishers: int, seconds: float) -> list[Figure]:
    """CPU a packet of what WHIP publishers send, from the socket to the hub."""
    with streamsocket(*OPTIONS, expect=0) as server, WhipPublishers() as newsroom:
        idle = cpu_a_second(server, IDLE_S)
        newsroom.begin([f"{server.url_of(f'live/{n}')}/whip" for n in range(publishers)])
        time.sleep(SETTLE_S)
        before, taken = newsroom.sent(), taken_in(server)
        cpu_before, start = cpu_seconds(server.pid), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, end = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        time.sleep(1)  # by then the server's figures have all of this
        arrived = taken_in(server) - taken
        packets = after.packets - before.packets
    cost_s = cpu_after - cpu_before - idle * (end - start)
    cost_us = cost_s / packets * 1e6 if after.late_s <= TOO_LATE_S else float("nan")
    bits = (after.bytes - before.bytes) * 8 / (end - start) / publishers
    return [
        code_alone(),
        Figure("WHIP ingest, the server's process", cost_us, "µs CPU/packet", None,
               f"{publishers} publishers, {bits / 1e6:.2f} Mbit/s each, no viewers; "
               f"{packets / (end - start):.0f} packets/s, less {idle:.1%} of a core when idle; "
               f"publishers late by {after.late_s * 1000:.0f} ms at most"),
        # The server's figures are of a moment somewhat later: they have more, never less.
        Figure("WHIP ingest: not taken in", max(0, packets - arrived), "packets", 0,
               f"{packets} sent, {arrived} in the server's figures"),
    ]  # fmt: skip


def code_alone() -> Figure:
    """From unprotecting to the hub, many publishers in turn, without sockets and never idle."""
    publishers, pictures = 50, 3 * GOP
    loop = asyncio.new_event_loop()
    hub = Hub(loop)
    sending = [OwnPublisher(hub, loop, f"live/{number}") for number in range(publishers)]
    packets, cost_s = 0, 0.0
    for number in range(pictures):
        came = [(each, burst) for each in sending for burst in each.bursts(number)]
        start = time.thread_time()
        for each, burst in came:
            each.publisher.receive([each.receiver.unprotect(datagram) for datagram in burst])
        if number % 3 == 0:
            for each in sending:
                each.turn()
        cost_s += time.thread_time() - start
        packets += sum(len(burst) for _, burst in came)
    for each in sending:
        each.publisher.close()
    hub.close()
    loop.close()
    return Figure(
        "WHIP ingest, from unprotecting to the hub", cost_s / packets * 1e6, "µs CPU/packet",
        GOAL_INGEST_US, f"the code alone: {publishers} publishers in turn, whole pictures; with "
        "transport-wide feedback ten times a second",
    )  # fmt: skip


class OwnPublisher:
    """A publisher whose packets need no network."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop, name: str) -> None:
        key = SrtpKey(
            SrtpProfile.AEAD_AES_128_GCM, secrets.token_bytes(16), secrets.token_bytes(12)
        )
        protection = make_sender(key)
        self.receiver = make_receiver(key)
        plan = plan_publishing(sdp.parse_offer(offer(Credentials.generate(), sends=True)))
        self.publisher = Publisher(
            loop,
            plan.tracks,
            lambda tracks, request, replaced: hub.publish(name, tracks, request),
            lambda data: None,
            lambda: None,
            timeout_s=60.0,
        )
        self.publisher.connected(protection)
        self.video, self.audio = (
            TrackSender(protection.add_stream(ssrc, 0), ssrc, payload_type)
            for ssrc, payload_type in enumerate((BASELINE, AUDIO), 1)
        )
        self._transport = self._sounds = 0

    def bursts(self, number: int) -> list[list[bytes]]:
        """What is sent with this picture."""
        made = []
        while self._sounds * SOUND_S <= number / FRAME_RATE:
            made.append(self._pack(self.audio, [bytes(SOUND_BYTES)], self._sounds * 960))
            self._sounds += 1
        payloads = picture(keyframe=number % GOP == 0)
        return [*made, self._pack(self.video, payloads, number * 90_000 // FRAME_RATE)]

    def turn(self) -> None:
        """What the publisher's timer does."""
        self.publisher._turn()

    def _pack(self, track: TrackSender, payloads: list[bytes], timestamp: int) -> list[bytes]:
        datagrams = track.pack(payloads, timestamp, self._transport)
        self._transport += len(datagrams)
        return datagrams


def taken_in(server: Server) -> int:
    """RTP packets that the server has made of what came."""
    streams = server.get("/api/streams")
    return sum(track["packets"] for stream in streams for track in stream["tracks"])
