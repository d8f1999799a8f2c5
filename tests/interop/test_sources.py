"""Movies of every kind arrive as they are: every picture, all sound, at their own pace."""

from __future__ import annotations

import json
import subprocess
import time
from bisect import bisect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, pairwise
from statistics import mean
from typing import Any

import pytest
from tests.interop import players
from tests.interop.movies import MOVIES, MovieShelf
from tests.interop.serving import RunningServer, serving
from tests.interop.witness import MIXED, TCP, UDP, TrackRecord, Witness

JOINED_S = 2.0
"""After this, whoever has joined is live, and times are no longer squeezed."""
WATCHED_S = 9.0
"""Long enough for a whole pass of each movie after that, and a border between two."""
TOLERANCE_S = 0.0015
"""Matroska counts milliseconds."""
WITH_PICTURE = [name for name, movie in MOVIES.items() if movie.rate]
WITH_SOUND = [name for name, movie in MOVIES.items() if movie.audio]


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(*(f"{name}={movies[name]}" for name in MOVIES)) as running:
        yield running


@pytest.fixture(scope="module")
def witnesses(server: RunningServer) -> dict[str, Witness]:
    """Every stream, watched for some seconds, over one transport or another."""
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(Witness(server.url(name), protocols))
            for name, protocols in zip(MOVIES, cycle((MIXED, UDP, TCP)), strict=False)
        }
        time.sleep(WATCHED_S)
    return found


@dataclass
class Decoded:
    """FFmpeg's description of the tracks by kind, and what it wrote to stderr."""

    tracks: dict[str, dict[str, Any]]
    complaints: str


@pytest.fixture(scope="module")
def decoded(server: RunningServer) -> dict[str, Decoded]:
    """What FFmpeg makes of every stream."""

    def decode(name: str) -> Decoded:
        done = subprocess.run(
            [
                *["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-timeout", "5000000"],
                *["-read_intervals", "%+2", "-count_frames", "-show_streams", "-of", "json"],
                server.url(name),
            ],
            capture_output=True,
            text=True,
            timeout=20,
        )
        tracks = {track["codec_type"]: track for track in json.loads(done.stdout)["streams"]}
        return Decoded(tracks, done.stderr)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(MOVIES, pool.map(decode, MOVIES), strict=True))


def live(witness: Witness, kind: str) -> list[float]:
    """When each access unit is shown, in order, of those that came after joining."""
    track = witness.tracks[kind]
    first = bisect(track.arrivals, track.arrivals[0] + JOINED_S)
    return TrackRecord(track.media, timestamps=track.timestamps[first:]).shown_s


def uneven_steps(times: list[float], step: float) -> list[float]:
    """The distances that are not `step`, without what an edit list hides: that goes by at once."""
    found = (later - earlier for earlier, later in pairwise(times))
    return [each for each in found if each > 0.001 and abs(each - step) > TOLERANCE_S]


def seams(name: str) -> int:
    """How often the movie can begin again while it is watched live."""
    return int((WATCHED_S - JOINED_S) / float(MOVIES[name].seconds)) + 1


@pytest.mark.parametrize("name", MOVIES)
def test_nothing_is_lost_on_the_way(name: str, witnesses: dict[str, Witness]) -> None:
    movie = MOVIES[name]
    pause_s = float(abs((movie.audio_seconds or movie.seconds) - movie.seconds))
    witnesses[name].has_seen_all(silence_s=0.5 + pause_s)


@pytest.mark.parametrize("name", [name for name in WITH_PICTURE if not MOVIES[name].is_uneven])
def test_pictures_keep_their_distance(name: str, witnesses: dict[str, Witness]) -> None:
    rate = MOVIES[name].rate
    assert rate
    step = float(1 / rate)
    uneven = uneven_steps(live(witnesses[name], "video"), step)
    # Where a pass ends, the picture may have to wait for the rest of the sound.
    assert all(each > step for each in uneven), uneven
    assert len(uneven) <= seams(name), uneven


