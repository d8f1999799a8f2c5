"""Everybody who plays what was published, and what they have made of it."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import av
from tests.interop import players
from tests.interop.sync import sound_minus_picture_s

SECONDS = 5.0
_JOINED_S = 2.0
"""After this, who has joined is live, and times are no longer squeezed."""
_REPORTED_S = 2.0
"""After this, GStreamer has had a sender report that is newer than its first packet."""
_START_S = 15.0
_SILENCE_US = 5_000_000
"""FFmpeg's -timeout."""

_SYNC_S = 0.015
_MISSING = 0.1
"""So many pictures may be missing: a live encoder leaves some out where the machine is too busy."""

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

    codecs: tuple[str, str] | None
    """Of picture and sound, by our names; None where the player doesn't tell."""
    frame_rate: float
    sound_minus_picture_s: Sequence[float] | None
    """At each flash; None where the player doesn't tell."""
    complaints: str = ""

    def faults(self, codecs: tuple[str, str], rate: float, sound_delay_s: float) -> list[str]:
        """Everything that is not as it was published, with its sound so much later."""
        found = []
        if self.codecs not in (None, codecs):
            found.append(f"the codecs are {self.codecs}")
        if abs(self.frame_rate / rate - 1) > _MISSING:
            found.append(f"{self.frame_rate:.2f} pictures a second instead of {rate}")
        if self.sound_minus_picture_s is not None:
            offsets = [offset - sound_delay_s for offset in self.sound_minus_picture_s]
            written = ", ".join(f"{offset * 1000:.1f}" for offset in offsets)
            if len(offsets) < 2:
                found.append(f"of flashes with a beep there are {len(offsets)} ({written} ms)")
            elif abs(median(offsets)) > _SYNC_S:
                found.append(f"the sound begins {written} ms after the picture")
        if self.complaints:
            found.append(f"it complains: {self.complaints[-600:]}")
        return found


def ffmpeg(url: str, transport: str, recording: Path) -> Seen:
    """FFmpeg, which decodes both tracks."""
    done = _run(
        f"ffmpeg -nostdin -v info -nostats -rtsp_transport {transport} -timeout {_SILENCE_US} "
        f"-i {url} -t {SECONDS} -fps_mode passthrough -enc_time_base 1:90000 "
        f"-vf scale=32:18,format=gray -c:v rawvideo -c:a pcm_s16le -y {recording}.nut"
    )
    heading = done.stderr.partition("Stream mapping:")[0]
    video = re.search(r"Stream #0:\d: Video: (\w+)", heading)
    audio = re.search(r"Stream #0:\d: Audio: (\w+)", heading)
    if done.returncode or not video or not audio:
        return _nothing(done.stderr)
    return _seen(video[1], audio[1], recording.with_suffix(".nut"), _JOINED_S)


def gstreamer(url: str, transport: str, recording: Path) -> Seen:
    """GStreamer: what it puts together by itself for the stream.

    It plays by timestamps alone (`synced`): by default it slides them along with the arrivals, and
    it would be measured how busy this machine is.
    """
    command = shlex.split(
        f"gst-launch-1.0 -e -v matroskamux name=m streamable=true "
        f"! filesink location={recording}.mkv "
        f"rtspsrc name=s location={url} protocols={transport} buffer-mode=synced latency=1000 "
        "s. ! application/x-rtp,media=video ! queue ! decodebin ! videoconvert ! videoscale "
        "! video/x-raw,format=GRAY8,width=32,height=18 ! identity silent=false ! queue ! m. "
        "s. ! application/x-rtp,media=audio ! queue ! decodebin ! audioconvert "
        "! audio/x-raw,format=S16LE ! queue ! m."
    )
    said, complaints = _play_until(command, _REPORTED_S + SECONDS - _JOINED_S)
    video = _GST_CODEC["video"].search(said)
    audio = _GST_CODEC["audio"].search(said)
    if not video or not audio:
        return _nothing(complaints)
    return _seen(video[1], audio[1], recording.with_suffix(".mkv"), _REPORTED_S, complaints)


_GST_CODEC = {
    kind: re.compile(rf"media=\(string\){kind}\b.*?encoding-name=\(string\)([\w-]+)")
    for kind in ("video", "audio")
}
_GST_PICTURE = re.compile(r"last-message = chain .*?pts: (\d+):(\d+):([\d.]+)")


def _play_until(command: list[str], seconds: float) -> tuple[str, str]:
    """Run GStreamer for so long by the pictures' times; what it says, and complains of."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    too_late = threading.Timer(SECONDS + _START_S, process.kill)
    too_late.start()
    said, first = "", None
    try:
        assert process.stdout
        for line in process.stdout:
            if not (picture := _GST_PICTURE.search(line)):
                said += line
                continue
            shown = int(picture[1]) * 3600 + int(picture[2]) * 60 + float(picture[3])
            first = shown if first is None else first
            if shown - first >= seconds:
                process.send_signal(signal.SIGINT)
                break
        _, stderr = process.communicate(timeout=_START_S)
    finally:
        too_late.cancel()
        too_late.join()
        process.kill()
        process.wait()
    lines = [line for line in stderr.splitlines() if line.startswith(("ERROR", "WARNING"))]
    if first is None:
        return "", "; ".join(["no picture came", *lines])
    return said, "; ".join(lines)


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
        (video["codec"], audio["codec"]),
        video["media_frame_rate"] or 0.0,
        [sync["p50_ms"] / 1000] * sync["n"] if sync else [],
        "; ".join(complaints),
    )


def vlc(url: str, transport: str, recording: Path) -> Seen:
    """VLC, which tells neither codecs nor times."""
    folder = recording.with_name(f"{recording.name}-{time.monotonic_ns()}")
    played = players.vlc(url, "udp" if transport == "udp" else "tcp", SECONDS, folder)
    heard = played.sound_s / SECONDS
    silence = f"{played.sound_s:.1f} s of sound" if not 0.6 < heard < 1.4 else ""
    return Seen(None, played.pictures / SECONDS, None, silence)


PLAYERS: dict[str, Callable[[str, str, Path], Seen]] = {
    "ffmpeg": ffmpeg,
    "gstreamer": gstreamer,
    "vlc": vlc,
    "ours": ours,
}


def _seen(video: str, audio: str, recording: Path, after_s: float, complaints: str = "") -> Seen:
    with av.open(str(recording)) as movie:
        times = [frame.time for frame in movie.decode(video=0) if frame.time is not None]
    live = [time for time in times if time >= times[0] + after_s]
    steps = [later - earlier for earlier, later in pairwise(live)]
    # Pictures crowd where a sender report has put back GStreamer's clock.
    steps = [step for step in steps if step > median(steps) / 2]
    return Seen(
        (_NAMES.get(video.lower(), video.lower()), _NAMES.get(audio.lower(), audio.lower())),
        len(steps) / sum(steps) if steps else 0.0,
        sound_minus_picture_s(recording, after_s=after_s),
        complaints,
    )


def _nothing(complaints: str) -> Seen:
    return Seen(None, 0.0, (), complaints)


def _run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shlex.split(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS + _START_S,
    )
