"""What is said of the figures, and how they become JSON."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.client.findings import findings
from streamsocket.client.report import (
    Latency,
    Percentiles,
    Report,
    Sync,
    Times,
    TrackReport,
    percentiles,
)


def spread(p50: float) -> Percentiles:
    return Percentiles(p50=p50, p95=p50, p99=p50, n=100)


PICTURE = TrackReport(
    kind="video",
    codec="h264",
    played=True,
    transport="udp",
    declared_frame_rate=25.0,
    frame_rate=25.0,
    media_frame_rate=25.0,
    packets=1000,
    jitter_ms=1.0,
    units=125,
    keyframes=3,
    keyframe_interval_s=2.0,
    decoded=125,
    latency=Latency(clock="sender_report", arrival_ms=spread(3.0), decoded_ms=spread(8.0)),
)
SOUND = replace(
    PICTURE, kind="audio", codec="aac", transport="tcp", declared_frame_rate=None,
    frame_rate=46.9, media_frame_rate=46.9, keyframe_interval_s=None,
)  # fmt: skip
GOOD = Report(url="rtsp://h/live", seconds=5.0, tracks=(PICTURE, SOUND), sender_reports=2)


def of(**changes: object) -> list[str]:
    """What is said when the picture's figures are these."""
    return findings(replace(GOOD, tracks=(replace(PICTURE, **changes), SOUND)))  # type: ignore[arg-type]


def test_good_news_is_one_sentence() -> None:
    assert findings(GOOD) == ["All is well: picture and sound arrive whole and on time."]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"packets": 0, "units": 0}, "within 5.0 s over UDP: is a firewall in the way?"),
        ({"packets": 0, "units": 0, "transport": "tcp"}, "picture arrived within 5.0 s."),
        ({"units": 0}, "but no whole access unit: is it really H264?"),
        ({"keyframes": 0, "decoded": 0}, "No keyframe arrived within 5.0 s, so no picture"),
        ({"decoded": 0}, "The picture arrives, but none of it can be decoded."),
        ({"lost": 136}, "12.0% of the picture's packets are lost (136 of 1,136); with"),
        ({"lost": 1, "packets": 9999}, "Less than 0.1% of the picture's packets are lost (1 of"),
        ({"lost": 9, "transport": "tcp"}, "the server itself left them out"),
        ({"repaired": 31}, "3.1% of the picture's packets were lost on the way, and came"),
        ({"reordered": 50}, "5.0% of the picture's packets come out of order"),
        ({"malformed": 2}, "2 packets of the picture break the rules of RTP"),
        ({"decode_errors": 4}, "The decoder refused 4 of 125 frames of picture."),
        ({"damaged_frames": 7}, "7 of 125 decoded frames of picture are damaged."),
        ({"not_decoded": 7}, "this machine is too slow"),
        ({"frame_rate": 26.0}, "The picture comes at the wrong pace: 26.00 frames a second arrive"),
        ({"frame_rate": 20.0, "media_frame_rate": 20.0}, "20.00 pictures a second arrive where"),
        ({"keyframe_interval_s": 10.0}, "A keyframe comes only every 10.0 s"),
        ({"jitter_ms": 80.0}, "Packets of the picture come unevenly: their jitter is 80 ms."),
    ],
)  # fmt: skip
def test_trouble_is_named(changes: dict[str, object], sentence: str) -> None:
    said = of(**changes)
    assert any(sentence in each for each in said)


def test_b_frames_are_no_jitter() -> None:
    assert of(jitter_ms=80.0, b_frames=True) == findings(GOOD)


def test_without_decoding_nothing_is_said_of_decoding() -> None:
    tracks = tuple(replace(track, decoded=0) for track in (PICTURE, SOUND))
    assert findings(replace(GOOD, decoder=False, tracks=tracks)) == findings(GOOD)


@pytest.mark.parametrize(
    ("p50", "sentence"),
    [(4000.0, "The picture is 4.0 s old when it arrives"), (-30.0, "30 ms before it is captured")],
)
def test_strange_ages_are_explained(p50: float, sentence: str) -> None:
    latency = Latency(clock="sender_report", arrival_ms=spread(p50), decoded_ms=None)
    assert sentence in of(latency=latency)[0]


@pytest.mark.parametrize(
    ("reports", "sentence"), [(0, "No sender report arrived"), (3, "no believable time of capture")]
)
def test_unknown_ages_are_explained(reports: int, sentence: str) -> None:
    tracks = tuple(replace(track, latency=None) for track in (PICTURE, SOUND))
    [said] = findings(replace(GOOD, tracks=tracks, sender_reports=reports))
    assert sentence in said


@pytest.mark.parametrize(("p50", "said"), [(140.0, "140 ms late"), (-60.0, "60 ms early")])
def test_lips_that_are_not_in_sync(p50: float, said: str) -> None:
    assert findings(replace(GOOD, sync=Sync(p50_ms=p50, p95_ms=abs(p50), n=4))) == [
        f"The sound is {said}."
    ]


def test_the_end_comes_first() -> None:
    assert findings(replace(GOOD, ended=True))[0] == "The stream ended after 5.0 s."
    assert findings(replace(GOOD, error="x"))[0] == "The server vanished after 5.0 s."


def test_what_is_left_alone_and_the_fallback_are_told() -> None:
    left = TrackReport(kind="video", codec="H265", played=False, reason="No H.265 here.")
    report = replace(GOOD, tracks=(SOUND, left), fallback="Over TCP, then.")
    assert findings(report) == ["Over TCP, then.", "No H.265 here."]


def test_the_json_has_all_fields_and_only_plain_values() -> None:
    text = json.dumps(GOOD.to_json())
    read = json.loads(text)
    assert list(read) == [field.name for field in fields(Report)]
    assert list(read["tracks"][0]) == [field.name for field in fields(TrackReport)]
    assert list(read["times"]) == [field.name for field in fields(Times)]
    assert read["tracks"][0]["latency"]["arrival_ms"] == {
        "p50": 3.0,
        "p95": 3.0,
        "p99": 3.0,
        "n": 100,
    }
    assert read["sync"] is None


def test_percentiles_of_a_hundred() -> None:
    assert percentiles(range(100, 0, -1)) == Percentiles(p50=50, p95=95, p99=99, n=100)
    assert percentiles([]) is None


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_percentiles_are_values_in_order(values: list[float]) -> None:
    found = percentiles(values)
    assert found
    assert min(values) <= found.p50 <= found.p95 <= found.p99 <= max(values)
    assert {found.p50, found.p95, found.p99} <= set(values)


def test_sound_that_comes_in_bursts_is_not_at_the_wrong_pace() -> None:
    def said(jitter_ms: float) -> list[str]:
        sound = replace(SOUND, frame_rate=48.2, jitter_ms=jitter_ms)
        return findings(replace(GOOD, tracks=(PICTURE, sound)))

    assert "wrong pace" in said(1.0)[0]
    assert said(40.0) == findings(GOOD)
