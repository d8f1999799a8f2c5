"""The figures of a stream that is played, in words."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest

from streamsocket.player.drawing.text import FIGURE_SPACE, clean, width
from streamsocket.player.facts import Facts, PictureFacts, SoundFacts, rows

PICTURE = PictureFacts(
    codec="h264", profile="High", size=(1280, 720), fps=29.97, bitrate_bps=2.43e6, transport="udp"
)
SOUND = SoundFacts(
    codec="aac", sample_rate=48_000, channels=2, bitrate_bps=128_000, transport="tcp"
)
FACTS = Facts(
    url="rtsp://host/lobby",
    server="StreamSocket/1.0",
    picture=PICTURE,
    sound=SOUND,
    packets=12_345,
    lost=2,
    repaired=12,
    damaged=1,
    dropped=3,
    buffer_s=0.043,
    target_s=0.045,
    latency_s=0.058,
    sync_s=0.003,
)


def said(facts: Facts) -> dict[str, str]:
    """The rows, without what keeps figures in place."""
    return {label: value.replace(FIGURE_SPACE, "") for label, value in rows(facts)}


def test_everything_that_is_known_is_said() -> None:
    assert said(FACTS) == {
        "Address": "rtsp://host/lobby",
        "Server": "StreamSocket/1.0",
        "Picture": "H.264 High 1280×720, 30.0 fps, 2.43 Mbit/s",
        "Sound": "AAC 48 kHz stereo, 128 kbit/s",
        "Transport": "picture UDP, sound TCP",
        "Loss": "2 of 12,345 packets (repaired 12)",
        "Pictures": "1 damaged, 3 not shown",
        "Buffer": "43 ms (target 45 ms)",
        "Latency": "58 ms from capture",
        "Sync": "sound +3 ms",
    }


def test_what_is_not_known_is_not_said() -> None:
    assert rows(Facts(url="rtsp://host/lobby")) == [("Address", "rtsp://host/lobby")]
    bare = Facts(
        url="rtsp://host/lobby",
        picture=PictureFacts(codec="vp8"),
        sound=SoundFacts(codec="opus"),
        damaged=0,
        buffer_s=0.02,
        latency_s=nan,
        target_s=nan,
        sync_s=inf,
    )
    assert said(bare) == {
        "Address": "rtsp://host/lobby",
        "Picture": "VP8",
        "Sound": "Opus",
        "Pictures": "0 damaged",
        "Buffer": "20 ms",
    }


@pytest.mark.parametrize(
    ("picture", "sound", "words"),
    [
        ("udp", "tcp", "picture UDP, sound TCP"),
        ("tcp", "tcp", "TCP"),
        ("multicast", "multicast", "multicast"),
        ("udp", None, "UDP"),
    ],
)
def test_a_transport_is_said_once_if_it_is_the_same(
    picture: str, sound: str | None, words: str
) -> None:
    facts = replace(
        FACTS,
        picture=replace(PICTURE, transport=picture),  # type: ignore[arg-type]
        sound=replace(SOUND, transport=sound),  # type: ignore[arg-type]
    )
    assert said(facts)["Transport"] == words


def test_a_stream_with_sound_alone() -> None:
    facts = said(replace(FACTS, picture=None, damaged=None, dropped=None))
    assert "Picture" not in facts
    assert "Pictures" not in facts
    assert facts["Transport"] == "TCP"


def test_latency_says_what_it_counts_from() -> None:
    assert said(replace(FACTS, clock="arrival"))["Latency"] == "58 ms since arrival"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "sound +0 ms"),
        (-0.0004, "sound +0 ms"),
        (-0.012, "sound -12 ms"),
        (1.25, "sound +1,250 ms"),
    ],
)
def test_sync_has_a_sign(seconds: float, words: str) -> None:
    assert said(replace(FACTS, sync_s=seconds))["Sync"] == words


def test_no_loss_and_no_repair() -> None:
    assert said(replace(FACTS, lost=0, repaired=0))["Loss"] == "0 of 12,345 packets"
    assert said(replace(FACTS, packets=1, lost=1, repaired=0))["Loss"] == "1 of 1 packet"


def test_long_times_are_in_seconds() -> None:
    assert said(replace(FACTS, latency_s=12.34))["Latency"] == "12.3 s from capture"
    assert said(replace(FACTS, latency_s=1.25))["Latency"] == "1,250 ms from capture"


def test_what_follows_a_figure_stays_in_its_place() -> None:
    def ends(label: str, **changes: float) -> int:
        """Where the words end, drawn."""
        return width(clean(dict(rows(replace(FACTS, **changes)))[label]), 14)  # type: ignore[arg-type]

    assert (
        len({ends("Latency", latency_s=ms / 1000) for ms in (0, 4, 9, 10, 58, 99, 101, 999)}) == 1
    )
    assert len({ends("Buffer", buffer_s=ms / 1000) for ms in (4, 43, 143)}) == 1
    assert len({ends("Sync", sync_s=ms / 1000) for ms in (0, 3, 9, 10, 42)}) == 1
