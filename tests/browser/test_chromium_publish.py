"""Chromium publishes its camera and microphone by WHIP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.interop.serving import serving, streamsocket

OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")

PUBLISH = """<!doctype html><meta charset="utf-8"><script>
const tell = what => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
(async () => {
  const media = await navigator.mediaDevices.getUserMedia(
    {audio: true, video: {width: 640, height: 480, frameRate: 30}});
  const peer = new RTCPeerConnection();
  for (const track of media.getTracks())
    peer.addTransceiver(track, {direction: 'sendonly', streams: [media]});
  const wanted = (RTCRtpSender.getCapabilities('video').codecs)
    .filter(codec => CODECS.includes(codec.mimeType));
  peer.getTransceivers().find(each => each.sender.track.kind == 'video')
    .setCodecPreferences(wanted);
  await peer.setLocalDescription();
  const answer = await fetch('ENDPOINT', {method: 'POST', body: peer.localDescription.sdp,
    headers: {'Content-Type': 'application/sdp'}});
  if (answer.status != 201) throw new Error(answer.status + ' ' + await answer.text());
  const session = new URL(answer.headers.get('Location'), 'ENDPOINT');
  await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  setTimeout(() => fetch(session, {method: 'DELETE'}), DELETE_AFTER);
  setInterval(async () => {
    const told = {state: peer.connectionState};
    for (const each of (await peer.getStats()).values()) {
      if (each.type == 'outbound-rtp') told[each.kind] = each;
      if (each.type == 'remote-inbound-rtp') told['remote ' + each.kind] = each;
    }
    tell(told);
  }, 500);
})().catch(error => tell({error: String(error)}));
</script>"""


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


@pytest.mark.parametrize("codec", ["H264", pytest.param("VP8", marks=pytest.mark.slow)])
def test_camera_and_microphone_are_published(chromium: str, codec: str) -> None:
    with serving(options=OPTIONS, wait_for=()) as server:
        url = f"http://127.0.0.1:{server.http_port}/desk/whip"
        codecs = f"['video/{codec}', 'video/rtx']"
        page_text = PUBLISH.replace("ENDPOINT", url).replace("CODECS", codecs)
        with showing(chromium, page_text.replace("DELETE_AFTER", "14000")) as page:
            page.wait_for(lambda report: report.get("video", {}).get("framesSent", 0) > 60, 20)
            stream = server.stream("desk")
            assert [t["codec"] for t in stream["tracks"]] == [codec.lower(), "opus"]
            probe = streamsocket("probe", server.url("desk"), "--seconds", "4")
            assert probe.returncode == 0, probe.stdout + probe.stderr
            rate = server.stream("desk")["tracks"][0]["frame_rate"]
            assert 25 < rate < 35
            assert page.reports[-1]["remote video"]["packetsLost"] == 0
            page.wait_for(lambda report: report["state"] not in ("connecting", "connected"), 25)
            deadline = time.monotonic() + 3
            while json.loads(server.get("/api/streams")):  # nobody waits for the publisher
                assert time.monotonic() < deadline
                time.sleep(0.05)
