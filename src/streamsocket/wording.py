"""How figures are written for people, the same on the terminal and on the page."""

from __future__ import annotations

from urllib.parse import quote

from streamsocket.status import StreamStatus

_CODEC_NAMES = {
    "h264": "H.264",
    "h265": "H.265",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
    "mjpeg": "Motion JPEG",
    "aac": "AAC",
    "opus": "Opus",
    "pcmu": "G.711 µ-law",
    "pcma": "G.711 A-law",
    "l16": "PCM 16 bit",
}


def rtsp_url(host: str, port: int, name: str) -> str:
    """`rtsp://192.168.1.20:8554/live/lobby`; IPv6 hosts get their brackets (RFC 3986, 3.2.2)."""
    return f"rtsp://{bracketed(host)}:{port}/{quote(name)}"


def rtmp_url(host: str, port: int, name: str) -> str:
    """`rtmp://192.168.1.20/live/lobby`; the port only where it is not RTMP's own."""
    where = bracketed(host) if port == 1935 else f"{bracketed(host)}:{port}"
    return f"rtmp://{where}/{quote(name)}"


def whip_url(host: str, port: int, name: str) -> str:
    """`http://192.168.1.20:8080/live/lobby/whip`, where WebRTC publishes."""
    return f"{http_url(host, port)}{quote(name)}/whip"


def whep_url(host: str, port: int, name: str) -> str:
    """`http://192.168.1.20:8080/live/lobby/whep`, where WebRTC watches."""
    return f"{http_url(host, port)}{quote(name)}/whep"


def http_url(host: str, port: int) -> str:
    """`http://192.168.1.20:8080/`."""
    return f"http://{bracketed(host)}:{port}/"


def bracketed(host: str) -> str:
    """The host as URLs want it: `[fe80::1]`, everything else as it is."""
    return f"[{host}]" if ":" in host else host


def codec_name(codec: str) -> str:
    """`H.264` for `h264`; what has no other name stays as it is."""
    return _CODEC_NAMES.get(codec, codec)


def channels(count: int) -> str:
    """`mono`, `stereo`, `5.1`, `3 channels`."""
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(count, f"{count} channels")


def clock(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def bitrate(bits_per_second: float) -> str:
    """`128 kbit/s`, `2.43 Mbit/s`."""
    if bits_per_second < 999_500:
        return f"{bits_per_second / 1000:.0f} kbit/s"
    return f"{bits_per_second / 1_000_000:.2f} Mbit/s"


def size(number_of_bytes: int) -> str:
    """`640 KB`, `12.3 MB`, `1.50 GB`."""
    if number_of_bytes < 999_500:
        return f"{number_of_bytes / 1000:.0f} KB"
    if number_of_bytes < 999_950_000:
        return f"{number_of_bytes / 1_000_000:.1f} MB"
    return f"{number_of_bytes / 1_000_000_000:.2f} GB"


def counted(number: int, thing: str) -> str:
    """`1 viewer`, `4 viewers`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def tracks(stream: StreamStatus) -> str:
    """`H.264 1280x720, AAC 48 kHz stereo`."""
    return ", ".join(
        f"{codec_name(track.codec)} {track.description}".rstrip() for track in stream.tracks
    )


def position(stream: StreamStatus) -> str:
    """`0:12 / 1:30`, `0:12 / 1:30 ×3` the third time round; empty without a position."""
    if stream.position_s is None:
        return ""
    text = clock(stream.position_s)
    if stream.duration_s is not None:
        text += f" / {clock(stream.duration_s)}"
    return f"{text} ×{stream.loops + 1}" if stream.loops else text


def frame_rate(stream: StreamStatus) -> float | None:
    """Pictures a second that really arrive; None for a stream without pictures."""
    return next((track.frame_rate for track in stream.tracks if track.kind == "video"), None)
