"""What of an offer is taken up: which of its sections carry which of our tracks. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from streamsocket.errors import ParseError
from streamsocket.matching.match import NothingFitsError
from streamsocket.media.codec import G711, Av1, Codec, Opus, Track, Vp8, Vp9
from streamsocket.rtp.nal_sdp import h264_from, h265_from
from streamsocket.rtp.vp9 import profile_from as vp9_profile
from streamsocket.webrtc.codec_choice import (
    Choice,
    Encoding,
    choose,
    choose_any,
    encoding_of,
    explain,
)
from streamsocket.webrtc.header_extensions import ExtensionUri
from streamsocket.webrtc.sdp import Description, Format, Media
from streamsocket.webrtc.sdp_answer import FEEDBACK, Accepted, Sending

# What publishers are to send. H.264 before all else: every viewer and every recording takes it.
_WANTED: dict[str, tuple[tuple[Encoding, ...], ...]] = {
    "video": (
        (Encoding("h264", parameters={"packetization-mode": "1"}),),
        (
            *(Encoding("vp8"), Encoding("h265"), Encoding("av1")),
            *(Encoding("vp9", parameters={"profile-id": profile}) for profile in ("0", "2")),
        ),
    ),
    "audio": (
        (Encoding("opus", 48_000, 2),),
        (Encoding("pcmu", 8000), Encoding("pcma", 8000)),
    ),
}

_STREAM_ID = "stream"
_CNAME = "streamsocket"

_FEEDBACK = {"video": FEEDBACK | {"transport-cc"}, "audio": frozenset({"transport-cc"})}
# No receiver estimates what gets through by the sound.
_SENT = {
    "video": frozenset({ExtensionUri.ABS_SEND_TIME, ExtensionUri.ABS_CAPTURE_TIME}),
    "audio": frozenset({ExtensionUri.ABS_CAPTURE_TIME}),
}
_RECEIVED = frozenset({ExtensionUri.MID, ExtensionUri.TRANSPORT_SEQUENCE})


@dataclass(frozen=True, slots=True)
class Watched:
    """One of our tracks in an answer."""

    track: int
    """Its index in the stream."""
    ssrc: int
    choice: Choice
    rtx_ssrc: int | None
    """On which losses are repaired; None where that is done on the same."""
    extensions: dict[str, int] = field(default_factory=dict)
    """The ids of the header extensions that its packets get, by URI."""

    @property
    def rtx(self) -> tuple[int, int] | None:
        """Payload type and SSRC of repairs."""
        if self.choice.rtx is None or self.rtx_ssrc is None:
            return None
        return self.choice.rtx.payload_type, self.rtx_ssrc


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """The answer to who wants to watch."""

    accepted: dict[int, Accepted]
    """By the section's place in the offer."""
    tracks: list[Watched]


def plan_watching(offer: Description, tracks: Sequence[tuple[int, Track, int]]) -> WatchPlan:
    """Find a section for each of these tracks, which come with their index and their SSRC.

    Those without any are left out. Raises `NothingFitsError` if that are all of them.
    """
    accepted: dict[int, Accepted] = {}
    watched: list[Watched] = []
    reasons: list[str] = []
    for index, track, ssrc in tracks:
        free = [
            place
            for place, media in enumerate(offer.medias)
            if place not in accepted and may_send(offer, media, track.kind)
        ]
        if not free:
            reasons.append(f"The stream has {track.kind}, but the offer has no place for it.")
            continue
        try:
            encoding = encoding_of(track.codec)
        except ParseError:
            reasons.append(f"The {track.kind}'s parameters are broken.")
            continue
        for place in free:
            media = offer.medias[place]
            if choice := choose(encoding, media.formats):
                rtx_ssrc = secrets.randbits(32) if choice.rtx else None
                answer = accepted[place] = _sent(track, ssrc, choice, rtx_ssrc)
                watched.append(Watched(index, ssrc, choice, rtx_ssrc, answer.ids(media)))
                break
        else:
            reasons.append(explain(encoding, offer.medias[free[0]].formats))
    if not watched:
        raise NothingFitsError(" ".join(dict.fromkeys(reasons)) or "The stream has no tracks.")
    return WatchPlan(accepted, watched)


