"""What a user writes to name a source: `movie.mp4`, `lobby=movie.mp4`, `test:1920x1080@60`."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path

from streamsocket.errors import ParseError, SourceError
from streamsocket.names import bad_name_reason, is_stream_name
from streamsocket.rtsp.url import parse_server_url, without_credentials
from streamsocket.sources.devices.spec import (
    CaptureSpec,
    capture_from_json,
    capture_to_json,
    names_devices,
    parse_capture,
)
from streamsocket.sources.encoding import (
    AS_IT_IS,
    Encoding,
    encoding_from_json,
    encoding_to_json,
    parse_rate,
    size_reason,
)
from streamsocket.webrtc.endpoint import is_http, is_whep, parse_endpoint

_NOT_URL_SAFE = re.compile(r"[^A-Za-z0-9._~-]+")
_TEST = re.compile(r"test(?::(?:(\d{1,5})x(\d{1,5}))?(?:@(\d{1,6}(?:\.\d{1,3}|/\d{1,4})?))?)?")
_TEST_USAGE = "write test, test:1920x1080 or test:1920x1080@60"

_TEST_RATES = (5, 240)

# With the @ that some players write before it.
_UDP = re.compile(r"udp://@?(\[[^]/?#]+]|[^][:/?#@]*):(\d{1,5})/?(?:\?interface=([^&#]+))?", re.I)
_UDP_USAGE = "write udp://0.0.0.0:5000, or udp://239.1.2.3:5000?interface=ADDRESS for multicast"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file to be streamed at its own pace."""

    path: str
    loop: bool = True
    """Begin again at the end, for ever."""
    encoding: Encoding = AS_IT_IS

    @property
    def text(self) -> str:
        """The source as a user writes it."""
        return self.path


@dataclass(frozen=True, slots=True)
class TestSpec:
    """The test pattern."""

    __test__ = False  # pytest would take it for a test by its name

    width: int = 1280
    height: int = 720
    rate: Fraction = Fraction(30)
    """Pictures a second."""
    encoding: Encoding = AS_IT_IS
    """Its size and rate, where it has them, are instead of the pattern's own."""

    @property
    def text(self) -> str:
        """The source as a user writes it."""
        if replace(self, encoding=AS_IT_IS) == TestSpec():
            return "test"
        return f"test:{self.width}x{self.height}@{self.rate}"


@dataclass(frozen=True, slots=True)
class PulledSpec:
    """A stream of another server, or of a camera."""

    url: str
    on_demand: bool = False
    """Connected to only while somebody watches."""

    @property
    def text(self) -> str:
        """The source as a user writes it, without user and password."""
        return without_credentials(self.url)


