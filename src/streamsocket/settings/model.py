"""The settings themselves: every one with its default, its bounds and what it is for.

`docs/settings.md` is made from this model (`settings/reference.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.fields import FieldInfo

from streamsocket.errors import SettingsError
from streamsocket.record.naming import DEFAULT_PATTERN, parse_pattern
from streamsocket.settings.values import (
    Amount,
    Count,
    HostNames,
    IceServers,
    Md5Ha1,
    Megabytes,
    PasswordHash,
    Pattern,
    Patterns,
    Port,
    PublicHosts,
    Seconds,
    Sha256Ha1,
    even,
    multicast_network,
    no_bool,
    own_ipv4_address,
)

KeyPath = tuple[str, ...]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RtspSettings(_Group):
    """Players connect here: `rtsp://HOST:8554/NAME`."""

    port: Port = Field(default=8554, description="TCP port for RTSP. 0: any free one.")
    host: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The address to listen on for RTSP, where it is another than for the rest.",
    )
    udp_port: Annotated[Port, AfterValidator(even)] = Field(
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


class RtspsSettings(_Group):
    """The same over TLS: `rtsps://HOST:8322/NAME`. Off unless it has a port."""

    port: Port | None = Field(
        default=None, description="TCP port for RTSPS, usually 8322. 0: any free one."
    )
    certificate: str | None = Field(
        default=None,
        min_length=1,
        description="The file with the certificate, and those that lead from it to a known one, "
        "as PEM.",
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        description="The file with the certificate's private key, as PEM without a password.",
    )

    @model_validator(mode="after")
    def _complete(self) -> RtspsSettings:
        if self.port is not None and not (self.certificate and self.key):
            raise ValueError(
                "RTSPS needs a certificate and its key: set rtsps.certificate and rtsps.key"
            )
        return self


class MulticastSettings(_Group):
    """Sending a stream once for all viewers of a network, to players that ask for it over RTSP. Off
    unless it has a network to take the groups' addresses from. Whoever is on the network can
    receive what is sent there, whatever `users` says.
    """

    network: Annotated[str, AfterValidator(multicast_network)] | None = Field(
        default=None,
        description="The groups' addresses, one a stream: IPv4, such as `239.255.42.0/24`.",
    )
    port: Annotated[Port, AfterValidator(even)] = Field(
        default=8002,
        ge=1024,
        le=65_000,
        description="The even UDP port in the group that a stream's first track is sent to; RTCP "
        "uses the next one, further tracks the pairs above.",
    )
    ttl: Annotated[int, BeforeValidator(no_bool)] = Field(
        default=1,
        ge=0,
        le=255,
        description="How many networks packets may pass through. 1: this network alone.",
    )
    interface: Annotated[str, AfterValidator(own_ipv4_address)] | None = Field(
        default=None,
        description="The address of the interface to send from. By default the server's `host`, "
        "or what the system's routes say where that is none.",
    )


class RtmpSettings(_Group):
    """OBS and others publish here: `rtmp://HOST/NAME`."""

    port: Port | None = Field(
        default=1935,
        description="TCP port for RTMP. 0: any free one. The default is done without where it is "
        "taken.",
    )
    max_connections: Count = Field(
        default=200, description="How many RTMP connections may be open at once."
    )
    max_connections_per_address: Count = Field(
        default=50, description="How many of them may come from one address."
    )


class PublishSettings(_Group):
    """Publishers that come over the network, by RTSP, RTMP and WebRTC."""

    replace: bool = Field(
        default=False,
        description="A new publisher takes a name over from the one before; otherwise it is "
        "refused while that one sends.",
    )
    timeout_s: Seconds = Field(
        default=10.0, ge=2, description="A publisher that is silent for longer is gone. Seconds."
    )
    wait_s: Seconds = Field(
        default=60.0,
        description="How long viewers wait for a publisher that left to return. Seconds.",
    )


class HttpSettings(_Group):
    """The page, the API and the metrics: `http://HOST:8080/`."""

    port: Port = Field(default=8080, description="TCP port for HTTP. 0: any free one.")
    allowed_hosts: HostNames = Field(
        default=(),
        description="Names by which browsers may use the server, such as `tv.example.org` or "
        "`*.example.org`; `*`: any. IP addresses, `localhost` and this machine's own name always "
        "are. Without the setting, requests from other machines may use any name, and requests "
        "from this one no other: a reverse proxy on it that passes `Host` on needs its name here.",
    )


class WebrtcSettings(_Group):
    """Browsers: `http://HOST:8080/NAME/whip` to publish, `/NAME/whep` to watch."""

    port: Port | None = Field(
        default=8189,
        description="UDP and TCP port for WebRTC. 0: any free one. The default is done without "
        "where it is taken.",
    )
    tcp: bool = Field(
        default=True,
        description="Over TCP too, for browsers in networks that let no UDP through.",
    )
    max_peers: Count = Field(
        default=4000, description="How many may watch and publish by WebRTC at once."
    )
    public_host: PublicHosts = Field(
        default=(),
        description="The name or the IP address by which browsers reach the port, where it isn't "
        "this machine's own: behind a router (NAT) or in a container. A list for several.",
    )
    ice_servers: IceServers = Field(
        default=(),
        description="STUN and TURN servers that browsers are told to use, such as "
        "`stun:stun.example.org` or `turn:USER:PASSWORD@turn.example.org:3478`; the server uses "
        "them itself where it pulls or pushes on by WebRTC. Hardly ever needed.",
    )


class TranscodingSettings(_Group):
    """Tracks that a viewer can't play, turned into what it can."""

    enabled: bool = Field(
        default=True,
        description="AAC becomes Opus for browsers, VP8 becomes H.264 for players that don't know "
        "it, and so on; once a stream, and only while somebody watches it.",
    )
    max: Count = Field(
        default=16, description="So many tracks at a time; whoever needs one more is refused."
    )


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
        description="What it is made from: a movie file, `test`, `test:1920x1080@60`, another "
        "server's or a camera's stream `rtsp://USER:PASSWORD@HOST/NAME`, MPEG-TS that comes to "
        "`udp://HOST:PORT`.",
    )
    on_demand: bool = Field(
        default=False,
        description="Of a stream from elsewhere: connect to it only while somebody watches.",
    )
    loop: bool = Field(
        default=True,
        description="Begin again when the file ends; otherwise the stream ends with it.",
    )


