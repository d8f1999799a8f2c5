"""SRTP: the RFC's vectors, libsrtp in both directions, wraps, replays, forgeries."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence

import pylibsrtp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.hub.sendmmsg import MAX_MESSAGES
from streamsocket.hub.wire import DatagramRun
from streamsocket.webrtc import srtp_gcm
from streamsocket.webrtc.srtp import (
    Burst,
    SrtpError,
    SrtpKey,
    SrtpProfile,
    SrtpReceiver,
    SrtpSender,
    bursts,
    make_receiver,
    make_sender,
)
from streamsocket.webrtc.srtp_gcm import MAX_SSRCS
from streamsocket.webrtc.srtp_packet import MAX_SLOTS
from streamsocket.webrtc.srtp_profile import derive
from streamsocket.webrtc.srtp_replay import WINDOW, ReplayWindow

SSRC = 0xCAFE_F00D
WRAP = 0x1_0000
every_profile = pytest.mark.parametrize("profile", SrtpProfile)

LIBSRTP = {
    SrtpProfile.AEAD_AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AEAD_AES_256_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    SrtpProfile.AES128_CM_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}


def make_key(profile: SrtpProfile, seed: int = 1) -> SrtpKey:
    octets = bytes(seed + place & 0xFF for place in range(64))
    return SrtpKey(profile, octets[: profile.key_bytes], octets[50 : 50 + profile.salt_bytes])


def libsrtp(key: SrtpKey, ssrc_type: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(
        key=key.key + key.salt, ssrc_type=ssrc_type, srtp_profile=LIBSRTP[key.profile]
    )
    return pylibsrtp.Session(policy)


def rtp(sequence: int, *, size: int = 200, ssrc: int = SSRC, more: bytes = b"") -> bytes:
    """A packet; `more` is a header extension of whole words."""
    flags = 0x90 if more else 0x80
    extension = b"\xbe\xde" + (len(more) // 4).to_bytes(2) + more if more else b""
    header = struct.pack("!BBHII", flags, 96, sequence & 0xFFFF, 90_000, ssrc) + extension
    return header + bytes((sequence + place) & 0xFF for place in range(size - len(header)))


def rtcp(ssrc: int = SSRC, number: int = 0) -> bytes:
    return struct.pack("!BBHIIIIII", 0x80, 200, 6, ssrc, number, 0, 0, 0, 0)


def joined(packets: Sequence[bytes], sequence: int) -> list[Burst]:
    return bursts(b"".join(packets), [len(packet) for packet in packets], sequence)


def cut(runs: Iterable[DatagramRun]) -> list[bytes]:
    """The datagrams that the kernel makes of runs."""
    return [
        bytes(run.data[start : start + run.segment_size])
        for run in runs
        for start in range(0, len(run.data), run.segment_size)
    ]


def protect(sender: SrtpSender, packets: Sequence[bytes], sequence: int) -> list[bytes]:
    stream = sender.add_stream(SSRC, sequence)
    return [
        datagram for burst in joined(packets, sequence) for datagram in cut(stream.protect(burst))
    ]


def protected(key: SrtpKey, packets: Sequence[bytes], sequence: int) -> list[bytes]:
    return protect(make_sender(key), packets, sequence)


# Vectors

PLAIN_RTP = bytes.fromhex(
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973"
    "6120696e207061727465732074726573"
)
PLAIN_RTCP = bytes.fromhex(
    "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61" + "deadbeef" * 5
)
GCM_VECTORS = [
    (  # RFC 7714, 16.1.1 and 17.1
        SrtpProfile.AEAD_AES_128_GCM,
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a"
        "51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda"
        "4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    ),
    (  # 16.2.1 and 17.2
        SrtpProfile.AEAD_AES_256_GCM,
        "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a02"
        "76ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be"
        "8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    ),
]


@pytest.mark.parametrize(("profile", "srtp", "srtcp"), GCM_VECTORS)
def test_gcm_is_rfc_7714_s(
    profile: SrtpProfile, srtp: str, srtcp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vectors give session keys: nothing is derived."""

    def given_ones(master: SrtpKey, _label: int, size: int) -> bytes:
        return master.salt if size == 12 else master.key

    monkeypatch.setattr(srtp_gcm, "derive", given_ones)
    key = SrtpKey(profile, bytes(range(profile.key_bytes)), b"Quid pro quo")
    sender, receiver = srtp_gcm.GcmSender(key), srtp_gcm.GcmReceiver(key)

    stream = sender.add_stream(0x5501_A0B2, 0xF17B)
    assert cut(stream.protect(Burst(PLAIN_RTP, [len(PLAIN_RTP)], 0xF17B))) == [bytes.fromhex(srtp)]
    assert stream.protect_again(PLAIN_RTP, 0xF17B) == bytes.fromhex(srtp)
    assert receiver.unprotect(bytes.fromhex(srtp)) == PLAIN_RTP

    sender._rtcp_index = 0x5D3
    assert sender.protect_rtcp(PLAIN_RTCP) == bytes.fromhex(srtcp)
    assert receiver.unprotect_rtcp(bytes.fromhex(srtcp)) == PLAIN_RTCP


