"""Chromium in a network that blocks UDP: it watches and publishes over TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.browser.pages import watching
from tests.browser.test_chromium_publish import PUBLISH
from tests.browser.test_chromium_watch import check_playing
from tests.interop.impaired import CannotImpairError, ImpairedNetwork, impaired_network
from tests.interop.serving import serving

# Tells what it is connected over. It restarts ICE (RFC 9725, 4.3.2) when the way there breaks, and
# now and then while that is TCP: there may be a better one again.
RESTART = r"""
  const restart = async () => {
    await peer.setLocalDescription(await peer.createOffer({iceRestart: true}));
    const credentials = text => [/a=ice-ufrag:.*/, /a=ice-pwd:.*/].map(each => text.match(each)[0]);
    const own = credentials(peer.localDescription.sdp);
    const patched = await fetch(session, {method: 'PATCH', body: own.join('\r\n') +
      '\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n', headers:
      {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'}});
    if (patched.status != 200) throw new Error(patched.status + ' ' + await patched.text());
    const [ufrag, pwd] = credentials(await patched.text());
    await peer.setRemoteDescription({type: 'answer', sdp:
      sdp.replace(/a=ice-ufrag:.*/g, ufrag).replace(/a=ice-pwd:.*/g, pwd)});
  };
  setInterval(async () => {
    const stats = await peer.getStats();
    for (const each of stats.values())
      if (each.type == 'transport') window.protocol =
        stats.get(stats.get(each.selectedCandidatePairId)?.localCandidateId)?.protocol;
    window.overTcp = window.protocol == 'tcp' ? (window.overTcp || 0) + 1 : 0;
    if (peer.iceConnectionState == 'disconnected' || window.overTcp % 10 == 9)
      restart().catch(error => tell({error: String(error)}));
  }, 500);
"""

OPTIONS = ("--webrtc-port", "8189", "--rtmp-port", "0")


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


@pytest.fixture
def network(cannot_test: Callable[[str], NoReturn]) -> Iterator[ImpairedNetwork]:
    """The server is at "b"; the browser, at "a", gets no datagram through."""
    try:
        with impaired_network(delay_s=0.01, loss=1.0, loss_protocols=("udp",)) as made:
            yield made
    except CannotImpairError as error:
        cannot_test(str(error))


def test_the_test_picture_plays_at_its_rate(chromium: str, network: ImpairedNetwork) -> None:
    host, prefix = network.addresses["b"], network.prefix("b")
    with serving("test=test:1280x720@30", options=OPTIONS, host=host, prefix=prefix) as server:
        url = f"http://{host}:{server.http_port}"
        page_text = watching(url, "test", host=host, port=8189)
        with showing(chromium, page_text, namespace=network.namespaces["a"]) as page:
            last = check_playing(page, 30)
            assert last["width"] == 1280
            assert server.stream("test")["viewers"] == 1
        assert network.counts()["a"].lost > 0  # it has tried


@pytest.mark.slow
def test_a_restart_of_ice_leads_to_tcp_and_back(chromium: str, network: ImpairedNetwork) -> None:
    host, prefix = network.addresses["b"], network.prefix("b")
    network.change(loss=0.0)
    with serving("test=test:640x360@30", options=OPTIONS, host=host, prefix=prefix) as server:
        text = watching(f"http://{host}:{server.http_port}", "test", host=host, port=8189)
        text = text.replace("setInterval(", f"{RESTART}  setInterval(", 1)
        text = text.replace("const told = {", "const told = {protocol: window.protocol, ")
        with showing(chromium, text, namespace=network.namespaces["a"]) as page:
            frames = 0
            for loss, protocol in ((0.0, "udp"), (1.0, "tcp"), (0.0, "udp")):
                network.change(loss=loss)
                for more in (1, 60):  # the first that come that way, and then two seconds
                    report = page.wait_for(
                        lambda report, least=frames + more, protocol=protocol: (
                            report.get("protocol") == protocol
                            and report.get("video", {}).get("framesDecoded", 0) >= least
                        ),
                        30,
                    )
                    frames = report["video"]["framesDecoded"]
            assert server.stream("test")["viewers"] == 1


def test_camera_and_microphone_are_published(
    chromium: str, network: ImpairedNetwork, tmp_path: Path
) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text('[users.any]\npublish = ["*"]\nwatch = ["*"]\n')
    options = (*OPTIONS, "--config", str(settings))
    host, prefix = network.addresses["b"], network.prefix("b")
    with serving(options=options, host=host, prefix=prefix, wait_for=()) as server:
        url = f"http://{host}:{server.http_port}/desk/whip"
        page_text = PUBLISH.replace("ENDPOINT", url).replace("DELETE_AFTER", "60000")
        page_text = page_text.replace("CODECS", "['video/H264', 'video/rtx']")
        with showing(chromium, page_text, namespace=network.namespaces["a"]) as page:
            page.wait_for(lambda report: report.get("video", {}).get("framesSent", 0) > 150, 30)
            track = server.stream("desk")["tracks"][0]
            assert track["codec"] == "h264"
            assert 25 < track["frame_rate"] < 35
            assert page.reports[-1]["remote video"]["packetsLost"] == 0
