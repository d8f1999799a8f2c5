"""The index of recordings, as it may be found on a disk."""

import tempfile
from pathlib import Path

from streamsocket.record.index import INDEX_NAME, Index, read_index

SEEDS = [
    b'{"event": "begin", "path": "lobby/1.mp4", "stream": "lobby", "began": 1.5, "tracks": ["h"]}\n'
    b'{"event": "end", "path": "lobby/1.mp4", "ended": 2.5, "duration_s": 1, "bytes": 7, '
    b'"reason": "rotated"}\n{"event": "removed", "path": "lobby/1.mp4"}\n',
    b'{"event": "begin", "path": "../1.mp4", "stream": "lobby", "began": NaN, "tracks": []}\n{"eve',
]


def fuzz_one(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / INDEX_NAME).write_bytes(data)
        for each in read_index(root):
            assert root in (root / each.path).resolve().parents
        Index(root).repair()
        assert read_index(root) == []  # there are no files
