"""A stream that is played from another RTSP server, or a camera, and published here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from streamsocket.errors import ConnectError
from streamsocket.hub.intake import Intake
from streamsocket.hub.pulling import Publish, Pulling
from streamsocket.media.codec import Codec, Track
from streamsocket.rtsp.client import Protocol, RtspClient, TransportRefusedError
from streamsocket.rtsp.sdp import Media, choose
from streamsocket.rtsp.url import without_credentials


async def pull_rtsp(
    url: str,
    publish: Publish,
    *,
    protocols: Sequence[Protocol] = ("tcp", "udp"),
    timeout_s: float = 10.0,
) -> None:
    """Play `url` and publish what comes, until the server ends the stream.

    The first of the protocols that the server takes is used. Raises ConnectError if it can't be
    reached, refuses, vanishes, or falls silent; StreamSocketError if it can't be published.
    """
    for position, protocol in enumerate(protocols):
        pulling = Pulling(without_credentials(url))
        client = RtspClient(
            url, timeout_s=timeout_s, on_packet=pulling.receive, on_lost=pulling.lost
        )
        try:
            await _begin(client, pulling, publish, protocol)
            await pulling.last()
            return
        except TransportRefusedError:
            if position == len(protocols) - 1:
                raise
        finally:
            pulling.close()
            await client.close()


async def _begin(
    client: RtspClient, pulling: Pulling, publish: Publish, protocol: Protocol
) -> None:
    """Connect, set every track up, publish, and let the packets come."""
    await client.connect()
    description = await client.describe()
    medias = _chosen(description.medias, client.url)
    for track, (media, _) in enumerate(medias):
        await client.setup(track, media, protocol)
    intakes: list[Intake] = []

    def request_keyframe() -> None:
        for (media, _), intake in zip(medias, intakes, strict=False):
            if "nack pli" in media.feedback:
                intake.request_keyframe()

    tracks = [Track(codec, media.frame_rate) for media, codec in medias]
    makes_keyframes = any("nack pli" in media.feedback for media, _ in medias)
    publication = publish(tracks, request_keyframe if makes_keyframes else None)
    intakes += [
        Intake(
            publication,
            track,
            codec,
            media.fmtp,
            payload_type=media.payload_type,
            ordered=protocol == "tcp",
            answers_nack="nack" in media.feedback,
            send_rtcp=partial(client.send_rtcp, track),
        )
        for track, (media, codec) in enumerate(medias)
    ]
    pulling.begin(publication, intakes)
    await client.play(keep_timestamps=True)


def _chosen(medias: Sequence[Media], url: str) -> list[tuple[Media, Codec]]:
    """What can be passed on, the picture first."""
    chosen, left = choose(medias)
    if not chosen:
        reasons = " ".join(media.unsupported for media in left if media.unsupported)
        raise ConnectError(f"Nothing of {url} can be passed on. {reasons}".rstrip())
    return sorted(chosen, key=lambda each: each[1].kind != "video")
