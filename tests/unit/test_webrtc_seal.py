"""Seals: who knows the secret agrees on them, and they hold everything together."""

from __future__ import annotations

import pytest

from streamsocket.webrtc.seal import Seal, is_same

OFFER, ANSWER = "v=0\r\no=offer\r\n", "v=0\r\no=answer\r\n"


def test_two_who_know_the_secret_agree() -> None:
    here, there = Seal("7K3M9QPX"), Seal("7K3M9QPX")
    assert here.of_request("POST", "a/whep", OFFER) == there.of_request("POST", "a/whep", OFFER)
    assert here.of_answer("a/whep", OFFER, ANSWER) == there.of_answer("a/whep", OFFER, ANSWER)


@pytest.mark.parametrize(
    "changed",
    [
        ("DELETE", "a/whep", OFFER),
        ("POST", "a/whip", OFFER),
        ("POST", "a/whep", OFFER.replace("offer", "other")),
        ("POST", "a/whepv", OFFER[1:]),
        ("POS", "Ta/whep", OFFER),
    ],
)
def test_every_part_of_a_request_is_sealed(changed: tuple[str, str, str]) -> None:
    seal = Seal("7K3M9QPX")
    assert seal.of_request(*changed) != seal.of_request("POST", "a/whep", OFFER)


def test_an_answer_belongs_to_its_offer() -> None:
    seal = Seal("7K3M9QPX")
    assert seal.of_answer("a/whep", OFFER, ANSWER) != seal.of_answer("a/whep", OFFER[1:], ANSWER)
    assert seal.of_answer("a/whep", OFFER, ANSWER) != seal.of_answer("a/whep", OFFER, ANSWER[1:])


def test_a_request_is_no_answer() -> None:
    seal = Seal("7K3M9QPX")
    assert seal.of_request("a", "b", "c") != seal.of_answer("a", "b", "c")


def test_another_secret_makes_another_seal() -> None:
    path = ("POST", "a/whep", OFFER)
    assert Seal("7K3M9QPX").of_request(*path) != Seal("7K3M9QPY").of_request(*path)


def test_what_is_missing_or_strange_is_not_the_same() -> None:
    seal = Seal("7K3M9QPX").of_request("POST", "a/whep", OFFER)
    assert is_same(seal, seal)
    for other in (None, "", "é", seal[:-1]):
        assert not is_same(seal, other)
