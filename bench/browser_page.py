"""The page that a browser is measured with: it watches by WHEP and tells what it shows, and when.

What it shows is read from the blocks along the bottom edge of the test pattern. The page sends them
as they are, 96 bits in hexadecimal digits; a white picture is all f. Times are milliseconds since
the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

_PAGE = """<!doctype html><meta charset="utf-8"><style>
html, body { margin: 0; overflow: hidden; background: #404040 }
video { position: absolute; left: 0; top: 0; width: 1280px; height: 720px }
</style><body><script>
const {http, does, options} = PLAN;
const tell = what => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const nextFrame = () => new Promise(resolve => requestAnimationFrame(resolve));
const epoch = time => performance.timeOrigin + time;

const COLUMNS = 32, ROWS = 3;
const blocks = Object.assign(document.createElement('canvas'), {width: COLUMNS, height: ROWS})
  .getContext('2d', {willReadFrequently: true});
blocks.imageSmoothingEnabled = false;  // a pixel is the middle of its block

function code(video) {
  const height = video.videoHeight, lines = ROWS * Math.max(4, Math.floor(height / 36));
  blocks.drawImage(video, 0, height - lines, video.videoWidth, lines, 0, 0, COLUMNS, ROWS);
  const {data} = blocks.getImageData(0, 0, COLUMNS, ROWS);
  let digits = '';
  for (let at = 0; at < data.length; at += 16) {
    let digit = 0;
    for (let pixel = 0; pixel < 4; pixel++) digit = 2 * digit + (data[at + 4 * pixel + 1] > 126);
    digits += digit.toString(16);
  }
  return digits;
}

async function watch(name, kinds = ['video', 'audio']) {
  const peer = new RTCPeerConnection(), stream = new MediaStream();
  const video = document.createElement('video');
  Object.assign(video, {autoplay: true, playsInline: true, srcObject: stream});
  document.body.append(video);
  peer.ontrack = event => stream.addTrack(event.track);
  for (const kind of kinds) peer.addTransceiver(kind, {direction: 'recvonly'});
  await peer.setLocalDescription();
  const shown = new Promise(resolve => video.requestVideoFrameCallback(
    () => resolve(performance.now())));
  const asked = performance.now();
  const answer = await fetch(`${http}/${name}/whep`, {method: 'POST',
    body: peer.localDescription.sdp, headers: {'Content-Type': 'application/sdp'}});
  if (answer.status != 201) throw new Error(answer.status + ' ' + await answer.text());
  const session = new URL(answer.headers.get('Location'), http);
  await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  const leave = async () => {
    await fetch(session, {method: 'DELETE'});
    peer.close();
    video.remove();
  };
  return {peer, video, asked, shown, leave};
}

// How long after the POST of the offer the first picture is there, again and again.
async function joins({name, times}) {
  for (let number = 0; number < times; number++) {
    const {asked, shown, leave} = await watch(name);
    tell({waited: await Promise.race([shown, sleep(10000)]) - asked || null});
    await leave();
    await sleep(200 + 400 * Math.random());
  }
}

// What an old viewer and those who join show at the same moments, a while after joining.
async function behind({name, times, settling, after, during}) {
  const old = await watch(name);
  await old.shown;
  await sleep(settling);
  for (let number = 0; number < times; number++) {
    const {video, asked, shown, leave} = await watch(name), pairs = [];
    await shown;
    await sleep(asked + after - performance.now());
    while (performance.now() < asked + after + during) {
      await nextFrame();
      pairs.push([code(old.video), code(video)]);
    }
    tell({pairs});
    await leave();
    await sleep(200 + 400 * Math.random());
  }
}

// Which picture is presented when.
async function look({name, kinds, reads}) {
  // Who is the first has to wait until what plays sound has started, which it lags behind for long.
  const first = await watch(name, kinds);
  await first.shown;
  await sleep(2000);
  const {peer, video, shown} = await watch(name, kinds), pictures = [];
  const seen = (now, {presentationTime, expectedDisplayTime, rtpTimestamp}) => {
    pictures.push([code(video), epoch(presentationTime), epoch(expectedDisplayTime), rtpTimestamp]);
    video.requestVideoFrameCallback(seen);
  };
  if (reads) video.requestVideoFrameCallback(seen);
  await shown;
  await first.leave();
  while (true) {
    const stats = {};
    for (const each of (await peer.getStats()).values())
      if (each.type == 'inbound-rtp') stats[each.kind] = each;
    tell({pictures: pictures.splice(0), stats});
    await sleep(500);
  }
}

({joins, behind, look})[does](options).catch(error => tell({error: String(error)}));
</script>"""


def page(http: str, does: str, options: Mapping[str, object]) -> str:
    """The page that `joins`, looks how far `behind` others are, or `look`s at what it shows."""
    return _PAGE.replace("PLAN", json.dumps({"http": http, "does": does, "options": dict(options)}))
