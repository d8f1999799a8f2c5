"""One RTSP connection, as the server sees it: bytes in, events out, answers to send.

The rules are those of RFC 2326 with RFC 7826's clarifications, for playing live streams:

    no session ──SETUP──> ready ──PLAY──> playing
        ^                  │  ^             │ │
        └────TEARDOWN──────┘  └────PAUSE────┘ │
        └────TEARDOWN─────────────────────────┘

and for publishing them:

    no session ──ANNOUNCE──> announced ──SETUP──> ready ──RECORD──> recording
        ^                        │                  │                   │
        └────────TEARDOWN────────┴──────────────────┴───────────────────┘

SETUP adds one track; PLAY, PAUSE and TEARDOWN mean all of them, or one if its URL is named.

A connection has one session at most, so a request that forgets its Session header still means it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from streamsocket.errors import ParseError
from streamsocket.rtsp import sdp
from streamsocket.rtsp.headers import (
    DEFAULT_SESSION_TIMEOUT_S,
    KEEP_TIMESTAMPS,
    RtpInfo,
    Session,
    TransportSpec,
    build_rtp_info,
    parse_range,
    parse_transport,
)
from streamsocket.rtsp.message import (
    VERSION,
    Frames,
    Message,
    Parser,
    Request,
)
from streamsocket.rtsp.negotiation import (
    ForeignDestinationError,
    UnsupportedTransportError,
    choose_transport,
)
from streamsocket.rtsp.sdp import SessionDescription
from streamsocket.rtsp.server_events import (
    AnnounceRequested,
    DescribeRequested,
    Event,
    InterleavedReceived,
    PauseRequested,
    PlayRequested,
    RecordRequested,
    Reply,
    Requested,
    SetupRequested,
    TeardownRequested,
)
from streamsocket.rtsp.server_response import PHRASES, build_response
from streamsocket.rtsp.url import StreamUrl, parse_stream_url, without_credentials

METHODS = (
    "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, PAUSE, TEARDOWN, "
    "GET_PARAMETER, SET_PARAMETER"
)


class _RefusalError(Exception):
    """A request that is answered with an error status."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        counted_as: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.counted_as = counted_as or PHRASES[status].lower().replace(" ", "_")


@dataclass(slots=True)
class _Track:
    url: str
    """As the player wrote it in SETUP: it looks for the same in RTP-Info."""
    transport: TransportSpec
    is_playing: bool = False


