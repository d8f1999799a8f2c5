"""The index of recordings: what it remembers, through everything that may happen to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.record import index as index_module
from streamsocket.record.index import INDEX_NAME, Index, Recorded, read_index

TRACKS = ("h264 1280x720", "opus 48 kHz stereo")


def begin(index: Index, path: str, *, began: float = 1000.0) -> Recorded:
    recording = Recorded(path, "live/lobby", began, TRACKS)
    index.begin(recording)
    file = index.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"picture")
    return recording


def end(index: Index, path: str) -> None:
    index.end(path, ended=1060.0, duration_s=60.0, size=7, reason="rotated")


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    index = Index(tmp_path)
    begin(index, "live/lobby/1.mp4")
    end(index, "live/lobby/1.mp4")
    begin(index, "live/lobby/2.mp4", began=1060.0)
    assert list(Index(tmp_path).recordings.values()) == read_index(tmp_path)
    assert read_index(tmp_path) == [
        Recorded("live/lobby/1.mp4", "live/lobby", 1000, TRACKS, 1060, 60, 7, "rotated"),
        Recorded("live/lobby/2.mp4", "live/lobby", 1060, TRACKS),
    ]


def test_it_is_only_ever_appended_to(tmp_path: Path) -> None:
    index = Index(tmp_path)
    file = tmp_path / INDEX_NAME
    said = b""
    begin(index, "1.mp4")
    for change in (lambda: end(index, "1.mp4"), lambda: index.delete(index.recordings["1.mp4"])):
        said = file.read_bytes()
        change()
        assert file.read_bytes().startswith(said)
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == [
        "begin",
        "end",
        "removed",
    ]


def test_what_a_killed_process_left_is_repaired(tmp_path: Path) -> None:
    index = Index(tmp_path)
    begin(index, "whole.mp4")
    end(index, "whole.mp4")
    begin(index, "cut.mp4")
    os.utime(tmp_path / "cut.mp4", (1234.0, 1234.0))
    begin(index, "gone.mp4")
    (tmp_path / "gone.mp4").unlink()
    again = Index(tmp_path)
    [repaired] = again.repair()
    assert repaired == Recorded(
        "cut.mp4", "live/lobby", 1000, TRACKS, 1234.0, 234.0, 7, "interrupted"
    )
    assert again.repair() == []
    assert [each.path for each in read_index(tmp_path)] == ["whole.mp4", "cut.mp4"]


def test_what_users_deleted_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    index = Index(tmp_path)
    begin(index, "1.mp4")
    end(index, "1.mp4")
    (tmp_path / "1.mp4").unlink()
    again = Index(tmp_path)
    again.repair()
    assert not again.recordings
    assert not read_index(tmp_path)


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    begin(Index(tmp_path), "1.mp4")
    with (tmp_path / INDEX_NAME).open("ab") as file:
        file.write(b'{"event": "end", "path": "1.m')
    index = Index(tmp_path)
    assert index.recordings["1.mp4"].ended is None
    begin(index, "2.mp4")
    assert [each.path for each in read_index(tmp_path)] == ["1.mp4", "2.mp4"]


def test_a_line_that_the_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    index = Index(tmp_path)
    begin(index, "1.mp4")
    index._torn = True  # what a failed write leaves behind
    with (tmp_path / INDEX_NAME).open("ab") as file:
        file.write(b'{"event": "e')
    end(index, "1.mp4")
    assert read_index(tmp_path)[0].reason == "rotated"


def test_deleting_takes_the_file_and_its_empty_folders_only(tmp_path: Path) -> None:
    index = Index(tmp_path)
    for path in ("a/b/1.mp4", "a/2.mp4"):
        begin(index, path)
        end(index, path)
    index.delete(index.recordings["a/b/1.mp4"])
    assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "2.mp4").exists()
    index.delete(index.recordings["a/2.mp4"])
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]


@pytest.mark.parametrize(
    "path", ["../x.mp4", "/etc/passwd", "a/../../x", "", "a//b", "a/\0", "c:x", "a\\b", "\ud800"]
)
def test_a_path_that_leads_elsewhere_is_not_believed(tmp_path: Path, path: str) -> None:
    line = {"event": "begin", "path": path, "stream": "x", "began": 1, "tracks": []}
    (tmp_path / INDEX_NAME).write_text(json.dumps(line))
    assert read_index(tmp_path) == []


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.dictionaries(
                st.sampled_from(["event", "path", "began", "tracks", "stream", "ended", "bytes"]),
                st.one_of(
                    st.sampled_from(["begin", "end", "removed", "a.mp4"]),
                    st.none(),
                    st.floats(),
                    st.lists(st.text(max_size=3), max_size=2),
                ),
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=20,
    )
)
def test_whatever_is_in_it_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("index")
    (folder / INDEX_NAME).write_bytes(b"\n".join(lines))
    Index(folder).repair()
    for each in read_index(folder):
        assert ".." not in each.path


def test_no_more_is_read_than_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(tmp_path)
    for number in range(100):
        begin(index, f"{number}.mp4")
    monkeypatch.setattr(index_module, "MAX_INDEX_BYTES", 1000)
    read = [each.path for each in read_index(tmp_path)]
    assert 3 < len(read) < 20
    assert read[-1] == "99.mp4"


def test_an_index_full_of_what_is_deleted_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path)
    for number in range(40):
        begin(index, f"{number}.mp4")
        end(index, f"{number}.mp4")
    for number in range(38):
        index.delete(index.recordings[f"{number}.mp4"])
    before = read_index(tmp_path)
    monkeypatch.setattr(index_module, "_TIDY_BYTES", 1000)
    again = Index(tmp_path)
    assert len((tmp_path / INDEX_NAME).read_bytes().splitlines()) == 4
    assert list(again.recordings.values()) == read_index(tmp_path) == before
    begin(again, "new.mp4")
    assert len(read_index(tmp_path)) == 3
