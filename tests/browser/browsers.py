"""Browsers without a window, showing a page of ours that tells what it sees."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "firefox": ("firefox-esr", "firefox"),
}

_CHROMIUM = (
    "--no-sandbox",  # as root, as containers have it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=30",
)
_UNSEEN = ("--headless=new",)
# Without a window manager a kiosk is as large as it is told to be, less the last line and column.
_SEEN = ("--kiosk", "--window-position=0,0", "--window-size=1281,801")

_CLONE_NEWNET = 0x4000_0000

_FIREFOX = (
    '"media.autoplay.default", 0',
    '"media.navigator.streams.fake", true',
    '"media.navigator.permission.disabled", true',
    '"datareporting.policy.dataSubmissionEnabled", false',
    '"browser.shell.checkDefaultBrowser", false',
    '"app.normandy.enabled", false',
)


def find(browser: str) -> str | None:
    """Where a browser of that name is; None where it isn't."""
    return next((path for name in NAMES[browser] if (path := shutil.which(name))), None)


def _command(executable: str, profile: str, url: str, seen: bool) -> list[str]:
    if "firefox" not in executable:
        where = _SEEN if seen else _UNSEEN
        return [executable, *where, *_CHROMIUM, f"--user-data-dir={profile}", url]
    preferences = "".join(f"user_pref({each});\n" for each in _FIREFOX)
    (Path(profile) / "user.js").write_text(preferences)
    return [executable, "--headless", "--no-remote", "--profile", profile, url]


class Page:
    """What the page has told so far: it posts JSON to `/report`."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []

    def wait_for(self, met: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any]:
        """The first report that meets a condition, among those to come and those that came."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        while True:
            for report in self.reports[seen:]:
                seen += 1
                assert "error" not in report, report["error"]
                if met(report):
                    return report
            assert time.monotonic() < deadline, f"in vain; the last: {self.reports[-1:]}"
            time.sleep(0.05)


@contextmanager
def showing(
    executable: str, html: str, *, namespace: str | None = None, seen: bool = False
) -> Iterator[Page]:
    """Show a page in a browser of its own, in a network namespace if it says so.

    If it is to be `seen`, it fills the screen that DISPLAY names: Chromium alone can do that.
    """
    page = Page()
    server = ThreadingHTTPServer(("", 0), _handler(html, page), bind_and_activate=False)
    server.socket.close()
    server.socket = _listening(namespace)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    profile = tempfile.mkdtemp(prefix="browser-")
    browser = None
    try:
        url = f"http://localhost:{server.socket.getsockname()[1]}/"
        prefix = ["ip", "netns", "exec", namespace] if namespace else []
        browser = subprocess.Popen(
            [*prefix, *_command(executable, profile, url, seen)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        yield page
    finally:
        if browser:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait(10)
        server.shutdown()
        thread.join()
        server.server_close()
        shutil.rmtree(profile, ignore_errors=True)


def _listening(namespace: str | None) -> socket.socket:
    """A socket that listens on loopback, in a namespace: a socket stays where it was made."""
    with ThreadPoolExecutor(1) as thread:  # which alone goes there
        if namespace:
            thread.submit(_enter, namespace).result()
        return thread.submit(socket.create_server, ("127.0.0.1", 0)).result()


def _enter(namespace: str) -> None:
    with open(f"/run/netns/{namespace}") as entrance:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(entrance.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a network namespace cannot be entered")


def _handler(html: str, page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(html.encode() if self.path == "/" else b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            page.reports.append(json.loads(body))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