class ServerProtocol:
    """The rules of one connection.

    `now` is any clock in seconds that only goes forward, the same at every call.
    """

    def __init__(
        self,
        client_host: str,
        now: float,
        *,
        timeout_s: int = DEFAULT_SESSION_TIMEOUT_S,
        udp: bool = True,
        multicast: bool = False,
    ) -> None:
        """Without `udp`, tracks are sent and received over the connection alone."""
        self._client_host = client_host
        self._timeout_s = timeout_s
        self._udp = udp
        self._multicast = multicast
        self._alive_at = now
        self._parser = Parser()
        self._broken = False
        self._session_id: str | None = None
        self._path = ""
        self._tracks: dict[int, _Track] = {}
        self._announced: SessionDescription | None = None
        self._recording = False

    @property
    def session_id(self) -> str | None:
        """The session's id, None before the first SETUP and after the last TEARDOWN."""
        return self._session_id

    def touch(self, now: float) -> None:
        """Note a sign of life from the player that did not come through `receive`."""
        self._alive_at = now

    def expired(self, now: float) -> bool:
        """Whether the player has been silent for longer than the session's timeout."""
        return now - self._alive_at > self._timeout_s

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> Iterator[Event]:
        """Take bytes from the player and go through what they ask for, one event at a time.

        Answer a request before asking for the next event: what the next request means can depend
        on it. After a `Reply` that says `close` there are no more events.
        """
        messages = iter(()) if self._broken else self._parser.feed(data)
        return self._events(messages, now)

    def _events(self, messages: Iterator[Message], now: float) -> Iterator[Event]:
        try:
            for message in messages:
                if isinstance(message, Frames):
                    yield from self._frames(message, now)
                elif isinstance(message, Request):
                    self._alive_at = now
                    yield self._answer_or_ask(message)
        except ParseError as error:
            self._broken = True
            yield Reply(
                build_response(400, str(error)).serialise(), refused="malformed", close=True
            )

    # Answers to events.

    def described(self, event: DescribeRequested, sdp: str) -> bytes:
        """The stream exists, and this is its description."""
        # The slash goes before a query string: FFmpeg and live555 append a track's name to the
        # whole, GStreamer resolves it by RFC 3986, and both must name this stream.
        path, question_mark, query = without_credentials(event.request.url).partition("?")
        base = f"{path.rstrip('/')}/{question_mark}{query}"
        headers = {"Content-Base": base, "Content-Type": "application/sdp"}
        return self._ok(event.request, headers, body=sdp.encode(), with_session=False)

    def setup_done(
        self,
        event: SetupRequested,
        *,
        track: int,
        server_ports: tuple[int, int] | None = None,
        ssrc: int | None = None,
    ) -> bytes:
        """The track is ready; over UDP it will come from `server_ports`."""
        if self._session_id is None:
            self._session_id = secrets.token_hex(16)
            self._path = event.url.path if self._announced is None else self._path
        transport = replace(event.transport, server_ports=server_ports, ssrc=ssrc)
        self._tracks[track] = _Track(without_credentials(event.request.url), transport)
        return self._ok(event.request, {"Transport": transport.serialise()})

    def announced(self, event: AnnounceRequested) -> bytes:
        """The description is understood, and the name is free."""
        self._announced = event.description
        self._path = event.url.path
        return self._ok(event.request)

    def recording(self, event: RecordRequested) -> bytes:
        """What the publisher sends is taken from now on."""
        self._recording = True
        return self._ok(event.request)

    def playing(self, event: PlayRequested, positions: Mapping[int, tuple[int, int]]) -> bytes:
        """The tracks begin at these positions: sequence number and RTP timestamp of each."""
        entries = []
        for index in event.tracks:
            track = self._tracks[index]
            track.is_playing = True
            sequence, timestamp = positions[index]
            entries.append(RtpInfo(track.url, sequence & 0xFFFF, timestamp & 0xFFFFFFFF))
        # Whatever range was asked for, what a live stream has is now (RFC 2326, 12.29).
        headers = {"Range": "npt=now-", "RTP-Info": build_rtp_info(entries)}
        return self._ok(event.request, headers)

    def paused(self, event: PauseRequested) -> bytes:
        """Nothing of the tracks is sent any more."""
        for index in event.tracks:
            self._tracks[index].is_playing = False
        return self._ok(event.request)

    def torn_down(self, event: TeardownRequested) -> bytes:
        """The tracks are given up; with the last of them the session ends."""
        answer = self._ok(event.request)
        for index in event.tracks:
            del self._tracks[index]
        if not self._tracks:
            self._session_id = self._announced = None
            self._recording = False
        return answer

    def refuse(
        self, event: Requested, status: int, message: str, challenges: Iterable[str] = ()
    ) -> bytes:
        """The request cannot be granted; `message` says why, as players show it to their users.

        `challenges` ask who the client is, one WWW-Authenticate header each.
        """
        response = build_response(status, message, event.request)
        for challenge in challenges:
            response.headers.add("WWW-Authenticate", challenge)
        return response.serialise()

    # Rules.

    def _frames(self, frames: Frames, now: float) -> Iterator[InterleavedReceived]:
        """Packets by track, those of one channel together as far as nothing lies between them."""
        channel, packets = -1, list[bytes]()
        for number, data in frames.frames:
            if number != channel and packets:
                yield from self._packets(channel, packets, now)
                packets = []
            channel = number
            packets.append(data)
        yield from self._packets(channel, packets, now)

    def _packets(
        self, channel: int, packets: list[bytes], now: float
    ) -> Iterator[InterleavedReceived]:
        for index, track in self._tracks.items():
            channels = track.transport.interleaved
            if channels and channel in channels:
                is_rtcp = channel == channels[1]
                if is_rtcp or self._recording:
                    self._alive_at = now
                yield InterleavedReceived(index, is_rtcp, packets)
                return
        # else stragglers of a track that was torn down

    def _answer_or_ask(self, request: Request) -> Event:
        try:
            return self._check(request)
        except _RefusalError as refusal:
            response = build_response(refusal.status, str(refusal), request, refusal.headers)
            return Reply(response.serialise(), refused=refusal.counted_as)

    def _check(self, request: Request) -> Event:
        """Everything that all requests have in common, then the method's own rules."""
        headers = request.headers
        if request.version != VERSION:
            raise _RefusalError(505, f"{VERSION} is spoken here")
        if not re.fullmatch(r"[0-9]{1,10}", headers.get("CSeq") or ""):
            raise _RefusalError(400, "the CSeq header is missing or no number")
        required = headers.get_all("Require") + headers.get_all("Proxy-Require")
        if required:
            unsupported = {"Unsupported": ", ".join(required)}
            raise _RefusalError(551, "no options can be required", unsupported)
        session = headers.get("Session")
        if session is not None and session.partition(";")[0].strip() != self._session_id:
            raise _RefusalError(454, "it has expired, or never was on this connection")
        if request.method == "OPTIONS":
            return Reply(self._ok(request, {"Public": METHODS}))
        if request.method in ("GET_PARAMETER", "SET_PARAMETER"):
            return self._check_parameters(request)
        checks: dict[str, Callable[[Request, StreamUrl], Event]] = {
            "DESCRIBE": self._check_describe,
            "ANNOUNCE": self._check_announce,
            "SETUP": self._check_setup,
            "PLAY": self._check_play,
            "RECORD": self._check_record,
            "PAUSE": self._check_pause,
            "TEARDOWN": self._check_teardown,
        }
        check = checks.get(request.method)
        if check is None:
            raise _RefusalError(501, f"not {request.method[:40]}", {"Allow": METHODS})
        try:
            url = parse_stream_url(request.url)
        except ParseError as error:
            raise _RefusalError(400, str(error)) from None
        return check(request, url)

    def _check_parameters(self, request: Request) -> Reply:
        """Without a body it keeps the session alive; there are no parameters to get or to set."""
        if request.body.strip():
            raise _RefusalError(451, "there are no parameters here")
        return Reply(self._ok(request))

    def _check_describe(self, request: Request, url: StreamUrl) -> DescribeRequested:
        accept = request.headers.get("Accept")
        if accept and not re.search(r"application/(sdp|\*)|\*/\*", accept, re.IGNORECASE):
            raise _RefusalError(406, "streams are described in application/sdp")
        return DescribeRequested(request, url)

    def _check_announce(self, request: Request, url: StreamUrl) -> AnnounceRequested:
        if self._session_id is not None:
            raise _RefusalError(455, "this connection has a session already: tear it down first")
        if "sdp" not in request.headers.get("Content-Type", "application/sdp").lower():
            raise _RefusalError(415, "streams are announced in application/sdp")
        if not url.path:
            raise _RefusalError(400, "the URL names no stream, as in rtsp://HOST/NAME")
        try:
            description = sdp.parse(request.body.decode("utf-8", "replace"))
        except ParseError as error:
            raise _RefusalError(400, str(error)) from None
        return AnnounceRequested(request, url, description)

    def _check_setup(self, request: Request, url: StreamUrl) -> SetupRequested:
        if self._announced is not None:
            url = self._announced_track(request, url, self._announced)
        elif self._session_id is not None:
            self._require_path(url)
        if self._session_id is not None:
            if url.track is None:
                raise _RefusalError(459, "a further track is set up by its own URL")
            if url.track in self._tracks:
                raise _RefusalError(455, "this track is set up already: tear it down first")
        if self._recording:
            raise _RefusalError(455, "tracks are set up before RECORD")
        in_use = {c for track in self._tracks.values() for c in track.transport.interleaved or ()}
        try:
            transport = choose_transport(
                parse_transport(",".join(request.headers.get_all("Transport"))),
                client_host=self._client_host,
                channels_in_use=in_use,
                mode="PLAY" if self._announced is None else "RECORD",
                udp=self._udp,
                multicast=self._multicast,
            )
        except ParseError as error:
            raise _RefusalError(400, str(error)) from None
        except UnsupportedTransportError as error:
            raise _RefusalError(461, str(error)) from None
        except ForeignDestinationError as error:
            raise _RefusalError(403, str(error), counted_as="foreign_destination") from None
        return SetupRequested(request, url, transport, records=self._announced is not None)

    def _announced_track(
        self, request: Request, url: StreamUrl, description: SessionDescription
    ) -> StreamUrl:
        """Which of the tracks that the publisher announced it means to set up."""
        wanted = without_credentials(request.url)
        # Appended to the URL of ANNOUNCE, after a query or before it; or a whole URL by itself.
        ends = wanted.rstrip("/"), wanted.partition("?")[0].rstrip("/")
        for index, media in enumerate(description.medias):
            control = (media.control or "").strip()
            if control in ("", "*"):
                continue
            whole = without_credentials(control).rstrip("/")
            if any(end.endswith("/" + control.strip("/")) or end == whole for end in ends):
                return replace(url, path=self._path, track=index)
        if len(description.medias) == 1:
            return replace(url, path=self._path, track=0)
        raise _RefusalError(404, "the announcement has no track of this URL")

    def _check_play(self, request: Request, url: StreamUrl) -> PlayRequested:
        if self._announced is not None:
            raise _RefusalError(455, "this connection publishes: RECORD is what begins that")
        tracks = self._named_tracks(url)
        wanted = request.headers.get("Range")
        if wanted is not None:
            try:
                unit = parse_range(wanted).unit
            except ParseError as error:
                raise _RefusalError(457, str(error)) from None
            if unit != "npt":
                raise _RefusalError(457, f"the stream is live, and has npt rather than {unit}")
        keep_timestamps = request.headers.get(KEEP_TIMESTAMPS) == "kept"
        return PlayRequested(request, url, tracks, keep_timestamps)

    def _check_record(self, request: Request, url: StreamUrl) -> RecordRequested | Reply:
        if self._announced is None or self._session_id is None:
            raise _RefusalError(455, "RECORD comes after ANNOUNCE and SETUP")
        if self._recording:
            return Reply(self._ok(request))
        return RecordRequested(request, replace(url, path=self._path), tuple(self._tracks))

    def _check_pause(self, request: Request, url: StreamUrl) -> PauseRequested | Reply:
        if self._announced is not None and self._session_id is not None:
            # GStreamer says so before TEARDOWN. Who pauses sends nothing; RECORD changes nothing.
            return Reply(self._ok(request))
        playing = tuple(n for n in self._named_tracks(url) if self._tracks[n].is_playing)
        if not playing:
            return Reply(self._ok(request))
        return PauseRequested(request, url, playing)

    def _check_teardown(self, request: Request, url: StreamUrl) -> TeardownRequested:
        if self._announced is not None:
            return TeardownRequested(request, url, tuple(self._tracks))
        return TeardownRequested(request, url, self._named_tracks(url))

    def _named_tracks(self, url: StreamUrl) -> tuple[int, ...]:
        """The tracks that a URL means: one, or with the stream's own URL all that are set up."""
        if self._session_id is None:
            raise _RefusalError(455, "nothing is set up yet")
        self._require_path(url)
        if url.track is None:
            return tuple(self._tracks)
        if url.track not in self._tracks:
            raise _RefusalError(455, "this track is not set up")
        return (url.track,)

    def _require_path(self, url: StreamUrl) -> None:
        if url.path != self._path:
            raise _RefusalError(455, f"this connection's session is for '{self._path}'")

    def _ok(
        self,
        request: Request,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        with_session: bool = True,
    ) -> bytes:
        fields = dict(headers or {})
        if with_session and self._session_id is not None:
            fields["Session"] = Session(self._session_id, self._timeout_s).serialise()
        response = build_response(200, "", request, fields)
        response.body = body
        return response.serialise()
