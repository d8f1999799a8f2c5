"""The secret that opens a call."""

from __future__ import annotations

import pytest

from streamsocket.call.secret import SHORTEST, make_secret, password


def test_secrets_are_made_up_anew_and_easily_read_out() -> None:
    made = {make_secret() for _ in range(200)}
    assert len(made) == 200
    for secret in made:
        first, second = secret.split("-")
        assert len(first) == len(second) == 4
        assert not set(secret) & set("01OILUV")
        assert len(password(secret)) == 8 >= SHORTEST


@pytest.mark.parametrize(
    "typed", ["7K3M-9QPX", "7k3m-9qpx", "7K3M9QPX", " 7k3m 9qpx ", "7K3M–9QPX", "7-K-3-M-9-Q-P-X"]
)
def test_how_it_is_typed_does_not_matter(typed: str) -> None:
    assert password(typed) == "7K3M9QPX"


def test_other_secrets_are_others() -> None:
    assert password("7K3M-9QPX") != password("7K3M-9QPY")
    assert password("- -") == ""
