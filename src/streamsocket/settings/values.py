"""The kinds of values that settings have: their bounds, and what is said where they aren't kept."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field


def no_bool(value: object) -> object:
    """Refuse `true` where a number is meant; pydantic would take it for 1."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def even(port: int) -> int:
    """RTP takes the even port of a pair, RTCP the odd one above it (RFC 3550, 11)."""
    if port % 2:
        raise ValueError("Input should be even, because RTCP takes the port above it")
    return port


def multicast_network(text: str) -> str:
    """A network of multicast groups, of IPv4."""
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(f"'{text[:60]}' is no network such as 239.255.42.0/24") from None
    if network.version != 4 or not network.is_multicast:
        raise ValueError(
            f"{network} is no network of multicast groups: choose one of IPv4 in 239.0.0.0/8, "
            "such as 239.255.42.0/24"
        )
    return str(network)


def _public_host(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?", text):
        raise ValueError(f"'{text[:60]}' is neither a host's name nor an IP address") from None
    return text


def _host_name(text: str) -> str:
    if not re.fullmatch(r"\*|(\*\.)?[^\s*/:@\[\]]+", text):
        raise ValueError(f"'{text[:60]}' is no name such as tv.example.org or *.example.org")
    return text


def _ice_server(text: str) -> str:
    if not re.fullmatch(r"(stuns?|turns?):([^\s:@<>\";]+:[^\s:@<>\";]+@)?[^\s@<>\";]+", text):
        raise ValueError(
            f"'{text[:60]}' is no server such as stun:HOST:3478 or turn:USER:PASSWORD@HOST:3478"
        )
    return text


def own_ipv4_address(text: str) -> str:
    """An address that one of this machine's interfaces may have."""
    try:
        address = IPv4Address(text)
    except ValueError:
        raise ValueError(f"'{text[:60]}' is no IPv4 address of this machine") from None
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"{address} is no address that a single interface has")
    return str(address)


def _argon2id(value: object) -> object:
    """Refuse what is no hash, without repeating it: it may be the password."""
    encoded = r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+"
    if isinstance(value, str) and re.fullmatch(encoded, value):
        return value
    raise ValueError(
        "this is no argon2id hash, and a password itself is not kept: run "
        "'streamsocket auth hash NAME' and put here what it prints"
    )


def _hexadecimal(value: object, *, digits: int) -> object:
    if isinstance(value, str) and len(value) == digits and re.fullmatch(r"[0-9a-fA-F]+", value):
        return value.lower()
    raise ValueError("this is none of what 'streamsocket auth hash NAME --digest' prints")


def _listed(value: object) -> object:
    """One string is a list of one or, with commas, of several: for the environment."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple):
        raise ValueError("Input should be a list of patterns")
    return value


Port = Annotated[int, BeforeValidator(no_bool), Field(ge=0, le=65_535)]
Count = Annotated[int, BeforeValidator(no_bool), Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, BeforeValidator(no_bool), Field(gt=0, le=3600, allow_inf_nan=False)]
Amount = Annotated[float, BeforeValidator(no_bool), Field(gt=0, le=1e6, allow_inf_nan=False)]
Megabytes = Annotated[float, BeforeValidator(no_bool), Field(gt=0, le=4096, allow_inf_nan=False)]

PasswordHash = Annotated[str, BeforeValidator(_argon2id)]
Md5Ha1 = Annotated[str, BeforeValidator(partial(_hexadecimal, digits=32))]
Sha256Ha1 = Annotated[str, BeforeValidator(partial(_hexadecimal, digits=64))]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed), Field(max_length=100)]
PublicHosts = Annotated[
    tuple[Annotated[str, AfterValidator(_public_host)], ...],
    BeforeValidator(_listed),
    Field(max_length=16),
]
HostNames = Annotated[
    tuple[Annotated[str, AfterValidator(_host_name)], ...],
    BeforeValidator(_listed),
    Field(max_length=100),
]
IceServers = Annotated[
    tuple[Annotated[str, AfterValidator(_ice_server)], ...],
    BeforeValidator(_listed),
    Field(max_length=16),
]
