"""Session descriptions."""

from streamsocket.errors import ParseError
from streamsocket.media.codec import Opus, Track
from streamsocket.rtsp import sdp

SEEDS = [
    sdp.build([Track(Opus()), Track(Opus(1))], name="a", host="127.0.0.1").encode(),
    b"v=0\no=- 0 0 IN IP4 1.2.3.4\ns=Camera\na=control:rtsp://1.2.3.4/\nm=video 0 RTP/AVP 96\n"
    b"a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1;profile-level-id=4d001f;"
    b"sprop-parameter-sets=Z00AH5WoPAQ5,aO48gA==\na=framerate:25.0\na=control:trackID=1\n"
    b"a=control:trackID=1\nm=audio 0 RTP/AVP 8 97\na=rtpmap:97 mpeg4-generic/48000/2\n"
    b"a=fmtp:97 mode=AAC-hbr;config=1190;sizelength=13;indexlength=3;indexdeltalength=3\n",
    b"m=application 0 RTP/AVP 107\r\na=sendonly\r\nm=audio 0 RTP/AVP 0",
]


def fuzz_one(data: bytes) -> None:
    """It is read, or ParseError is raised; a track is either playable or the reason is given."""
    try:
        description = sdp.parse(data.decode("utf-8", "replace"))
    except ParseError:
        return
    assert description.medias
    for media in description.medias:
        assert (media.codec is None) == bool(media.unsupported)
        assert sdp.resolve_control("rtsp://h/a", media.control)
