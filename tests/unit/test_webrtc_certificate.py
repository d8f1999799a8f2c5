"""The process's own certificate, and fingerprints as SDPs carry them."""

from __future__ import annotations

import re

import pytest

from streamsocket.errors import ParseError
from streamsocket.webrtc.certificate import Certificate, Fingerprint, own_certificate

PEER = Certificate.generate()


def test_the_certificate_is_the_process_s_own() -> None:
    assert own_certificate() is own_certificate()
    assert own_certificate().fingerprint != PEER.fingerprint
    fingerprint = PEER.fingerprint
    assert re.fullmatch("sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}", str(fingerprint))
    assert Fingerprint.parse(str(fingerprint)) == fingerprint
    assert Fingerprint.parse(f" {str(fingerprint).lower()} ") == fingerprint


@pytest.mark.parametrize(
    "value", ["", "sha-256", "sha-256 12", "sha-256 zz", "sha-1 " + ":".join(["00"] * 20), "x y"]
)
def test_what_is_no_fingerprint_is_an_error(value: str) -> None:
    with pytest.raises(ParseError):
        Fingerprint.parse(value)
