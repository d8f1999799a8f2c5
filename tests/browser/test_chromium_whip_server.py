"""Chromium stands in for a WHIP server: libwebrtc reads our offer, and plays what we publish."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.interop.serving import COMMAND

# Without a camera that it may use, Chromium hides its addresses behind names.
ANSWER = """<!doctype html><meta charset="utf-8"><video autoplay></video><script>
const tell = what => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
(async () => {
  await navigator.mediaDevices.getUserMedia({video: true});
  const peer = new RTCPeerConnection();
  const stream = document.querySelector('video').srcObject = new MediaStream();
  peer.ontrack = event => stream.addTrack(event.track);
  const offer = await (await fetch('RELAY/offer')).text();
  await peer.setRemoteDescription({type: 'offer', sdp: offer});
  await peer.setLocalDescription();
  while (peer.iceGatheringState != 'complete') await new Promise(done => setTimeout(done, 50));
  await fetch('RELAY/answer', {method: 'POST', body: peer.localDescription.sdp});
  setInterval(async () => {
    const told = {state: peer.connectionState};
    const stats = await peer.getStats();
    for (const each of stats.values())
      if (each.type == 'inbound-rtp')
        told[each.kind] = {...each, codec: stats.get(each.codecId)?.mimeType};
    tell(told);
  }, 300);
})().catch(error => tell({error: String(error)}));
</script>"""


class Relay(BaseHTTPRequestHandler):
    """Passes the publisher's offer to the page, and the page's answer to the publisher."""

    protocol_version = "HTTP/1.1"
    offers: queue.Queue[str]
    answers: queue.Queue[str]

    def do_OPTIONS(self) -> None:
        self._answer(204)

    def do_DELETE(self) -> None:
        self._answer(200)

    def do_GET(self) -> None:
        self._answer(200, self.offers.get(timeout=20))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/answer":
            self.answers.put(body)
            self._answer(200)
        else:
            self.offers.put(body)
            self._answer(201, self.answers.get(timeout=20))

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Type", "application/sdp")
        self.send_header("Location", "/session")
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def relay() -> Iterator[str]:
    handler = type("Handler", (Relay,), {"offers": queue.Queue(), "answers": queue.Queue()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


@pytest.mark.parametrize(
    ("codec", "played"),
    [
        ("h264+opus", ("video/H264", "audio/opus")),
        pytest.param("vp8+pcmu", ("video/VP8", "audio/PCMU"), marks=pytest.mark.slow),
    ],
)
def test_chromium_plays_what_is_published(
    chromium: str, codec: str, played: tuple[str, str]
) -> None:
    with relay() as url, showing(chromium, ANSWER.replace("RELAY", url)) as page:
        publisher = subprocess.Popen(
            [*COMMAND, "publish", "test:640x360@30", f"{url}/cam/whip", "--codec", codec],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:

            def plays(report: dict[str, Any]) -> bool:
                picture, sound = report.get("video", {}), report.get("audio", {})
                return picture.get("framesDecoded", 0) > 90 and sound["totalAudioEnergy"] > 0

            report = page.wait_for(plays, 30)
            assert (report["video"]["codec"], report["audio"]["codec"]) == played
            assert (report["video"]["frameWidth"], report["video"]["frameHeight"]) == (640, 360)
            assert report["video"]["packetsLost"] == report["audio"]["packetsLost"] == 0
            # Nothing of what was sent before holds up what is shown now.
            assert mean_delay_s(report["audio"]) < 0.2
            assert mean_delay_s(report["video"]) < 0.3
            publisher.send_signal(signal.SIGINT)
            assert publisher.wait(10) == 0
            page.wait_for(lambda report: report["state"] in ("closed", "disconnected"), 15)
        finally:
            publisher.kill()
            publisher.wait()


def mean_delay_s(track: dict[str, Any]) -> float:
    return float(track["jitterBufferDelay"] / track["jitterBufferEmittedCount"])