class UserSettings(_Group):
    """Somebody who may log in; `streamsocket auth hash NAME` prints the whole group. What is
    allowed without logging in is said by `[users.any]`, which has no password. Without any users,
    everybody may watch, and this machine alone may publish. In patterns `*` stands for any
    characters, slashes too: `*`, `live/*`, `lobby`.
    """

    password: PasswordHash | None = Field(
        default=None,
        repr=False,
        description="The password's argon2id hash, `$argon2id$…`; required.",
    )
    digest_md5: Md5Ha1 | None = Field(
        default=None,
        repr=False,
        description="For RTSP's Digest login, which does without the password itself on the wire; "
        "whoever reads this line can log in with it. Offered once all users have it.",
    )
    digest_sha256: Sha256Ha1 | None = Field(
        default=None, repr=False, description="The same for those who know SHA-256."
    )
    publish: Patterns = Field(default=(), description="The streams that the user may publish.")
    watch: Patterns = Field(default=("*",), description="The streams that the user may watch.")


def _path_pattern(path: str) -> str:
    try:
        parse_pattern(path)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return path


class RecordSettings(_Group):
    """Streams that the server records itself; there may be several of these groups, and the first
    one whose `streams` fits a stream's name says how it is recorded. Recordings are only ever
    deleted where `keep_days` or `keep_gb` is set.
    """

    streams: Pattern = Field(
        default="*",
        description="The streams to record; `*` stands for any characters, slashes too: `live/*`.",
    )
    path: Annotated[str, AfterValidator(_path_pattern)] = Field(
        default=DEFAULT_PATTERN,
        description="The files, with `{name}` for the stream's name and `{time}` or "
        "`{time:%H-%M-%S}` for when each begins, by the local clock. The suffix, `.mp4` or `.mkv`, "
        "is the format.",
    )
    rotate_minutes: Annotated[float, BeforeValidator(no_bool)] = Field(
        default=60.0,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        description="A new file begins at the first keyframe after so many minutes. 0: never.",
    )
    rotate_mb: Amount | None = Field(
        default=None, description="And at the first keyframe after so many megabytes."
    )
    keep_days: Amount | None = Field(
        default=None, description="Recordings that ended longer ago are deleted. Days."
    )
    keep_gb: Amount | None = Field(
        default=None,
        description="The oldest recordings are deleted when all take more than this. Gigabytes.",
    )
    min_free_gb: Annotated[float, BeforeValidator(no_bool)] = Field(
        default=1.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="When the disk has less left, the oldest recordings are deleted if any may be; "
        "otherwise recording pauses until there is room. Gigabytes.",
    )


class ForwardSettings(_Group):
    """Streams that are pushed on to other servers; there may be several of these groups."""

    streams: Pattern = Field(
        default="*",
        description="The streams to push on; `*` stands for any characters, slashes too: `live/*`.",
    )
    url: str = Field(
        min_length=8,
        pattern=r"^((rtsps?|rtmp)://.+|https?://[^?#]+/whip/?([?#].*)?)$",
        repr=False,
        description="Where to: `rtsp://USER:PASSWORD@HOST/{name}`, `rtmp://HOST/live/{name}` or, "
        "by WebRTC, `https://USER:PASSWORD@HOST/{name}/whip`, with `{name}` for the stream's name.",
    )
    transport: Literal["auto", "mixed", "udp", "tcp"] = Field(
        default="auto",
        description="For RTSP: `auto` sends the picture over UDP and the sound over TCP, and all "
        "over TCP where that isn't taken.",
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
    rtsps: RtspsSettings = RtspsSettings()
    multicast: MulticastSettings = MulticastSettings()
    rtmp: RtmpSettings = RtmpSettings()
    publish: PublishSettings = PublishSettings()
    http: HttpSettings = HttpSettings()
    webrtc: WebrtcSettings = WebrtcSettings()
    transcoding: TranscodingSettings = TranscodingSettings()
    hub: HubSettings = HubSettings()
    streams: dict[str, StreamSettings] = {}
    users: dict[str, UserSettings] = {}
    record: tuple[RecordSettings, ...] = Field(default=(), max_length=100)
    forward: tuple[ForwardSettings, ...] = Field(default=(), max_length=100)


NAMED_GROUPS: dict[str, type[BaseModel]] = {"streams": StreamSettings, "users": UserSettings}
"""The groups that there are many of, each under a name of its own."""

LISTED_GROUPS: dict[str, type[BaseModel]] = {
    "record": RecordSettings,
    "forward": ForwardSettings,
}
"""The groups that there are many of in order, `[[record]]`. In paths they have numbers from 0."""


def settings_fields(
    named: str = "NAME", *, group: type[BaseModel] = Settings, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Yield every setting with its path, those of a stream or a user under `named`."""
    for name, field in group.model_fields.items():
        many = None if path else NAMED_GROUPS.get(name) or LISTED_GROUPS.get(name)
        inner = many or field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys: KeyPath = (name,)
            if many:
                keys = name, named if name in NAMED_GROUPS else "0"
            yield from settings_fields(named, group=inner, path=path + keys)
        else:
            yield (*path, name), field
