"""Passwords: hashed slowly, and for Digest as RFC 7616 wants it."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher, extract_parameters

from streamsocket.auth import passwords
from streamsocket.auth.passwords import digest_ha1, hash_password, verify_password

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_a_password_fits_its_own_hash_alone() -> None:
    encoded = hash_password("geh heim ä", FAST)
    assert verify_password(encoded, "geh heim ä")
    assert not verify_password(encoded, "geh heim a")
    assert not verify_password(encoded, "")


def test_hashes_are_salted_argon2id_of_some_cost() -> None:
    first, second = hash_password("x"), hash_password("x")
    assert first != second
    parameters = extract_parameters(first)
    assert first.startswith("$argon2id$v=19$")
    assert parameters.memory_cost >= 19 * 1024  # the least that OWASP finds enough, with t=2
    assert parameters.time_cost >= 2


def test_nobody_has_no_password() -> None:
    assert not verify_password(None, "")
    assert not verify_password(None, "x")


def test_nobody_takes_as_long_as_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str | bytes] = []

    class Spy:
        def hash(self, password: bytes) -> str:
            return hash_password("", FAST)

        def verify(self, encoded: str, password: bytes) -> bool:
            verified.append(password)
            return FAST.verify(encoded, password)

    monkeypatch.setattr(passwords, "_HASHER", Spy())
    passwords._nobodys_hash.cache_clear()
    assert not verify_password(None, "x")
    assert verified == [b"x"]


@pytest.mark.parametrize("encoded", ["", "$argon2id$", "plain", "$2b$12$abcdefghijklmnopqrstuu"])
def test_what_is_no_hash_fits_nothing(encoded: str) -> None:
    assert not verify_password(encoded, "plain")


def test_endless_passwords_are_not_hashed() -> None:
    long = "x" * 300
    assert not verify_password(hash_password(long, FAST), long)


def test_text_that_is_no_unicode_is_no_password() -> None:
    assert not verify_password(hash_password("x", FAST), "\udcff")


def test_ha1_as_in_the_rfcs_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 7616, 3.9.1, prints the responses only: see the test of the server's authentication.
    monkeypatch.setattr(passwords, "REALM", "http-auth@example.org")
    ha1 = digest_ha1("MD5", "Mufasa", "Circle of Life")
    assert ha1 == "3d78807defe7de2157e2b0b6573a855f"
    assert len(digest_ha1("SHA-256", "Mufasa", "Circle of Life")) == 64


def test_ha1_is_of_user_realm_and_password() -> None:
    assert digest_ha1("MD5", "bob", "x") != digest_ha1("MD5", "eve", "x")
    assert digest_ha1("MD5", "bob", "x") != digest_ha1("MD5", "bob", "y")
