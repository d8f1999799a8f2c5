"""TLS in the clothes of a non-blocking socket, over real sockets on this machine."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from streamsocket.errors import StreamSocketError
from streamsocket.hub.tcp import TcpSender
from streamsocket.tls import TlsSocket, client_context, server_context

T = TypeVar("T")


class Pair(NamedTuple):
    certificate: Path
    key: Path


def make_pair(directory: Path, *options: str) -> Pair:
    pair = Pair(directory / "certificate.pem", directory / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run(
        [*command, *names, *files, *(options or ("-nodes",))],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def context(pair: Pair) -> ssl.SSLContext:
    return server_context(*pair)


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """An accepted socket and the client's end of it, which blocks for 10 s at most."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    client.settimeout(10)
    with closing(accepted), closing(client):
        yield accepted, client


def in_background(function: Callable[[], T]) -> Future[T]:
    """A client blocks, so it has a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def receive(tls: TlsSocket, size: int = 65_536) -> bytes:
    """What comes next, as an event loop would get it: called only when the socket is readable."""
    while True:
        readable, _, _ = select.select([tls], [], [], 10)
        assert readable, "nothing came"
        try:
            return tls.recv(size)
        except BlockingIOError:
            continue


def greeted(
    context: ssl.SSLContext,
    connection: tuple[socket.socket, socket.socket],
    *,
    version: ssl.TLSVersion | None = None,
) -> tuple[TlsSocket, ssl.SSLSocket]:
    """Both ends after the handshake and a first word from the client."""
    accepted, raw_client = connection
    tls = TlsSocket(accepted, context)
    client_side = client_context(verify=False)
    if version:
        client_side.minimum_version = client_side.maximum_version = version

    def greet() -> ssl.SSLSocket:
        client = client_side.wrap_socket(raw_client, suppress_ragged_eofs=False)
        client.sendall(b"hello")
        return client

    client = in_background(greet)
    assert receive(tls) == b"hello"
    assert tls.established
    return tls, client.result(10)


def sent_of(tls: TlsSocket, data: memoryview) -> int:
    try:
        return tls.send(data)
    except BlockingIOError:
        return 0


def send_all(tls: TlsSocket, data: bytes | memoryview) -> None:
    """Send as an event loop would: what was not taken, again when the socket is writable."""
    rest = memoryview(data)
    while rest:
        _, writable, _ = select.select([], [tls], [], 10)
        assert writable, "the client reads nothing"
        rest = rest[sent_of(tls, rest) :]


def read_exactly(client: ssl.SSLSocket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (part := client.recv(65_536)):
        data += part
    return bytes(data)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_words_go_both_ways(
    context: ssl.SSLContext,
    connection: tuple[socket.socket, socket.socket],
    version: ssl.TLSVersion,
) -> None:
    tls, client = greeted(context, connection, version=version)
    with client:
        assert client.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        send_all(tls, b"good day")
        assert read_exactly(client, 8) == b"good day"
        client.sendall(b"and to you")
        assert receive(tls) == b"and to you"
        tls.close()
        assert client.recv(10) == b""  # a proper end, not a broken one


def test_old_versions_are_refused(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    accepted, raw_client = connection
    tls = TlsSocket(accepted, context)
    old = client_context(verify=False)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    handshake = in_background(lambda: old.wrap_socket(raw_client))
    with pytest.raises(ssl.SSLError):
        receive(tls)
    with pytest.raises(ssl.SSLError):
        handshake.result(10)


def test_nothing_decrypted_waits_unseen(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    """However little is asked for at a time: the event loop only knows of what is encrypted."""
    tls, client = greeted(context, connection)
    sent = bytes(range(256)) * 400
    with client:
        sending = in_background(lambda: client.sendall(sent))
        received = bytearray()
        while len(received) < len(sent):
            received += receive(tls, 1000)
        sending.result(10)
        assert received == sent
        with pytest.raises(BlockingIOError):
            tls.recv(1000)


@pytest.mark.parametrize("size", [1, 100, 16_384, 65_536, 3_000_000])
def test_what_the_kernel_does_not_take_is_neither_lost_nor_doubled(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket], size: int
) -> None:
    connection[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    tls, client = greeted(context, connection)
    with client:
        piece = bytes(range(256)) * (size // 256) + bytes(size % 256)
        sent = bytearray()
        rest = memoryview(b"")
        # Fill all buffers without anybody reading.
        while not rest or select.select([], [tls], [], 0.2)[1]:
            if not rest:
                rest = memoryview(piece)
                sent += piece
            rest = rest[sent_of(tls, rest) :]
        assert len(tls._kept) <= 70_000
        with pytest.raises(BlockingIOError):
            tls.send(rest)
        reading = in_background(lambda: read_exactly(client, len(sent) + 4))
        send_all(tls, rest)
        send_all(tls, b"end.")
        assert reading.result(10) == sent + b"end."


def test_everything_taken_is_with_the_kernel(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    """Otherwise its last bytes would wait for a next send, that may never come."""
    connection[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    tls, client = greeted(context, connection)
    with client:
        taken = 0
        while True:
            try:
                taken += tls.send(bytes(50))
            except BlockingIOError:
                break
        assert read_exactly(client, taken) == bytes(taken)


def test_the_rest_may_be_offered_in_smaller_pieces(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    connection[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    tls, client = greeted(context, connection)
    data = bytes(range(251)) * 40_000
    with client:
        taken = sent_of(tls, memoryview(data))
        assert taken < len(data)
        reading = in_background(lambda: read_exactly(client, len(data)))
        for start in range(taken, len(data), 10_007):
            send_all(tls, data[start : start + 10_007])
        assert reading.result(20) == data


def test_the_sender_of_the_hub_works_over_it(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    tls, client = greeted(context, connection)
    pieces = [bytes([n % 251]) * (n % 3000) for n in range(2000)]
    expected = b"".join(pieces)
    failures: list[None] = []

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        sender = TcpSender(loop, tls, on_failure=lambda: failures.append(None))  # type: ignore[arg-type]
        received: list[bytes] = []
        for start in range(0, len(pieces), 40):
            for piece in pieces[start : start + 40]:
                sender.write(piece)
            size = sum(map(len, pieces[start : start + 40]))
            received.append(await asyncio.to_thread(read_exactly, client, size))
        assert not sender.stalled
        sender.close()
        return b"".join(received)

    with client:
        client.settimeout(10)
        assert asyncio.run(asyncio.wait_for(main(), 30)) == expected
    assert not failures


def test_a_sender_that_stalls_goes_on_when_the_event_loop_says_so(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    tls, client = greeted(context, connection)
    expected = bytes(range(250)) * 40_000
    failures: list[None] = []

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        sender = TcpSender(loop, tls, on_failure=lambda: failures.append(None))  # type: ignore[arg-type]
        sender.write(expected)
        assert sender.stalled
        data = await asyncio.to_thread(read_exactly, client, len(expected))
        sender.close()
        return data

    with client:
        assert asyncio.run(asyncio.wait_for(main(), 30)) == expected
    assert not failures


def test_nothing_is_sent_before_the_handshake(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    tls = TlsSocket(connection[0], context)
    assert not tls.established
    with pytest.raises(BlockingIOError):
        tls.send(b"too early")
    tls.close()
    assert connection[1].recv(10) == b""


@pytest.mark.parametrize(
    "said", [b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(300)]
)
def test_who_speaks_no_tls_is_refused(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    tls = TlsSocket(connection[0], context)
    connection[1].sendall(said)
    with pytest.raises(ssl.SSLError):
        receive(tls)
    tls.close()
    assert tls.fileno() == -1


@pytest.mark.parametrize("size", [0, 1, 50, 150])
def test_a_handshake_that_breaks_off_is_the_end(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket], size: int
) -> None:
    tls = TlsSocket(connection[0], context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context(verify=False).wrap_bio(incoming, outgoing).do_handshake()
    connection[1].sendall(outgoing.read()[:size])
    connection[1].shutdown(socket.SHUT_WR)
    assert receive(tls) == b""


def test_a_handshake_byte_by_byte_succeeds(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    accepted, raw_client = connection
    tls = TlsSocket(accepted, context)

    def greet() -> ssl.SSLSocket:
        client = client_context(verify=False).wrap_socket(raw_client)
        client.sendall(b"hello")
        return client

    greeting = in_background(greet)
    assert receive(tls, 1) == b"hello"
    greeting.result(10).close()
    tls.close()


@pytest.mark.parametrize("politely", [True, False])
def test_the_end_of_the_stream(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket], politely: bool
) -> None:
    tls, client = greeted(context, connection)
    client.sendall(b"last words")
    if politely:
        client.settimeout(0)
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
    client.close()
    assert receive(tls) == b"last words"
    assert receive(tls) == b""
    tls.close()


def test_a_record_that_was_tampered_with_is_an_error(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    tls, client = greeted(context, connection)
    with socket.socket(fileno=client.detach()) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError):
            receive(tls)
    tls.close()


def test_it_never_blocks(
    context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    tls = TlsSocket(connection[0], context)
    with pytest.raises(BlockingIOError):
        tls.recv(100)
    tls.setblocking(False)
    with pytest.raises(ValueError, match="never blocks"):
        tls.setblocking(True)
    assert tls.getsockname() == connection[0].getsockname()
    tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert connection[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_client_verifies_unless_told_otherwise(
    pair: Pair, context: ssl.SSLContext, connection: tuple[socket.socket, socket.socket]
) -> None:
    tls = TlsSocket(connection[0], context)
    verifying = in_background(
        lambda: client_context().wrap_socket(connection[1], server_hostname="localhost")
    )
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        receive(tls)
    with pytest.raises(ssl.SSLCertVerificationError):
        verifying.result(10)
    trusting = client_context()
    trusting.load_verify_locations(pair.certificate)
    assert trusting.check_hostname


# What can be wrong with the files.


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(StreamSocketError) as caught:
        server_context(certificate, key)
    return str(caught.value)


def test_files_that_are_missing_are_named(pair: Pair, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    assert refusal(gone, pair.key) == (
        f"The TLS certificate {gone} cannot be read: No such file or directory."
    )
    assert refusal(pair.certificate, gone).startswith(f"The TLS key {gone} cannot be read")


def test_files_that_are_something_else_are_named(pair: Pair, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("hello")
    for files in ((other, pair.key), (pair.certificate, other), (pair.key, pair.certificate)):
        sentence = refusal(*files)
        assert str(files[0]) in sentence
        assert str(files[1]) in sentence
        assert "not a certificate and its key in PEM" in sentence


def test_a_key_of_another_certificate_is_told(pair: Pair, tmp_path: Path) -> None:
    other = make_pair(tmp_path)
    assert "is not the one of the certificate" in refusal(pair.certificate, other.key)


def test_an_encrypted_key_is_refused_without_asking(tmp_path: Path) -> None:
    encrypted = make_pair(tmp_path, "-passout", "pass:secret")
    assert "is encrypted" in refusal(*encrypted)
