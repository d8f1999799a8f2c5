"""The ICE-lite agent: who is answered, which way media goes, and when a peer is gone."""

from __future__ import annotations

import dataclasses
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.webrtc import stun
from streamsocket.webrtc.candidate import Candidate, host_candidates
from streamsocket.webrtc.ice import (
    CONSENT_S,
    FIRST_CHECK_S,
    MAX_PATHS,
    Credentials,
    IceLite,
    Path,
)
from streamsocket.webrtc.ice_table import IceTable, Received, TooManyPeersError
from streamsocket.webrtc.stun import MessageClass, StunMessage

HOME = ("192.0.2.7", 40_000)
PHONE = ("198.51.100.9", 50_000)


class Browser:
    """A controlling agent, as far as it checks; several may share a table."""

    def __init__(self, table: IceTable[str] | None = None, name: str = "viewer") -> None:
        self.table = IceTable[str]() if table is None else table
        self.peer = IceLite(name, 0.0)
        self.table.add(self.peer)
        self.credentials = self.peer.local

    def request(self, **changes: object) -> StunMessage:
        message = StunMessage(
            MessageClass.REQUEST,
            os.urandom(12),
            username=f"{self.credentials.ufrag}:abcd",
            priority=1000,
            ice_controlling=7,
        )
        return dataclasses.replace(message, **changes)  # type: ignore[arg-type]

    def check(self, path: Path, now: float, **changes: object) -> Received[str]:
        data = stun.build(self.request(**changes), self.credentials.password)
        return self.table.receive(data, path, now)

    def nominate(self, path: Path, now: float, priority: int = 1000) -> Received[str]:
        return self.check(path, now, use_candidate=True, priority=priority)


def test_a_check_is_answered_with_where_it_came_from() -> None:
    browser = Browser()
    request = browser.request()
    data = stun.build(request, browser.credentials.password)
    received = browser.table.receive(data, HOME, 1.0)
    assert received.reply is not None
    answer = stun.parse(received.reply)
    assert answer.message_class == MessageClass.SUCCESS
    assert answer.transaction_id == request.transaction_id
    assert answer.mapped_address == HOME
    stun.check_integrity(received.reply, browser.credentials.password)
    assert browser.table.find(HOME) is browser.peer
    assert browser.table.find(PHONE) is None


def test_an_ipv4_address_that_a_socket_shows_as_ipv6_is_told_as_ipv4() -> None:
    reply = Browser().check(("::ffff:192.0.2.7", 40_000, 0, 0), 1.0).reply
    assert reply is not None
    assert stun.parse(reply).mapped_address == HOME


def test_media_need_not_wait_for_a_nomination() -> None:
    browser = Browser()
    assert browser.peer.path is None
    assert browser.check(PHONE, 1.0, priority=500).moved
    assert browser.peer.path == PHONE
    assert browser.check(HOME, 1.1, priority=2000).moved
    assert not browser.check(PHONE, 1.2, priority=500).moved
    assert browser.peer.path == HOME


def test_media_goes_by_the_pair_that_is_nominated() -> None:
    browser = Browser()
    browser.check(HOME, 1.0, priority=2000)
    received = browser.nominate(PHONE, 1.1, priority=500)
    assert received.moved
    assert received.peer is browser.peer
    assert browser.peer.path == PHONE
    assert not browser.check(HOME, 2.0, priority=2000).moved
    assert not browser.nominate(PHONE, 3.0, priority=500).moved


def test_media_follows_a_peer_to_another_address() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0, priority=2000)
    assert not browser.check(PHONE, 10.0, priority=500).moved
    assert browser.peer.path == HOME
    assert browser.nominate(PHONE, 11.0, priority=500).moved
    assert browser.peer.path == PHONE
    assert browser.table.find(HOME) is browser.peer


def test_of_pairs_nominated_all_at_once_the_priority_decides() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0, priority=2000)
    assert not browser.nominate(PHONE, 1.02, priority=500).moved
    assert browser.nominate(("192.0.2.8", 1), 1.04, priority=3000).moved
    # From then on it checks one of them alone, and if that is another after all, media follows.
    assert not browser.check(PHONE, 6.0, priority=500).moved
    assert browser.check(PHONE, 12.0, priority=500).moved
    assert browser.peer.path == PHONE


def test_whoever_lacks_the_password_is_refused() -> None:
    browser = Browser()
    data = stun.build(browser.request(use_candidate=True), "x" * 22)
    received = browser.table.receive(data, HOME, 1.0)
    assert received.peer is None
    assert received.reply is not None
    assert stun.parse(received.reply).error_code == stun.UNAUTHENTICATED
    without = stun.build(browser.request(use_candidate=True))
    assert browser.table.receive(without, HOME, 1.0).peer is None
    assert browser.table.refused == {"stun_unauthenticated": 2}
    assert browser.peer.path is None
    assert browser.table.find(HOME) is None


def test_who_knows_no_username_is_not_answered() -> None:
    browser = Browser()
    for name in ("", "nobody:abcd", None):
        assert browser.check(HOME, 1.0, username=name) == Received()
    assert browser.table.refused == {"stun_unknown_user": 3}


