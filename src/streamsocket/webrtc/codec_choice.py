"""Which of the formats that a peer offers carries what we have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streamsocket.media import h265
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Opus, Vp8, Vp9
from streamsocket.webrtc.sdp import Format

_NAMES = {"h264": "H.264", "h265": "H.265", "opus": "Opus", "mpeg4-generic": "AAC", "jpeg": "JPEG"}
_REPAIRS = ("rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A way to put media into RTP, by the names of SDP."""

    name: str
    """rtpmap's, in lower case: `h264`, `vp8`, `vp9`, `av1`, `h265`, `opus`, `pcmu`, …"""
    clock_rate: int = 90_000
    channels: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """fmtp's, as far as they tell whether a decoder can decode it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The format that carries a track."""

    format: Format
    rtx: Format | None
    """On which losses are repaired (RFC 4588), where that is on offer too."""
    promised: bool = True
    """False if the peer promised to decode less, such as another profile: most still can."""

    @property
    def payload_type(self) -> int:
        """The track's payload type in this session."""
        return self.format.payload_type


def encoding_of(codec: Codec) -> Encoding:
    """What our track's codec is called in SDP. Raises ParseError for broken parameter sets."""
    match codec:
        case H264():
            parameters = {"packetization-mode": "1"}
            if len(codec.sps) >= 4:
                parameters["profile-level-id"] = codec.sps[1:4].hex()
            return Encoding("h264", parameters=parameters)
        case H265():
            if not codec.sps:
                return Encoding("h265")
            sps = h265.parse_sps(codec.sps)
            profile = {"profile-id": str(sps.profile_idc), "tier-flag": str(sps.tier)}
            return Encoding("h265", parameters={**profile, "level-id": str(sps.level_idc)})
        case Vp8():
            return Encoding("vp8")
        case Vp9():
            return Encoding("vp9", parameters={"profile-id": str(codec.profile)})
        case Av1():
            return Encoding("av1", parameters={"profile": str(codec.profile)})
        case Mjpeg():
            return Encoding("jpeg")
        case Opus():
            return Encoding("opus", 48_000, 2)
        case G711() | L16():
            return Encoding(codec.name, codec.clock_rate, codec.channels)
        case Aac():
            return Encoding("mpeg4-generic", codec.clock_rate, codec.channels)


def choose(encoding: Encoding, formats: Sequence[Format]) -> Choice | None:
    """The format that fits best; of equals the one that the peer prefers. None if none does."""
    best: tuple[int, Format] | None = None
    for each in formats:
        distance = _distance(encoding, each)
        if distance is not None and (best is None or distance < best[0]):
            best = distance, each
    if best is None:
        return None
    return Choice(best[1], _rtx(best[1], formats), promised=best[0] < _UNPROMISED)


def choose_any(encodings: Iterable[Encoding], formats: Sequence[Format]) -> Choice | None:
    """What a publisher is to send: of what we take, the format that it prefers."""
    choices = [choice for each in encodings if (choice := choose(each, formats))]
    order = [each.payload_type for each in formats]
    return min(choices, key=lambda choice: order.index(choice.payload_type), default=None)


def explain(encoding: Encoding, formats: Sequence[Format]) -> str:
    """Why none of the formats fits: a sentence."""
    name = _NAMES.get(encoding.name, encoding.name.upper())
    offered = dict.fromkeys(
        each.encoding for each in formats if each.encoding.lower() not in _REPAIRS
    )
    if any(each.encoding.lower() == encoding.name for each in formats):
        return f"The track is {name}, and the peer offers it only in forms that can't carry it."
    if not offered:
        return f"The track is {name}, but the peer offers no format at all."
    return f"The track is {name}, but the peer offers only {', '.join(offered)}."


_UNPROMISED = 100
"""From this distance on, the peer has not promised to decode it."""


def _distance(encoding: Encoding, offered: Format) -> int | None:
    """How far a format is from what we have; None where it can't carry it at all."""
    if offered.encoding.lower() != encoding.name or offered.clock_rate != encoding.clock_rate:
        return None
    if (offered.channels or 1) != (encoding.channels or 1):
        return None
    ours, theirs = encoding.parameters, offered.parameters
    match encoding.name:
        case "h264":
            # Packets are made for mode 1, which a peer of mode 0 cannot read (RFC 6184, 6).
            if theirs.get("packetization-mode", "0") != ours.get("packetization-mode", "0"):
                return None
            return _h264_distance(ours.get("profile-level-id"), theirs.get("profile-level-id"))
        case "h265":
            return _h265_distance(ours, theirs)
        case "vp9":
            return _same(ours, theirs, {"profile-id": "0"})
        case "av1":
            return _same(ours, theirs, {"profile": "0"})
        case _:
            return 0


