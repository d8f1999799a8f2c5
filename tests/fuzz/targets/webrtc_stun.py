"""STUN messages, and what a table of ICE peers does with them."""

from streamsocket.errors import ParseError
from streamsocket.webrtc import stun
from streamsocket.webrtc.ice import Credentials, IceLite
from streamsocket.webrtc.ice_table import IceTable
from streamsocket.webrtc.stun import MessageClass, StunMessage

_OURS = Credentials("ours", "p" * 24)
_REQUEST = StunMessage(
    MessageClass.REQUEST,
    bytes(12),
    username="ours:theirs",
    priority=1000,
    use_candidate=True,
    ice_controlling=7,
    software="x",
)
_ERROR = StunMessage(
    MessageClass.ERROR, bytes(12), error_code=420, reason="Unknown", unknown_attributes=(1, 2, 3)
)
SEEDS = [
    stun.build(_REQUEST, _OURS.password),
    stun.build(_REQUEST),
    stun.build(_ERROR, _OURS.password),
    stun.build(
        StunMessage(MessageClass.SUCCESS, bytes(12), mapped_address=("2001:db8::1", 5000)), "x"
    ),
]


def fuzz_one(data: bytes) -> None:
    """What is read can be written; the table answers or drops, and trusts only the password."""
    _ask_the_table(data)
    try:
        message = stun.parse(data)
    except ParseError:
        return
    if not message.not_understood and len(data) < 1000:
        assert stun.parse(stun.build(message)) == message
    try:
        stun.check_integrity(data, _OURS.password)
    except ParseError:
        return


def _ask_the_table(data: bytes) -> None:
    table = IceTable[str]()
    peer = IceLite("peer", 0.0, _OURS)
    table.add(peer)
    received = table.receive(data, ("192.0.2.1", 1), 1.0)
    if received.reply is not None:
        answer = stun.parse(received.reply)
        assert answer.transaction_id == data[8:20]
        assert len(received.reply) < 256 + len(data)
    if received.peer is not None:
        stun.check_integrity(data, _OURS.password)
        assert table.find(("192.0.2.1", 1)) is peer
