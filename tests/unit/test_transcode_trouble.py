"""What goes wrong is said while it does."""

from __future__ import annotations

from streamsocket.transcode.trouble import Troubles


def test_pictures_left_out_are_counted_and_said_for_a_while() -> None:
    troubles = Troubles("live/lobby", "h264")
    assert not troubles.changed(0.0)
    troubles.skip(0, 0.5)
    assert not troubles.changed(1.0)
    troubles.skip(3, 1.0)
    assert not troubles.changed(1.2)  # a hiccup
    troubles.skip(7, 1.5)
    assert troubles.changed(2.0)
    assert troubles.message == (
        "The machine is too slow to turn 'live/lobby' into H.264: 10 pictures were left out. "
        "Publish smaller pictures, or H.264 without B-frames."
    )
    assert not troubles.changed(11.0)
    assert troubles.changed(12.0)
    assert troubles.message is None
    troubles.skip(9, 20.0)
    assert not troubles.changed(20.5)


def test_what_cannot_be_decoded_is_said_when_nothing_else_comes() -> None:
    troubles = Troubles("live/lobby", "vp8")
    troubles.note(0, 1, 0.0)
    for second in range(5):
        troubles.note(10, 1, float(second))
    assert troubles.changed(4.0)
    assert troubles.message == (
        "'live/lobby' cannot be turned into VP8: what its publisher sends cannot be decoded. "
        "Does it play elsewhere?"
    )
    troubles.note(0, 2, 5.0)
    assert troubles.changed(5.0)
    assert troubles.message is None


def test_an_error_now_and_then_is_no_trouble() -> None:
    troubles = Troubles("live/lobby", "vp8")
    for second in range(100):
        troubles.note(1, second, float(second))
        assert not troubles.changed(float(second))
