"""Servers' answers to our offers."""

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Opus, Track
from streamsocket.webrtc import sdp, sdp_answer
from streamsocket.webrtc.candidate import host_candidates
from streamsocket.webrtc.certificate import Fingerprint
from streamsocket.webrtc.client_offer import build_publishing, build_watching, read_answer
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.negotiation import plan_publishing, plan_watching

_TRANSPORT = sdp_answer.Transport(
    Credentials("ours", "p" * 24),
    Fingerprint("sha-256", bytes(range(32))),
    host_candidates([("192.0.2.1", 8189)]),
)
_TRACKS = [
    (0, Track(H264(sps=b"\x67\x42\xc0\x1f", pps=b"\x68\xce\x3c\x80")), 1),
    (1, Track(Opus()), 2),
]
_WATCHING = build_watching(["video", "audio"], _TRANSPORT, 1)
_PUBLISHING = build_publishing(_TRACKS, _TRANSPORT, 1)


def _seeds() -> list[bytes]:
    watching, publishing = sdp.parse_offer(_WATCHING.text), sdp.parse_offer(_PUBLISHING.text)
    answers = [
        sdp_answer.build(
            watching, plan_watching(watching, _TRACKS).accepted, _TRANSPORT, session_id=1
        ),
        sdp_answer.build(
            publishing, plan_publishing(publishing).accepted, _TRANSPORT, session_id=1
        ),
        _WATCHING.text.replace("recvonly", "sendonly").replace("actpass", "active"),
    ]
    return [answer.encode() for answer in answers]


SEEDS = _seeds()


def fuzz_one(data: bytes) -> None:
    """What is agreed on was offered, and has a transport."""
    for offer in (_WATCHING, _PUBLISHING):
        try:
            agreement = read_answer(offer, data.decode("utf-8", "replace"))
        except ParseError:
            continue
        assert len(agreement.tracks) + len(agreement.refused) == len(offer.sections)
        for track in agreement.tracks:
            (section,) = (each.media for each in offer.sections if each.media.mid == track.mid)
            numbers = {each.payload_type for each in section.formats}
            for each in track.formats:
                assert each.codec.kind == track.kind == section.kind
                assert {each.payload_type, each.rtx_payload_type or each.payload_type} <= numbers
        transport = agreement.answer.transport
        assert transport.credentials
        assert transport.fingerprints
        assert transport.setup in ("active", "passive")
