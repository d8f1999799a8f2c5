"""SRTP and SRTCP from a peer: the first byte says which, and with which profile."""

from streamsocket.webrtc.srtp import (
    SrtpError,
    SrtpKey,
    SrtpProfile,
    bursts,
    make_receiver,
    make_sender,
)

_KEYS = [
    SrtpKey(profile, bytes(range(profile.key_bytes)), bytes(range(profile.salt_bytes)))
    for profile in SrtpProfile
]
_RTP = bytes.fromhex("80600001000000090000000568656c6c6f")
_EXTENDED = bytes.fromhex("916000010000000900000005aaaaaaaabede00011001000068656c6c6f")
_RTCP = bytes.fromhex("80c9000100000005")


def _seeds() -> list[bytes]:
    seeds = []
    for number, key in enumerate(_KEYS):
        for packet in (_RTP, _EXTENDED):
            stream = make_sender(key).add_stream(5, 1)
            (run,) = stream.protect(bursts(packet, [len(packet)], 1)[0])
            seeds.append(bytes([2 * number]) + run.data)
        seeds.append(bytes([2 * number + 1]) + make_sender(key).protect_rtcp(_RTCP))
    return seeds


SEEDS = _seeds()


def fuzz_one(data: bytes) -> None:
    """All but the genuine packets are refused, and so is a genuine one that comes again."""
    which = data[0] % 6 if data else 0
    receiver = make_receiver(_KEYS[which // 2])
    unprotect = receiver.unprotect_rtcp if which % 2 else receiver.unprotect
    try:
        plain = unprotect(data[1:])
    except SrtpError:
        return
    assert plain in (_RTP, _EXTENDED, _RTCP)
    try:
        unprotect(data[1:])
    except SrtpError:
        return
    raise AssertionError("a replayed packet was taken")
