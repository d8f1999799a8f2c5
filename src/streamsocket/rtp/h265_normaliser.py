"""H.265 from a publisher, made into what the hub passes on, packet by packet."""

from __future__ import annotations

from streamsocket.media.codec import H265
from streamsocket.rtp.h265 import FORMAT
from streamsocket.rtp.nal_normaliser import NalNormaliser


class H265Normaliser(NalNormaliser[H265]):
    """See `NalNormaliser`."""

    format = FORMAT