def test_a_variable_frame_rate_stays_what_it_is(witnesses: dict[str, Witness]) -> None:
    times = live(witnesses["vfr"], "video")
    found = [later - earlier for earlier, later in pairwise(times)]
    assert {round(each * 48) for each in found} == {1, 3}
    assert all(
        first + second == pytest.approx(4 / 48, abs=1e-4) for first, second in pairwise(found)
    )


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_every_pass_lasts_the_same_and_shows_all_pictures(
    name: str, witnesses: dict[str, Witness]
) -> None:
    movie = MOVIES[name]
    assert movie.rate
    # The edit list hides the half second after the keyframe at 1 s, but players get it to decode.
    seconds = movie.seconds - 1 if name == "edit_list" else movie.seconds
    pictures = seconds * movie.rate / (2 if movie.is_uneven else 1)
    times = live(witnesses[name], "video")
    whole = round(pictures)
    periods = [later - earlier for earlier, later in zip(times, times[whole:], strict=False)]
    assert len(periods) > movie.rate / 2
    assert max(periods) - min(periods) < TOLERANCE_S, (min(periods), max(periods))
    longest = 4.5 if name == "edit_list" else float(max(movie.seconds, movie.audio_seconds or 0))
    assert longest - 1024 / 48_000 / 2 <= periods[0] < longest + 0.1


@pytest.mark.parametrize("name", WITH_SOUND)
def test_sound_goes_on_without_a_gap(name: str, witnesses: dict[str, Witness]) -> None:
    step = 960 / 48_000 if MOVIES[name].audio == "libopus" else 1024 / 48_000
    uneven = uneven_steps(live(witnesses[name], "audio"), step)
    # A pass need not end where a frame of sound does: the last is cut short, or left out.
    assert all(each < 1.5 * step for each in uneven), uneven
    assert len(uneven) <= seams(name), uneven


@pytest.mark.parametrize("name", MOVIES)
def test_it_comes_at_its_own_pace(name: str, witnesses: dict[str, Witness]) -> None:
    for track in witnesses[name].tracks.values():
        first = bisect(track.arrivals, track.arrivals[0] + JOINED_S)
        shown = TrackRecord(track.media, timestamps=track.timestamps[first:]).packet_times_s
        arrived = track.arrivals[first:]
        # Means of some packets, as B-frames come in another order than they are shown.
        media_s = mean(shown[-50:]) - mean(shown[:50])
        wall_clock_s = mean(arrived[-50:]) - mean(arrived[:50])
        assert media_s == pytest.approx(wall_clock_s, abs=0.1), track.media.kind


@pytest.mark.parametrize("name", MOVIES)
def test_it_can_be_decoded_as_what_it_is(name: str, decoded: dict[str, Decoded]) -> None:
    movie = MOVIES[name]
    found = decoded[name]
    assert not found.complaints
    assert ("video" in found.tracks, "audio" in found.tracks) == (
        bool(movie.rate),
        bool(movie.audio),
    )
    if movie.rate:
        video = found.tracks["video"]
        size = "180x320" if name == "rotated" else movie.size
        assert (video["codec_name"], f"{video['width']}x{video['height']}") == ("h264", size)
        assert int(video["nb_read_frames"]) >= movie.rate
    if movie.audio:
        audio = found.tracks["audio"]
        codec = "opus" if movie.audio == "libopus" else "aac"
        assert (audio["codec_name"], audio["channels"]) == (codec, movie.channels)
        assert int(audio["nb_read_frames"]) >= 50


@pytest.mark.parametrize(
    ("name", "word"), [("vp9_mp3", "VP9"), ("vp9_mp3", "MP3"), ("rotated", "90°")]
)
def test_what_is_transcoded_is_said_and_why(name: str, word: str, server: RunningServer) -> None:
    message = server.stream(name)["message"]
    assert "transcoded" in message
    assert word.lower() in message.lower()
    assert message in server.output()


def test_what_is_passed_on_needs_no_words(server: RunningServer) -> None:
    assert server.stream("pal")["message"] is None


def test_once_ends_the_stream_the_players_and_the_server(movies: MovieShelf) -> None:
    with serving(f"movie={movies['pal']}", options=["--once"]) as server:
        with Witness(server.url("movie"), MIXED) as witness, ThreadPoolExecutor(1) as pool:
            playing = pool.submit(players.ffmpeg, server.url("movie"), "tcp", 60)
            witness.wait_for_end(10)
            # FFmpeg ends by itself, at the stream's end rather than at its own.
            played = playing.result()
        server.wait_for_end()
    witness.has_seen_all()
    assert {kind: track.byes for kind, track in witness.tracks.items()} == {"video": 1, "audio": 1}
    assert played.pictures > 50
