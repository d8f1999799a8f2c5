"""Real players, run without a screen, and what they say that they have played."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.interop.serving import COMMAND

Protocol = Literal["udp", "tcp"]

START_S = 15.0
"""How long a player may take on top of what it plays."""

_NOBODY = 65534
_SILENCE_US = 5_000_000
"""FFmpeg's -timeout."""


@dataclass
class Played:
    """What a player has shown and sounded."""

    picture_times_s: list[float] = field(default_factory=list)
    """When each picture was to be shown, where the player tells."""
    pictures: int = 0
    sound_s: float = 0.0
    complaints: str = ""
    """What the player wrote to stderr."""

    @property
    def frame_rate(self) -> float:
        """Pictures a second, once the player has caught up with live (2 s)."""
        begin = self.picture_times_s[0] + 2
        times = [time for time in self.picture_times_s if time >= begin]
        return (len(times) - 1) / (times[-1] - times[0])


def ffmpeg(url: str, protocol: Protocol, seconds: float) -> Played:
    """FFmpeg, which decodes both tracks and writes down every frame."""
    done = _run(
        [
            *f"ffprobe -v warning -rtsp_transport {protocol} -timeout {_SILENCE_US}".split(),
            *f"-read_intervals %+{seconds} -show_frames -of json -show_entries".split(),
            "frame=media_type,best_effort_timestamp_time,nb_samples",
            url,
        ],
        seconds,
    )
    said = json.loads(done.stdout)
    played = Played(complaints=done.stderr)
    for frame in said["frames"]:
        if frame["media_type"] == "video":
            played.pictures += 1
            if "best_effort_timestamp_time" in frame:
                played.picture_times_s.append(float(frame["best_effort_timestamp_time"]))
        elif frame["media_type"] == "audio":
            played.sound_s += int(frame["nb_samples"]) / 48_000
    return played


def ffmpeg_record(url: str, protocol: Protocol, seconds: float, path: Path) -> None:
    """FFmpeg, which decodes what comes and writes it to a file, small pictures and all sound.

    It can't write B-frames as they come (`-c copy`): it knows no timestamp of a first picture.
    """
    done = _run(
        [
            *f"ffmpeg -v warning -y -rtsp_transport {protocol} -timeout {_SILENCE_US}".split(),
            *f"-i {url} -t {seconds} -fps_mode passthrough".split(),
            *["-vf", "scale=32:18,format=gray", "-c:v", "ffv1", "-c:a", "pcm_s16le"],
            str(path),
        ],
        seconds,
    )
    assert done.returncode == 0, done.stderr


_GST_FRAME = re.compile(r"(picture|sound): last-message = chain .*?duration: (\d+):(\d+):([\d.]+)")


def gstreamer(url: str, protocol: Protocol, seconds: float) -> Played:
    """GStreamer: whatever it puts together by itself for the URL, in step with the clock."""
    scheme = {"udp": "rtspu", "tcp": "rtspt"}[protocol]
    sink = "fakesink silent=false sync=true"
    longer = seconds + 2  # rtspsrc's latency
    done = _run(
        f"""
        timeout --signal=INT --kill-after=5 {longer} gst-launch-1.0 -v
            uridecodebin name=d uri={url.replace("rtsp", scheme, 1)}
            d. ! video/x-raw ! queue ! {sink} name=picture
            d. ! audio/x-raw ! queue ! {sink} name=sound
        """.split(),
        seconds,
    )
    played = Played(complaints=done.stderr)
    for kind, hours, minutes, rest in _GST_FRAME.findall(done.stdout):
        if kind == "picture":
            played.pictures += 1
        else:
            played.sound_s += int(hours) * 3600 + int(minutes) * 60 + float(rest)
    return played


def vlc_has_rtsp() -> bool:
    """Whether VLC can open RTSP at all: Debian builds it without live555."""
    done = _run(["cvlc", "--intf", "dummy", "--list", "vlc://quit"], 0)
    return "live555" in done.stdout


def vlc(url: str, protocol: Protocol, seconds: float, folder: Path) -> Played:
    """VLC: every picture it shows becomes a file in `folder`, and so does its sound."""
    folder.mkdir()
    environment = {**os.environ, "HOME": str(folder)}
    as_user: list[str] = []
    if os.geteuid() == 0:  # VLC refuses to run as root
        as_user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        shutil.chown(folder, _NOBODY, _NOBODY)
    sound = folder / "sound.wav"
    done = _run(
        [
            *as_user,
            *("cvlc", "--intf", "dummy", "--no-color", "--no-osd", "--network-caching=300"),
            *(["--rtsp-tcp"] if protocol == "tcp" else []),
            *("--vout", "dummy", "--video-filter", "scene"),
            *("--scene-ratio", "1", "--scene-format", "jpg"),
            *("--scene-path", str(folder), "--scene-prefix", "picture"),
            *("--aout", "afile", "--audiofile-file", str(sound)),
            *("--run-time", str(seconds), url, "vlc://quit"),
        ],
        seconds,
        environment,
    )
    played = Played(complaints=done.stderr, pictures=len(list(folder.glob("picture*.jpg"))))
    if sound.exists():
        # The header's length is only right if VLC came to the end: count bytes instead.
        with wave.open(str(sound)) as header:
            bytes_a_second = header.getframerate() * header.getnchannels() * header.getsampwidth()
        played.sound_s = (sound.stat().st_size - 44) / bytes_a_second
    return played


_OPENCV = """
import json, sys, cv2
capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG)
times, shape = [], None
while capture.isOpened() and (not times or times[-1] - times[0] < float(sys.argv[2])):
    got, picture = capture.read()
    if not got:
        break
    shape = picture.shape
    times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
print(json.dumps([times, shape]))
"""


def opencv(url: str, protocol: Protocol, seconds: float) -> Played:
    """`cv2.VideoCapture`, which has no sound."""
    done = _run(
        [sys.executable, "-c", _OPENCV, url, str(seconds)],
        seconds,
        {**os.environ, "OPENCV_FFMPEG_CAPTURE_OPTIONS": f"rtsp_transport;{protocol}"},
    )
    times, shape = json.loads(done.stdout)
    assert shape[2] == 3, shape
    return Played(picture_times_s=times, pictures=len(times), complaints=done.stderr)


def probe(url: str, transport: str, seconds: float) -> dict[str, Any]:
    """Our own `streamsocket probe`."""
    done = _run(
        [*COMMAND, "probe", url, "--json", "--transport", transport, "--seconds", str(seconds)],
        seconds,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _run(
    command: Sequence[str], seconds: float, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + START_S,
        env=environment,
    )
