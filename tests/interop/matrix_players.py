"""Everybody who plays what was published, and what they have made of it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import av
from tests.interop import players
from tests.interop.sync import sound_minus_picture_s

SECONDS = 5.0
_JOINED_S = 2.0
"""After this, who has joined is live, and times are no longer squeezed."""
_REPORTED_S = 5.5
"""After this, GStreamer has had a sender report that is newer than its first packet."""
_START_S = 15.0
_SILENCE_US = 5_000_000
"""FFmpeg's -timeout."""

_NAMES = {
    "hevc": "h265",
    "jpeg": "mjpeg",
    "mpeg4-generic": "aac",
    "pcm_mulaw": "pcmu",
}
"""Our names of codecs for theirs, in lower case."""


@dataclass(frozen=True)
class Seen:
    """What a player has made of a stream, once it had caught up with live."""

    video: str
    """The codec, by our name."""
    audio: str
    frame_rate: float
    sound_minus_picture_s: Sequence[float]
    """At each flash."""
    complaints: str = ""

    def faults(self, video: str, audio: str, rate: float) -> list[str]:
        """Everything that is not as it was published."""
        found = []
        if (self.video, self.audio) != (video, audio):
            found.append(f"the codecs are {self.video} and {self.audio}")
        if abs(self.frame_rate / rate - 1) > 0.02:
            found.append(f"{self.frame_rate:.2f} pictures a second instead of {rate}")
        offsets = ", ".join(f"{offset * 1000:.1f}" for offset in self.sound_minus_picture_s)
        if len(self.sound_minus_picture_s) < 2:
            found.append(f"flashes and beeps are missing, those that came are {offsets} ms apart")
        elif abs(median(self.sound_minus_picture_s)) > SYNC_S:
            found.append(f"the sound begins {offsets} ms after the picture")
        if self.complaints:
            found.append(f"it complains: {self.complaints[-600:]}")
        return found


SYNC_S = 0.03


def ffmpeg(url: str, transport: str, recording: Path) -> Seen:
    """FFmpeg, which decodes both tracks."""
    done = _run(
        f"ffmpeg -nostdin -v info -nostats -rtsp_transport {transport} -timeout {_SILENCE_US} "
        f"-i {url} -t {SECONDS} -fps_mode passthrough -enc_time_base 1:90000 "
        f"-vf scale=32:18,format=gray -c:v rawvideo -c:a pcm_s16le -y {recording}.nut"
    )
    heading, _, rest = done.stderr.partition("Stream mapping:")
    video = re.search(r"Stream #0:\d: Video: (\w+)", heading)
    audio = re.search(r"Stream #0:\d: Audio: (\w+)", heading)
    if done.returncode or not video or not audio:
        return _nothing(done.stderr)
    return _seen(video[1], audio[1], recording.with_suffix(".nut"), _JOINED_S)


def gstreamer(url: str, transport: str, recording: Path) -> Seen:
    """GStreamer: what it puts together by itself for the stream, its times as they come."""
    done = _run(
        f"timeout --signal=INT --kill-after=5 {_REPORTED_S + 3} gst-launch-1.0 -e -v "
        f"matroskamux name=m streamable=true ! filesink location={recording}.mkv "
        f"rtspsrc name=s location={url} protocols={transport} latency=300 "
        "s. ! application/x-rtp,media=video ! queue ! decodebin ! videoconvert ! videoscale "
        "! video/x-raw,format=GRAY8,width=32,height=18 ! queue ! m. "
        "s. ! application/x-rtp,media=audio ! queue ! decodebin ! audioconvert "
        "! audio/x-raw,format=S16LE ! queue ! m."
    )
    names = {
        kind: re.search(rf"media=\(string\){kind}\b.*?encoding-name=\(string\)([\w-]+)", done.stdout)
        for kind in ("video", "audio")
    }
    video, audio = names["video"], names["audio"]
    if not video or not audio:
        return _nothing(done.stderr)
    complaints = "".join(
        line for line in done.stderr.splitlines() if line.startswith(("ERROR", "WARNING"))
    )
    return _seen(video[1], audio[1], recording.with_suffix(".mkv"), _REPORTED_S, complaints)


def ours(url: str, transport: str, recording: Path) -> Seen:
    """`streamsocket probe`."""
    report = players.probe(url, transport, SECONDS)
    tracks = {track["kind"]: track for track in report["tracks"]}
    video, audio = tracks["video"], tracks["audio"]
    complaints = [
        f"{kind}: {name} {track[name]}"
        for kind, track in tracks.items()
        for name in ("lost", "malformed", "damaged_units", "damaged_frames", "decode_errors")
        if track[name]
    ]
    expected = {"mixed": ("udp", "tcp")}.get(transport, (transport, transport))
    if (video["transport"], audio["transport"]) != expected:
        complaints.append(f"{video['transport']} and {audio['transport']}, not {expected}")
    sync = report["sync"]
    return Seen(
        video["codec"],
        audio["codec"],
        video["media_frame_rate"] or 0.0,
        [sync["p50_ms"] / 1000] * sync["n"] if sync else [],
        "; ".join(complaints),
    )


PLAYERS: dict[str, Callable[[str, str, Path], Seen]] = {
    "ffmpeg": ffmpeg,
    "gstreamer": gstreamer,
    "ours": ours,
}


def _seen(video: str, audio: str, recording: Path, after_s: float, complaints: str = "") -> Seen:
    with av.open(str(recording)) as movie:
        times = [frame.time for frame in movie.decode(video=0) if frame.time is not None]
    live = [time for time in times if time >= times[0] + after_s]
    return Seen(
        _NAMES.get(video.lower(), video.lower()),
        _NAMES.get(audio.lower(), audio.lower()),
        (len(live) - 1) / (live[-1] - live[0]) if len(live) > 1 else 0.0,
        sound_minus_picture_s(recording, after_s=after_s),
        complaints,
    )


def _nothing(complaints: str) -> Seen:
    return Seen("nothing", "nothing", 0.0, (), complaints)


def _run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shlex.split(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS + _START_S,
    )
