"""A browser watches what was turned into something it can play: how smoothly that goes."""

from __future__ import annotations

from typing import Any

from tests.browser.browsers import Page
from tests.browser.pages import watching

_SETTLED_S = 2
"""From then on nothing may be seen of joining."""

_INBOUND = "if (each.type == 'inbound-rtp') told[each.kind] = each;"
_CODEC = " else if (each.type == 'codec') (told.codecs ||= {})[each.id] = each.mimeType;"


def page_of(http: str, name: str, *, host: str = "127.0.0.1", port: int) -> str:
    """The page that watches a stream, and tells the codecs besides."""
    text = watching(http, name, host=host, port=port)
    assert _INBOUND in text
    return text.replace(_INBOUND, _INBOUND + _CODEC)


def check_smooth(page: Page, rate: float, codecs: set[str], *, seconds: float = 5) -> None:
    """Wait until picture and sound have played for so long: all of both, without a freeze."""
    first = _when(page, lambda report: report["video"]["framesDecoded"] > 0, 30)
    settled_ms = first["video"]["timestamp"] + 1000 * _SETTLED_S
    begun = _when(page, lambda report: report["video"]["timestamp"] >= settled_ms, 15)
    end_ms = begun["video"]["timestamp"] + 1000 * seconds
    last = _when(page, lambda report: report["video"]["timestamp"] >= end_ms, 15)
    played = {last["codecs"][last[kind]["codecId"]] for kind in ("video", "audio")}
    assert played == codecs, played
    picture, sound = _grown(begun, last, "video"), _grown(begun, last, "audio")
    took_s = picture["timestamp"] / 1000
    assert 0.9 * rate < picture["framesDecoded"] / took_s < 1.1 * rate, picture
    assert (picture["packetsLost"], picture["freezeCount"]) == (0, 0), picture
    assert picture["framesDropped"] <= 0.05 * rate * took_s, picture
    assert sound["packetsLost"] == 0, sound
    assert sound["totalAudioEnergy"] > 0, sound
    assert sound["concealedSamples"] < 0.03 * sound["totalSamplesReceived"], sound


def _when(page: Page, met: Any, timeout_s: float) -> dict[str, Any]:
    return page.wait_for(
        lambda report: "video" in report and "audio" in report and met(report), timeout_s
    )


def _grown(begun: dict[str, Any], last: dict[str, Any], kind: str) -> dict[str, float]:
    """By how much the numbers of getStats have grown."""
    return {
        name: value - begun[kind].get(name, 0)
        for name, value in last[kind].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
