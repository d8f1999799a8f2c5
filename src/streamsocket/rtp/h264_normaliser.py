"""H.264 from a publisher, made into what the hub passes on, packet by packet."""

from __future__ import annotations

from streamsocket.media.codec import H264
from streamsocket.rtp.h264 import FORMAT
from streamsocket.rtp.nal_normaliser import NalNormaliser


class H264Normaliser(NalNormaliser[H264]):
    """See `NalNormaliser`."""

    format = FORMAT
