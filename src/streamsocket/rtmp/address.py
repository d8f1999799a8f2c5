"""What RTMP's URLs mean: the stream's name, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from streamsocket.errors import ParseError
from streamsocket.names import bad_name_reason, is_stream_name

DEFAULT_PORT = 1935

_MAX_CREDENTIAL = 256


@dataclass(frozen=True, slots=True)
class PublishAddress:
    """What a publisher asks for."""

    name: str
    user: str | None = None
    password: str | None = None


def parse_publish_address(app: str, key: str, tc_url: str = "") -> PublishAddress:
    """The stream's name and the credentials from `connect`'s app and tcUrl and `publish`'s key.

    The name is app and key together, either of which may be empty: encoders cut a URL in two at
    places of their own. `?user=…&pass=…` behind any of them are credentials, the key's first.
    Raises ParseError for what cannot be a stream's name.
    """
    app, _, app_query = app.partition("?")
    key, _, key_query = key.partition("?")
    name = "/".join(part for part in (app.strip("/"), key.strip("/")) if part)
    if not is_stream_name(name):
        raise ParseError(bad_name_reason(name))
    for query in (key_query, app_query, tc_url.partition("?")[2]):
        fields = dict(parse_qsl(query, max_num_fields=20)) if query.count("&") < 20 else {}
        if "user" in fields or "pass" in fields:
            user, password = fields.get("user", ""), fields.get("pass", "")
            if max(len(user), len(password)) > _MAX_CREDENTIAL:
                raise ParseError(f"A user or password is longer than {_MAX_CREDENTIAL} characters.")
            return PublishAddress(name, user, password)
    return PublishAddress(name)


@dataclass(frozen=True, slots=True)
class PushAddress:
    """Where to push: the server, and the two halves that RTMP cuts a URL into."""

    host: str
    port: int
    app: str
    key: str
    """With its query."""

    @property
    def tc_url(self) -> str:
        """The URL of server and app, as `connect` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        return f"rtmp://{host}{port}/{self.app}"


def parse_push_url(url: str) -> PushAddress:
    """Read an `rtmp://` URL: what follows the last slash of its path is the key.

    `rtmp://user:pass@…` becomes `?user=…&pass=…` behind the key. Raises ParseError.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme != "rtmp" or not host or not parts.path.strip("/"):
        raise ParseError("An RTMP address is rtmp://host/app/key, with :port if it isn't 1935.")
    app, _, key = parts.path.strip("/").rpartition("/")
    if not app:
        app, key = key, ""
    query = [parts.query] if parts.query else []
    if parts.username is not None:
        user, password = (quote(unquote(each or ""), safe="") for each in _userinfo(parts.netloc))
        query.append(f"user={user}&pass={password}")
    if query:
        key += "?" + "&".join(query)
    return PushAddress(host, port or DEFAULT_PORT, app, key)


def _userinfo(netloc: str) -> tuple[str, str]:
    user, _, password = netloc.rpartition("@")[0].partition(":")
    return user, password
