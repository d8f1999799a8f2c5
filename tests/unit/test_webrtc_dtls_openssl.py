"""DTLS with OpenSSL's own tools, over UDP: both have the same keys."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from streamsocket.webrtc.certificate import Certificate
from streamsocket.webrtc.dtls import DtlsEndpoint, DtlsState
from streamsocket.webrtc.srtp_profile import SrtpProfile, split_keying_material

PEER = Certificate.generate()


@pytest.fixture
def peer_files(tmp_path: Path) -> list[str]:
    (tmp_path / "cert.pem").write_bytes(PEER.x509.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        PEER.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return ["-cert", str(tmp_path / "cert.pem"), "-key", str(tmp_path / "key.pem")]


def talk(
    end: DtlsEndpoint, wire: socket.socket, process: subprocess.Popen[bytes], address: object = None
) -> None:
    """Pass datagrams until it is over, one way or the other."""
    wire.settimeout(0.05)
    deadline = time.monotonic() + 20
    while end.state is DtlsState.CONNECTING:
        assert time.monotonic() < deadline
        assert process.poll() is None
        if address:
            for datagram in end.datagrams_to_send():
                wire.sendto(datagram, address)  # type: ignore[call-overload]
        try:
            received, address = wire.recvfrom(65536)
            end.receive(received, time.monotonic())
        except (TimeoutError, ConnectionRefusedError):
            end.handle_timer(time.monotonic())
    for datagram in end.datagrams_to_send():
        wire.sendto(datagram, address)  # type: ignore[call-overload]


def exported(process: subprocess.Popen[bytes]) -> bytes:
    """The keying material that OpenSSL prints."""
    assert process.stdout
    for line in process.stdout:
        if match := re.search(rb"Keying material: ([0-9A-F]+)", line):
            return bytes.fromhex(match[1].decode())
    raise AssertionError("no keying material was printed")


_EXPORT = ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "56"]


@contextlib.contextmanager
def openssl(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["openssl", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_openssl_s_client_connects_to_our_server(peer_files: list[str]) -> None:
    server = DtlsEndpoint(
        is_server=True, peer_fingerprints=[PEER.fingerprint], now=time.monotonic()
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{wire.getsockname()[1]}"
        profile = "SRTP_AEAD_AES_128_GCM"
        with openssl(
            "s_client", "-dtls1_2", "-use_srtp", profile, "-connect", to, *peer_files, *_EXPORT
        ) as process:
            talk(server, wire, process)
            material = exported(process)
    assert server.keys == split_keying_material(SrtpProfile(profile), material, is_server=True)


def test_our_client_connects_to_openssl_s_server(peer_files: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    profile = "SRTP_AEAD_AES_128_GCM"
    with (
        openssl(
            "s_server",
            *("-dtls1_2", "-use_srtp", profile, "-accept", f"127.0.0.1:{port}", "-listen"),
            *("-Verify", "1", *peer_files, *_EXPORT),
        ) as process,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire,
    ):
        client = DtlsEndpoint(
            is_server=False, peer_fingerprints=[PEER.fingerprint], now=time.monotonic()
        )
        talk(client, wire, process, ("127.0.0.1", port))
        material = exported(process)
    assert client.keys == split_keying_material(SrtpProfile(profile), material, is_server=False)
