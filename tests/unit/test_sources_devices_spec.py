"""What a user writes to name a device."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from streamsocket.errors import ParseError, SourceError
from streamsocket.sources.devices.spec import CaptureSpec, PictureSpec, SoundSpec
from streamsocket.sources.encoding import Encoding
from streamsocket.sources.spec import FileSpec, parse_source, spec_from_json, spec_to_json

CAMERA, SCREEN, MIC = PictureSpec("camera"), PictureSpec("screen"), SoundSpec()


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("camera", "camera", CaptureSpec(CAMERA, None)),
        ("camera:1", "camera", CaptureSpec(PictureSpec("camera", "1"), None)),
        ("camera:/dev/video2", "camera", CaptureSpec(PictureSpec("camera", "/dev/video2"), None)),
        ("mic", "mic", CaptureSpec(None, MIC)),
        ("mic:USB+Audio: A", "mic", CaptureSpec(None, SoundSpec("USB+Audio: A"))),
        ("screen", "screen", CaptureSpec(SCREEN, None)),
        ("screen:1", "screen", CaptureSpec(PictureSpec("screen", "1"), None)),
        ("camera+mic", "camera", CaptureSpec(CAMERA, MIC)),
        ("mic+camera", "camera", CaptureSpec(CAMERA, MIC)),
        ("screen+mic", "screen", CaptureSpec(SCREEN, MIC)),
        ("camera:1+mic:2", "camera", CaptureSpec(PictureSpec("camera", "1"), SoundSpec("2"))),
        ("me=camera+mic", "me", CaptureSpec(CAMERA, MIC)),
    ],
)
def test_devices(text: str, name: str, spec: CaptureSpec) -> None:
    assert parse_source(text) == (name, spec)
    # A server reads its sources once more from what it was told.
    assert parse_source(spec.text)[1] == spec


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("camera:", "'camera:' names no device: write camera, screen, mic"),
        ("camera+", "names no device"),
        ("camera+sound", "names no device"),
        ("mic:A+", "names no device"),
        ("camera+screen", "one picture and one sound"),
        ("camera+camera:1", "one picture and one sound"),
        ("mic+mic:1", "one picture and one sound"),
        ("x" * 3000, "no file"),
        ("lavfi", "no file 'lavfi'"),
        ("lavfi:testsrc", "no file"),
        ("cameras", "no file"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        parse_source(text)
    assert str(caught.value).endswith(".")


def test_a_file_of_that_name_is_taken_first() -> None:
    Path("camera").touch()
    assert parse_source("camera") == ("camera", FileSpec("camera"))


def test_what_is_asked_of_the_encoding_goes_along() -> None:
    encoding = Encoding(size=(640, 360), fps=Fraction(25), audio_codec="aac")
    _, spec = parse_source("camera+mic", encoding=encoding)
    assert spec == CaptureSpec(CAMERA, MIC, encoding)


@pytest.mark.parametrize(
    "spec",
    [
        CaptureSpec(CAMERA, MIC, Encoding(fps=Fraction(30_000, 1001))),
        CaptureSpec(PictureSpec("screen", "Left"), None),
        CaptureSpec(None, SoundSpec("ä")),
    ],
)
def test_a_spec_travels_as_json(spec: CaptureSpec) -> None:
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize(
    "change", ['"picture": ["eye", ""]', '"picture": 3', '"sound": []', '"picture": null, "x": 0']
)
def test_json_that_is_no_spec_is_refused(change: str) -> None:
    text = '{"kind": "capture", "sound": null, "encoding": {}, ' + change + "}"
    with pytest.raises(ParseError):
        spec_from_json(text)
