"""A stream that is watched on another WebRTC server, and published here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from streamsocket.hub.intake import Intake
from streamsocket.hub.pulling import Publish, Pulling
from streamsocket.media.codec import Track
from streamsocket.rtp.rtcp import ReceiverReport, build_receiver_report
from streamsocket.webrtc.client_offer import AgreedTrack
from streamsocket.webrtc.endpoint import parse_endpoint
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.whep_client import WhepClient

_REPORTS = (200, 201)  # what a compound packet begins with (RFC 3550, 6.1)


async def pull_whep(
    url: str,
    publish: Publish,
    *,
    ice_servers: Sequence[IceServer] = (),
    timeout_s: float = 10.0,
) -> None:
    """Watch `url` and publish what comes, until the server ends the stream.

    `ice_servers` are used instead of those that the server tells of. Raises ConnectError if it
    can't be reached, refuses, vanishes, or falls silent; StreamSocketError if it can't be
    published.
    """
    pulling = Pulling(parse_endpoint(url).url)
    client = WhepClient(
        url,
        timeout_s=timeout_s,
        ice_servers=ice_servers,
        on_packet=pulling.receive,
        on_lost=pulling.lost,
    )
    try:
        await _begin(client, pulling, publish)
        await pulling.last()
    finally:
        pulling.close()
        await client.close()


async def _begin(client: WhepClient, pulling: Pulling, publish: Publish) -> None:
    """Connect, publish, and let the packets come."""
    await client.find_servers()
    tracks = await client.ask(("video", "audio"))
    await client.connect()
    own_ssrc = secrets.randbits(32)
    intakes: list[Intake] = []

    def send_rtcp(data: bytes) -> None:
        if data[1] not in _REPORTS:  # not every server takes feedback alone (RFC 5506)
            data = build_receiver_report(ReceiverReport(own_ssrc), "streamsocket") + data
        client.send_rtcp(data)

    request_keyframe = _keyframe_request(tracks, intakes)
    publication = publish([Track(track.format.codec) for track in tracks], request_keyframe)
    intakes += [
        Intake(
            publication,
            index,
            track.format.codec,
            track.format.parameters,
            payload_type=track.format.payload_type,
            ordered=False,
            answers_nack="nack" in track.format.feedback,
            send_rtcp=send_rtcp,
        )
        for index, track in enumerate(tracks)
    ]
    pulling.begin(publication, intakes)
    client.play()


def _keyframe_request(
    tracks: Sequence[AgreedTrack], intakes: Sequence[Intake]
) -> Callable[[], None] | None:
    """What asks for keyframes, where the server makes them."""
    made = [index for index, track in enumerate(tracks) if "nack pli" in track.format.feedback]

    def request() -> None:
        for index in made:
            if index < len(intakes):
                intakes[index].request_keyframe()

    return request if made else None
