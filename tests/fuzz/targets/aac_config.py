"""AAC's AudioSpecificConfig."""

from streamsocket.errors import ParseError
from streamsocket.media.aac import parse_audio_specific_config

SEEDS = [bytes.fromhex(text) for text in ("1190", "11b056e500", "2b118800", "1180040bc0", "1200")]


def fuzz_one(data: bytes) -> None:
    try:
        config = parse_audio_specific_config(data)
    except ParseError:
        return
    assert 0 < config.sample_rate < 1 << 24
    assert 0 < config.channels <= 3 * 2 * 15 + 3
    assert config.frame_length in (480, 512, 960, 1024)
