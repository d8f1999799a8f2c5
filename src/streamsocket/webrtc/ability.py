"""What a peer that watches can play, by its offer."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.target import Target
from streamsocket.media.codec import H264, Kind
from streamsocket.webrtc.codec_choice import Encoding, choose, encoding_of, explain, h264_profile
from streamsocket.webrtc.negotiation import may_send
from streamsocket.webrtc.sdp import Description, Format

# What can be made for a peer, the best first, and how it is called in an offer.
_INSTEAD: dict[Kind, tuple[tuple[Target, Encoding], ...]] = {
    "video": (
        (
            Target("h264"),
            Encoding("h264", parameters={"packetization-mode": "1", "profile-level-id": "42e01f"}),
        ),
        (Target("vp8"), Encoding("vp8")),
    ),
    "audio": ((Target("opus", channels=2), Encoding("opus", 48_000, 2)),),
}

# A peer that doesn't say so can decode every other profile all the same.
_RARE_PROFILES = {"high 10", "high 4:2:2", "high 4:4:4"}


def ability_of(offer: Description) -> Ability:
    """What the peer can play."""
    formats: dict[Kind, list[Format]] = {}
    for kind in _INSTEAD:
        sections = [media for media in offer.medias if may_send(offer, media, kind)]
        if sections:
            formats[kind] = [each for media in sections for each in media.formats]
    return Ability(
        lambda form: _objection(form, formats[form.codec.kind]),
        {
            kind: [target for target, encoding in _INSTEAD[kind] if choose(encoding, offered)]
            for kind, offered in formats.items()
        },
    )


def _objection(form: Form, formats: list[Format]) -> str | None:
    codec = form.codec
    try:
        encoding = encoding_of(codec)
    except ParseError:
        return f"The {codec.kind}'s parameters are broken."
    choice = choose(encoding, formats)
    if choice is None:
        return explain(encoding, formats)
    if form.reorders:
        return "The pictures come in another order than they are shown in (B-frames)."
    if isinstance(codec, H264) and not choice.promised:
        profile = h264_profile(encoding.parameters.get("profile-level-id", ""))
        if profile in _RARE_PROFILES:
            return f"The picture is H.264 of the profile {profile}."
    return None
