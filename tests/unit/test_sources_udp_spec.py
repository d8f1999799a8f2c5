"""What a user writes to name a port that a transport stream comes to."""

from __future__ import annotations

from fractions import Fraction

import pytest

from streamsocket.errors import SourceError
from streamsocket.sources.encoding import Encoding
from streamsocket.sources.spec import UdpSpec, parse_source, spec_from_json, spec_to_json


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("udp://0.0.0.0:5000", "udp-5000", UdpSpec("0.0.0.0", 5000)),
        ("cam=udp://127.0.0.1:5000", "cam", UdpSpec("127.0.0.1", 5000)),
        ("UDP://localhost:5000/", "udp-5000", UdpSpec("localhost", 5000)),
        ("udp://239.1.2.3:5000", "udp-5000", UdpSpec("239.1.2.3", 5000)),
        ("udp://@239.1.2.3:5000", "udp-5000", UdpSpec("239.1.2.3", 5000)),
        ("udp://@:5000", "udp-5000", UdpSpec("0.0.0.0", 5000)),
        (
            "udp://239.1.2.3:5000?interface=192.168.1.5",
            "udp-5000",
            UdpSpec("239.1.2.3", 5000, "192.168.1.5"),
        ),
        (
            "cam=udp://239.1.2.3:5000?interface=eth0",
            "cam",
            UdpSpec("239.1.2.3", 5000, "eth0"),
        ),
        ("udp://[::]:5000", "udp-5000", UdpSpec("::", 5000)),
        ("udp://[ff15::1]:5000?interface=eth0", "udp-5000", UdpSpec("ff15::1", 5000, "eth0")),
    ],
)
def test_where_to_listen(text: str, name: str, spec: UdpSpec) -> None:
    assert parse_source(text) == (name, spec)
    assert parse_source(f"again={spec.text}") == ("again", spec)
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("udp://0.0.0.0", "nowhere to listen at"),
        ("udp://0.0.0.0:0", "nowhere to listen at"),
        ("udp://0.0.0.0:65536", "nowhere to listen at"),
        ("udp:5000", "nowhere to listen at"),
        ("udp://::1:5000", "nowhere to listen at"),
        ("udp://239.1.2.3:5000?pkt_size=1316", "nowhere to listen at"),
        ("udp://0.0.0.0:5000?interface=eth0", "no multicast group"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        parse_source(text)
    assert str(caught.value).endswith(".")


def test_it_is_passed_on_as_it_is() -> None:
    with pytest.raises(SourceError, match="passed on as it is"):
        parse_source("udp://0.0.0.0:5000", encoding=Encoding(fps=Fraction(30)))
