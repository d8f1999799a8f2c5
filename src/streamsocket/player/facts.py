"""What there is to know about a stream that is played, as figures and in words."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeGuard

from streamsocket import wording
from streamsocket.client.report import TRANSPORTS, Transport
from streamsocket.player.drawing.text import FIGURE_SPACE

_LONG_MS = 10_000
"""From here on, times are told in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """The picture as it comes."""

    codec: str
    """`"h264"`."""
    profile: str | None = None
    """`"High"`."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    fps: float | None = None
    """Pictures a second that really arrive."""
    bitrate_bps: float | None = None
    transport: Transport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFacts:
    """The sound as it comes."""

    codec: str
    """`"aac"`."""
    sample_rate: int | None = None
    """In hertz."""
    channels: int | None = None
    bitrate_bps: float | None = None
    transport: Transport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything at one moment. None, or not a number, is what isn't known or not there."""

    url: str
    """Without user and password."""
    server: str | None = None
    """What it calls itself."""
    picture: PictureFacts | None = None
    sound: SoundFacts | None = None
    packets: int | None = None
    """Of all tracks, how many have been sent: those that arrived and those that were lost."""
    lost: int = 0
    """How many of them never came."""
    repaired: int = 0
    """How many came when they were asked for again."""
    damaged: int | None = None
    """Pictures that lack something."""
    dropped: int | None = None
    """Pictures that were decoded, or could have been, and were not shown."""
    buffer_s: float | None = None
    """How long what comes is held back at the moment."""
    target_s: float | None = None
    """How long it is to be held back."""
    latency_s: float | None = None
    """How old what is seen is."""
    clock: Literal["sender", "arrival"] = "sender"
    """What the latency counts from: the capture as the sender dates it, or the arrival here."""
    sync_s: float | None = None
    """Sound less picture: how much later the sound is heard than its picture is seen."""


def rows(facts: Facts) -> list[tuple[str, str]]:
    """The facts in words: labels and values, without what isn't known.

    Figures that change all the time keep what follows them in its place.
    """
    said = [
        ("Address", facts.url),
        ("Server", facts.server),
        ("Picture", _picture(facts.picture) if facts.picture else None),
        ("Sound", _sound(facts.sound) if facts.sound else None),
        ("Transport", _transport(facts)),
        ("Loss", _loss(facts)),
        ("Pictures", _pictures(facts)),
        ("Buffer", _buffer(facts)),
        ("Latency", _latency(facts)),
        ("Sync", _sync(facts)),
    ]
    return [(label, value) for label, value in said if value]


def _picture(picture: PictureFacts) -> str:
    what = [wording.codec_name(picture.codec), picture.profile or ""]
    if picture.size:
        what.append("{}×{}".format(*picture.size))
    parts = [" ".join(part for part in what if part)]
    if _known(picture.fps):
        parts.append(f"{picture.fps:.1f} fps")
    if _known(picture.bitrate_bps):
        parts.append(wording.bitrate(picture.bitrate_bps))
    return ", ".join(parts)


def _sound(sound: SoundFacts) -> str:
    what = [wording.codec_name(sound.codec)]
    if sound.sample_rate is not None:
        what.append(f"{sound.sample_rate / 1000:g} kHz")
    if sound.channels is not None:
        what.append(wording.channels(sound.channels))
    parts = [" ".join(what)]
    if _known(sound.bitrate_bps):
        parts.append(wording.bitrate(sound.bitrate_bps))
    return ", ".join(parts)


def _transport(facts: Facts) -> str | None:
    ways = {
        name: TRANSPORTS[track.transport]
        for name, track in (("picture", facts.picture), ("sound", facts.sound))
        if track and track.transport
    }
    if len(set(ways.values())) == 1:
        return next(iter(ways.values()))
    return ", ".join(f"{name} {way}" for name, way in ways.items()) or None


def _loss(facts: Facts) -> str | None:
    if facts.packets is None:
        return None
    lost = f"{facts.lost:,} of {wording.counted(facts.packets, 'packet')}"
    return f"{lost} (repaired {facts.repaired:,})" if facts.repaired else lost


def _pictures(facts: Facts) -> str | None:
    counts = ((facts.damaged, "damaged"), (facts.dropped, "not shown"))
    return ", ".join(f"{count:,} {what}" for count, what in counts if count is not None) or None


def _buffer(facts: Facts) -> str | None:
    if not _known(facts.buffer_s):
        return None
    held = _time(facts.buffer_s)
    return f"{_steady(held)} (target {_time(facts.target_s)})" if _known(facts.target_s) else held


def _latency(facts: Facts) -> str | None:
    if not _known(facts.latency_s):
        return None
    since = "from capture" if facts.clock == "sender" else "since arrival"
    return f"{_steady(_time(facts.latency_s))} {since}"


def _sync(facts: Facts) -> str | None:
    if not _known(facts.sync_s):
        return None
    return f"sound {f'{round(facts.sync_s * 1000):+,}'.rjust(3, FIGURE_SPACE)} ms"


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and isfinite(value)


def _time(seconds: float) -> str:
    """`43 ms`, `1,250 ms`, `12.3 s`."""
    ms = round(seconds * 1000)
    return f"{ms:,} ms" if abs(ms) < _LONG_MS else f"{seconds:.1f} s"


def _steady(words: str) -> str:
    """As long as with three digits: `43 ms` takes as much room as `143 ms`."""
    return words.ljust(len("123 ms"), FIGURE_SPACE)
