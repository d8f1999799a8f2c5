"""What a user writes to name a source."""

from fractions import Fraction
from pathlib import Path

import pytest

from streamsocket.errors import ParseError, SourceError
from streamsocket.sources.spec import (
    FileSpec,
    SourceSpec,
    TestSpec,
    parse_source,
    spec_from_json,
    spec_to_json,
)


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("test", "test", TestSpec()),
        ("test:", "test", TestSpec()),
        ("test:1920x1080@60", "test", TestSpec(1920, 1080, Fraction(60))),
        ("test:640x360", "test", TestSpec(640, 360)),
        ("test:@25", "test", TestSpec(rate=Fraction(25))),
        ("test:@29.97", "test", TestSpec(rate=Fraction(30_000, 1001))),
        ("test:@24000/1001", "test", TestSpec(rate=Fraction(24_000, 1001))),
        ("live/lobby=test", "live/lobby", TestSpec()),
    ],
)
def test_the_test_pattern(text: str, name: str, spec: SourceSpec) -> None:
    assert parse_source(text) == (name, spec)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("movie.mp4", "movie"),
        ("My Holiday (2024).mov", "My-Holiday-2024"),
        ("Füße.mkv", "Fue"),
        ("映画.mp4", "movie"),
        ("a=b.mp4", "a-b"),
        ("test", "test"),
    ],
)
def test_a_file_names_its_stream_by_its_stem(file: str, name: str) -> None:
    Path(file).touch()
    assert parse_source(file) == (name, FileSpec(file))


def test_a_file_can_be_given_a_name_and_played_once() -> None:
    Path("movie.mp4").touch()
    assert parse_source("lobby=movie.mp4", loop=False) == ("lobby", FileSpec("movie.mp4", False))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing.mp4", "no file 'nothing.mp4'"),
        ("", "missing"),
        ("lobby=", "missing"),
        ("lob by=test", "cannot be a stream's name"),
        ("/lobby=test", "cannot be a stream's name"),
        ("../lobby=test", "cannot be a stream's name"),
        ("live/..=test", "cannot be a stream's name"),
        ("a//b=test", "cannot be a stream's name"),
        ("x" * 201 + "=test", "cannot be a stream's name"),
        ("test:large", "is no test pattern"),
        ("test:641x360", "must be even"),
        ("test:64x48", "from 160x90"),
        ("test:99999x2", "from 160x90"),
        ("test:@4", "5 to 240"),
        ("test:@241", "5 to 240"),
        ("test:@1/0", "5 to 240"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        parse_source(text)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "spec", [FileSpec("ä b.mp4", False), TestSpec(), TestSpec(640, 360, Fraction(24_000, 1001))]
)
def test_a_spec_travels_as_json(spec: SourceSpec) -> None:
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "test", "width": "x"}', "3"])
def test_json_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        spec_from_json(text)


def test_a_spec_is_told_as_it_was_written() -> None:
    assert TestSpec().text == "test"
    assert TestSpec(1920, 1080, Fraction(60)).text == "test:1920x1080@60"
    assert FileSpec("movie.mp4").text == "movie.mp4"
