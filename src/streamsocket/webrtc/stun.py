"""STUN messages (RFC 8489), as far as connectivity checks use them (RFC 8445, 7)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from streamsocket.errors import ParseError

BINDING = 1
"""The only method that connectivity checks use."""
MAGIC_COOKIE = 0x2112_A442
TRANSACTION_ID_BYTES = 12
MAX_MESSAGE = 1500
"""Bytes of a message: more than any datagram that crosses a network in one piece."""
MAX_TEXT = 763
"""Bytes of a text attribute, the longest that the RFC allows (14.8)."""

BAD_REQUEST = 400
UNAUTHENTICATED = 401
UNKNOWN_ATTRIBUTE = 420
ROLE_CONFLICT = 487

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_COOKIE = MAGIC_COOKIE.to_bytes(4)

_USERNAME = 0x0006
_INTEGRITY = 0x0008
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_XOR_MAPPED_ADDRESS = 0x0020
_PRIORITY = 0x0024
_USE_CANDIDATE = 0x0025
_SOFTWARE = 0x8022
_FINGERPRINT = 0x8028
_ICE_CONTROLLED = 0x8029
_ICE_CONTROLLING = 0x802A
_COMPREHENSION_OPTIONAL = 0x8000

_INTEGRITY_BYTES = 20
_FINGERPRINT_XOR = 0x5354_554E
_IPV4, _IPV6 = 1, 2


class IntegrityError(ParseError):
    """A message that does not prove that its sender knows the password."""


class MessageClass(IntEnum):
    """What a message is to its transaction (5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One message. What an attribute tells is None where the message lacks it."""

    message_class: MessageClass
    transaction_id: bytes
    """12 bytes."""
    method: int = BINDING
    username: str | None = None
    """In a check `THEIRS:OURS`: the receiver's username fragment, then the sender's."""
    priority: int | None = None
    """What a peer-reflexive candidate learnt from this check would have (RFC 8445, 7.1.1)."""
    use_candidate: bool = False
    """The controlling agent nominates the pair (RFC 8445, 7.1.2)."""
    ice_controlling: int | None = None
    """The sender takes itself for the controlling agent; its 64-bit tie-breaker."""
    ice_controlled: int | None = None
    mapped_address: tuple[str, int] | None = None
    """XOR-MAPPED-ADDRESS: where the request came from."""
    error_code: int | None = None
    """300 to 699."""
    reason: str = ""
    unknown_attributes: tuple[int, ...] = ()
    """UNKNOWN-ATTRIBUTES: what the sender of an error did not understand."""
    software: str | None = None
    not_understood: tuple[int, ...] = ()
    """Attributes in this very message that have to be understood and aren't: answer with 420."""


def is_stun(data: bytes | memoryview) -> bool:
    """Whether a datagram is STUN, not DTLS or RTP that shares the port (RFC 7983, 7)."""
    return len(data) >= _HEADER.size and data[0] < 4 and data[4:8] == _COOKIE


def parse(data: bytes | memoryview) -> StunMessage:
    """Read a message; its FINGERPRINT is checked if it has one, its integrity is not.

    Only what `check_integrity` vouches for is read: what follows MESSAGE-INTEGRITY is passed over.
    Of an attribute that comes twice the first counts (14).
    """
    data = bytes(data)
    if not is_stun(data) or len(data) > MAX_MESSAGE:
        raise ParseError(f"{len(data)} bytes came that are no STUN message.")
    kind, length, _, transaction_id = _HEADER.unpack_from(data)
    if length != len(data) - _HEADER.size or length % 4:
        raise ParseError("A STUN message is not as long as it says.")
    attributes = _attributes(data)
    _check_fingerprint(data, attributes)
    values: dict[int, bytes] = {}
    for name, start, size in attributes:
        if name == _INTEGRITY:
            break
        values.setdefault(name, data[start : start + size])
    values.pop(_FINGERPRINT, None)
    try:
        return _message(kind, transaction_id, values)
    except (struct.error, UnicodeDecodeError):
        raise ParseError("An attribute of a STUN message has an impossible value.") from None


def check_integrity(data: bytes | memoryview, password: str) -> None:
    """Raise `IntegrityError` unless the message's MESSAGE-INTEGRITY was made with the password.

    This is the short-term credential mechanism (9.1). The password goes in as it is: the characters
    ICE allows in one are not changed by OpaqueString.
    """
    data = bytes(data)
    for name, start, size in _attributes(data):
        if name == _INTEGRITY and size == _INTEGRITY_BYTES:
            expected = _integrity(data[: start - _ATTRIBUTE.size], password)
            if hmac.compare_digest(expected, data[start : start + size]):
                return
            raise IntegrityError("A STUN message was made with another password.")
    raise IntegrityError("A STUN message lacks the proof that its sender knows the password.")


def build(message: StunMessage, password: str | None = None) -> bytes:
    """Write a message with FINGERPRINT and, where there is a password, MESSAGE-INTEGRITY."""
    parts = [
        _attribute(name, value)
        for name, value in _values(message).items()
        for value in ([value] if value is not None else [])
    ]
    body = b"".join(parts)
    kind = _type(message.message_class, message.method)
    header = _HEADER.pack(kind, len(body), MAGIC_COOKIE, message.transaction_id)
    data = header + body
    if password is not None:
        data += _attribute(_INTEGRITY, _integrity(data, password))
    data = _with_length(data, len(data) + 8)
    return data + _attribute(_FINGERPRINT, _fingerprint(data))


def _attributes(data: bytes) -> list[tuple[int, int, int]]:
    """Type, start and size of each attribute's value."""
    found = []
    position = _HEADER.size
    while position < len(data):
        if position + _ATTRIBUTE.size > len(data):
            raise ParseError("A STUN message ends within an attribute.")
        name, size = _ATTRIBUTE.unpack_from(data, position)
        start = position + _ATTRIBUTE.size
        if start + size > len(data):
            raise ParseError("A STUN message ends within an attribute.")
        found.append((name, start, size))
        position = start + size + -size % 4
    return found


def _message(kind: int, transaction_id: bytes, values: dict[int, bytes]) -> StunMessage:
    error_code, reason = None, ""
    if (error := values.pop(_ERROR_CODE, None)) is not None:
        hundreds, number = struct.unpack_from("!xxBB", error)
        error_code, reason = 100 * (hundreds & 7) + number, _text(error[4:])
        if not 300 <= error_code < 700 or number >= 100:
            raise ParseError(f"{error_code} is no STUN error code.")
    unknown = values.pop(_UNKNOWN_ATTRIBUTES, b"")
    username, software = values.pop(_USERNAME, None), values.pop(_SOFTWARE, None)
    mapped = values.pop(_XOR_MAPPED_ADDRESS, None)
    return StunMessage(
        message_class=MessageClass(kind >> 7 & 2 | kind >> 4 & 1),
        transaction_id=transaction_id,
        method=kind & 0x000F | kind >> 1 & 0x0070 | kind >> 2 & 0x0F80,
        username=None if username is None else _text(username),
        priority=_number(values.pop(_PRIORITY, None), 4),
        use_candidate=values.pop(_USE_CANDIDATE, None) is not None,
        ice_controlling=_number(values.pop(_ICE_CONTROLLING, None), 8),
        ice_controlled=_number(values.pop(_ICE_CONTROLLED, None), 8),
        mapped_address=None if mapped is None else _parse_address(mapped, transaction_id),
        error_code=error_code,
        reason=reason,
        unknown_attributes=struct.unpack(f"!{len(unknown) // 2}H", unknown),
        software=None if software is None else _text(software),
        not_understood=tuple(name for name in values if name < _COMPREHENSION_OPTIONAL),
    )


def _values(message: StunMessage) -> dict[int, bytes | None]:
    """The attributes' values, in the order they are sent."""
    mapped = message.mapped_address
    error = unknown = None
    if message.error_code is not None:
        error = bytes((0, 0, *divmod(message.error_code, 100))) + message.reason.encode()
    if message.unknown_attributes:
        unknown = struct.pack(f"!{len(message.unknown_attributes)}H", *message.unknown_attributes)
    return {
        _SOFTWARE: None if message.software is None else message.software.encode(),
        _USERNAME: None if message.username is None else message.username.encode(),
        _ERROR_CODE: error,
        _UNKNOWN_ATTRIBUTES: unknown,
        _XOR_MAPPED_ADDRESS: mapped and _build_address(mapped, message.transaction_id),
        _PRIORITY: None if message.priority is None else message.priority.to_bytes(4),
        _USE_CANDIDATE: b"" if message.use_candidate else None,
        _ICE_CONTROLLING: _tie_breaker(message.ice_controlling),
        _ICE_CONTROLLED: _tie_breaker(message.ice_controlled),
    }


def _tie_breaker(value: int | None) -> bytes | None:
    return None if value is None else value.to_bytes(8)


def _attribute(name: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(name, len(value)) + value + bytes(-len(value) % 4)


def _type(message_class: MessageClass, method: int) -> int:
    """The method's 12 bits with the class's two in between (5)."""
    return (
        method & 0x000F
        | (method & 0x0070) << 1
        | (method & 0x0F80) << 2
        | (message_class & 1) << 4
        | (message_class & 2) << 7
    )


def _number(value: bytes | None, size: int) -> int | None:
    if value is None:
        return None
    if len(value) != size:
        raise ParseError(f"A number of {size} bytes has {len(value)} in a STUN message.")
    return int.from_bytes(value)


def _text(value: bytes) -> str:
    if len(value) > MAX_TEXT:
        raise ParseError(f"A text of {len(value)} bytes is too long for a STUN message.")
    return value.decode()


def _parse_address(value: bytes, transaction_id: bytes) -> tuple[str, int]:
    family, port = struct.unpack_from("!xBH", value)
    address = value[4:]
    if (family, len(address)) not in ((_IPV4, 4), (_IPV6, 16)):
        raise ParseError("A STUN message has an address of no known family.")
    plain = _xor(address, transaction_id)
    # A family for each length: an IPv6 address that begins with zeros stays one.
    ip = ipaddress.IPv4Address(plain) if family == _IPV4 else ipaddress.IPv6Address(plain)
    return str(ip), port ^ MAGIC_COOKIE >> 16


def _build_address(address: tuple[str, int], transaction_id: bytes) -> bytes:
    ip = ipaddress.ip_address(address[0])
    family = _IPV4 if ip.version == 4 else _IPV6
    port = address[1] ^ MAGIC_COOKIE >> 16
    return struct.pack("!BBH", 0, family, port) + _xor(ip.packed, transaction_id)


def _xor(address: bytes, transaction_id: bytes) -> bytes:
    """The address masked or unmasked (14.2): for IPv4 the cookie is all that is needed."""
    mask = (_COOKIE + transaction_id)[: len(address)]
    return (int.from_bytes(address) ^ int.from_bytes(mask)).to_bytes(len(address))


def _with_length(data: bytes, end: int) -> bytes:
    """The message with the length it would have if it ended there."""
    return data[:2] + (end - _HEADER.size).to_bytes(2) + data[4:]


def _integrity(data: bytes, password: str) -> bytes:
    """What MESSAGE-INTEGRITY after these bytes has to be (14.5)."""
    ending = len(data) + _ATTRIBUTE.size + _INTEGRITY_BYTES
    return hmac.digest(password.encode(), _with_length(data, ending), hashlib.sha1)


def _fingerprint(data: bytes) -> bytes:
    return (zlib.crc32(data) ^ _FINGERPRINT_XOR).to_bytes(4)


def _check_fingerprint(data: bytes, attributes: list[tuple[int, int, int]]) -> None:
    """It is the last attribute, and what its sender sent is what came (14.7)."""
    for name, start, size in attributes:
        if name == _FINGERPRINT and (
            start + size != len(data)
            or data[start:] != _fingerprint(data[: start - _ATTRIBUTE.size])
        ):
            raise ParseError("A STUN message's fingerprint is not that of the message.")
