"""Offers, the answers to them, and fragments of trickled candidates."""

from streamsocket.errors import ParseError
from streamsocket.webrtc import sdp, sdp_answer, sdp_fragment
from streamsocket.webrtc.candidate import host_candidates
from streamsocket.webrtc.certificate import Fingerprint
from streamsocket.webrtc.codec_choice import Encoding, choose_any, explain
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.sdp_answer import Accepted, Sending, Transport

_FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
_OURS = Transport(
    Credentials("ours", "p" * 24), _FINGERPRINT, host_candidates([("192.0.2.1", 8189)])
)
_ENCODINGS = [
    Encoding("h264", parameters={"packetization-mode": "1", "profile-level-id": "4d001f"}),
    Encoding("h265", parameters={"profile-id": "1", "tier-flag": "0", "level-id": "120"}),
    Encoding("av1"),
    Encoding("opus", 48_000, 2),
]
_ICE = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\n"
_OFFER = f"""v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
a=group:BUNDLE 0 1
a=fingerprint:{_FINGERPRINT}
{_ICE}a=setup:actpass
m=video 9 UDP/TLS/RTP/SAVPF 96 97 49
a=mid:0
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=extmap:2/sendonly http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=rtpmap:96 H264/90000
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f
a=rtcp-fb:96 nack pli
a=rtcp-fb:* goog-remb
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:49 H265/90000
a=fmtp:49 level-id=180;profile-id=1
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
a=mid:1
a=sendonly
a=rtcp-mux
a=msid:s t
a=rid:h send
a=simulcast:send h
a=ssrc:5 cname:x
a=ssrc-group:FID 5 6
a=candidate:1 1 udp 1 192.0.2.1 2 typ host tcptype passive
a=rtpmap:111 opus/48000/2
"""
SEEDS = [
    _OFFER.encode(),
    (_ICE + "m=audio 9 RTP/AVP 0\na=mid:0\na=candidate:1 1 udp 1 1.2.3.4 2 typ host").encode(),
    b"a=end-of-candidates",
    _OFFER.replace("FID 5 6", "").encode(),
]


def fuzz_one(data: bytes) -> None:
    """It is read, or ParseError is raised; what is read can be answered, and that be read."""
    text = data.decode("utf-8", "replace")
    try:
        fragment = sdp_fragment.parse(text)
        fragment.restarts(fragment.credentials)
    except ParseError:
        pass
    try:
        offer = sdp.parse_offer(text)
    except ParseError:
        return
    accepted = {}
    for index, media in enumerate(offer.medias):
        choice = choose_any(_ENCODINGS, media.formats)
        if choice is None:
            assert explain(_ENCODINGS[0], media.formats)
        elif offer.bundled(media):
            sends = media.direction in ("recvonly", "sendrecv")
            sending = Sending(1, "s", "t", "c", 2) if sends else None
            direction = {"sendonly": "recvonly", "inactive": "inactive"}.get(
                media.direction, "sendonly"
            )
            accepted[index] = Accepted(choice, direction, sending)  # type: ignore[arg-type]
    answer = sdp.parse(sdp_answer.build(offer, accepted, _OURS, session_id=1))
    for index, (offered, answered) in enumerate(zip(offer.medias, answer.medias, strict=True)):
        assert (offered.kind, offered.mid) == (answered.kind, answered.mid)
        assert answered.rejected == (index not in accepted)
    assert sdp_fragment.parse(sdp_fragment.build(offer, _OURS.credentials, _OURS.candidates))
