"""What `serve` shows, as text."""

from __future__ import annotations

import io

import pytest
from status_helpers import AUDIO, failed_stream, live_stream, server_status

from streamsocket import wording
from streamsocket.cli.display import (
    PlainDisplay,
    open_display,
    plain_announcement,
    publish_urls,
    qr_code,
)
from streamsocket.cli.table import TableDisplay, table_lines
from streamsocket.settings import Settings, StreamSettings
from streamsocket.settings.model import UserSettings
from streamsocket.status import Ports, ServerStatus

PORTS = Ports(8554, 8080)
HASH = "$argon2id$v=19$m=32768,t=2,p=1$R4Oq0TEsB8M09CPHtXNaaw$" + "A" * 43


def table(status: ServerStatus, width: int = 80, height: int = 30) -> list[str]:
    return [line.plain for line in table_lines(status, "::1", PORTS, width=width, height=height)]


def test_the_table_has_a_block_a_stream() -> None:
    lines = table(
        server_status(
            live_stream(loops=2, message="VP9 is transcoded to H.264."),
            live_stream("live/radio", tracks=(AUDIO,), position_s=None),
            failed_stream("bad", "It is plain text."),
        )
    )
    assert lines == [
        "  STREAM            STATE     VIEWERS      BITRATE     FPS  POSITION",
        "  movie             live            4  2.53 Mbit/s   25.00  0:12 / 1:30 ×3",
        "    rtsp://[::1]:8554/movie",
        "    H.264 1280x720, AAC 48 kHz stereo",
        "    VP9 is transcoded to H.264.",
        "",
        "  live/radio        live            4  2.53 Mbit/s       –",
        "    rtsp://[::1]:8554/live/radio",
        "    AAC 48 kHz stereo",
        "",
        "  bad               failed",
        "    rtsp://[::1]:8554/bad",
        "    It is plain text.",
        "",
        "  Ctrl-C ends",
    ]


def test_an_address_is_folded_on_a_narrow_terminal_never_cut() -> None:
    lines = table(server_status(live_stream("a-rather-long-name-of-a-movie")), width=40)
    assert "".join(lines[2:4]).replace(" ", "") == "rtsp://[::1]:8554/a-rather-long-name-of-a-movie"


