"""What `a=fmtp` says about H.264 (RFC 6184, 8.1) and H.265 (RFC 7798, 7.1)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from streamsocket.errors import ParseError
from streamsocket.media import h264, h265
from streamsocket.media.codec import H264, H265
from streamsocket.media.nal import NalSyntax


def h264_fmtp(codec: H264) -> str:
    """The parameters, without the payload type."""
    parameters = ["packetization-mode=1"]
    if codec.sps and codec.pps:
        parameters.append(f"profile-level-id={codec.sps[1:4].hex().upper()}")
        parameters.append(f"sprop-parameter-sets={_base64(codec.sps)},{_base64(codec.pps)}")
    return ";".join(parameters)


def h265_fmtp(codec: H265) -> str | None:
    """The parameters, without the payload type; None where there are none."""
    sets = {"sprop-vps": codec.vps, "sprop-sps": codec.sps, "sprop-pps": codec.pps}
    if not all(sets.values()):
        return None
    return ";".join(f"{name}={_base64(unit)}" for name, unit in sets.items())


def h264_from(fmtp: Mapping[str, str]) -> H264:
    """The codec that the parameters, by their names in lower case, mean. Raises ParseError."""
    if fmtp.get("packetization-mode", "0").strip() not in ("0", "1"):
        raise ParseError("H.264 in interleaved packets (mode 2) is not supported.")
    texts = fmtp.get("sprop-parameter-sets", "").split(",")
    return H264(*_first_of_each(texts, h264.SYNTAX, h264.parse_sps))


def h265_from(fmtp: Mapping[str, str]) -> H265:
    """The codec that the parameters, by their names in lower case, mean. Raises ParseError."""
    if fmtp.get("sprop-max-don-diff", "0").strip() != "0":
        raise ParseError("H.265 in interleaved packets (sprop-max-don-diff) is not supported.")
    names = ("sprop-vps", "sprop-sps", "sprop-pps")
    texts = [text for name in names for text in fmtp.get(name, "").split(",")]
    return H265(*_first_of_each(texts, h265.SYNTAX, h265.parse_sps))


def _first_of_each(
    texts: list[str], syntax: NalSyntax, parse_sps: Callable[[bytes], object]
) -> list[bytes]:
    """The first sound parameter set of each type; empty where there is none.

    Cameras cut them off: the stream repeats them.
    """
    *_, sps, _ = syntax.parameter_sets
    first: dict[int, bytes] = {}
    for text in texts:
        try:
            unit = base64.b64decode(text.strip(), validate=True)
            if unit and syntax.nal_type(unit) == sps:
                parse_sps(unit)
        except ValueError:
            continue
        if unit:
            first.setdefault(syntax.nal_type(unit), unit)
    return [first.get(kind, b"") for kind in syntax.parameter_sets]


def _base64(unit: bytes) -> str:
    return base64.b64encode(unit).decode()
