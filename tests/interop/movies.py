"""Movies of every kind that the server must be able to pass on, made by FFmpeg.

Small, four seconds long where nothing else is said, with a white flash of one frame and a beep
that starts with it, once a second: what is played can be checked for sync by anybody's decoder.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

BEEP_S = 0.1


@dataclass(frozen=True)
class Movie:
    """How to make a movie, and what players should find in it."""

    rate: Fraction | None = Fraction(25)
    """Frames a second; None without a picture."""
    video: str = "libx264"
    audio: str | None = "aac"
    channels: int = 2
    seconds: Fraction = Fraction(4)
    audio_seconds: Fraction | None = None
    """Where the sound is longer or shorter than the picture."""
    b_frames: int = 0
    gop_s: float = 1.0
    size: str = "320x180"
    suffix: str = ".mp4"
    is_uneven: bool = False
    """A variable frame rate: only the first two of every four frames."""
    hiss: float = 0.0
    """How loud the sound is between the beeps, of 1: encoders make next to nothing of silence."""
    changes: tuple[tuple[str, ...], ...] = ()
    """Options of further FFmpeg runs that copy the tracks."""


MOVIES = {
    "film": Movie(Fraction(24000, 1001)),
    "pal": Movie(Fraction(25)),
    "ntsc": Movie(Fraction(30000, 1001), seconds=Fraction(4004, 1000)),
    "sixty": Movie(Fraction(60)),
    "vfr": Movie(Fraction(48), is_uneven=True),
    "b_frames": Movie(b_frames=3),
    "opus": Movie(audio="libopus", suffix=".mkv"),
    "surround": Movie(channels=6),
    "sound_only": Movie(None),
    "picture_only": Movie(audio=None),
    "vp9_mp3": Movie(video="libvpx-vp9", audio="libmp3lame", suffix=".mkv"),
    "long_sound": Movie(seconds=Fraction(2), audio_seconds=Fraction(3)),
    "rotated": Movie(changes=(("-metadata:s:v:0", "rotate=90"),)),
    "edit_list": Movie(b_frames=2, seconds=Fraction(6), changes=(("-ss", "1.5"),)),
    "mpegts": Movie(b_frames=2, suffix=".ts"),
    "short": Movie(seconds=Fraction(2)),
    "second": Movie(Fraction(25), seconds=Fraction(1)),
    "uneven": Movie(Fraction(30000, 1001), seconds=Fraction(45 * 1001, 30000)),
    "large": Movie(Fraction(30), size="1280x720"),
}


class MovieShelf:
    """Makes each movie once, when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> Path:
        movie = MOVIES[name]
        path = self._folder / f"{name}{movie.suffix}"
        if not path.exists():
            make(movie, path)
        return path


def make(movie: Movie, path: Path) -> None:
    """Make the movie at `path`."""
    first = path.with_stem(f"{path.stem}.0") if movie.changes else path
    _ffmpeg(*_picture(movie), *_sound(movie), *_coding(movie), str(first))
    for number, change in enumerate(movie.changes, 1):
        last = number == len(movie.changes)
        target = path if last else path.with_stem(f"{path.stem}.{number}")
        seek = change if change[0] == "-ss" else ()
        after = () if seek else change
        _ffmpeg(*seek, "-i", str(first), "-c", "copy", *after, str(target))
        first = target


def _picture(movie: Movie) -> list[str]:
    if movie.rate is None:
        return []
    flash = f"lt(mod(t+0.001,1),{float(1 / movie.rate):.6f})"
    source = f"testsrc2=size={movie.size}:rate={movie.rate}:duration={float(movie.seconds)}"
    source += f",drawbox=t=fill:c=white:enable='{flash}'"
    if movie.is_uneven:
        source += ",select='lt(mod(n,4),2)'"
    return ["-f", "lavfi", "-i", source]


def _sound(movie: Movie) -> list[str]:
    if movie.audio is None:
        return []
    seconds = float(movie.audio_seconds or movie.seconds)
    layout = {2: "stereo", 6: "5.1"}[movie.channels]
    beep = f"0.6*sin(2*PI*1000*t)*lt(mod(t,1),{BEEP_S})+{movie.hiss}*(2*random(0)-1)"
    beeps = "|".join([beep] * movie.channels)
    return ["-f", "lavfi", "-i", f"aevalsrc='{beeps}':s=48000:c={layout}:d={seconds}"]


def _coding(movie: Movie) -> list[str]:
    options = []
    if movie.rate is not None:
        options += ["-c:v", movie.video, "-pix_fmt", "yuv420p"]
        options += ["-g", str(round(movie.gop_s * movie.rate)), "-fps_mode", "passthrough"]
        if movie.video == "libx264":
            options += ["-preset", "veryfast", "-bf", str(movie.b_frames)]
            options += ["-x264-params", "b-adapt=0:scenecut=0"]
        else:
            options += ["-b:v", "300k", "-cpu-used", "8", "-deadline", "realtime"]
    if movie.audio is not None:
        options += ["-c:a", movie.audio]
    return options


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, timeout=60)