@dataclass(frozen=True, slots=True)
class UdpSpec:
    """An MPEG transport stream that somebody sends to a UDP port of ours, or to a group."""

    host: str
    """The address to listen at, or the multicast group to join."""
    port: int
    interface: str | None = None
    """Multicast: our address in the network, or the interface's name; None for the default one."""

    @property
    def text(self) -> str:
        """The source as a user writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"udp://{host}:{self.port}" + (
            f"?interface={self.interface}" if self.interface else ""
        )


SourceSpec = FileSpec | TestSpec | PulledSpec | UdpSpec | CaptureSpec


def parse_source(
    text: str, *, loop: bool = True, encoding: Encoding = AS_IT_IS
) -> tuple[str, SourceSpec]:
    """Read `SOURCE` or `NAME=SOURCE` into the stream's name and its source.

    Without a name, a file gives its stem, made safe for URLs, the test pattern `test`, and devices
    `camera`, `screen` or `mic`.
    A file whose own name holds an equals sign is taken as a file. Raises `SourceError`.
    """
    name, equals, source = text.partition("=")
    if not equals or "://" in name or _exists(text):
        name, source = "", text
    elif not is_stream_name(name):
        raise SourceError(bad_name_reason(name))
    spec = _parse_spec(source, loop)
    if encoding != AS_IT_IS:
        spec = _encoded(spec, encoding)
    return name or _default_name(spec), spec


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:
        return False  # no file has so long a name


def _parse_spec(source: str, loop: bool) -> SourceSpec:
    if not source:
        raise SourceError(f"A source is missing: give a file's path, or {_TEST_USAGE}.")
    if re.match(r"rtsps?://", source, re.IGNORECASE):
        return _parse_rtsp(source)
    if is_http(source):
        return _parse_whep(source)
    if re.match(r"udp:", source, re.IGNORECASE):
        return _parse_udp(source)
    if not _exists(source) and re.match(r"test(:|$)", source):
        return _parse_test(source)
    if not _exists(source) and names_devices(source):
        return parse_capture(source)
    if not _exists(source):
        raise SourceError(
            f"There is no file '{source}': check the path (for the test pattern, {_TEST_USAGE}; "
            "for a camera, a microphone or the screen, see `streamsocket devices`)."
        )
    return FileSpec(source, loop)


def _encoded(spec: SourceSpec, encoding: Encoding) -> SourceSpec:
    if isinstance(spec, PulledSpec | UdpSpec):
        raise SourceError(
            f"'{spec.text}' is passed on as it is: leave out --size, --fps, --codec and bitrates."
        )
    if isinstance(spec, TestSpec) and encoding.fps:
        _check_test_rate(encoding.fps, str(encoding.fps))
    return replace(spec, encoding=encoding)


def _parse_rtsp(source: str) -> PulledSpec:
    try:
        parse_server_url(source)
    except ParseError as error:
        raise SourceError(f"'{without_credentials(source)}' cannot be played: {error}") from None
    return PulledSpec(source)


def _parse_whep(source: str) -> PulledSpec:
    shown = without_credentials(source)
    try:
        parse_endpoint(source)
    except ParseError as error:
        raise SourceError(f"'{shown}' cannot be played: {error}") from None
    if not is_whep(source):
        raise SourceError(
            f"'{shown}' is no stream's address for WebRTC, which ends in /whep: write "
            "http://HOST/NAME/whep."
        )
    return PulledSpec(source)


def _parse_udp(source: str) -> UdpSpec:
    match = _UDP.fullmatch(source)
    if not match or not 0 < int(match[2]) < 1 << 16:
        raise SourceError(f"'{source}' is nowhere to listen at: {_UDP_USAGE}.")
    spec = UdpSpec(match[1].strip("[]") or "0.0.0.0", int(match[2]), match[3])
    if spec.interface and not is_multicast(spec.host):
        raise SourceError(f"'{spec.host}' is no multicast group: leave out interface=.")
    return spec


def is_multicast(host: str) -> bool:
    """Whether it is the address of a multicast group."""
    try:
        return ip_address(host).is_multicast
    except ValueError:
        return False  # a name


def _parse_test(source: str) -> TestSpec:
    match = _TEST.fullmatch(source)
    if not match:
        raise SourceError(f"'{source}' is no test pattern: {_TEST_USAGE}.")
    width, height = int(match[1] or 1280), int(match[2] or 720)
    if reason := size_reason(width, height):
        raise SourceError(f"The test pattern cannot be {width}x{height}: {reason}.")
    rate_text = match[3] or "30"
    return TestSpec(width, height, _check_test_rate(parse_rate(rate_text), rate_text))


def _check_test_rate(rate: Fraction | None, text: str) -> Fraction:
    low, high = _TEST_RATES
    if rate is None or not low <= rate <= high:
        raise SourceError(
            f"The test pattern cannot have {text} pictures a second: choose {low} to {high}."
        )
    return rate


def _default_name(spec: SourceSpec) -> str:
    if isinstance(spec, TestSpec):
        return "test"
    if isinstance(spec, CaptureSpec):
        return spec.name
    if isinstance(spec, UdpSpec):
        return f"udp-{spec.port}"
    if isinstance(spec, PulledSpec):
        if is_http(spec.url):
            endpoint = parse_endpoint(spec.url)
            path, host = endpoint.name, endpoint.host
        else:
            server = parse_server_url(spec.url)
            path, host = server.path, server.host
        text = path.rpartition("/")[2] or host
        return _NOT_URL_SAFE.sub("-", text).strip("-.") or "camera"
    stem = unicodedata.normalize("NFKD", Path(spec.path).stem)
    return _NOT_URL_SAFE.sub("-", stem.encode("ascii", "ignore").decode()).strip("-.") or "movie"


def spec_to_json(spec: SourceSpec) -> str:
    """The spec as JSON text, for a source's process."""
    if isinstance(spec, FileSpec):
        fields = {"kind": "file", "path": spec.path, "loop": spec.loop}
        return json.dumps({**fields, "encoding": encoding_to_json(spec.encoding)})
    if isinstance(spec, PulledSpec):
        raise TypeError("a stream of another server is played without a process of its own")
    if isinstance(spec, UdpSpec):
        return json.dumps({"kind": "udp", **asdict(spec)})
    if isinstance(spec, CaptureSpec):
        return json.dumps({"kind": "capture", **capture_to_json(spec)})
    size = {"width": spec.width, "height": spec.height, "rate": str(spec.rate)}
    return json.dumps({"kind": "test", **size, "encoding": encoding_to_json(spec.encoding)})


def spec_from_json(text: str) -> SourceSpec:
    """The reverse of `spec_to_json`. Raises `ParseError`."""
    try:
        fields = json.loads(text)
        if fields["kind"] == "file":
            encoding = encoding_from_json(fields["encoding"])
            return FileSpec(str(fields["path"]), bool(fields["loop"]), encoding)
        if fields["kind"] == "udp":
            interface = fields["interface"]
            return UdpSpec(str(fields["host"]), int(fields["port"]), interface and str(interface))
        if fields["kind"] == "capture":
            return capture_from_json(fields)
        size = int(fields["width"]), int(fields["height"])
        encoding = encoding_from_json(fields["encoding"])
        return TestSpec(*size, Fraction(fields["rate"]), encoding)
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ParseError(f"This is no source's specification: {text[:100]!r}.") from error
