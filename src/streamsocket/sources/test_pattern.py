"""The `test` source: drawn pictures and beeps, live."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from math import ceil

from av.video.frame import VideoFrame

from streamsocket.codecs.encode import AudioEncoder, VideoEncoder
from streamsocket.media.codec import Track
from streamsocket.sources import link
from streamsocket.sources.beeper import Beeper, is_flash_number
from streamsocket.sources.link import TrackBatch
from streamsocket.sources.outlet import Outlet
from streamsocket.sources.pacer import Pacer
from streamsocket.sources.packing import Packer
from streamsocket.sources.picture import PictureDrawer
from streamsocket.sources.spec import TestSpec
from streamsocket.sources.timeline import START_S

_VIDEO, _AUDIO = 0, 1

# The beeps are known in advance: coding the sound a little ahead keeps it off the pictures' way.
_SOUND_AHEAD_S = Fraction(1, 8)

# Sound goes with the pictures, and in between where those are farther apart than this.
_LONGEST_STEP_S = Fraction(1, 25)

_KEYFRAMES_APART_S = 0.5
_PROGRESS_EVERY_S = 1
_SLOW_AFTER = 10


def run_test_pattern(spec: TestSpec, outlet: Outlet) -> None:
    """Stream the test pattern until `StoppedError`."""
    picture = _Pictures(spec)
    sound = _Sound(spec.rate)
    outlet.event(
        link.Tracks(
            (Track(picture.codec, spec.rate), Track(sound.codec)),
            makes_keyframes=True,
        )
    )
    pacer = Pacer(outlet, float(START_S), delay_s=0.0, at=_next_full_second())
    steps = ceil(1 / spec.rate / _LONGEST_STEP_S)
    step_s = 1 / spec.rate / steps
    skipped = 0
    for number in count():
        begin = number / spec.rate
        for step in range(steps):
            now = begin + step * step_s
            pacer.wait(float(START_S + now))
            batches = sound.until(now, now + step_s / 2)
            if step == 0:
                if pacer.late_s(float(START_S + now)) > 1 / spec.rate:
                    skipped += 1
                    if skipped == _SLOW_AFTER:
                        outlet.event(link.Note("This machine is too slow for all the pictures."))
                else:
                    keyframe = outlet.keyframe_wanted()
                    batches += picture.make(number, pacer, keyframe)
            if batches:
                pacer.send(batches)
