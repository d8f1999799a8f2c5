"""Decoding pictures on the graphics card, where one opens."""

from __future__ import annotations

from streamsocket.client.decode import Decoder
from streamsocket.errors import ArgumentError
from streamsocket.media.codec import Codec

SOFTWARE, HARDWARE = "software", "hardware"
DEVICES = ("cuda", "vaapi", "videotoolbox", "d3d11va", "qsv", "vulkan")
"""FFmpeg's names of what can decode, in the order in which they are tried."""


def check_decoder(decoder: str) -> None:
    """Raise ArgumentError where a decoder is asked for that does not exist."""
    names = (SOFTWARE, HARDWARE, *DEVICES)
    if decoder not in names:
        raise ArgumentError(f"decoder: {decoder!r} is none of {', '.join(names)}.")


class HardwareDecoder(Decoder):
    """A decoder whose work a device does; pictures are fetched from it into memory.

    Raises FFmpegError or ValueError where the device, or the codec on it, does not open.
    """

    def __init__(self, codec: Codec, device: str) -> None:
        import av
        from av.codec.hwaccel import HWAccel

        super().__init__(codec)
        software = self._context
        context = av.CodecContext.create(
            software.name, "r", hwaccel=HWAccel(device, allow_software_fallback=True)
        )
        assert isinstance(context, av.VideoCodecContext)
        context.extradata = software.extradata
        self._context = context


def make_decoder(codec: Codec, wish: str) -> tuple[Decoder, str]:
    """The decoder that was wished for or, where it does not open, the software's; and its name."""
    if wish != SOFTWARE:
        import av

        for device in DEVICES if wish == HARDWARE else (wish,):
            try:
                return HardwareDecoder(codec, device), f"{codec.name} ({device})"
            except (av.FFmpegError, ValueError, NotImplementedError, RuntimeError):
                continue
    return Decoder(codec), codec.name
