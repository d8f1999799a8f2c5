"""The load generator's counting, and the small RTSP client under it."""

from __future__ import annotations

import socket
import struct
import threading
from multiprocessing import Pipe

import pytest
from bench.harness import percentile
from bench.rtsp import BenchError, Session, parse_sdp, resolve
from bench.viewers import Gathering, Receiver, _answer_end

SDP = """v=0
a=control:*
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=control:trackID=0
m=audio 0 RTP/AVP 97
a=rtpmap:97 mpeg4-generic/48000/2
a=fmtp:97 streamtype=5; mode=AAC-hbr; config=1190
a=control:trackID=1
"""


def test_an_sdp_gives_kinds_clocks_controls_and_parameters() -> None:
    control, (video, audio) = parse_sdp(SDP)
    assert control == "*"
    assert (video.kind, video.clock_rate, video.control) == ("video", 90_000, "trackID=0")
    assert (audio.kind, audio.clock_rate, audio.fmtp["config"]) == ("audio", 48_000, "1190")


@pytest.mark.parametrize(
    ("base", "control", "url"),
    [
        ("rtsp://h:1/movie", "trackID=0", "rtsp://h:1/movie/trackID=0"),
        ("rtsp://h:1/movie/", "*", "rtsp://h:1/movie/"),
        ("rtsp://h:1/movie", "rtsp://h:1/x", "rtsp://h:1/x"),
    ],
)
def test_controls_are_resolved_against_the_base(base: str, control: str, url: str) -> None:
    assert resolve(base, control) == url


@pytest.mark.parametrize(
    ("sequences", "lost", "reordered"),
    [
        ([5, 6, 7], 0, 0),
        ([65534, 65535, 0, 1], 0, 0),
        ([1, 2, 5, 6], 2, 0),
        ([1, 3, 2, 4], 0, 1),
    ],
)
def test_gaps_and_late_packets_are_told_apart(
    sequences: list[int], lost: int, reordered: int
) -> None:
    receiver = Receiver(0)
    for sequence in sequences:
        if sequence == receiver.expected:
            receiver.expected = (sequence + 1) & 0xFFFF
        else:
            receiver.jump(sequence)
    assert (receiver.report.lost, receiver.report.reordered) == (lost, reordered)


@pytest.mark.parametrize(
    ("buffer", "end"),
    [
        (b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n$", 28),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok$", 40),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\no", -1),
        (b"RTSP/1.0 200 OK\r\nCSeq", -1),
    ],
)
def test_answers_within_interleaved_data_end_where_they_say(buffer: bytes, end: int) -> None:
    assert _answer_end(bytearray(buffer), 0, len(buffer)) == end


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 95) == 95.0
    assert percentile([], 95) != percentile([], 95)


def interleaved(sequence: int, size: int) -> bytes:
    packet = struct.pack(">BBHII", 0x80, 96, sequence, 0, 1) + bytes(size)
    return b"$\0" + struct.pack(">H", len(packet)) + packet


def serve_one(listener: socket.socket, stream: list[bytes], done: threading.Event) -> None:
    """A server with one track for one viewer; its PLAY is followed by `stream`, piece by piece."""
    connection, _ = listener.accept()
    with connection:
        buffer = b""
        while b"PLAY" not in buffer or not buffer.endswith(b"\r\n\r\n"):
            received = connection.recv(4096)
            buffer += received
            if received.endswith(b"\r\n\r\n"):
                body = SDP.split("m=audio")[0].encode() if received.startswith(b"DESC") else b""
                connection.sendall(
                    b"RTSP/1.0 200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
        for piece in stream:
            connection.sendall(piece)
        done.wait(10)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_interleaved_packets_are_counted_however_they_are_cut(piece: int) -> None:
    whole = b"".join(interleaved(n, 40) for n in range(3))
    whole += b"RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n" + interleaved(4, 40)
    pieces = [whole[start : start + piece] for start in range(0, len(whole), piece)]
    done = threading.Event()
    ours, theirs = Pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener, ours, theirs:
        server = threading.Thread(target=serve_one, args=(listener, pieces, done))
        server.start()
        gathering = Gathering(theirs, 0.0)
        port = listener.getsockname()[1]
        joined = gathering.join(f"rtsp://127.0.0.1:{port}/movie", "tcp", 1, 0, 1.0)
        for _ in range(2000):
            if gathering.totals().packets == 4:
                break
            gathering._turn(0.01)
        totals = gathering.totals()
        gathering.leave(joined, True)
        gathering.close()
        done.set()
        server.join(10)
    assert (totals.packets, totals.lost, totals.reordered) == (4, 1, 0)


def test_a_refusal_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = Session(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/x", "tcp")
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n")
            with pytest.raises(BenchError, match="404"):
                session.describe()
        session.close(teardown=False)
