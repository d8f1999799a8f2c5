"""SDL where there is nothing to be seen or heard, by its dummy drivers or none."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from time import monotonic, sleep

import numpy as np
import pytest
from av import VideoFrame

from streamsocket.desktop.backend import Key, Quit, Resized
from streamsocket.desktop.sdl import library
from streamsocket.desktop.sdl.devices import microphones, screens, speakers
from streamsocket.desktop.sdl.sound import SdlMicrophone, SdlSpeaker
from streamsocket.desktop.sdl.window import SdlWindow
from streamsocket.errors import DeviceError


@pytest.fixture(autouse=True)
def _dummy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")


@pytest.fixture
def window() -> Iterator[SdlWindow]:
    opened = SdlWindow("nobody sees it", 640, 360)
    yield opened
    opened.close()


def test_a_window(window: SdlWindow) -> None:
    assert window.size == (640, 360)
    assert window.scale == 1
    frame = VideoFrame(320, 240, "yuv420p")
    window.set_picture("main", frame)
    window.set_picture("inset", frame)
    window.set_layer("bottom", np.zeros((20, 40, 4), np.uint8))
    before = monotonic()
    assert before <= window.present() <= monotonic()
    window.set_picture("main", None)
    window.set_layer("bottom", None)
    window.set_layer("bottom", None)
    window.present()


def test_events(window: SdlWindow) -> None:
    sdl = window._sdl
    window.events(0)
    for key in (sdl.SDLK_q, sdl.SDLK_UP):
        event = sdl.SDL_Event()
        event.type = sdl.SDL_KEYDOWN
        event.key.keysym.sym = key
        sdl.SDL_PushEvent(event)
    for kind in (sdl.SDL_QUIT, sdl.SDL_QUIT):
        event = sdl.SDL_Event()
        event.type = kind
        sdl.SDL_PushEvent(event)
    assert window.events(1) == [Key("q"), Key("up"), Quit()]
    assert window.events(0) == []
    assert window.events(-1) == []


def test_full_screen_and_back(window: SdlWindow) -> None:
    window.events(0)
    window.toggle_full_screen()
    assert Resized() in window.events(1)
    assert window.size == (screens()[0].width, screens()[0].height)
    window.toggle_full_screen()
    window.events(0)
    assert window.size == (640, 360)


def test_waking(window: SdlWindow) -> None:
    window.events(0)
    waker = threading.Timer(0.1, window.wake)
    waker.start()
    began = monotonic()
    assert window.events(10) == []
    assert 0.05 < monotonic() - began < 5
    waker.join()
    for _ in range(1000):
        window.wake()
    assert window.events(10) == []
    began = monotonic()
    window.events(0.05)
    assert monotonic() - began >= 0.05, "one of them was left over"


def test_a_closed_window(window: SdlWindow) -> None:
    window.close()
    window.wake()
    window.close()


def test_closing_one_window_leaves_the_other(window: SdlWindow) -> None:
    SdlWindow("second").close()
    assert screens()
    window.set_picture("main", VideoFrame(320, 240, "yuv420p"))
    window.present()
    assert window.size == (640, 360)


def test_a_speaker() -> None:
    speaker = SdlSpeaker()
    assert (speaker.rate, speaker.channels) == (48_000, 2)
    assert speaker.queued_s == 0
    assert 0.005 < speaker.latency_s < 0.1
    assert not speaker.lost
    speaker.queue(np.zeros((24_000, 2), np.float32))
    assert 0.4 < speaker.queued_s <= 0.5
    until = monotonic() + 5
    while speaker.queued_s > 0.3:
        assert monotonic() < until, "the device takes nothing"
        sleep(0.005)
    speaker.clear()
    assert speaker.queued_s == 0
    speaker.close()
    assert speaker.lost
    speaker.close()


def test_sound_of_another_type_or_order_is_taken() -> None:
    speaker = SdlSpeaker()
    speaker.queue(np.zeros((2, 24_000), np.float64).T)  # type: ignore[arg-type]
    assert 0.4 < speaker.queued_s <= 0.5
    speaker.close()


def test_a_microphone() -> None:
    microphone = SdlMicrophone(channels=2)
    heard = 0
    until = monotonic() + 5
    while heard < 4800:
        assert monotonic() < until, "it hears nothing, not even silence"
        samples = microphone.read()
        assert samples.shape[1] == 2
        assert samples.dtype == np.float32
        heard += len(samples)
        sleep(0.005)
    assert not microphone.lost
    microphone.close()


def test_lists() -> None:
    assert len(screens()) == 1
    assert len(speakers()) == 1
    assert len(microphones()) == 1


def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert screens() == []
    with pytest.raises(DeviceError) as caught:
        SdlWindow("nowhere")
    assert str(caught.value) == (
        "No window can be opened: there is no display here (DISPLAY is not set). "
        "Run it on a desktop, or use `streamsocket probe`."
    )


def test_a_driver_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "abacus")
    monkeypatch.setenv("SDL_AUDIODRIVER", "abacus")
    assert (screens(), speakers(), microphones()) == ([], [], [])
    with pytest.raises(DeviceError, match=r"^No window can be opened: .*abacus"):
        SdlWindow("nowhere")
    with pytest.raises(DeviceError, match=r"^No speaker can be opened: .*abacus"):
        SdlSpeaker()
    with pytest.raises(DeviceError, match=r"^No microphone can be opened: .*abacus"):
        SdlMicrophone()


def test_no_sdl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sdl2", None)
    with pytest.raises(DeviceError, match="SDL 2 cannot be loaded"):
        library.load()
    assert (screens(), speakers(), microphones()) == ([], [], [])


def test_nothing_is_written_or_loaded_before_it_is_needed() -> None:
    script = (
        "import sys\n"
        "from streamsocket.desktop.sdl import devices, sound, window\n"
        "assert not {'sdl2', 'numpy', 'av'} & set(sys.modules)\n"
        "window.SdlWindow('quiet').close()\n"
        "devices.speakers()\n"
        "assert not {'numpy', 'av'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, timeout=60, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
