"""Datagrams that a DTLS endpoint is sent, each with a length of two bytes before it."""

from streamsocket.webrtc.certificate import Certificate, own_certificate
from streamsocket.webrtc.dtls import DtlsEndpoint, DtlsState

_PEER = Certificate.generate()


def _server() -> DtlsEndpoint:
    return DtlsEndpoint(is_server=True, peer_fingerprints=[_PEER.fingerprint], now=0.0)


def _client() -> DtlsEndpoint:
    return DtlsEndpoint(
        is_server=False,
        peer_fingerprints=[own_certificate().fingerprint],
        now=0.0,
        certificate=_PEER,
    )


def _written(*datagrams: bytes) -> bytes:
    return b"".join(len(each).to_bytes(2) + each for each in datagrams)


def _seeds() -> list[bytes]:
    server, client = _server(), _client()
    hello = client.datagrams_to_send()
    server.receive(hello[0], 0.0)
    answer = server.datagrams_to_send()
    client.receive(answer[0], 0.0)
    return [_written(*hello), _written(*answer), _written(*hello, *client.datagrams_to_send())]


SEEDS = _seeds()


def fuzz_one(data: bytes) -> None:
    """Nothing is raised, nobody is let in who has no key, and what is sent fits."""
    datagrams = []
    while data:
        size = int.from_bytes(data[:2])
        datagrams.append(data[2 : 2 + size])
        data = data[2 + size :]
    for end in (_server(), _client()):
        for number, datagram in enumerate(datagrams):
            end.receive(datagram, 0.01 * number)
            end.handle_timer(0.01 * number)
            sent = end.datagrams_to_send()
            assert len(sent) < 50
            assert all(0 < len(each) <= 1200 for each in sent)
        assert end.state is not DtlsState.CONNECTED
        assert end.keys is None
        assert (end.failure is not None) == (end.state is DtlsState.FAILED)
        end.handle_timer(30.0)
        assert end.next_timer is None
