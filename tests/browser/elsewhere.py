"""A browser on another machine, as far as network namespaces can play it.

The page comes from that machine's own `localhost`, by this file run there as a program:
`elsewhere.py EXECUTABLE` with the page on standard input, its reports as lines on standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.browser.browsers import Page, showing

_ROOT = Path(__file__).parents[2]


@contextmanager
def showing_elsewhere(prefix: Sequence[str], executable: str, html: str) -> Iterator[Page]:
    """Show a page in a browser of its own that `prefix` runs elsewhere, until the block ends."""
    page = Page()
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.browser.elsewhere", executable],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    assert process.stdin
    assert process.stdout
    lines = process.stdout
    reader = threading.Thread(
        target=lambda: page.reports.extend(json.loads(line) for line in lines), name="reports"
    )
    reader.start()
    try:
        process.stdin.write(json.dumps(html) + "\n")
        process.stdin.flush()
        yield page
    finally:
        process.stdin.close()  # which ends it
        process.wait(20)
        reader.join()
        process.stdout.close()


def _show(executable: str) -> None:
    html = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with showing(executable, html) as page:
        told = 0
        while not ended.is_set():
            for report in page.reports[told:]:
                told += 1
                print(json.dumps(report), flush=True)
            time.sleep(0.05)


if __name__ == "__main__":
    _show(sys.argv[1])