def may_send(offer: Description, media: Media, kind: str) -> bool:
    """Whether a section of the offer is one that we may send media of that kind in."""
    return (
        media.kind == kind and offer.bundled(media) and media.direction in ("recvonly", "sendrecv")
    )


def _sent(track: Track, ssrc: int, choice: Choice, rtx_ssrc: int | None) -> Accepted:
    extensions = _SENT[track.kind]
    if track.kind == "video" and rtx_ssrc is None:
        # What is lost is sent again to the byte as it was, for which a time is no good.
        extensions = frozenset()
    return Accepted(
        choice,
        "sendonly",
        Sending(ssrc, _STREAM_ID, track.kind, _CNAME, rtx_ssrc),
        # Sound that was lost is over before it could come again.
        feedback=FEEDBACK if track.kind == "video" else frozenset(),
        extensions=extensions,
    )


@dataclass(frozen=True, slots=True)
class Published:
    """A track that a peer publishes."""

    kind: str
    choice: Choice
    codec: Codec
    extensions: dict[str, int]
    """The ids of the header extensions that both know, by URI."""
    takes_reduced: bool
    """RTCP to the peer needn't begin with a report (RFC 5506)."""
    ssrc: int | None = None
    """Its source, if the offer tells."""


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """The answer to who wants to publish."""

    accepted: dict[int, Accepted]
    """By the section's place in the offer."""
    tracks: list[Published]
    """The picture first, as viewers expect it."""


def plan_publishing(offer: Description) -> PublishPlan:
    """Take one picture and one sound of those offered.

    Raises `NothingFitsError` if there is neither in a form that can be passed on.
    """
    accepted: dict[int, Accepted] = {}
    tracks: list[Published] = []
    reasons: list[str] = []
    for kind, wanted in _WANTED.items():
        for place, media in enumerate(offer.medias):
            if not _may_receive(offer, media, kind):
                continue
            choices = (choose_any(encodings, media.formats) for encodings in wanted)
            choice = next((each for each in choices if each), None)
            if choice is None:
                names = ", ".join(dict.fromkeys(each.encoding for each in media.formats))
                reasons.append(f"Of the {kind}'s formats ({names}) none can be passed on.")
                continue
            wished = replace(choice, format=_wished(choice.format))
            answer = Accepted(wished, "recvonly", feedback=_FEEDBACK[kind], extensions=_RECEIVED)
            accepted[place] = answer
            codec = codec_of(choice.format)
            ssrc = next(iter(media.sources), None)
            ids = answer.ids(media)
            tracks.append(Published(kind, choice, codec, ids, media.rtcp_rsize, ssrc))
            break
    if not tracks:
        raise NothingFitsError(" ".join(reasons) or "The offer sends neither video nor audio.")
    return PublishPlan(accepted, tracks)


def _wished(offered: Format) -> Format:
    """The format as we like to get it: Opus in stereo, with FEC (RFC 7587, 6.1).

    Browsers send one channel, unless they are told that both are wanted.
    """
    if offered.encoding.lower() != "opus":
        return offered
    parameters = {**offered.parameters, "stereo": "1", "useinbandfec": "1"}
    return replace(offered, fmtp=";".join(f"{key}={value}" for key, value in parameters.items()))


def _may_receive(offer: Description, media: Media, kind: str) -> bool:
    return (
        media.kind == kind and offer.bundled(media) and media.direction in ("sendonly", "sendrecv")
    )


def codec_of(chosen: Format) -> Codec:
    """What a format of those we know carries. Raises ParseError for broken parameters."""
    match chosen.encoding.lower():
        case "h264":
            return h264_from(chosen.parameters)
        case "h265":
            return h265_from(chosen.parameters)
        case "vp8":
            return Vp8()
        case "vp9":
            return Vp9(profile=vp9_profile(chosen.parameters))
        case "av1":
            return Av1()
        case "pcmu":
            return G711("pcmu")
        case "pcma":
            return G711("pcma")
        case _:
            return Opus()
