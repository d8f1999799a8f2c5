"""Where recordings go: path patterns and what becomes of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePath
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import SettingsError
from streamsocket.record.naming import DEFAULT_PATTERN, parse_pattern, unused

BEGAN = datetime(2026, 11, 21, 13, 5, 9, tzinfo=timezone(timedelta(hours=1)))


def named(pattern: str, name: str = "live/lobby", began: datetime = BEGAN) -> str:
    parsed = parse_pattern(pattern)
    return (parsed.root / parsed.relative(name, began)).as_posix()


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (DEFAULT_PATTERN, "recordings/live/lobby/2026-11-21_13-05-09.mp4"),
        ("rec/{time}-{name}.mkv", "rec/2026-11-21_13-05-09-live/lobby.mkv"),
        ("{name}_{time:%H%M%S%z}.mp4", "live/lobby_130509+0100.mp4"),
        ("/srv/cam/{time:%Y/%m/%d}/{name}.mp4", "/srv/cam/2026/11/21/live/lobby.mp4"),
        ("/{name}{time}.mp4", "/live/lobby2026-11-21_13-05-09.mp4"),
        ("../rec/x{{1}}-{time:%j%%}.mp4", "../rec/x{1}-325%.mp4"),
        ("rec/{time:%H:%M}.MP4", "rec/13-05.MP4"),
    ],
)
def test_patterns_give_paths(pattern: str, path: str) -> None:
    assert named(pattern) == path


def test_the_root_is_what_comes_before_the_first_placeholder() -> None:
    assert parse_pattern(DEFAULT_PATTERN).root == PurePath("recordings")
    assert parse_pattern("{name}/{time}.mp4").root == PurePath(".")
    assert parse_pattern("a/b/c-{time}.mp4").root == PurePath("a/b")
    assert parse_pattern("/{time}.mp4").root == PurePath("/")


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("rec/{name}/{time}.avi", "must end with .mp4 or .mkv"),
        ("rec/{time}", "must end with .mp4 or .mkv"),
        ("rec/{name}.mp4", "needs a {time}"),
        ("rec/{time.mp4", "A brace is left open"),
        ("rec/{camera}/{time}.mp4", r"placeholder \{camera\} is unknown"),
        ("rec/{}/{time}.mp4", "placeholder {} is unknown"),
        ("rec/{name!r}/{time}.mp4", "is unknown"),
        ("rec/{name:>20}/{time}.mp4", "is unknown"),
        ("rec/{time.year}.mp4", "is unknown"),
        ("rec/{time:%9999999Y}.mp4", "cannot have '%9'"),
        ("rec/{time:%}.mp4", "cannot have '%'"),
        ("rec/{name}/../{time}.mp4", "A '..' may not come after a placeholder"),
        ("a" * 600 + "{time}.mp4", "too long"),
    ],
)
def test_patterns_that_cannot_be_are_refused(pattern: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence.replace("{}", r"\{\}")):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "/etc/passwd", "", "a//b", "a\0b", "..", "a\\b"]
)
def test_a_name_that_no_stream_has_gives_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="no stream"):
        named(DEFAULT_PATTERN, name)


@given(st.text(max_size=80), st.text(alphabet="ab./~-_", max_size=30))
def test_nothing_leads_out_of_the_root(pattern: str, name: str) -> None:
    for text in (pattern, f"rec/{pattern}{{time}}.mp4", f"rec/{{name}}{pattern}{{time}}.mp4"):
        try:
            parsed = parse_pattern(text)
            relative = parsed.relative(name, BEGAN)
        except (SettingsError, ValueError):
            continue
        assert not relative.is_absolute()
        assert ".." not in relative.parts
        assert relative.suffix.lower() == parsed.suffix
        assert all(len(part.encode()) <= 200 for part in relative.parts)


def test_names_of_streams_are_cut_where_no_file_could_have_them() -> None:
    assert named("rec/{name}-{time}.mp4", "n" * 200) == f"rec/{'n' * 196}.mp4"


def test_what_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.b.mp4"
    assert unused(path) == path
    path.touch()
    assert unused(path).name == "a.b-2.mp4"
    (tmp_path / "a.b-2.mp4").touch()
    assert unused(path).name == "a.b-3.mp4"
    with pytest.raises(FileExistsError):
        unused(path, exists=lambda path: True)


def test_the_hour_that_the_clock_shows_twice_gives_two_names() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
    second = (first.astimezone(ZoneInfo("UTC")) + timedelta(hours=1)).astimezone(berlin)
    assert named("r/{time}.mp4", began=first) == named("r/{time}.mp4", began=second)
    there = {Path(named("r/{time}.mp4", began=first))}
    again = unused(Path(named("r/{time}.mp4", began=second)), there.__contains__)
    assert again.as_posix() == "r/2026-10-25_02-30-00-2.mp4"
    assert named("r/{time:%H%z}.mp4", began=first) != named("r/{time:%H%z}.mp4", began=second)
