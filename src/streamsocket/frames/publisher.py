"""Publishing pictures and sound from arrays, for those who block; `aio_publisher.py` for others."""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Literal, NoReturn, Self

from streamsocket.errors import ArgumentError, ClosedError, ParseError, StreamSocketError
from streamsocket.frames.background import Background
from streamsocket.frames.encoding import Encoding, Made
from streamsocket.frames.frame import Frame
from streamsocket.frames.ice_argument import checked_ice_servers
from streamsocket.frames.outgoing import Outgoing
from streamsocket.frames.pictures_in import (
    MAX_SIDE,
    MIN_SIDE,
    Picture,
    PixelFormat,
    take_in,
)
from streamsocket.frames.presets import Codec, Preset, VideoOptions, checked_options
from streamsocket.frames.sound_in import AudioOptions, Samples, audio_options, take_in_sound
from streamsocket.frames.states import State, StateChange
from streamsocket.media.codec import Track
from streamsocket.rtmp.address import parse_push_url
from streamsocket.rtsp.push import PushTransport
from streamsocket.rtsp.url import parse_server_url, without_credentials
from streamsocket.webrtc.endpoint import is_http, is_whip, parse_endpoint
from streamsocket.webrtc.ice_server import IceServer

_ENCODER_PATIENCE_S = 0.5
_LEAVE_S = 1.4
"""With what the encoder takes, a publisher is gone within two seconds."""


