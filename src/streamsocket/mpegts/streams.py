"""Which elementary streams can be passed on, and what to call those that can't."""

from __future__ import annotations

from streamsocket.media.codec import H264, H265
from streamsocket.mpegts.feeds import AacFeed, Feed, OpusFeed, PictureFeed
from streamsocket.mpegts.tables import ElementaryStream
from streamsocket.mpegts.timing import Kind
from streamsocket.rtp.parameter_sets import ParameterSets

_PRIVATE = 0x06
_OPUS = b"Opus"
_OPUS_CHANNELS = 0x80
"""The extension descriptor that tells them; 0 means two independent ones."""

_UNSUPPORTED: dict[int, tuple[Kind, str]] = {
    0x01: ("video", "MPEG-1"),
    0x02: ("video", "MPEG-2"),
    0x03: ("audio", "MPEG audio"),
    0x04: ("audio", "MPEG audio"),
    0x10: ("video", "MPEG-4 part 2"),
    0x11: ("audio", "AAC in LATM"),
    0x1C: ("audio", "AAC without ADTS"),
    0x21: ("video", "JPEG 2000"),
    0x33: ("video", "H.266"),
    0x80: ("audio", "PCM"),
    0x81: ("audio", "AC-3"),
    0x82: ("audio", "DTS"),
    0x87: ("audio", "E-AC-3"),
    0xD1: ("video", "Dirac"),
    0xEA: ("video", "VC-1"),
}
_REGISTERED: dict[bytes, tuple[Kind, str]] = {
    b"AV01": ("video", "AV1"),
    b"VP09": ("video", "VP9"),
    b"AC-3": ("audio", "AC-3"),
    b"EAC3": ("audio", "E-AC-3"),
    b"BSSD": ("audio", "SMPTE 302M"),
    b"DTS1": ("audio", "DTS"),
}
_DESCRIBED: dict[int, tuple[Kind, str]] = {
    0x6A: ("audio", "AC-3"),
    0x7A: ("audio", "E-AC-3"),
    0x7B: ("audio", "DTS"),
    0x7C: ("audio", "AAC in LATM"),
}
"""By the tags of DVB's descriptors (ETSI EN 300 468, 6.1)."""
_CHOOSE = {"video": "choose H.264 or H.265", "audio": "choose AAC (in ADTS) or Opus"}


def make_feed(stream: ElementaryStream) -> Feed | None:
    """What makes access units of a stream; None where it isn't one that we pass on."""
    match stream.stream_type:
        case 0x1B:
            return PictureFeed(ParameterSets(H264(b"", b"")))
        case 0x24:
            return PictureFeed(ParameterSets(H265(b"", b"", b"")))
        case 0x0F:
            return AacFeed()
        case 0x06 if stream.registration == _OPUS:
            channels = _opus_channels(stream)
            return OpusFeed(channels) if channels <= 2 else None
    return None


def refusal(stream: ElementaryStream) -> str | None:
    """Why a picture or sound isn't passed on, a sentence; None for what is neither."""
    found = _UNSUPPORTED.get(stream.stream_type)
    if stream.stream_type == _PRIVATE:
        if stream.registration == _OPUS:
            found = "audio", f"Opus with {_opus_channels(stream)} channels"
        else:
            described = (_DESCRIBED.get(tag) for tag, _ in stream.descriptors)
            found = _REGISTERED.get(stream.registration) or next(filter(None, described), None)
    if found is None:
        return None
    kind, name = found
    what = "picture" if kind == "video" else "sound"
    return f"The {what} is {name}, which is not taken here: {_CHOOSE[kind]}."


def _opus_channels(stream: ElementaryStream) -> int:
    code = stream.extension(_OPUS_CHANNELS)[:1] or b"\x02"
    return code[0] or 2
