"""The certificate DTLS shows, and the fingerprints that tell whose a certificate is (RFC 8122)."""

from __future__ import annotations

import datetime
import functools
import re
import threading
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from streamsocket.errors import ParseError

_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""What may vouch for a certificate: what is older (RFC 8122, 5) has been broken, or nearly."""

_VALUE = re.compile(r"([A-Za-z0-9-]+) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)")

# Nobody who goes by the fingerprint looks at the dates, and a server may run for long.
_VALID_FOR = datetime.timedelta(days=3650)
_CLOCKS_DIFFER = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a certificate in DER, as `a=fingerprint` in an SDP carries it."""

    algorithm: str
    """`sha-256`, `sha-384` or `sha-512`."""
    digest: bytes

    @classmethod
    def parse(cls, value: str) -> Fingerprint:
        """Read the attribute's value: `sha-256 12:DF:3E:…`.

        Raises `ParseError`, also for hash functions that are not accepted (RFC 8122 lets an SDP
        carry several fingerprints: pass over those).
        """
        match = _VALUE.fullmatch(value.strip(" "))
        if not match:
            raise ParseError(f"{value[:200]!r} is no certificate fingerprint (RFC 8122, 5).")
        algorithm = match[1].lower()
        digest = bytes.fromhex(match[2].replace(":", ""))
        if algorithm not in _DIGEST_BYTES:
            raise ParseError(
                f"Fingerprints made with {algorithm[:20]} are not accepted, only those of "
                f"{', '.join(_DIGEST_BYTES)}."
            )
        if len(digest) != _DIGEST_BYTES[algorithm]:
            raise ParseError(f"A {algorithm} fingerprint has {_DIGEST_BYTES[algorithm]} bytes.")
        return cls(algorithm, digest)

    def __str__(self) -> str:
        """The attribute's value."""
        return f"{self.algorithm} {self.digest.hex(':').upper()}"


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A self-signed certificate and its key."""

    x509: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    fingerprint: Fingerprint
    """With sha-256: what goes into our SDP."""

    @classmethod
    def generate(cls) -> Certificate:
        """Make one on the curve P-256, which every browser takes (RFC 8827, 6.5)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "StreamSocket")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS_DIFFER)
            .not_valid_after(now + _VALID_FOR)
            .sign(key, hashes.SHA256())
        )
        digest = certificate.fingerprint(hashes.SHA256())
        return cls(certificate, key, Fingerprint("sha-256", digest))


_making = threading.Lock()


def own_certificate() -> Certificate:
    """The certificate of this process: made when it is first wanted, never stored."""
    with _making:  # two threads that want it at once get the same
        return _made()


@functools.cache
def _made() -> Certificate:
    return Certificate.generate()