def test_srtcp_may_be_authenticated_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7714, 17.3."""
    monkeypatch.setattr(
        srtp_gcm, "derive", lambda master, _, size: master.salt if size == 12 else master.key
    )
    receiver = make_receiver(
        SrtpKey(SrtpProfile.AEAD_AES_128_GCM, bytes(range(16)), b"Quid pro quo")
    )
    packet = PLAIN_RTCP + bytes.fromhex("841dd9683dd78ec92ae58790125f62b3000005d4")
    with pytest.raises(SrtpError, match="not protected with this session's key"):
        receiver.unprotect_rtcp(packet[:10] + b"\0" + packet[11:])
    assert receiver.unprotect_rtcp(packet) == PLAIN_RTCP
    with pytest.raises(SrtpError, match="second time"):
        receiver.unprotect_rtcp(packet)


def test_keys_are_derived_as_rfc_3711_says() -> None:
    """RFC 3711, B.3."""
    master = SrtpKey(
        SrtpProfile.AES128_CM_SHA1_80,
        bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    assert derive(master, 0, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert derive(master, 2, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"
    assert derive(master, 1, 16).hex() == "cebe321f6ff7716b6fd4ab49af256a15"


# libsrtp

PACKETS = [rtp(number, size=1000 + number % 3) for number in range(65_500, 65_700)]
EXTENDED = [rtp(number, more=b"\x10\xff\x00\x00") for number in range(8)]


@every_profile
@pytest.mark.parametrize(("packets", "sequence"), [(PACKETS, 65_500), (EXTENDED, WRAP * 7)])
def test_libsrtp_reads_what_we_send(
    profile: SrtpProfile, packets: list[bytes], sequence: int
) -> None:
    """From the first packet, whatever the number the stream has come to; and past the wrap."""
    key = make_key(profile)
    peer = libsrtp(key, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    sent = protected(key, packets, sequence)
    assert [peer.unprotect(datagram) for datagram in sent] == packets


@every_profile
@pytest.mark.parametrize("packets", [PACKETS, EXTENDED])
def test_we_read_what_libsrtp_sends(profile: SrtpProfile, packets: list[bytes]) -> None:
    key = make_key(profile)
    peer = libsrtp(key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    receiver = make_receiver(key)
    assert [receiver.unprotect(peer.protect(packet)) for packet in packets] == packets


@every_profile
def test_rtcp_goes_both_ways(profile: SrtpProfile) -> None:
    key = make_key(profile)
    sender, receiver = make_sender(key), make_receiver(key)
    peer = libsrtp(key, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    theirs = libsrtp(key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    for number in range(5):
        for ssrc in (1, 2):
            packet = rtcp(ssrc, number)
            assert peer.unprotect_rtcp(sender.protect_rtcp(packet)) == packet
            assert receiver.unprotect_rtcp(theirs.protect_rtcp(packet)) == packet


# Sending to many


@every_profile
def test_many_viewers_share_a_burst(profile: SrtpProfile) -> None:
    """Each joined at another time, and has a roll-over counter of its own."""
    keys = [make_key(profile, seed) for seed in range(1, 6)]
    peers = [libsrtp(key, pylibsrtp.Policy.SSRC_ANY_INBOUND) for key in keys]
    first = WRAP * 3 - 30
    streams = [
        make_sender(key).add_stream(SSRC, first + 10 * number) for number, key in enumerate(keys)
    ]
    packets = [rtp(first + number, size=1200) for number in range(100)]
    seen = [0] * len(keys)
    for start in range(0, 100, 10):
        for burst in joined(packets[start : start + 10], first + start):
            for number, (stream, peer) in enumerate(zip(streams, peers, strict=True)):
                if burst.sequence < first + 10 * number:
                    continue
                (run,) = stream.protect(burst)
                assert run.packets == burst.count
                for datagram, plain in zip(cut([run]), burst.packets, strict=True):
                    assert peer.unprotect(datagram) == plain
                    seen[number] += 1
    assert seen == [100, 90, 80, 70, 60]


@every_profile
def test_some_viewers_are_encrypted_for_before_anything_is_sent(profile: SrtpProfile) -> None:
    keys = [make_key(profile, seed) for seed in range(1, 8)]
    packets = [rtp(number, size=1200 - 300 * (number == 9)) for number in range(10)]
    sizes = [len(packet) for packet in packets]
    (burst,) = bursts(b"".join(packets), sizes, 0, len(keys))
    assert burst.slots == len(keys)
    streams = [make_sender(key).add_stream(SSRC, 0) for key in keys]
    runs = [stream.protect(burst, slot) for slot, stream in enumerate(streams)]
    for key, own in zip(keys, runs, strict=True):
        assert cut(own) == protected(key, packets, 0)
    if profile.is_gcm:
        memory = bytes(burst.gcm.memory)
        together = b"".join(bytes(run.data) for own in runs for run in own)
        assert memory == together
        assert burst.gcm.slot_bytes * len(keys) == len(memory)


def test_slots_stay_within_the_cache() -> None:
    keyframe = [rtp(number, size=1212) for number in range(40)]
    sizes = [len(packet) for packet in keyframe]
    (burst,) = bursts(b"".join(keyframe), sizes, 0, 1000)
    assert burst.slots == 4
    (sound,) = bursts(keyframe[0], sizes[:1], 0, 1000)
    assert sound.slots == MAX_SLOTS == MAX_MESSAGES


def test_bursts_end_where_sequence_numbers_wrap() -> None:
    packets = [rtp(number, size=100) for number in range(WRAP - 70, WRAP + 70)]
    made = joined(packets, WRAP - 70)
    assert [(burst.sequence, burst.count) for burst in made] == [
        (WRAP - 70, 64),
        (WRAP - 6, 6),
        (WRAP, 64),
        (WRAP + 64, 6),
    ]
    assert list(itertools.chain.from_iterable(burst.packets for burst in made)) == packets
    assert joined([], 0) == []


def test_what_is_no_burst_is_refused() -> None:
    packets = [rtp(number) for number in range(WRAP - 1, WRAP + 1)]
    with pytest.raises(ValueError, match="wrap"):
        Burst(b"".join(packets), [200, 200], WRAP - 1)
    with pytest.raises(ValueError, match="64 packets"):
        Burst(b"", [], 0)
    with pytest.raises(ValueError, match="64 packets"):
        Burst(rtp(0) * 65, [200] * 65, 0)
    with pytest.raises(ValueError, match="other sequence numbers"):
        Burst(rtp(7), [200], 8)
    with pytest.raises(SrtpError):
        Burst(b"\x80", [1], 0)


def test_runs_are_of_one_size_and_packets_of_any() -> None:
    key = make_key(SrtpProfile.AEAD_AES_128_GCM)
    packets = [rtp(number, size=size) for number, size in enumerate([1200] * 8 + [300, 1200])]
    (burst,) = joined(packets, 0)
    runs = make_sender(key).add_stream(SSRC, 0).protect(burst)
    assert [(run.segment_size, run.packets) for run in runs] == [(1216, 9), (1216, 1)]
    receiver = make_receiver(key)
    assert [receiver.unprotect(datagram) for datagram in cut(runs)] == packets


@every_profile
def test_no_index_is_used_twice(profile: SrtpProfile) -> None:
    sender = make_sender(make_key(profile))
    stream = sender.add_stream(SSRC, 100)
    (burst,) = joined([rtp(100), rtp(101)], 100)
    stream.protect(burst)
    for packets, sequence in (([rtp(100)], 100), ([rtp(101)], 101), ([rtp(99)], 99)):
        with pytest.raises(ValueError, match="sent before"):
            stream.protect(joined(packets, sequence)[0])
    with pytest.raises(ValueError, match="another stream"):
        stream.protect(joined([rtp(102, ssrc=1)], 102)[0])
    with pytest.raises(ValueError, match="has a stream already"):
        sender.add_stream(SSRC, 0)
    stream.protect(joined([rtp(102)], 102)[0])


@every_profile
def test_a_retransmission_is_what_was_sent(profile: SrtpProfile) -> None:
    sender = make_sender(make_key(profile))
    first = WRAP - 50
    stream = sender.add_stream(SSRC, first)
    packets = [rtp(first + number) for number in range(100)]
    sent = [datagram for burst in joined(packets, first) for datagram in cut(stream.protect(burst))]
    for number in (99, 0, 49, 50, 51):
        assert stream.protect_again(packets[number], first + number) == sent[number]
    for packet, sequence in (
        (rtp(first - 1), first - 1),  # before joining
        (rtp(first + 100), first + 100),  # not sent yet
        (rtp(first), first + 1),
        (rtp(first, ssrc=1), first),
    ):
        with pytest.raises(ValueError, match="this packet"):
            stream.protect_again(packet, sequence)


def test_retransmissions_on_a_stream_of_their_own() -> None:
    """As RTX has them (RFC 4588): another SSRC, its own sequence numbers."""
    key = make_key(SrtpProfile.AEAD_AES_128_GCM)
    sender, receiver = make_sender(key), make_receiver(key)
    video, repair = sender.add_stream(SSRC, 5), sender.add_stream(SSRC + 1, 5)
    for stream, packet in ((video, rtp(5)), (repair, rtp(5, ssrc=SSRC + 1))):
        (datagram,) = cut(stream.protect(joined([packet], 5)[0]))
        assert receiver.unprotect(datagram) == packet


def test_rtcp_is_refused_when_its_key_is_used_up() -> None:
    sender = srtp_gcm.GcmSender(make_key(SrtpProfile.AEAD_AES_128_GCM))
    sender._rtcp_index = 2**31 - 2
    sender.protect_rtcp(rtcp())
    with pytest.raises(SrtpError, match="all the SRTCP packets"):
        sender.protect_rtcp(rtcp())


def test_packets_too_long_for_libsrtp_are_refused() -> None:
    sender = make_sender(make_key(SrtpProfile.AES128_CM_SHA1_80))
    with pytest.raises(SrtpError, match="limit"):
        sender.add_stream(SSRC, 0).protect(joined([rtp(0, size=1400)], 0)[0])


# Receiving


def make_pair(profile: SrtpProfile) -> tuple[SrtpReceiver, SrtpSender]:
    key = make_key(profile)
    return make_receiver(key), make_sender(key)


@every_profile
def test_packets_around_the_wrap_come_in_any_order(profile: SrtpProfile) -> None:
    receiver, sender = make_pair(profile)
    first = WRAP - 10
    packets = [rtp(first + number) for number in range(20)]
    sent = protect(sender, packets, first)
    for number in (0, 9, 11, 8, 10, 1, 19, 2, 12, 7):
        assert receiver.unprotect(sent[number]) == packets[number]
    for number in (0, 9, 10, 19):
        with pytest.raises(SrtpError):
            receiver.unprotect(sent[number])
    assert receiver.unprotect(sent[3]) == packets[3]


@every_profile
def test_a_stream_may_begin_right_after_a_wrap(profile: SrtpProfile) -> None:
    receiver, sender = make_pair(profile)
    packets = [rtp(WRAP * 4 + number) for number in range(3)]
    sent = protect(sender, packets, WRAP * 4)
    assert receiver.unprotect(sent[0]) == packets[0]
    with pytest.raises(SrtpError):
        # 65,535 can only be before the beginning.
        receiver.unprotect(sent[1][:2] + b"\xff\xff" + sent[1][4:])
    assert receiver.unprotect(sent[2]) == packets[2]


@every_profile
def test_packets_too_old_to_tell_are_refused(profile: SrtpProfile) -> None:
    receiver, sender = make_pair(profile)
    packets = [rtp(number, size=40) for number in range(1, WINDOW + 3)]
    sent = protect(sender, packets, 1)
    receiver.unprotect(sent[2])
    receiver.unprotect(sent[-1])
    with pytest.raises(SrtpError):
        receiver.unprotect(sent[0])
    assert receiver.unprotect(sent[WINDOW // 2]) == packets[WINDOW // 2]
    with pytest.raises(SrtpError):
        receiver.unprotect(sent[2])


@every_profile
def test_forged_and_cut_packets_are_refused_and_change_nothing(profile: SrtpProfile) -> None:
    receiver, sender = make_pair(profile)
    packets = [rtp(number, size=60) for number in range(2)]
    sent = protect(sender, packets, 0)
    receiver.unprotect(sent[0])
    for place in range(len(sent[1])):
        forged = bytearray(sent[1])
        forged[place] ^= 1
        with pytest.raises(SrtpError):
            receiver.unprotect(bytes(forged))
        with pytest.raises(SrtpError):
            receiver.unprotect(sent[1][:place])
    far = bytearray(sent[1])
    far[2:4] = b"\x7f\x00"  # would move the window if it were believed
    with pytest.raises(SrtpError):
        receiver.unprotect(bytes(far))
    assert receiver.unprotect(sent[1]) == packets[1]
    with pytest.raises(SrtpError):
        receiver.unprotect(sent[1] + bytes(1500))


@every_profile
def test_forged_cut_and_replayed_reports_are_refused(profile: SrtpProfile) -> None:
    receiver, sender = make_pair(profile)
    sent = sender.protect_rtcp(rtcp())
    for place in range(len(sent)):
        forged = bytearray(sent)
        forged[place] ^= 0x40
        with pytest.raises(SrtpError):
            receiver.unprotect_rtcp(bytes(forged))
        with pytest.raises(SrtpError):
            receiver.unprotect_rtcp(sent[:place])
    assert receiver.unprotect_rtcp(sent) == rtcp()
    with pytest.raises(SrtpError):
        receiver.unprotect_rtcp(sent)
    with pytest.raises(SrtpError):
        receiver.unprotect_rtcp(sent + bytes(1500))


@every_profile
def test_the_other_direction_s_key_opens_nothing(profile: SrtpProfile) -> None:
    _, sender = make_pair(profile)
    receiver = make_receiver(make_key(profile, seed=2))
    with pytest.raises(SrtpError):
        receiver.unprotect(protect(sender, [rtp(0)], 0)[0])
    with pytest.raises(SrtpError):
        receiver.unprotect_rtcp(sender.protect_rtcp(rtcp()))


@every_profile
def test_a_peer_has_so_many_ssrcs_and_no_more(profile: SrtpProfile) -> None:
    receiver, sender = make_pair(profile)
    for ssrc in range(1, MAX_SSRCS + 2):
        packet = rtp(7, ssrc=ssrc)
        (datagram,) = cut(sender.add_stream(ssrc, 7).protect(joined([packet], 7)[0]))
        report = sender.protect_rtcp(rtcp(ssrc))
        if ssrc <= MAX_SSRCS:
            assert receiver.unprotect(datagram) == packet
            assert receiver.unprotect_rtcp(report) == rtcp(ssrc)
        else:
            with pytest.raises(SrtpError, match="more than 64 streams"):
                receiver.unprotect(datagram)
            with pytest.raises(SrtpError, match="more than 64 streams"):
                receiver.unprotect_rtcp(report)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SrtpProfile), st.binary(max_size=200), st.booleans())
def test_garbage_is_refused(profile: SrtpProfile, garbage: bytes, is_rtp: bool) -> None:
    receiver = make_receiver(make_key(profile))
    with pytest.raises(ParseError):
        (receiver.unprotect if is_rtp else receiver.unprotect_rtcp)(garbage)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 3 * WRAP),
    st.lists(st.tuples(st.integers(1, 20_000), st.integers(-900, 900)), max_size=30),
)
def test_the_index_is_estimated(first: int, steps: list[tuple[int, int]]) -> None:
    """As long as packets are within 2**15 of the newest, the index is the true one."""
    window = ReplayWindow(first)
    newest = first
    for ahead, back in steps:
        newest += ahead
        for index in (newest, newest + back):
            if index >= 0:
                assert window.estimate(index & 0xFFFF) == index
        window.add(newest)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-1500, 1500), max_size=60))
def test_the_window_tells_what_has_come(steps: list[int]) -> None:
    window = ReplayWindow(100_000)
    come = {100_000}
    index = 100_000
    for step in steps:
        index += step
        if index in come or index <= max(come) - WINDOW:
            with pytest.raises(SrtpError):
                window.check(index)
        else:
            window.check(index)
            window.add(index)
            come.add(index)


def test_nothing_is_before_the_beginning() -> None:
    window = ReplayWindow(3)
    assert window.estimate(2) == 2
    with pytest.raises(SrtpError, match="before the beginning"):
        window.estimate(65_000)