def test_messages_that_are_no_checks_are_dropped() -> None:
    browser = Browser()
    assert browser.table.receive(b"hello", HOME, 1.0) == Received()
    assert browser.check(HOME, 1.0, message_class=MessageClass.INDICATION) == Received()
    assert browser.check(HOME, 1.0, message_class=MessageClass.SUCCESS) == Received()
    assert browser.check(HOME, 1.0, method=3) == Received()
    assert browser.table.refused == {"stun_malformed": 1, "stun_unexpected": 2}


def test_a_peer_that_takes_itself_for_controlled_is_told_of_the_conflict() -> None:
    browser = Browser()
    received = browser.check(HOME, 1.0, ice_controlling=None, ice_controlled=9)
    assert received.reply is not None
    assert stun.parse(received.reply).error_code == stun.ROLE_CONFLICT
    stun.check_integrity(received.reply, browser.credentials.password)
    assert browser.table.find(HOME) is None


def test_an_attribute_that_has_to_be_understood_and_is_not_is_named() -> None:
    browser = Browser()
    plain = stun.build(browser.request())
    data = plain[:-8] + bytes.fromhex("7777000400000000")
    data = stun._with_length(data, len(data))
    data += b"\0\x08\0\x14" + stun._integrity(data, browser.credentials.password)
    reply = browser.table.receive(stun._with_length(data, len(data)), HOME, 1.0).reply
    assert reply is not None
    assert stun.parse(reply).error_code == stun.UNKNOWN_ATTRIBUTE
    assert stun.parse(reply).unknown_attributes == (0x7777,)


def test_a_peer_that_never_comes_expires() -> None:
    browser = Browser()
    assert browser.table.expire(FIRST_CHECK_S - 0.1) == []
    assert browser.table.expire(FIRST_CHECK_S) == [browser.peer]
    assert len(browser.table) == 0
    assert browser.check(HOME, 31.0) == Received()


def test_consent_runs_out_thirty_seconds_after_the_last_check() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0)
    browser.check(HOME, 20.0)
    assert browser.table.expire(20.0 + CONSENT_S - 0.1) == []
    assert browser.table.expire(20.0 + CONSENT_S) == [browser.peer]
    assert browser.table.find(HOME) is None


def test_what_a_publisher_sends_is_a_sign_of_life() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0)
    browser.peer.heard(HOME, 25.0)
    browser.peer.heard(PHONE, 25.0)
    assert browser.table.expire(54.9) == []
    assert browser.peer.paths == [HOME]
    assert browser.table.expire(55.0) == [browser.peer]


def test_media_goes_by_another_nominated_pair_when_consent_for_one_runs_out() -> None:
    browser = Browser()
    browser.nominate(PHONE, 1.0)
    browser.nominate(HOME, 1.1)
    browser.check(PHONE, 8.0)
    assert browser.peer.path == HOME
    assert browser.table.expire(31.2) == []
    assert browser.peer.path == PHONE
    assert browser.table.find(HOME) is None


def test_a_connection_that_ends_takes_its_path_along() -> None:
    browser = Browser()
    connection = ("192.0.2.7", 40_000, "tcp")
    browser.nominate(connection, 1.0)
    assert browser.table.find(HOME) is None, "over UDP it has not come"
    assert browser.table.forget(connection) is browser.peer
    assert browser.peer.path is None
    assert browser.table.expire(20.0) == [], "it may come again"
    assert browser.nominate(HOME, 21.0).moved
    assert browser.table.forget(connection) is None


def test_a_restart_keeps_the_old_pair_until_a_new_one_is_nominated() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0)
    old = browser.credentials
    new = browser.table.restart(browser.peer, Credentials.generate())
    assert new != old
    assert browser.peer.local == new
    assert browser.nominate(HOME, 5.0).peer is browser.peer, "with the old credentials"
    browser.credentials = new
    assert not browser.check(PHONE, 6.0).moved
    assert browser.peer.path == HOME
    assert browser.nominate(PHONE, 6.1, priority=1).moved
    assert browser.peer.path == PHONE
    assert browser.table.find(HOME) is None
    browser.credentials = old
    assert browser.check(HOME, 7.0) == Received()


def test_a_restart_on_the_same_pair() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0)
    browser.credentials = browser.table.restart(browser.peer)
    assert not browser.check(HOME, 5.0).moved
    browser.nominate(HOME, 5.1)
    assert browser.peer.path == HOME
    assert browser.peer.ufrags == [browser.credentials.ufrag]


def test_a_restart_that_came_to_nothing_is_replaced() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0)
    abandoned = browser.table.restart(browser.peer)
    newest = browser.table.restart(browser.peer)
    assert browser.peer.ufrags == [browser.credentials.ufrag, newest.ufrag]
    assert browser.check(HOME, 5.0).peer is browser.peer
    browser.credentials = abandoned
    assert browser.check(HOME, 5.0) == Received()


