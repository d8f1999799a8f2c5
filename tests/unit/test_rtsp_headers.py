"""Transport, Session, Range and RTP-Info, as real peers write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtsp.headers import (
    Range,
    RtpInfo,
    Session,
    TransportSpec,
    build_rtp_info,
    parse_range,
    parse_rtp_info,
    parse_session,
    parse_transport,
)


@pytest.mark.parametrize(
    ("value", "specs"),
    [
        (  # FFmpeg
            "RTP/AVP/UDP;unicast;client_port=21374-21375",
            [TransportSpec("udp", client_ports=(21374, 21375))],
        ),
        (  # VLC
            "RTP/AVP;unicast;client_port=59114-59115",
            [TransportSpec("udp", client_ports=(59114, 59115))],
        ),
        (
            "RTP/AVP/TCP;unicast;interleaved=2-3",
            [TransportSpec("tcp", interleaved=(2, 3))],
        ),
        (  # GStreamer offers all it has
            "RTP/AVP/UDP;unicast;client_port=5000-5001,RTP/AVP/UDP;multicast,RTP/AVP/TCP;unicast",
            [
                TransportSpec("udp", client_ports=(5000, 5001)),
                TransportSpec("udp", multicast=True),
                TransportSpec("tcp"),
            ],
        ),
        (
            'rtp/avp/tcp ; UNICAST; Interleaved = 0 ; mode = "PLAY,record"',
            [TransportSpec("tcp", interleaved=(0, 1), mode="PLAY,RECORD")],
        ),
        (  # a Dahua camera's answer
            "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc= D93FF",
            [TransportSpec("tcp", interleaved=(0, 1), ssrc=0xD93FF)],
        ),
        (
            "RTP/AVP;unicast;source=10.0.0.2;server_port=6000-6001;ssrc=not hex;mode=play",
            [TransportSpec("udp", source="10.0.0.2", server_ports=(6000, 6001), mode="PLAY")],
        ),
        (
            "RTP/SAVP;unicast;client_port=5000",
            [TransportSpec("udp", profile="SAVP", client_ports=(5000, 5001))],
        ),
        (  # a multicast group
            "RTP/AVP;multicast;destination=239.255.42.1;port=8002-8003;ttl=16",
            [
                TransportSpec(
                    "udp",
                    multicast=True,
                    destination="239.255.42.1",
                    ports=(8002, 8003),
                    ttl=16,
                )
            ],
        ),
        (
            "RTP/AVP;multicast;port=8002;ttl=256",
            [TransportSpec("udp", multicast=True, ports=(8002, 8003))],
        ),
        (  # alternatives that are no RTP
            "MP2T/H2221/UDP;unicast;client_port=1,x-real-rdt/udp,RTP/AVP/QUIC,RTP/AVP/TCP",
            [TransportSpec("tcp")],
        ),
        ("", []),
        (",;,", []),
    ],
)
def test_transports_are_read(value: str, specs: list[TransportSpec]) -> None:
    assert parse_transport(value) == specs


@pytest.mark.parametrize(
    "parameter",
    [
        "client_port=0-70000",
        "client_port=abc",
        "client_port=-1",
        "client_port=",
        "interleaved=255",
        "interleaved=0-256",
        "interleaved=1-2-3",
        "server_port=65535",
        "port=65536",
    ],
)
def test_impossible_ports_and_channels_are_refused(parameter: str) -> None:
    with pytest.raises(ParseError, match=parameter.partition("=")[0]):
        parse_transport(f"RTP/AVP;{parameter}")


ports = st.none() | st.tuples(st.integers(0, 65535), st.integers(0, 65535))
hosts = st.none() | st.ip_addresses().map(str)


@given(
    st.builds(
        TransportSpec,
        st.sampled_from(["udp", "tcp"]),
        st.sampled_from(["AVP", "AVPF", "SAVP", "SAVPF"]),
        st.booleans(),
        ports,
        ports,
        st.none() | st.tuples(st.integers(0, 255), st.integers(0, 255)),
        hosts,
        hosts,
        st.none() | st.integers(0, 2**32 - 1),
        st.sampled_from([None, "PLAY", "PLAY,RECORD"]),
        ports,
        st.none() | st.integers(0, 255),
    )
)
def test_a_transport_that_was_written_is_read_again(spec: TransportSpec) -> None:
    assert parse_transport(spec.serialise()) == [spec]


def test_sessions_are_read() -> None:
    assert parse_session("12ab") == Session("12ab", 60)
    assert parse_session("12ab;timeout=30") == Session("12ab", 30)
    assert parse_session(" 12ab ; x=1; Timeout = 30") == Session("12ab", 30)
    assert parse_session("12ab;timeout=soon") == Session("12ab", 60)
    assert parse_session("12ab;timeout=0") == Session("12ab", 60)
    assert parse_session(Session("12ab", 5).serialise()) == Session("12ab", 5)
    with pytest.raises(ParseError):
        parse_session(";timeout=30")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("npt=now-", Range("npt")),
        ("npt=0.000-", Range("npt", 0.0)),
        ("npt=10-20.5", Range("npt", 10.0, 20.5)),
        ("npt=-20", Range("npt", None, 20.0)),
        ("npt=1:02:03.5-", Range("npt", 3723.5)),
        ("NPT = 5 - ;time=19970123T143720Z", Range("npt", 5.0)),
        ("clock=19961108T142300Z-19961108T143520Z", Range("clock")),
        ("smpte-30-drop=0:10:20-", Range("smpte")),
    ],
)
def test_ranges_are_read(value: str, expected: Range) -> None:
    assert parse_range(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "npt", "npt=", "npt=-", "npt=5", "npt=20-10", "npt=a-b", "npt=1:99:00-", "bytes=0-100"],
)
def test_ranges_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(ParseError):
        parse_range(value)


def test_rtp_info_is_read_with_whatever_real_servers_leave_out() -> None:
    assert parse_rtp_info("url=rtsp://h/a/trackID=0;seq=12;rtptime=34,url=x;rtptime=5;seq=6") == [
        RtpInfo("rtsp://h/a/trackID=0", 12, 34),
        RtpInfo("x", 6, 5),
    ]
    assert parse_rtp_info("url=trackID=1") == [RtpInfo("trackID=1")]
    assert parse_rtp_info("seq=3;rtptime=4") == [RtpInfo("", 3, 4)]
    assert parse_rtp_info("") == [RtpInfo("")]
    assert parse_rtp_info("url=a;seq=65536;rtptime=-1, url=b;rtptime=4294967296") == [
        RtpInfo("a"),
        RtpInfo("b"),
    ]
    url = "rtsp://h/a?b=1,2;c=3/trackID=0"
    assert parse_rtp_info(f'url="{url}";seq=1') == [RtpInfo(url, 1)]


@given(
    st.lists(
        st.builds(
            RtpInfo,
            st.sampled_from(["rtsp://h/a/trackID=0", "rtsp://h/a?b=c;d=e,f/trackID=1"]),
            st.none() | st.integers(0, 2**16 - 1),
            st.none() | st.integers(0, 2**32 - 1),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_rtp_info_that_was_written_is_read_again(entries: list[RtpInfo]) -> None:
    assert parse_rtp_info(build_rtp_info(entries)) == entries


@pytest.mark.parametrize("filler", [",", ";", '"', ';"', " ", "url=,", ";seq=", "RTP/AVP;,", "-"])
def test_no_value_takes_long_to_read(filler: str) -> None:
    value = (filler * 8192)[:8192]
    began = time.process_time()
    for parser in (parse_transport, parse_session, parse_range, parse_rtp_info):
        try:
            parser(value)
        except ParseError:
            pass
    assert time.process_time() - began < 0.1