@pytest.mark.parametrize("width", [10, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [5, 6, 10, 24, 50])
@pytest.mark.parametrize("count", [0, 1, 2, 8, 60])
def test_the_table_fits_the_terminal(width: int, height: int, count: int) -> None:
    status = server_status(*(live_stream(f"movie-{n}", message="Why. " * 9) for n in range(count)))
    lines = table(status, width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert lines[-1].startswith("  Ctrl-C"[: width - 1])


def test_streams_that_do_not_fit_are_counted() -> None:
    lines = table(server_status(*(live_stream(f"movie-{n}") for n in range(60))), height=20)
    shown = [line for line in lines if line.startswith("  movie-")]
    assert f"  … and {60 - len(shown)} more" in lines
    assert len(shown) > 10


def test_the_table_tells_where_browsers_watch() -> None:
    ports = Ports(8554, 8080, webrtc=8189)
    lines = table_lines(server_status(live_stream()), "::1", ports, width=80, height=30)
    assert "    http://[::1]:8080/movie/whep" in [line.plain for line in lines]


def test_the_live_table_is_drawn_on_a_terminal() -> None:
    out = io.StringIO()
    with TableDisplay("127.0.0.1", PORTS, out) as display:
        display.update(server_status(live_stream()))
        display.update(server_status(live_stream("too-soon")))
    assert "rtsp://127.0.0.1:8554/movie" in out.getvalue()
    assert "too-soon" not in out.getvalue()


def test_plain_lines_tell_every_address() -> None:
    hosts, ports = ["192.0.2.7", "2001:db8::7"], Ports(554, 80, rtmp=1935, webrtc=8189)
    publish_at = publish_urls(hosts[0], ports)
    assert plain_announcement(hosts, ports, ["a b"], publish_at)[1:] == [
        "page: http://192.0.2.7:80/",
        "page: http://[2001:db8::7]:80/",
        "publish: rtsp://192.0.2.7:554/NAME",
        "publish: rtmp://192.0.2.7/NAME",
        "publish: http://192.0.2.7:80/NAME/whip",
        "a b: rtsp://192.0.2.7:554/a%20b",
        "a b: http://192.0.2.7:80/a%20b/whep",
        "a b: rtsp://[2001:db8::7]:554/a%20b",
        "a b: http://[2001:db8::7]:80/a%20b/whep",
    ]


def test_plain_lines_come_on_news_and_every_ten_seconds() -> None:
    now = 100.0
    out = io.StringIO()
    display = PlainDisplay(out, clock=lambda: now)

    def told() -> list[str]:
        text = out.getvalue()
        out.seek(0)
        out.truncate()
        return text.splitlines()

    display.update(server_status(live_stream(position_s=None)))
    assert told() == ["movie: live, H.264 1280x720, AAC 48 kHz stereo"]
    now = 109.9
    display.update(server_status(live_stream()))
    assert told() == []
    now = 110.0
    display.update(server_status(live_stream(loops=1)))
    assert told() == ["movie: 0:12 / 1:30 ×2, 25.00 fps, 2.53 Mbit/s, 4 viewers"]
    display.update(server_status(failed_stream("movie", "The file is gone.")))
    assert told() == ["movie: failed. The file is gone."]
    now = 120.0
    display.update(server_status(failed_stream("movie", "The file is gone.")))
    assert told() == []


def test_without_a_terminal_there_is_no_table_and_no_code() -> None:
    out = io.StringIO()
    settings = Settings(host="0.0.0.0", streams={"movie": StreamSettings(source="movie.mp4")})
    with open_display(settings, Ports(8554, 8080), out=out) as display:
        display.update(server_status(live_stream()))
    assert "movie: rtsp://" in out.getvalue()
    assert "█" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_terminal_gets_a_code_if_others_can_watch(host: str, code: bool) -> None:
    out = Terminal()
    with open_display(Settings(host=host), Ports(8554, 8080), out=out):
        pass
    assert ("█" in out.getvalue()) == code
    assert "http://" in out.getvalue()
    assert "There is nothing to watch" in out.getvalue()


def test_the_code_is_square_and_fits_a_narrow_terminal() -> None:
    lines = qr_code("http://192.168.100.200:8080/").splitlines()
    assert {len(line) for line in lines} == {len(lines) * 2 - 1}
    assert len(lines[0]) <= 40


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.99, "0:59"), (754, "12:34"), (3723, "1:02:03")]
)
def test_a_position_is_written_like_a_clock(seconds: float, text: str) -> None:
    assert wording.clock(seconds) == text


@pytest.mark.parametrize(
    ("bits", "text"), [(0, "0 kbit/s"), (128_000, "128 kbit/s"), (999_999, "1.00 Mbit/s")]
)
def test_a_bitrate_is_written_in_its_unit(bits: int, text: str) -> None:
    assert wording.bitrate(bits) == text


@pytest.mark.parametrize(
    ("host", "with_users", "where"),
    [
        ("127.0.0.1", False, "127.0.0.1"),
        ("192.0.2.7", False, "localhost"),
        ("192.0.2.7", True, "192.0.2.7"),
    ],
)
def test_where_to_publish_is_where_it_is_allowed(host: str, with_users: bool, where: str) -> None:
    users = {"alice": UserSettings(password=HASH)} if with_users else {}
    out = io.StringIO()
    with open_display(Settings(host=host, users=users), Ports(8554, 8080), out=out):
        assert f"publish: rtsp://{where}:8554/NAME\n" in out.getvalue()
