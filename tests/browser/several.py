"""A page with several connections at once, each by WHIP or WHEP, that tells how they go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

_PAGE = """<!doctype html><meta charset="utf-8"><body><script>
const tell = what => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
const {http, watches, publishes, restarts, flashes} = PLAN;
const connections = [];

async function exchange(peer, url) {
  await peer.setLocalDescription();
  const answer = await fetch(url, {method: 'POST', body: peer.localDescription.sdp,
    headers: {'Content-Type': 'application/sdp'}});
  if (answer.status != 201) throw new Error(answer.status + ' ' + await answer.text());
  await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  return {url: new URL(answer.headers.get('Location'), url), tag: answer.headers.get('ETag')};
}

// An ICE restart: a PATCH with the new credentials, answered with the server's (RFC 9725, 4.3.3).
async function restart(peer, session) {
  await peer.setLocalDescription(await peer.createOffer({iceRestart: true}));
  const lines = peer.localDescription.sdp.split('\\r\\n');
  const ours = lines.filter(line => /^a=ice-(ufrag|pwd):/.test(line)).slice(0, 2);
  const media = lines.find(line => line.startsWith('m='));
  const body = [...ours, media, 'a=mid:0', ''].join('\\r\\n');
  const answer = await fetch(session.url, {method: 'PATCH', body, headers: {
    'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'}});
  if (answer.status != 200) throw new Error(answer.status + ' ' + await answer.text());
  const theirs = Object.fromEntries([...(await answer.text()).matchAll(
    /^a=(ice-ufrag|ice-pwd):(.*?)\\r?$/gm)].map(found => [found[1], found[2]]));
  const sdp = peer.remoteDescription.sdp.replace(/a=(ice-ufrag|ice-pwd):.*/g,
    (all, name) => `a=${name}:${theirs[name]}`);
  await peer.setRemoteDescription({type: 'answer', sdp});
  session.restarts = (session.restarts || 0) + 1;
}

async function watch(name) {
  const peer = new RTCPeerConnection(), stream = new MediaStream();
  const video = document.createElement('video');
  Object.assign(video, {autoplay: true, playsInline: true, srcObject: stream, width: 160});
  document.body.append(video);
  peer.ontrack = event => stream.addTrack(event.track);
  for (const kind of ['video', 'audio']) peer.addTransceiver(kind, {direction: 'recvonly'});
  const session = await exchange(peer, `${http}/${name}/whep`);
  connections.push({role: 'watch', name, peer, session, video});
  if (restarts) peer.oniceconnectionstatechange = () => {
    if (peer.iceConnectionState == 'disconnected') restart(peer, session).catch(failed);
  };
}

// Every second, at once, a white picture and a beep.
async function flashingMedia() {
  const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 180});
  const picture = canvas.getContext('2d'), audio = new AudioContext();
  const sound = audio.createMediaStreamDestination(), gain = audio.createGain();
  const tone = audio.createOscillator();
  document.body.append(canvas);
  tone.frequency.value = 1000;
  gain.gain.value = 0;
  tone.connect(gain).connect(sound);
  tone.start();
  await audio.resume();
  let flashed = Math.floor(performance.now() / 1000), count = 0;
  setInterval(() => {
    const now = performance.now() / 1000;
    const flash = Math.floor(now) > flashed && now % 1 < 0.5;
    if (flash) {
      flashed = Math.floor(now);
      gain.gain.setValueAtTime(0.6, audio.currentTime);
      gain.gain.setValueAtTime(0, audio.currentTime + 0.1);
    }
    picture.fillStyle = flash ? '#fff' : `hsl(${count++ % 360} 60% 30%)`;
    picture.fillRect(0, 0, 320, 180);
  }, 1000 / 30);
  return new MediaStream([...canvas.captureStream(30).getTracks(), ...sound.stream.getTracks()]);
}

async function publish(name, codec) {
  const media = flashes ? await flashingMedia() : await navigator.mediaDevices.getUserMedia(
    {audio: true, video: {width: 640, height: 480, frameRate: 30}});
  const peer = new RTCPeerConnection();
  for (const track of media.getTracks())
    peer.addTransceiver(track, {direction: 'sendonly', streams: [media]});
  const codecs = RTCRtpSender.getCapabilities('video').codecs;
  peer.getTransceivers().find(each => each.sender.track.kind == 'video').setCodecPreferences(
    codecs.filter(each => ['video/' + codec, 'video/rtx'].includes(each.mimeType)));
  const session = await exchange(peer, `${http}/${name}/whip`);
  connections.push({role: 'publish', name, peer, session});
}

const failed = error => tell({error: String(error)});
(async () => {
  for (const [name, codec] of Object.entries(publishes)) await publish(name, codec);
  if (watches.length && Object.keys(publishes).length)
    await new Promise(resolve => setTimeout(resolve, 2000));
  for (const name of watches) await watch(name);
  setInterval(async () => tell(await Promise.all(connections.map(async each => {
    const told = {role: each.role, name: each.name, state: each.peer.connectionState,
      restarts: each.session.restarts || 0, time: each.video ? each.video.currentTime : 0};
    for (const stats of (await each.peer.getStats()).values()) {
      if (stats.type == 'inbound-rtp' || stats.type == 'outbound-rtp') told[stats.kind] = stats;
      if (stats.type == 'remote-inbound-rtp') told['remote ' + stats.kind] = stats;
    }
    return told;
  })).then(all => ({connections: all}))), 500);
})().catch(failed);
</script>"""


def several(
    http: str,
    *,
    watches: Sequence[str] = (),
    publishes: Mapping[str, str] | None = None,
    restarts: bool = False,
    flashes: bool = False,
) -> str:
    """The page that publishes its camera under names, each in a codec, and watches streams.

    It tells `connections`, those it publishes by first. With `restarts` it restarts ICE when the
    server is not heard any more. With `flashes` it publishes white pictures and beeps instead of
    what the camera sees, both every second.
    """
    plan = {
        "http": http,
        "watches": list(watches),
        "publishes": dict(publishes or {}),
        "restarts": restarts,
        "flashes": flashes,
    }
    return _PAGE.replace("PLAN", json.dumps(plan))