def test_paths_are_bounded_and_the_one_in_use_stays() -> None:
    browser = Browser()
    browser.nominate(HOME, 1.0)
    for port in range(1, 3 * MAX_PATHS):
        browser.check(("203.0.113.1", port), 2.0 + port / 100)
    assert len(browser.peer.paths) == MAX_PATHS
    assert browser.peer.path == HOME
    assert browser.table.find(("203.0.113.1", 1)) is None
    assert browser.table.find(("203.0.113.1", 3 * MAX_PATHS - 1)) is browser.peer


def test_an_address_passes_on_to_the_peer_that_has_it_now() -> None:
    table = IceTable[str]()
    first, second = Browser(table, "first"), Browser(table, "second")
    first.nominate(HOME, 1.0)
    second.nominate(HOME, 2.0)
    found = table.find(HOME)
    assert found is not None
    assert found.owner == "second"
    assert first.peer.path is None
    table.remove(first.peer)
    assert table.find(HOME) is second.peer


def test_peers_are_bounded() -> None:
    table = IceTable[str](max_peers=1)
    peer = Browser(table).peer
    with pytest.raises(TooManyPeersError, match="try again later"):
        table.add(IceLite("another", 0.0))
    table.remove(peer)
    table.remove(peer)
    table.add(IceLite("another", 0.0))
    assert [each.owner for each in table] == ["another"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["check", "nominate", "restart", "expire", "forget", "other"]),
            st.integers(0, 20),
            st.floats(0, 12),
            st.integers(0, 3),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_table_and_its_peers_agree(
    events: list[tuple[str, int, float, int]],
) -> None:
    table = IceTable[str]()
    browsers = [Browser(table, "a"), Browser(table, "b")]
    now = 0.0
    for event, port, seconds, priority in events:
        now += seconds
        browser, path = browsers[port % 2], ("192.0.2.1", port)
        if browser.peer not in table:
            continue
        if event == "check":
            browser.check(path, now)
        elif event == "nominate":
            browser.nominate(path, now, priority)
        elif event == "restart":
            table.restart(browser.peer)
        elif event == "other":
            browser.credentials = browser.peer.local
        elif event == "forget":
            table.forget(path)
        else:
            table.expire(now)
        for each in browsers:
            here = each.peer in table
            assert all(table.find(p) is each.peer for p in each.peer.paths if here)
            assert each.peer.path is None or each.peer.path in each.peer.paths
            assert len(each.peer.ufrags) <= 2
        assert set(table._by_ufrag) == {u for peer in table for u in peer.ufrags}
        assert set(table._by_path) == {p for peer in table for p in peer.paths}


def test_credentials_are_long_and_of_icecharacters() -> None:
    generated = Credentials.generate()
    assert len(generated.ufrag) >= 4
    assert len(generated.password) >= 22
    for ufrag, password in (("abc", "x" * 22), ("abcd", "x" * 21), ("ab:d", "x" * 22)):
        with pytest.raises(ParseError, match="RFC 8839"):
            Credentials(ufrag, password)


def test_host_candidates_come_in_the_order_of_preference() -> None:
    candidates = host_candidates(
        udp=[("192.0.2.1", 8189), ("2001:db8::1", 8189)], tcp=[("192.0.2.1", 8189)]
    )
    assert [str(each) for each in candidates] == [
        "candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host",
        "candidate:2 1 udp 2130706175 2001:db8::1 8189 typ host",
        "candidate:3 1 tcp 1520435199 192.0.2.1 8189 typ host tcptype passive",
    ]
    assert [Candidate.parse(str(each)) for each in candidates] == candidates
    with pytest.raises(ValueError, match="example"):
        host_candidates([("example.com", 1)])


@pytest.mark.parametrize(
    ("value", "host", "tcp_type"),
    [
        (
            "candidate:1193864149 1 udp 2113937151 eefe57f3-14dc-48b3-9662-528ddf142131.local "
            "44376 typ host generation 0 network-cost 999",
            "eefe57f3-14dc-48b3-9662-528ddf142131.local",
            None,
        ),
        ("2 1 TCP 2105458943 10.0.0.1 9 typ host tcptype active", "10.0.0.1", "active"),
        ("1 1 UDP 1 1.2.3.4 5 typ srflx raddr 0.0.0.0 rport 0", "1.2.3.4", None),
    ],
)
def test_candidates_of_browsers(value: str, host: str, tcp_type: str | None) -> None:
    candidate = Candidate.parse(value)
    assert (candidate.host, candidate.tcp_type) == (host, tcp_type)
    assert candidate.transport in ("udp", "tcp")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "candidate:",
        "1 1 udp 1 1.2.3.4 70000 typ host",
        "1 1 udp 9999999999 1.2.3.4 7 typ host",
        "1 1 udp 1 1.2.3.4 7 typ host generation",
        "1 1 udp 1 1.2.3.4 7 typ host" + " a b" * 500,
    ],
)
def test_what_is_no_candidate_is_refused(value: str) -> None:
    with pytest.raises(ParseError, match="candidate"):
        Candidate.parse(value)
