"""The settings themselves: every one with its default, its bounds and what it is for.

`docs/settings.md` is made from this model (`settings/reference.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]


def _no_bool(value: object) -> object:
    """Refuse `true` where a number is meant; pydantic would take it for 1."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def _even(port: int) -> int:
    """RTP takes the even port of a pair, RTCP the odd one above it (RFC 3550, 11)."""
    if port % 2:
        raise ValueError("Input should be even, because RTCP takes the port above it")
    return port


Port = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=65_535)]
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=3600, allow_inf_nan=False)]
Megabytes = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=4096, allow_inf_nan=False)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RtspSettings(_Group):
    """Players connect here: `rtsp://HOST:8554/NAME`."""

    port: Port = Field(default=8554, description="TCP port for RTSP. 0: any free one.")
    udp_port: Annotated[Port, AfterValidator(_even)] = Field(
        default=0,
        description="The even UDP port that media leaves from; RTCP uses the next one. "
        "0: any free pair.",
    )
    session_timeout_s: Seconds = Field(
        default=60.0, ge=5, description="A viewer that is silent for longer is gone. Seconds."
    )
    max_connections: Count = Field(
        default=4000, description="How many RTSP connections may be open at once."
    )
    max_connections_per_address: Count = Field(
        default=1000, description="How many of them may come from one address."
    )


class HttpSettings(_Group):
    """The page, the API and the metrics: `http://HOST:8080/`."""

    port: Port = Field(default=8080, description="TCP port for HTTP. 0: any free one.")


class WebrtcSettings(_Group):
    """Browsers. Accepted already, without effect yet."""

    port: Port = Field(default=8189, description="UDP port for WebRTC. 0: any free one.")


class HubSettings(_Group):
    """How much of each stream is kept, and for how long."""

    reader_max_age_s: Seconds = Field(
        default=2.0,
        description="A viewer further behind than this skips to the newest keyframe. Seconds.",
    )
    keyframe_cache_mb: Megabytes = Field(
        default=32.0, description="The most that is kept of a stream for those who join. Megabytes."
    )
    history_s: Seconds = Field(
        default=2.0, description="How long packets are kept for repair. Seconds."
    )
    history_mb: Megabytes = Field(
        default=8.0, description="The most that is kept for repair, a track. Megabytes."
    )
    join_seconds: Seconds = Field(
        default=1.5,
        description="The longest that a new viewer takes to catch up with live. Seconds.",
    )


class StreamSettings(_Group):
    """A stream that the server makes itself, watched at `rtsp://HOST:8554/NAME`."""

    source: str = Field(
        min_length=1,
        description="What it is made from: a movie file, `test`, `test:1920x1080@60`.",
    )
    loop: bool = Field(
        default=True,
        description="Begin again when the file ends; otherwise the stream ends with it.",
    )


class Settings(_Group):
    """All settings. `Settings()` is a server on this machine only, without streams of its own."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        max_length=255,
        description="The address to listen on: `127.0.0.1` for this machine only, `0.0.0.0` for "
        "everybody, `::` for everybody over IPv6 too.",
    )
    rtsp: RtspSettings = RtspSettings()
    http: HttpSettings = HttpSettings()
    webrtc: WebrtcSettings = WebrtcSettings()
    hub: HubSettings = HubSettings()
    streams: dict[str, StreamSettings] = {}


def settings_fields(
    stream: str = "NAME", *, group: type[BaseModel] = Settings, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Yield every setting with its path, those of a stream under the name given."""
    for name, field in group.model_fields.items():
        inner = StreamSettings if name == "streams" else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys = (name, stream) if name == "streams" else (name,)
            yield from settings_fields(stream, group=inner, path=path + keys)
        else:
            yield (*path, name), field
