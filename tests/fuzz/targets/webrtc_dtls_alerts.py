"""What comes by DTLS after the handshake: alerts."""

from streamsocket.webrtc.dtls_alerts import Alerts, Secrets

_SUITES = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305")
_SECRETS = [Secrets(suite, bytes(48), bytes(32), bytes(32)) for suite in _SUITES]
_SERVERS = [Alerts(each, is_server=True) for each in _SECRETS]
_GOODBYES = [Alerts(each, is_server=False).close_notify() for each in _SECRETS]
SEEDS = [*_GOODBYES, _GOODBYES[0] + _GOODBYES[1]]


def fuzz_one(data: bytes) -> None:
    """Nothing but the peer's own alert is one."""
    for server, goodbye in zip(_SERVERS, _GOODBYES, strict=True):
        said = server.read(data)
        assert said is None or (said == (1, 0) and goodbye in data)
