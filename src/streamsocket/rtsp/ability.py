"""What a player can play: what its request's URL says, or what players like it are known for.

RTSP lets the server describe a stream and the player take it or leave it. So that everybody gets
what it can play, the query names codecs: `rtsp://host:8554/lobby?video=h264&audio=aac,opus`.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from streamsocket.errors import ParseError
from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.target import Target
from streamsocket.media.codec import Kind
from streamsocket.wording import codec_name

CODECS: dict[Kind, tuple[str, ...]] = {
    "video": ("h264", "h265", "vp8", "vp9", "av1", "mjpeg"),
    "audio": ("aac", "opus", "pcmu", "pcma", "l16"),
}
"""The codecs that a query may name."""

# What is made for a player that can't play what there is, the best first.
_INSTEAD: dict[Kind, tuple[Target, ...]] = {
    "video": (Target("h264"), Target("vp8")),
    "audio": (Target("aac"), Target("opus", channels=2)),
}

# What every player has known for many years.
_ALWAYS = frozenset({"h264", "h265", "mjpeg", *CODECS["audio"]})

# RTP for VP8 and VP9 is in FFmpeg, GStreamer and live555, whose names stand in their players'
# User-Agent; for AV1 it came to FFmpeg with libavformat 61.7.
_OWN = "streamsocket"
_VPX = re.compile(r"lavf|gstreamer|vlc|live555|streamsocket", re.IGNORECASE)
_LAVF = re.compile(r"lavf/?([0-9]{1,3})\.([0-9]{1,3})", re.IGNORECASE)
_LAVF_WITH_AV1 = (61, 7)

_MAX_FIELDS = 20


def ability_of(query: str, user_agent: str) -> Ability:
    """What the player can play. Raises ParseError for a query that names no codec of ours."""
    wanted = _wanted(query)
    known = _known(user_agent)
    plays = {kind: wanted.get(kind) or known for kind in CODECS}
    return Ability(
        lambda form: _objection(form, plays[form.codec.kind]),
        {
            kind: [target for target in targets if target.codec in plays[kind]]
            for kind, targets in _INSTEAD.items()
        },
    )


def _objection(form: Form, plays: frozenset[str]) -> str | None:
    codec = form.codec
    if codec.name in plays:
        return None
    return f"The {codec.kind} is {codec_name(codec.name)}, which the player doesn't take."


def _wanted(query: str) -> dict[Kind, frozenset[str]]:
    """By kind, the codecs that the query names."""
    wanted: dict[Kind, frozenset[str]] = {}
    try:
        fields = parse_qs(query.lower(), max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise ParseError(f"The URL's query has more than {_MAX_FIELDS} parts.") from None
    for kind, codecs in CODECS.items():
        names = {each.strip() for each in ",".join(fields.get(kind, ())).split(",")} - {""}
        if unknown := names - {*codecs}:
            raise ParseError(
                f"'{min(unknown)[:20]}' is no {kind} codec that there is here: name some of "
                f"{', '.join(codecs)}."
            )
        wanted[kind] = frozenset(names)
    return wanted


def _known(user_agent: str) -> frozenset[str]:
    plays = _ALWAYS
    if _VPX.search(user_agent):
        plays |= {"vp8", "vp9"}
    lavf = _LAVF.search(user_agent)
    if _OWN in user_agent.lower() or (lavf and (int(lavf[1]), int(lavf[2])) >= _LAVF_WITH_AV1):
        plays |= {"av1"}
    return plays
