"""What remains of DTLS once it has made keys: to say goodbye, and to understand the peer's.

OpenSSL keeps 75 KB for each association, for as long as there is one. The keys for these few bytes
are all that is needed of it.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

_ALERT = 21
_DTLS_1_2 = 0xFEFD
_EPOCH = 1
_WARNING, FATAL = 1, 2
CLOSE_NOTIFY = 0

# Far beyond what OpenSSL has numbered its own records with: a nonce may not be used twice.
_OWN_SEQUENCE = 1 << 40

_HEADER = struct.Struct("!BHQH")
"""Type, version, epoch and sequence number, length (RFC 6347, 4.1)."""
_ASSOCIATED = struct.Struct("!QBHH")
"""Epoch and sequence number, type, version, length of the plaintext (RFC 5246, 6.2.3.3)."""
_NUMBER = struct.Struct("!Q")
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a handshake has agreed on."""

    cipher: str
    """The suite as OpenSSL calls it: `ECDHE-ECDSA-AES128-GCM-SHA256`."""
    master: bytes
    client_random: bytes
    server_random: bytes


class Alerts:
    """Protects and reads alerts of an association that is established (RFC 5246, 7.2)."""

    __slots__ = ("_explicit", "_own", "_own_iv", "_peer", "_peer_iv", "_sent")

    def __init__(self, secrets: Secrets, *, is_server: bool) -> None:
        is_gcm = "GCM" in secrets.cipher
        # AES-GCM's nonces are told in part (RFC 5288, 3), ChaCha20's are not (RFC 7905, 2).
        self._explicit = 8 if is_gcm else 0
        key_bytes = 16 if "AES128" in secrets.cipher else 32
        iv_bytes = 4 if is_gcm else 12
        block = _key_block(secrets, 2 * (key_bytes + iv_bytes))
        keys = block[:key_bytes], block[key_bytes : 2 * key_bytes]
        block = block[2 * key_bytes :]
        ivs = block[:iv_bytes], block[iv_bytes:]
        cipher = AESGCM if is_gcm else ChaCha20Poly1305
        # The client's come first (RFC 5246, 6.3).
        self._own, self._own_iv = cipher(keys[is_server]), ivs[is_server]
        self._peer, self._peer_iv = cipher(keys[not is_server]), ivs[not is_server]
        self._sent = _OWN_SEQUENCE

    def close_notify(self) -> bytes:
        """A datagram that says goodbye."""
        plain = bytes((_WARNING, CLOSE_NOTIFY))
        number = _EPOCH << 48 | self._sent
        self._sent += 1
        nonce = self._nonce(self._own_iv, _NUMBER.pack(number))
        associated = _ASSOCIATED.pack(number, _ALERT, _DTLS_1_2, len(plain))
        sealed = _NUMBER.pack(number)[: self._explicit] + self._own.encrypt(
            nonce, plain, associated
        )
        return _HEADER.pack(_ALERT, _DTLS_1_2, number, len(sealed)) + sealed

    def read(self, datagram: bytes) -> tuple[int, int] | None:
        """Level and description of the first alert in it that is the peer's; None without one."""
        start = 0
        while start + _HEADER.size <= len(datagram):
            kind, version, number, length = _HEADER.unpack_from(datagram, start)
            start += _HEADER.size
            record = datagram[start : start + length]
            start += length
            plain_bytes = length - self._explicit - _TAG_BYTES
            if (kind, version, number >> 48, plain_bytes) != (_ALERT, _DTLS_1_2, _EPOCH, 2):
                continue
            if len(record) < length:
                break  # it is cut off
            told = record[: self._explicit] or _NUMBER.pack(number)
            associated = _ASSOCIATED.pack(number, _ALERT, _DTLS_1_2, plain_bytes)
            try:
                level, description = self._peer.decrypt(
                    self._nonce(self._peer_iv, told), record[self._explicit :], associated
                )
            except InvalidTag:
                continue  # it is somebody else's
            return level, description
        return None

    def _nonce(self, iv: bytes, number: bytes) -> bytes:
        if self._explicit:
            return iv + number
        return (int.from_bytes(iv) ^ int.from_bytes(number)).to_bytes(len(iv))


def _key_block(secrets: Secrets, size: int) -> bytes:
    """TLS 1.2's pseudorandom function (RFC 5246, 5 and 6.3)."""
    digest = "sha384" if secrets.cipher.endswith("SHA384") else "sha256"
    seed = b"key expansion" + secrets.server_random + secrets.client_random
    block, link = b"", seed
    while len(block) < size:
        link = hmac.digest(secrets.master, link, digest)
        block += hmac.digest(secrets.master, link + seed, digest)
    return block[:size]
