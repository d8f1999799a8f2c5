"""Pictures a second, by their timestamps."""

from __future__ import annotations

from fractions import Fraction

from streamsocket.transcode.rate import PictureRate


def test_what_is_declared_holds_until_a_second_was_seen() -> None:
    rate = PictureRate(90_000, Fraction(30))
    for number in range(15):
        rate.add(number * 6000)
    assert rate.measured == 30
    rate.add(15 * 6000)
    assert rate.measured == 15


def test_nothing_is_known_of_what_declares_nothing() -> None:
    assert PictureRate(90_000, None).measured is None


def test_the_order_of_decoding_and_jumps_do_no_harm() -> None:
    rate = PictureRate(90_000, None)
    for number in range(0, 90, 3):
        for place in (number + 2, number, number + 1):
            rate.add(place * 3000)
    assert rate.measured == 30
    rate.add(10**9)
    assert rate.measured is None
    for number in range(200):
        rate.add(10**9 + number * 9000)
    assert rate.measured == 10