class Publisher:
    """Publishes pictures, and sound if wanted, at `rtsp://HOST/NAME` (rtsps and rtmp likewise) or,
    by WebRTC, at `http://HOST:8080/NAME/whip` (https likewise).

        with ss.Publisher("rtsp://host:8554/cam", fps=30) as pub:
            pub.write(image)                     # (height, width, 3) uint8, RGB

    It connects when the size is known: on entering the context with `size=`, else at the first
    `write`, which waits for the server. When the connection is lost later it is made again, for
    ever; meanwhile `write` returns False.

    Pictures are encoded and sent by threads of its own; `write` takes as long as a copy of the
    picture. When pictures come faster than they can be encoded, or much faster than `fps`, the
    newest wins: no more than two are on their way, and `dropped` counts the others. When none come,
    the last one is repeated once a second, so that viewers stay and who joins sees something; with
    `size=`, black is sent before the first one.

    Any number of threads may write. It belongs to the process that made it: after a fork, make a
    new one.
    """

    def __init__(
        self,
        url: str,
        *,
        fps: float | Fraction | None = None,
        size: tuple[int, int] | None = None,
        codec: Codec = "h264",
        bitrate: float | None = None,
        preset: Preset = "low-delay",
        keyframe_interval: float = 2.0,
        audio: Mapping[str, object] | bool | None = None,
        transport: PushTransport = "auto",
        timeout: float = 10.0,
        repeat_after: float | None = 1.0,
        encoder: Literal["auto", "software"] | str | None = None,
        on_state: Callable[[StateChange], object] | None = None,
        ice_servers: Sequence[str] = (),
    ) -> None:
        """Nothing is connected to yet.

        `fps`: pictures a second; without it they are sent as they come, and bits are spent as for
        30. `size`: width and height of the stream, which all pictures are fitted into, with black
        bars where the shape differs; without it, that of the picture, and a picture of another size
        changes the stream's. MJPEG has sides that are multiples of 8 up to 2040 (it is scaled), all
        other codecs even ones (a pixel too many is cut off).

        `codec`: `h264`, `h265`, `vp8`, `vp9`, `av1`, `mjpeg`. `bitrate`: of the picture, in bits a
        second; by default one that suits. `preset`: `low-delay`; `quality`, for more of the
        processor's time; `mjpeg`, each picture by itself at many times the bits.
        `keyframe_interval` in seconds.
        `encoder`: `auto` is the hardware's if there is one that holds no picture back; `software`;
        or FFmpeg's name of one, such as `h264_nvenc`.

        `audio`: what `write_audio` will be given, `{"rate": 48000, "channels": 2}`, and how it is
        coded, `"codec": "opus"` (`aac`, `pcmu`, `pcma`, `l16`) and `"bitrate"`; True for these.
        Where none is written, silence is sent. WebRTC carries neither `mjpeg` nor `aac` and `l16`.

        `transport`, of RTSP: `auto` (picture over UDP, sound over TCP, or what the server takes),
        `udp`, `tcp`. `timeout`: how many seconds the first connection may take, and
        `write(block=True)`. `repeat_after`: after so many seconds without a picture the last one is
        sent again; None: never, and a server may then give the stream up. `on_state`: called at
        each change of state, in a thread of its own; it must not block. `ice_servers`: for WebRTC,
        `stun:HOST:PORT` or `turn:USER:PASSWORD@HOST:PORT`, instead of what the server tells of.

        Raises ArgumentError.
        """
        _check_url(url)
        self._url = url
        self.url = without_credentials(url)
        """Where it publishes, without user and password."""
        self._video = checked_options(
            codec=codec, preset=preset, bitrate=bitrate, fps=fps, encoder=encoder
        )
        self._audio = audio_options(audio)
        if is_http(url):
            _check_carried("codec", self._video.codec)
            if self._audio:
                _check_carried("audio", self._audio.codec)
        _check_seconds("keyframe_interval", keyframe_interval)
        _check_seconds("timeout", timeout)
        if repeat_after is not None:
            _check_seconds("repeat_after", repeat_after)
        if transport not in ("auto", "mixed", "udp", "tcp"):
            raise ArgumentError(f"transport: {transport!r} is none of auto, mixed, udp, tcp.")
        self._size = _checked_size(size)
        self._timeout = timeout
        self._pid = os.getpid()
        self._closed = False
        self._opening = threading.Lock()
        self._line: _Line | None = None
        self._unconnected: _Line | None = None
        self._make_line = partial(
            _Line,
            url,
            self._video,
            self._audio,
            size=self._size,
            paced=fps is not None,
            keyframe_every_s=keyframe_interval,
            repeat_after_s=repeat_after,
            transport=transport,
            on_state=on_state,
            ice_servers=checked_ice_servers(ice_servers),
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Publisher cannot be pickled: make one in the process that uses it.")

    def __repr__(self) -> str:
        return f"<Publisher to {self.url} {self.state}>"

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        line = getattr(self, "_line", None)
        if line and self._pid == os.getpid():
            _warn(f"{self!r} was not closed: use 'with'.", ResourceWarning, source=self)
            self.close()

    # How it stands.

    @property
    def state(self) -> State:
        """`connecting` until the server takes it, `live`, `lost` meanwhile, `ended` when closed."""
        if self._closed:
            return "ended"
        return self._line.state if self._line else "connecting"

    @property
    def dropped(self) -> int:
        """Pictures that were not sent because a newer one was there already."""
        return self._line.encoding.dropped if self._line else 0

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the picture's encoder; empty before the first picture."""
        return self._line.encoding.encoder if self._line else ""

    # Opening and closing.

    def open(self) -> Self:
        """What entering the context does, for those who have to `close` it elsewhere.

        With `size=` it connects, and raises what the first `write` would.
        """
        self._check()
        if self._size:
            self._opened(None)
        return self

    def close(self) -> None:
        """Send what has been written, say goodbye to the server and leave, within two seconds.

        Safe to call twice. In a forked child it does nothing.
        """
        if self._pid != os.getpid():
            return
        self._closed = True
        line, self._line = self._line, None
        if line := line or self._unconnected:
            line.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Writing.

    def write(
        self,
        image: object,
        capture_time: float | None = None,
        format: PixelFormat = "rgb24",  # noqa: A002 - FFmpeg's word
        *,
        block: bool = False,
    ) -> bool:
        """Send a picture; True if it was taken, False while the server is away.

        `image`: an array of uint8, whatever its strides: (height, width, 3) in RGB, or in BGR with
        `format="bgr24"`; (height, width) for gray; (height × 3/2, width) with `format="yuv420p"`,
        in BT.709 from 720 lines on and BT.601 below, 16 to 235. It is copied. Or a `Frame` of a
        Subscriber, which keeps its time of capture, or a VideoFrame of PyAV, neither of which is
        copied.

        `capture_time`: in seconds since the epoch, by default now. Viewers see pictures at the
        distances of their times.

        With `block=True` it waits for its turn: until the picture before has been taken and, with
        `fps=`, it is time for this one.

        The first call connects: ConnectError where the server refuses or isn't there, TimedOutError
        where it doesn't answer; the next one tries again. Later ArgumentError for what is no
        picture, which does the stream no harm, TimedOutError with `block=True` after `timeout`.
        """
        self._check()
        at = time.time()
        if capture_time is None:
            capture_time = image.capture_time if isinstance(image, Frame) else None
        elif not _is_number(capture_time):
            raise ArgumentError(f"capture_time: {capture_time!r} is no time in seconds.")
        picture = take_in(image, format)
        line = self._line or self._opened(picture)
        if block:
            line.wait_for_turn(self._timeout)
            at = time.time()
        return line.put_picture(picture, at if capture_time is None else capture_time)

    def write_audio(self, samples: object, capture_time: float | None = None) -> bool:
        """Send a block of sound; True if it was taken, False while the server is away.

        `samples`: float32 between −1 and 1, or int16, in an array (samples,) or (samples, channels)
        of the rate that `audio=` declares; up to 10 s of them. `capture_time` is of the first one,
        in seconds since the epoch; by default the last one is from now. Blocks follow each other
        without a gap; what is missing between them becomes silence, what overlaps is cut off.

        Sound before the first picture is left out, unless `size=` is given. Raises ArgumentError.
        """
        self._check()
        if self._audio is None:
            raise ArgumentError(
                "samples: this Publisher has no sound: make it with "
                "audio={'rate': 48000, 'channels': 2}."
            )
        if capture_time is not None and not _is_number(capture_time):
            raise ArgumentError(f"capture_time: {capture_time!r} is no time in seconds.")
        block = take_in_sound(samples, self._audio)
        line = self._line or (self._opened(None) if self._size else None)
        if line is None or not len(block):
            return False
        return line.put_sound(block, capture_time)

    def _opened(self, first: Picture | None) -> _Line:
        """The line to the server; connected to, where it isn't."""
        with self._opening:  # two threads may write their first pictures at once
            self._check()
            if self._line is None:
                line = self._unconnected = self._make_line()
                try:
                    line.open(first, self._timeout)
                    self._check()  # closed meanwhile, by another thread
                except BaseException:
                    line.close()
                    raise
                finally:
                    self._unconnected = None
                self._line = line
            return self._line

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise ClosedError(
                f"The Publisher to {self.url} belongs to the process that this one was forked "
                "from: make a new one here."
            )
        if self._closed:
            raise ClosedError(f"The Publisher to {self.url} is closed.")


class _Line:
    """The encoder's thread, and the thread that sends what it makes."""

    def __init__(
        self,
        url: str,
        video: VideoOptions,
        audio: AudioOptions | None,
        *,
        size: tuple[int, int] | None,
        paced: bool,
        keyframe_every_s: float,
        repeat_after_s: float | None,
        transport: PushTransport,
        on_state: Callable[[StateChange], object] | None,
        ice_servers: Sequence[IceServer],
    ) -> None:
        self.state: State = "connecting"
        self.encoding = Encoding(
            video,
            audio,
            size=size,
            paced=paced,
            keyframe_every_s=keyframe_every_s,
            repeat_after_s=repeat_after_s,
            deliver=self._deliver,
        )
        self._url = url
        self._audio = audio
        # Bursts of pictures that stand for themselves are too large for the buffers of UDP.
        self._transport = "tcp" if transport == "auto" and video.codec == "mjpeg" else transport
        self._on_state = on_state
        self._ice_servers = ice_servers
        self._ending = threading.RLock()  # a callback may close, too
        self._background: Background | None = None
        self._outgoing: Outgoing | None = None

    def open(self, first: Picture | None, timeout_s: float) -> None:
        """Open the encoders and connect."""
        tracks = self.encoding.open(first)
        self._background = Background(f"Publisher to {without_credentials(self._url)}")
        self._background.run(self._connect(tracks, timeout_s))
        self.encoding.start()

    def wait_for_turn(self, patience_s: float) -> None:
        """Wait until the next picture may be put."""
        self._check()
        self.encoding.wait_for_turn(patience_s)

    def put_picture(self, picture: Picture, capture_time: float) -> bool:
        """Give a picture to the encoder; whether there is somebody to send it to."""
        self._check()
        self.encoding.put_picture(picture, capture_time)
        return self.encoding.live

    def put_sound(self, block: Samples, capture_time: float | None) -> bool:
        """The same for a block of sound."""
        self._check()
        assert self._audio
        told = capture_time is not None
        if capture_time is None:
            capture_time = time.time() - len(block) / self._audio.rate
        self.encoding.put_sound(block, capture_time, told=told)
        return self.encoding.live

    def close(self) -> None:
        """Leave in order, and end both threads. Safe to call twice."""
        with self._ending:
            if self.state == "ended":
                return
            self._leave()

    def _leave(self) -> None:
        try:
            self.encoding.close(_ENCODER_PATIENCE_S)
            if self._background and not self._background.closed and self._outgoing:
                try:
                    self._background.run(self._outgoing.close(), _LEAVE_S)
                except StreamSocketError:
                    pass  # the server does not answer any more
        finally:
            self.encoding.live = False
            if self._background:
                self._background.close()
            self._changed(StateChange("ended", "", time.time()))

    def _check(self) -> None:
        if failure := self.encoding.failure:
            raise StreamSocketError(f"The encoder has failed ({failure}).") from failure

    async def _connect(self, tracks: list[Track], timeout_s: float) -> None:
        self._outgoing = Outgoing(
            self._url,
            tracks,
            transport=self._transport,
            request_keyframe=self.encoding.request_keyframe,
            on_state=self._changed,
            ice_servers=self._ice_servers,
        )
        await self._outgoing.open(timeout_s)

    def _deliver(self, made: Made) -> None:
        if self._background and self._outgoing:
            try:
                self._background.call(partial(self._outgoing.send, made))
            except ClosedError:
                pass  # the interpreter ends

    def _changed(self, change: StateChange) -> None:
        self.state = change.state
        self.encoding.live = change.state == "live"
        if self._on_state:
            try:
                self._on_state(change)
            except Exception as error:  # a callback's mistake is not to end the stream
                arguments = (type(error), error, error.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(arguments))


def _check_url(url: object) -> None:
    if not isinstance(url, str):
        raise ArgumentError(f"url: {url!r} is not a text like 'rtsp://host:8554/name'.")
    try:
        if url.lower().startswith("rtmp:"):
            parse_push_url(url)
        elif is_http(url):
            if not is_whip(url) or not parse_endpoint(url).name:
                raise ParseError("It is to be of the form http://host:8080/name/whip.")
        elif not parse_server_url(url).path:
            raise ParseError("It lacks a name for the stream: rtsp://host:8554/name.")
    except ParseError as error:
        raise ArgumentError(f"url: {error}") from None


def _check_carried(argument: str, codec: str) -> None:
    """Raise ArgumentError for what WebRTC doesn't carry."""
    from streamsocket.webrtc.client_offer import CARRIED

    carried = CARRIED["video" if argument == "codec" else "audio"]
    if codec not in carried:
        raise ArgumentError(
            f"{argument}: WebRTC doesn't carry '{codec}', only {', '.join(carried)}."
        )


def _checked_size(size: object) -> tuple[int, int] | None:
    if size is None:
        return None
    if isinstance(size, tuple | list) and len(size) == 2:
        width, height = size
        if all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
            return width, height
    raise ArgumentError(
        f"size: {size!r} is not (width, height), from {MIN_SIDE} to {MAX_SIDE} pixels each."
    )


def _check_seconds(argument: str, value: object) -> None:
    if not _is_number(value) or not 0 < float(value) <= 86_400:  # type: ignore[arg-type]
        raise ArgumentError(f"{argument}: {value!r} is not a number of seconds above 0.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
