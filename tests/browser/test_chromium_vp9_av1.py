"""Chromium publishes VP9 and AV1 by WHIP, another watches by WHEP, and so does our own client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from tests.browser.browsers import Page, find, showing
from tests.browser.pages import watching
from tests.browser.test_chromium_publish import PUBLISH
from tests.interop.ports import free_ports
from tests.interop.serving import RunningServer, serving, streamsocket

_LAYERS = (
    "streams: [media], ...(track.kind == 'video' && {sendEncodings: [{scalabilityMode: 'MODE'}]})"
)
_JOINING_S = 3
"""So long the group of pictures that is shown first may take, with some to spare."""


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


def _publishing(server: RunningServer, codec: str, mode: str) -> str:
    url = f"http://127.0.0.1:{server.http_port}/desk/whip"
    page = PUBLISH.replace("ENDPOINT", url).replace("DELETE_AFTER", "600000")
    page = page.replace("CODECS", f"['video/{codec}', 'video/rtx']")
    return page.replace("streams: [media]", _LAYERS.replace("MODE", mode))


def _smooth(page: Page) -> tuple[dict[str, Any], float]:
    """Wait until the picture has played for five seconds; return the last report and its rate."""
    first = page.wait_for(lambda report: report.get("video", {}).get("framesDecoded", 0), 20)
    live = first["video"]["timestamp"] + 1000 * _JOINING_S
    begun = page.wait_for(lambda report: report.get("video", {}).get("timestamp", 0) > live, 10)
    end = begun["video"]["timestamp"] + 5000
    last = page.wait_for(lambda report: report.get("video", {}).get("timestamp", 0) > end, 10)
    assert last["video"]["packetsLost"] == 0
    seconds = (last["video"]["timestamp"] - begun["video"]["timestamp"]) / 1000
    decoded = last["video"]["framesDecoded"] - begun["video"]["framesDecoded"]
    return last, decoded / seconds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "mode"), [("VP9", "L1T1"), ("VP9", "L2T3_KEY"), ("AV1", "L1T1"), ("AV1", "L2T2")]
)
def test_what_one_publishes_another_watches_at_its_rate(
    chromium: str, codec: str, mode: str
) -> None:
    *_, port = free_ports()
    options = ("--webrtc-port", str(port), "--rtmp-port", "0")
    with (
        serving(options=options, wait_for=()) as server,
        showing(chromium, _publishing(server, codec, mode)) as publisher,
    ):
        sent = publisher.wait_for(
            lambda report: (
                report.get("video", {}).get("frameWidth") == 640
                and report["video"]["framesSent"] > 60
            ),
            30,
        )
        assert sent["video"]["scalabilityMode"] == mode
        track = server.stream("desk")["tracks"][0]
        assert (track["codec"], track["description"]) == (codec.lower(), "640x480")
        page_text = watching(f"http://127.0.0.1:{server.http_port}", "desk", port=port)
        with showing(chromium, page_text) as viewer:
            last, watched = _smooth(viewer)
        assert last["width"] == 640
        published = server.stream("desk")["tracks"][0]["frame_rate"]
        assert published > 15  # as many as the machine manages
        assert watched == pytest.approx(published, rel=0.15)
        probe = streamsocket("probe", server.url("desk"), "--seconds", "3")
        assert probe.returncode == 0, probe.stdout + probe.stderr
        assert "640×480" in probe.stdout
