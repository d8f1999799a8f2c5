"""Pages that do what a test is about, and tell how it goes."""

from __future__ import annotations

# Telling what getStats has, twice a second; the sound's level shows that it isn't silence.
WATCH = """<!doctype html><meta charset="utf-8"><video autoplay playsinline></video><script>
const tell = what => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
(async () => {
  const peer = new RTCPeerConnection(), stream = new MediaStream();
  const video = document.querySelector('video'); video.srcObject = stream;
  peer.ontrack = event => stream.addTrack(event.track);
  for (const kind of ['video', 'audio']) {
    const transceiver = peer.addTransceiver(kind, {direction: 'recvonly'});
    const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
    for (const each of extensions || [])
      if (each.uri.endsWith('abs-capture-time')) each.direction = 'recvonly';
    if (extensions) transceiver.setHeaderExtensionsToNegotiate(extensions);
  }
  await peer.setLocalDescription();
  const answer = await fetch('ENDPOINT', {method: 'POST', body: peer.localDescription.sdp,
    headers: {'Content-Type': 'application/sdp'}});
  if (answer.status != 201) throw new Error(answer.status + ' ' + await answer.text());
  const session = new URL(answer.headers.get('Location'), 'ENDPOINT');
  const sdp = (await answer.text()).replace(/(HOST) [0-9]+ typ/, '$1 PORT typ');
  await peer.setRemoteDescription({type: 'answer', sdp});
  setInterval(async () => {
    const told = {state: peer.connectionState, session, width: video.videoWidth,
      time: video.currentTime};
    for (const each of (await peer.getStats()).values())
      if (each.type == 'inbound-rtp') told[each.kind] = each;
    for (const receiver of peer.getReceivers())
      for (const source of receiver.getSynchronizationSources())
        (told.captured ||= {})[receiver.track.kind] = source.captureTimestamp;
    tell(told);
  }, 500);
})().catch(error => tell({error: String(error)}));
</script>"""


def watching(http: str, name: str, *, host: str = "127.0.0.1", port: int) -> str:
    """The page that watches a stream of the server at `http`, by its UDP port or a relay's."""
    page = WATCH.replace("ENDPOINT", f"{http}/{name}/whep")
    return page.replace("HOST", host.replace(".", "[.]")).replace("PORT", str(port))
