"""An offer from anybody: what is answered to it can be read, and was offered."""

from pathlib import Path

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, Av1, Opus, Track, Vp8, Vp9
from streamsocket.webrtc import sdp, sdp_answer
from streamsocket.webrtc.certificate import own_certificate
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.negotiation import NothingFitsError, plan_publishing, plan_watching

_OFFERS = Path(__file__).parents[2] / "unit" / "webrtc_offers"
SEEDS = [path.read_bytes() for path in sorted(_OFFERS.glob("*.sdp"))]

_H264 = Track(H264(sps=b"\x67\x42\xc0\x1f", pps=b"\x68\xce\x3c\x80"))
_TRACKS = [
    [(0, _H264, 1), (1, Track(Opus()), 2)],
    *([(0, Track(codec), 3)] for codec in (Vp8(), Vp9(profile=2), Av1())),
]
_TRANSPORT = sdp_answer.Transport(
    Credentials("abcd", "x" * 24), own_certificate().fingerprint, candidates=()
)


def fuzz_one(data: bytes) -> None:
    """Answer it as to who watches, and as to who publishes."""
    try:
        offer = sdp.parse_offer(data.decode(errors="replace"))
    except ParseError:
        return
    for tracks in _TRACKS:
        try:
            _check(offer, plan_watching(offer, tracks).accepted)
        except NothingFitsError:
            pass
    try:
        _check(offer, plan_publishing(offer).accepted)
    except (NothingFitsError, ParseError):
        pass  # parameter sets in the offer may be broken


def _check(offer: sdp.Description, accepted: dict[int, sdp_answer.Accepted]) -> None:
    answer = sdp.parse(sdp_answer.build(offer, accepted, _TRANSPORT, session_id=1))
    assert len(answer.medias) == len(offer.medias)
    for place, media in enumerate(answer.medias):
        assert media.rejected == (place not in accepted)
        if place in accepted:
            offered = {each.payload_type for each in offer.medias[place].formats}
            assert {each.payload_type for each in media.formats} <= offered
