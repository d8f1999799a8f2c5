"""The HTTP application, asked without a network."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from status_helpers import failed_stream, live_stream, server_status

from streamsocket.status import ForwardStatus, RecordingStatus, ServerStatus
from streamsocket.web.app import create_app


class Client:
    """Asks the application; `status` is what it will tell."""

    def __init__(self) -> None:
        self.status: ServerStatus = server_status(
            live_stream("live/lobby", message="VP9 becomes <H.264>."),
            failed_stream("bad", "It is plain text."),
        )
        self._app = create_app(lambda: self.status, rtsp_port=8554)

    def get(self, path: str, **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://host:8080") as http:
                return await http.get(path, headers=headers)

        return asyncio.run(ask())


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_ready_server_is_healthy(client: Client) -> None:
    response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_streams_are_listed_with_what_scripts_rely_on(client: Client) -> None:
    lobby, bad = client.get("/api/streams").json()
    assert lobby["name"] == "live/lobby"
    assert [(track["kind"], track["codec"]) for track in lobby["tracks"]] == [
        ("video", "h264"),
        ("audio", "aac"),
    ]
    assert (lobby["viewers"], lobby["bitrate_bps"]) == (4, 2_528_000)
    assert lobby["up_since"] == 1_700_000_000.0
    assert (bad["state"], bad["up_since"]) == ("failed", None)


def test_one_stream_is_found_by_a_name_with_slashes(client: Client) -> None:
    assert client.get("/api/streams/live/lobby").json() == client.get("/api/streams").json()[0]


def test_an_unknown_stream_is_told_what_there_is(client: Client) -> None:
    response = client.get("/api/streams/lobby")
    assert response.status_code == 404
    assert response.json()["detail"] == "There is no stream 'lobby'; there are: live/lobby, bad."
    client.status = server_status(*(live_stream(f"s{n}") for n in range(500)))
    assert client.get("/api/streams/x").json()["detail"].endswith("s8, s9, ….")
    client.status = server_status()
    assert "no streams at the moment" in client.get("/api/streams/x").json()["detail"]


def test_the_metrics_parse_and_tell_the_status(client: Client) -> None:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["streamsocket_loop_lag_seconds",] == 0.003
    assert samples["streamsocket_connections",] == 5
    assert samples["streamsocket_sessions",] == 4
    assert samples["streamsocket_refused_total", "malformed"] == 2
    assert samples["streamsocket_stream_up", "live/lobby"] == 1
    assert samples["streamsocket_stream_up", "bad"] == 0
    assert samples["streamsocket_stream_viewers", "live/lobby"] == 4
    assert samples["streamsocket_stream_skipped_packets_total", "live/lobby"] == 7
    assert samples["streamsocket_stream_resent_packets_total", "live/lobby"] == 3
    assert samples["streamsocket_stream_unsent_packets_total", "live/lobby"] == 2
    assert samples["streamsocket_stream_timestamp_jumps_total", "live/lobby"] == 6
    assert samples["streamsocket_stream_estimated_bits_per_second", "live/lobby"] == 1_500_000
    assert ("streamsocket_stream_estimated_bits_per_second", "bad") not in samples
    buckets = "streamsocket_added_latency_seconds_bucket"
    assert samples[buckets, "0.002", "live/lobby"] == 98
    assert samples[buckets, "+Inf", "live/lobby"] == 100
    assert samples["streamsocket_track_packets_total", "video", "live/lobby"] == 1000
    assert samples["streamsocket_track_bytes_total", "audio", "live/lobby"] == 90_000


def test_the_page_lists_addresses_as_the_browser_reached_the_server(client: Client) -> None:
    page = client.get("/", host="media.example:9000").text
    assert 'href="rtsp://media.example:8554/live/lobby"' in page
    assert "http" not in page.split("<footer")[0].replace("http-equiv", "")


def test_the_page_escapes_what_it_shows(client: Client) -> None:
    page = client.get("/", host='"><script>alert(1)</script>').text
    assert "<script" not in page
    assert "VP9 becomes &lt;H.264&gt;." in page


def test_the_page_without_streams_says_how_to_get_one(client: Client) -> None:
    client.status = server_status()
    assert "streamsocket serve movie.mp4" in client.get("/").text


def test_nothing_may_be_loaded_into_the_page_or_read_by_others(client: Client) -> None:
    response = client.get("/", origin="http://evil.example")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "access-control-allow-origin" not in response.headers


def test_the_api_describes_itself(client: Client) -> None:
    description = client.get("/api/openapi.json").json()
    assert set(description["paths"]) == {
        "/health",
        "/api/recordings",
        "/api/forwards",
        "/api/streams",
        "/api/streams/{name}",
        "/metrics",
    }
    assert "StreamStatus" in description["components"]["schemas"]


def test_recordings_and_forwards_are_listed(client: Client) -> None:
    recording = RecordingStatus("lobby", "rec/lobby.mp4", 12.5, 40_000, 0, None)
    forward = ForwardStatus("lobby", "rtsp://h/copy", "retrying", "It is not there.", 3)
    client.status = replace(server_status(), recordings=(recording,), forwards=(forward,))
    assert client.get("/api/recordings").json() == [asdict(recording)]
    assert client.get("/api/forwards").json() == [asdict(forward)]
