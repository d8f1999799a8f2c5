"""The SRTP protection profiles and what DTLS agrees on for them (RFC 5764, RFC 7714)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from streamsocket.errors import ParseError


class SrtpError(ParseError):
    """An SRTP or SRTCP packet that is forged, damaged, replayed or too old: drop it."""


class SrtpProfile(Enum):
    """How packets are protected; the values are the names OpenSSL knows them by."""

    AEAD_AES_128_GCM = "SRTP_AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "SRTP_AEAD_AES_256_GCM"
    AES128_CM_SHA1_80 = "SRTP_AES128_CM_SHA1_80"

    @property
    def is_gcm(self) -> bool:
        """Whether it is one of RFC 7714's, not of RFC 3711's."""
        return self is not SrtpProfile.AES128_CM_SHA1_80

    @property
    def key_bytes(self) -> int:
        """The master key's size."""
        return 32 if self is SrtpProfile.AEAD_AES_256_GCM else 16

    @property
    def salt_bytes(self) -> int:
        """The master salt's size."""
        return 12 if self.is_gcm else 14


@dataclass(frozen=True, slots=True)
class SrtpKey:
    """What one direction of a session is protected with."""

    profile: SrtpProfile
    key: bytes = field(repr=False)
    """The master key, `profile.key_bytes` long."""
    salt: bytes = field(repr=False)
    """The master salt, `profile.salt_bytes` long."""

    def __post_init__(self) -> None:
        if (len(self.key), len(self.salt)) != (self.profile.key_bytes, self.profile.salt_bytes):
            raise ValueError("the master key and salt are not of the profile's sizes")


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What a DTLS handshake leaves for SRTP."""

    local: SrtpKey
    """For what we send."""
    remote: SrtpKey
    """For what we receive."""


def split_keying_material(profile: SrtpProfile, material: bytes, *, is_server: bool) -> SrtpKeys:
    """Cut what DTLS exports into both directions' keys and salts (RFC 5764, 4.2).

    `material` is `keying_material_bytes(profile)` long.
    """
    key, salt = profile.key_bytes, profile.salt_bytes
    salts = material[2 * key :]
    client = SrtpKey(profile, material[:key], salts[:salt])
    server = SrtpKey(profile, material[key : 2 * key], salts[salt : 2 * salt])
    return SrtpKeys(server, client) if is_server else SrtpKeys(client, server)


def keying_material_bytes(profile: SrtpProfile) -> int:
    """How much DTLS has to export: two master keys and two master salts."""
    return 2 * (profile.key_bytes + profile.salt_bytes)


def derive(master: SrtpKey, label: int, size: int) -> bytes:
    """Derive a session key or salt (RFC 3711, 4.3, with a key derivation rate of 0).

    A salt of 96 bits is filled up with zeros on the right, as libsrtp does (RFC 7714, 11).
    """
    start = bytearray(master.salt.ljust(16, b"\0"))
    start[7] ^= label
    return Cipher(AES(master.key), CTR(bytes(start))).encryptor().update(bytes(size))
