"""A desktop of its own for tests: an X server nobody sees and a PulseAudio nobody hears.

The fixtures are in `conftest.py`: `x_display` and `pulse`. What is started while they are in use,
in this process or another, finds them through the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

Found = TypeVar("Found")

RATE = 48_000
PATIENCE_S = 20.0
"""For whatever has to happen at all; the machine may be busy."""


def wait_for(look: Callable[[], Found | None], what: str, timeout_s: float = PATIENCE_S) -> Found:
    """What `look` returns, as soon as that is something; AssertionError after the timeout."""
    until = monotonic() + timeout_s
    while not (found := look()):
        assert monotonic() < until, f"waited {timeout_s} s in vain for {what}"
        sleep(0.02)
    return found


@contextlib.contextmanager
def running(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """The command while it is needed; ended and waited for afterwards."""
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate it, or kill it if it takes more than five seconds; wait for it."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def run(*command: str, stdin: bytes | None = None) -> bytes:
    """What the command writes; raises if it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode(errors='replace')}"
    return done.stdout


class Display:
    """An X server with one screen of 1280 × 800 and no window manager."""

    width, height = 1280, 800

    def __init__(self, name: str) -> None:
        self.name = name

    def screenshot(self) -> NDArray[np.uint8]:
        """The screen: height by width by 3, red, green, blue."""
        # Not xwd: it mixes up the pixels of windows whose visual isn't the screen's.
        pixels = run("import", "-display", self.name, "-window", "root", "-depth", "8", "rgb:-")
        return np.frombuffer(pixels, np.uint8).reshape(self.height, self.width, 3)

    def window(self, title: str, timeout_s: float = PATIENCE_S) -> str:
        """The id of the visible window of that title (a regular expression), once there is one."""

        def look() -> str | None:
            # `search --name` overlooks SDL's titles: it reads the older of the two properties.
            listed = self._asked("search", "--onlyvisible", "--class", ".").split()
            return next((id_ for id_ in listed if re.search(title, self._name_of(id_))), None)

        return wait_for(look, f"a window called {title}", timeout_s)

    def _name_of(self, window: str) -> str:
        return self._asked("getwindowname", window).rstrip("\n")

    def _asked(self, *arguments: str) -> str:
        """What xdotool answers; nothing if what it is asked about isn't there."""
        done = subprocess.run(
            ["xdotool", *arguments],
            capture_output=True,
            timeout=PATIENCE_S,
            env=os.environ | {"DISPLAY": self.name},
        )
        return done.stdout.decode()

    def press(self, window: str, *keys: str) -> None:
        """Press keys, by xdotool's names (`q`, `space`, `Up`, `plus`, `KP_Add`), in that window."""
        self._xdotool("windowfocus", window)
        self._xdotool("key", "--delay", "30", *keys)

    def double_click(self, window: str) -> None:
        """Click twice in the middle of the window."""
        x, y, width, height = self.geometry(window)
        middle = str(x + width // 2), str(y + height // 2)
        self._xdotool("mousemove", *middle, "click", "--repeat", "2", "--delay", "50", "1")

    def resize(self, window: str, width: int, height: int) -> None:
        self._xdotool("windowsize", window, str(width), str(height))

    def geometry(self, window: str) -> tuple[int, int, int, int]:
        """Where the window is: x, y, width, height."""
        text = self._xdotool("getwindowgeometry", "--shell", window).decode()
        values = dict(line.split("=", 1) for line in text.split())
        return tuple(int(values[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))  # type: ignore[return-value]

    def picture_of(self, window: str) -> NDArray[np.uint8]:
        """What is seen where the window is: height by width by 3."""
        x, y, width, height = self.geometry(window)
        return self.screenshot()[y : y + height, x : x + width]

    def close_window(self, window: str) -> None:
        """Ask the window to close, as the button in its frame does."""
        ask_to_close(self.name, int(window))

    def _xdotool(self, *arguments: str) -> bytes:
        return run("env", f"DISPLAY={self.name}", "xdotool", *arguments)


class _ClientMessage(ctypes.Structure):
    """Xlib's XClientMessageEvent, which an XEvent has more room than."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("room", ctypes.c_long * 24),
    )


def ask_to_close(display_name: str, window: int) -> None:
    """What a window manager does (ICCCM, 4.2.8.1); xdotool would destroy the window instead."""
    xlib = ctypes.CDLL("libX11.so.6")
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    xlib.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(xlib.XOpenDisplay(display_name.encode()))
    assert display, f"there is no display {display_name}"
    protocols, delete = (
        xlib.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    client_message = 33
    event = _ClientMessage(client_message, 0, 1, display, window, protocols, 32)
    event.data[0] = delete
    xlib.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
    xlib.XCloseDisplay(display)


@contextlib.contextmanager
def x_server() -> Iterator[Display]:
    """An Xvfb on a free display."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-noreset", "-nolisten", "tcp"]
    command += ["-screen", "0", f"{Display.width}x{Display.height}x24"]
    with (
        open(reader, "rb") as answer,
        running(command, pass_fds=(writer,), stderr=subprocess.DEVNULL),
    ):
        os.close(writer)
        # Returns when the server is ready, or at once with nothing when it has failed.
        number = answer.readline().decode().strip()
        assert number, "Xvfb did not start"
        yield Display(f":{number}")


class PulseAudio:
    """A sound server of its own, with these devices:

    - `speaker` ("Speaker"), the default output: `record()` tells what it plays;
    - `microphone` ("Microphone"), the default input: it hears what is played into `room`.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.environment = environment(folder)
        self._process = process
        self._folder = folder

    def load(self, module: str, *arguments: str) -> str:
        """Load a module; returns its number, for `unload`."""
        return self.pactl("load-module", module, *arguments).strip()

    def unload(self, number_or_name: str) -> None:
        """Unload a module, and the device with it."""
        self.pactl("unload-module", number_or_name)

    def pactl(self, *arguments: str) -> str:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return run("env", *variables, "pactl", *arguments).decode()

    def _variables(self) -> dict[str, str]:
        """For clients that say themselves how soon they want to hear; this would overrule them."""
        kept = {name: value for name, value in os.environ.items() if name != "PULSE_LATENCY_MSEC"}
        return kept | self.environment

    def end(self) -> None:
        """End the server, as if it had crashed."""
        end(self._process)

    @contextlib.contextmanager
    def record(self, sink: str = "speaker", channels: int = 2) -> Iterator[Recording]:
        """What the sink plays, from now until the end of the `with` block."""
        command = ["parec", "-d", f"{sink}.monitor", "--raw", "--format=float32le"]
        command += [f"--rate={RATE}", f"--channels={channels}", "--latency-msec=5"]
        with running(command, stdout=subprocess.PIPE, env=self._variables()) as process:
            assert process.stdout is not None
            recording = Recording(process.stdout, channels)
            try:
                wait_for(lambda: recording.heard_s, f"sound of {sink}")
                yield recording
            finally:
                process.terminate()
                recording.join()

    @contextlib.contextmanager
    def play(self, samples: NDArray[np.float32], sink: str = "room") -> Iterator[None]:
        """Play these (samples by channels) into a sink, while the `with` block lasts."""
        command = ["pacat", "-d", sink, "--raw", "--format=float32le", "--latency-msec=20"]
        command += [f"--rate={RATE}", f"--channels={samples.shape[1]}"]
        file = self._folder / f"played-{monotonic()}.raw"
        samples.astype(np.float32).tofile(file)
        with (
            file.open("rb") as stdin,
            running(command, stdin=stdin, env=self._variables()),
        ):
            yield


class Recording:
    """What a sink plays, as it is recorded."""

    def __init__(self, pipe: IO[bytes], channels: int) -> None:
        self._pipe = pipe
        self._channels = channels
        self._parts: list[bytes] = []
        self._bytes = 0
        self._begun: list[float] = []
        self._thread = threading.Thread(target=self._gather, name="recording")
        self._thread.start()

    @property
    def heard_s(self) -> float:
        """Seconds recorded so far."""
        return self._bytes / (4 * self._channels * RATE)

    @property
    def begun(self) -> float:
        """When its first sample was played, of `time.monotonic()`, within some milliseconds."""
        # By the median of what the parts say; the first come at once, from before the beginning.
        return median(self._begun[len(self._begun) // 2 :])

    @property
    def samples(self) -> NDArray[np.float32]:
        """Samples by channels."""
        whole = b"".join(self._parts)
        whole = whole[: len(whole) // (4 * self._channels) * 4 * self._channels]
        return np.frombuffer(whole, np.float32).reshape(-1, self._channels)

    def wait(self, seconds: float) -> None:
        """Until so much more is recorded."""
        end = self.heard_s + seconds
        wait_for(lambda: self.heard_s > end, "more of what is played")

    def join(self) -> None:
        """Wait for the recording's end."""
        self._thread.join(PATIENCE_S)

    def _gather(self) -> None:
        while part := os.read(self._pipe.fileno(), 65_536):
            self._parts.append(part)
            self._bytes += len(part)
            self._begun.append(monotonic() - self.heard_s)


def environment(folder: Path) -> dict[str, str]:
    """What leads PulseAudio's clients and SDL to the server in that folder."""
    return {
        "PULSE_SERVER": f"unix:{folder}/native",
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "SDL_AUDIODRIVER": "pulseaudio",
    }


@contextlib.contextmanager
def pulse_server(folder: Path) -> Iterator[PulseAudio]:
    """A PulseAudio that has nothing but the devices named there."""
    # Without rewinding a null sink works 50 ms ahead when nobody asks for less, otherwise 2 s.
    sink = "format=float32le rate=48000 channels=2 norewinds=1"
    modules = [
        f"module-native-protocol-unix auth-anonymous=1 socket={folder}/native",
        f"module-null-sink sink_name=speaker {sink} sink_properties=device.description=Speaker",
        f"module-null-sink sink_name=room {sink} sink_properties=device.description=Room",
        "module-remap-source source_name=microphone master=room.monitor "
        "source_properties=device.description=Microphone",
    ]
    command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
    command += ["--realtime=no", "--high-priority=no", "--disable-shm=yes", "--log-level=error"]
    for module in modules:
        command += ["-L", module]
    variables = os.environ | environment(folder) | {"HOME": str(folder)}
    with running(command, env=variables, stderr=subprocess.DEVNULL) as process:
        server = PulseAudio(folder, process)

        def answers() -> bool:
            assert process.poll() is None, "PulseAudio did not start"
            asked = subprocess.run(
                ["pactl", "set-default-source", "microphone"],
                capture_output=True,
                timeout=PATIENCE_S,
                env=variables,
            )
            return asked.returncode == 0

        wait_for(answers, "PulseAudio")
        server.pactl("set-default-sink", "speaker")
        yield server


def tone(frequency: float, seconds: float, channels: int = 2) -> NDArray[np.float32]:
    """A sine of half the full amplitude, samples by channels."""
    times = np.arange(round(seconds * RATE)) / RATE
    wave = 0.5 * np.sin(2 * np.pi * frequency * times)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def loudest_frequency(samples: NDArray[np.float32]) -> float:
    """The frequency in hertz that is strongest in the first channel."""
    first = samples[:, 0]
    strength = np.abs(np.fft.rfft(first * np.hanning(len(first))))
    return float(strength.argmax() * RATE / len(first))


def sounding(samples: NDArray[np.float32], threshold: float = 0.01) -> NDArray[np.float32]:
    """From the first sample that is heard to the last; possibly nothing."""
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > threshold)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def longest_silence_s(samples: NDArray[np.float32], threshold: float = 0.01) -> float:
    """The longest stretch without any sound, in seconds."""
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > threshold)
    edges = np.concatenate(([-1], loud, [len(samples)]))
    return float((np.diff(edges).max() - 1) / RATE)