def _rtx(repaired: Format, formats: Sequence[Format]) -> Format | None:
    apt = str(repaired.payload_type)
    for each in formats:
        if (
            each.encoding.lower() == "rtx"
            and each.parameters.get("apt") == apt
            and each.clock_rate == repaired.clock_rate
        ):
            return each
    return None


def _same(
    ours: Mapping[str, str], theirs: Mapping[str, str], defaults: Mapping[str, str]
) -> int | None:
    same = all(ours.get(k, default) == theirs.get(k, default) for k, default in defaults.items())
    return 0 if same else None


# The profiles of H.264 (RFC 6184, 8.1, table 5): what profile_idc and the constraint flags have to
# be, bit by bit, x for either.
_H264_PROFILES = [
    ("constrained baseline", 0x42, "x1xx0000"),
    ("constrained baseline", 0x4D, "1xxx0000"),
    ("constrained baseline", 0x58, "11xx0000"),
    ("baseline", 0x42, "x0xx0000"),
    ("baseline", 0x58, "10xx0000"),
    ("main", 0x4D, "0x0x0000"),
    ("extended", 0x58, "00xx0000"),
    ("constrained high", 0x64, "00001100"),
    ("high", 0x64, "00000000"),
    ("high 10", 0x6E, "xxxxxxxx"),
    ("high 4:2:2", 0x7A, "xxxxxxxx"),
    ("high 4:4:4", 0xF4, "xxxxxxxx"),
]

# What a decoder of a profile decodes besides, the nearest first (H.264, A.2). A baseline stream may
# have slices in any order, which no other profile has; but no encoder in use makes them, so it is
# taken for a constrained baseline one.
_H264_DECODERS = {
    "constrained baseline": (
        *("constrained baseline", "baseline", "main", "constrained high", "high"),
        *("extended", "high 10", "high 4:2:2", "high 4:4:4"),
    ),
    "baseline": (
        *("baseline", "constrained baseline", "extended", "main", "constrained high", "high"),
        *("high 10", "high 4:2:2", "high 4:4:4"),
    ),
    "main": ("main", "high", "high 10", "high 4:2:2", "high 4:4:4"),
    "extended": ("extended",),
    "constrained high": ("constrained high", "high", "high 10", "high 4:2:2", "high 4:4:4"),
    "high": ("high", "high 10", "high 4:2:2", "high 4:4:4"),
    "high 10": ("high 10", "high 4:2:2", "high 4:4:4"),
    "high 4:2:2": ("high 4:2:2", "high 4:4:4"),
    "high 4:4:4": ("high 4:4:4",),
}
# From the least to the most that it decodes: what comes nearest to a promise that wasn't given.
_H264_ORDER = list(_H264_DECODERS)
# RFC 6184 takes baseline for what doesn't say, browsers constrained baseline; so do we.
_H264_DEFAULT = "42e01f"


def h264_profile(profile_level_id: str) -> str | None:
    """The profile that six hexadecimal digits name; None for none that there is."""
    if not re.fullmatch("[0-9a-fA-F]{6}", profile_level_id):
        return None
    number, flags = bytes.fromhex(profile_level_id)[:2]
    bits = f"{flags:08b}"
    for name, profile, pattern in _H264_PROFILES:
        if profile == number and all(p in ("x", b) for p, b in zip(pattern, bits, strict=True)):
            return name
    # Flags that say more than the table knows leave the profile what it is.
    return {0x4D: "main", 0x64: "high", 0x42: "baseline"}.get(number)


def _h264_distance(ours: str | None, theirs: str | None) -> int | None:
    """By profile. The level is not asked for: what browsers offer is no bound of theirs
    (level-asymmetry-allowed, RFC 6184, 8.1)."""
    offered = h264_profile(theirs or _H264_DEFAULT)
    if offered is None:
        return None
    have = h264_profile(ours) if ours else "constrained baseline"
    decoders = _H264_DECODERS.get(have or "", ())
    if offered in decoders:
        return decoders.index(offered)
    return _UNPROMISED + len(_H264_ORDER) - _H264_ORDER.index(offered)


def _h265_distance(ours: Mapping[str, str], theirs: Mapping[str, str]) -> int | None:
    """By profile, tier and level (RFC 7798, 7.1)."""
    if theirs.get("tx-mode", "SRST").upper() != "SRST":
        return None
    if (profile := _same(ours, theirs, {"profile-id": "1"})) is None:
        return None
    try:
        tier = int(theirs.get("tier-flag", "0")) < int(ours.get("tier-flag", "0"))
        level = int(theirs.get("level-id", "93")) < int(ours.get("level-id", "93"))
    except ValueError:
        return None
    return _UNPROMISED if tier or level else profile
