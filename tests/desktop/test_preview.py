"""`--preview`: a window on what is sent, where it is sent."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest
from tests.desktop.desktop import Display, wait_for
from tests.desktop.playing import Command, Seen, command, descendants, is_running, luma
from tests.interop.ports import free_ports
from tests.interop.serving import RunningServer, serving, streamsocket

PATTERN = "test:320x180@15"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving() as server:
        yield server


def serve_with_preview(*sources: str) -> list[str]:
    rtsp, http, udp = map(str, free_ports())
    ports = ["--rtsp-port", rtsp, "--http-port", http, "--udp-port", udp]
    return ["serve", *(sources or (f"clock={PATTERN}",)), *ports, "--preview"]


def badge(window: Seen) -> bool:
    """Whether there is light writing on a dark panel, at the upper right of a smooth picture."""
    light = luma(window.picture()[20:42, 540:620])
    return bool(light.min() < 60 and light.max() > 190)


def goes_on(running: Command) -> bool:
    return running.process.poll() is None


def is_live(server: RunningServer, name: str) -> bool:
    try:
        return bool(server.stream(name)["state"] == "live")
    except StopIteration:
        return False


def test_what_is_served_is_seen_with_its_frame_rate(x_display: Display) -> None:
    with command(*serve_with_preview()) as serving_:
        window = Seen(x_display, "clock – preview")
        assert x_display.geometry(window.id)[2:] == (640, 360)
        shown = window.wait_for_picture()
        window.wait_for_picture(shown.frame_number)
        wait_for(lambda: badge(window), "the frame rate")
        windows = descendants(serving_.process.pid)
        assert serving_.interrupt() == 0
        assert not any(map(is_running, windows))


def test_each_source_has_a_window(x_display: Display) -> None:
    with command(*serve_with_preview(f"one={PATTERN}", f"two={PATTERN}")) as serving_:
        for name in ("one", "two"):
            x_display.window(f"{name} – preview")
        assert serving_.interrupt() == 0


def test_what_is_published_is_seen_and_goes_on_without_the_window(
    x_display: Display, server: RunningServer
) -> None:
    with command("publish", PATTERN, server.url("live/show"), "--preview") as publishing:
        window = Seen(x_display, "preview")
        window.wait_for_picture()
        wait_for(lambda: is_live(server, "live/show"), "the stream")
        before = descendants(publishing.process.pid)
        window.press("q")
        wait_for(lambda: not all(map(is_running, before)), "the window's end")
        wait_for(lambda: sum(map(is_running, before)) == len(before) - 1, "its end alone")
        # A report of what is sent is made twice a second.
        packets = server.stream("live/show")["tracks"][0]
        wait_for(lambda: server.stream("live/show")["tracks"][0] != packets, "more of it")
        assert goes_on(publishing)
        assert is_live(server, "live/show")
        assert publishing.interrupt() == 0


@pytest.mark.parametrize("what", ["serve", "publish"])
def test_without_a_display_what_is_sent_goes_on(
    server: RunningServer, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    arguments = (
        serve_with_preview()
        if what == "serve"
        else ["publish", PATTERN, server.url("unseen"), "--preview"]
    )
    with command(*arguments) as running:
        running.wait_for_words("streamsocket: no preview: No window can be opened")
        if what == "publish":
            wait_for(lambda: is_live(server, "unseen"), "the stream")
        assert goes_on(running)
        assert running.interrupt() == 0
        assert running.output().count("no preview") == 1


def test_a_command_that_is_killed_takes_its_window_with_it(x_display: Display) -> None:
    with command(*serve_with_preview()) as serving_:
        Seen(x_display, "clock – preview").wait_for_picture()
        children = descendants(serving_.process.pid)
        assert len(children) >= 2
        serving_.process.send_signal(signal.SIGKILL)
        serving_.process.wait()
        wait_for(lambda: not any(map(is_running, children)), "the end of its children")


def test_the_password_is_in_nobodys_words(x_display: Display) -> None:
    with command(*serve_with_preview()) as serving_:
        Seen(x_display, "clock – preview")
        for child in descendants(serving_.process.pid):
            words = subprocess.run(
                ["ps", "-o", "args=", "-p", str(child)], capture_output=True, timeout=5
            )
            assert b"rtsp://" not in words.stdout


def test_publishing_to_nobody_ends_and_takes_the_window_along(x_display: Display) -> None:
    port = free_ports()[0]
    done = streamsocket("publish", PATTERN, f"rtsp://127.0.0.1:{port}/show", "--preview")
    assert done.returncode == 1
    assert done.stderr.count("streamsocket: ") == 1
    assert "Traceback" not in done.stderr
