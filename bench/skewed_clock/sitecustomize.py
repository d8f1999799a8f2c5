"""A clock that is wrong by `SKEW_PPM`, for every Python process that has this folder on its path.

Python imports a module of this name as it starts. What is timed by the wall clock or the monotonic
one then goes that much too fast, as on a machine with a bad crystal.
"""

import os
import time

_RATE = 1 + float(os.environ.get("SKEW_PPM", "0")) / 1e6
_monotonic, _time = time.monotonic, time.time
_began_monotonic, _began_time = _monotonic(), _time()


def _skewed_monotonic() -> float:
    return _began_monotonic + (_monotonic() - _began_monotonic) * _RATE


def _skewed_time() -> float:
    return _began_time + (_time() - _began_time) * _RATE


time.monotonic = _skewed_monotonic
time.time = _skewed_time
