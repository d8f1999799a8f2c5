"""TLS over sockets that an event loop watches: `rtsps://` and what else wants it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from streamsocket.errors import StreamSocketError

# One send to the kernel, a few TLS records (of 16 KB, RFC 8446, 5.1): also the most that is kept.
_CHUNK_BYTES = 64 * 1024

# What TLS itself has to say fits many times; a peer that makes it say more means no good.
_MAX_KEPT_BYTES = 256 * 1024


def server_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """What a server needs for TLS 1.2 and 1.3, from two PEM files.

    Raises `StreamSocketError` with a sentence that names the file.
    """
    for what, file in (("certificate", certificate), ("key", key)):
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise StreamSocketError(
                f"The TLS {what} {file} cannot be read: {error.strerror}."
            ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Nobody resumes here; and who hangs up without having read tickets resets the connection,
    # which takes their last words with it.
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _PasswordNeededError:
        raise StreamSocketError(
            f"The TLS key {key} is encrypted: give one without a password "
            "('openssl pkey' takes it off)."
        ) from None
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            reason = f"the key {key} is not the one of the certificate {certificate}"
        else:
            reason = f"{certificate} and {key} are not a certificate and its key in PEM"
        raise StreamSocketError(f"TLS cannot be used: {reason}.") from None
    return context


def client_context(*, verify: bool = True) -> ssl.SSLContext:
    """What a client needs. Without `verify` anybody can pretend to be the server."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsSocket:
    """The server's side of TLS over an accepted socket, used like a non-blocking socket.

    The event loop watches the socket inside, so two promises of its own keep what `add_reader` and
    `add_writer` tell true:

    - `recv` returns everything that has been decrypted. Nothing waits in here unseen.
    - `send` counts as sent what the kernel has taken. The rest it has encrypted already is kept,
      counts as not sent, and is what the next `send` must begin with, as the rest of a stream
      always is; it isn't encrypted twice.

    The handshake takes place in `recv`. The first word is the client's, as in RTSP: `send` before
    the handshake has ended raises `BlockingIOError`.
    """

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        accepted.setblocking(False)
        self._socket = accepted
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._kept = b""  # encrypted, and not with the kernel yet
        self._owed = 0  # how many bytes of the caller's are in it

    @property
    def established(self) -> bool:
        """Whether the handshake has ended well."""
        return self._established

    def recv(self, size: int) -> bytes:
        """What has arrived, decrypted: all of it, which may be one record (16 KB) over `size`.

        b"" at the end of the stream. Raises `BlockingIOError` while there is nothing, `OSError`
        (`ssl.SSLError` among them) when the connection is broken or the peer speaks no TLS.
        """
        data = self._socket.recv(size)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        try:
            if not self._established:
                self._tls.do_handshake()
                self._established = True
            return self._decrypted()
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        finally:
            self._answer()

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt and send; returns how many bytes the kernel has taken, from the beginning.

        Raises `BlockingIOError` if none, `OSError` when the connection is broken.
        """
        if not self._established:
            raise BlockingIOError
        view = memoryview(data)
        sent = 0
        while self._flush():
            of_this = min(self._owed, len(view) - sent)
            self._owed -= of_this
            sent += of_this
            if sent == len(view):
                return sent
            self._owed = self._tls.write(view[sent : sent + _CHUNK_BYTES])
        if not sent:
            raise BlockingIOError
        return sent

    def close(self) -> None:
        """Say goodbye if that can be done at once, and close."""
        try:
            if self._established:
                self._tls.unwrap()
        except ssl.SSLError:
            pass  # the peer has not answered yet, and will not be waited for
        try:
            self._flush()
        except OSError:
            pass
        self._socket.close()

    def fileno(self) -> int:
        """The socket's; -1 once it is closed."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """It never blocks: True is refused with `ValueError`."""
        if flag:
            raise ValueError("a TlsSocket never blocks")

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As a socket's."""
        self._socket.setsockopt(level, option, value)

    def getsockname(self) -> Any:
        """As a socket's."""
        return self._socket.getsockname()

    def _decrypted(self) -> bytes:
        parts = []
        try:
            while part := self._tls.read(_CHUNK_BYTES):
                parts.append(part)
        except ssl.SSLError:
            if not parts:
                raise
        return b"".join(parts)

    def _answer(self) -> None:
        """Send what TLS itself has to say: its part of the handshake, or why there will be none."""
        try:
            self._flush()
        except OSError:
            pass  # what has come in counts all the same; the next call meets the error again
        if len(self._kept) > _MAX_KEPT_BYTES:
            raise OSError("the peer reads nothing of what TLS has to tell it")

    def _flush(self) -> bool:
        """Give the kernel what is encrypted; whether it has taken all."""
        if self._outgoing.pending:
            self._kept += self._outgoing.read()
        if not self._kept:
            return True
        try:
            self._kept = self._kept[self._socket.send(self._kept) :]
        except BlockingIOError:
            pass
        return not self._kept


class _PasswordNeededError(Exception):
    pass


def _no_password() -> str:
    raise _PasswordNeededError
