"""A STUN and a TURN server that do just what a client needs, on loopback."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, cast

from aioice import stun
from aioice.turn import make_integrity_key

from streamsocket.webrtc.ice_server import IceServer

_REALM = "test"


class StunServer(asyncio.DatagramProtocol):
    """Tells everybody the same: to be seen at `SEEN`."""

    SEEN = ("203.0.113.7", 4321)

    transport: asyncio.DatagramTransport

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        try:
            yield self
        finally:
            self.close()
            await asyncio.sleep(0)

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    @property
    def spec(self) -> IceServer:
        return IceServer("stun", "127.0.0.1", self.port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.answer(stun.parse_message(data), addr, {"XOR-MAPPED-ADDRESS": self.SEEN})

    def answer(
        self,
        request: stun.Message,
        address: tuple[Any, ...],
        attributes: dict[str, Any],
        key: bytes | None = None,
        kind: stun.Class = stun.Class.RESPONSE,
    ) -> None:
        response = stun.Message(request.message_method, kind, request.transaction_id, attributes)
        if key:
            response.add_message_integrity(key)
        self.transport.sendto(bytes(response), address)

    def close(self) -> None:
        self.transport.close()


class TurnServer(StunServer):
    """Relays for one user, by channels."""

    USER, PASSWORD = "anna", "se:cret"

    def __init__(self) -> None:
        self.relayed = 0
        """Datagrams, both ways."""
        self.allocations: dict[tuple[Any, ...], _Relay] = {}
        self.nonce = secrets.token_bytes(8)
        self._making: set[asyncio.Task[None]] = set()

    @property
    def spec(self) -> IceServer:
        return IceServer("turn", "127.0.0.1", self.port, self.USER, self.PASSWORD)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if data[0] & 0xC0 == 0x40:
            self.allocations[addr].send(data)
            return
        request = stun.parse_message(data)
        key = make_integrity_key(self.USER, _REALM, self.PASSWORD)
        if not request.check_message_integrity(key):
            refusal = {"ERROR-CODE": (401, "Unauthorized"), "REALM": _REALM, "NONCE": self.nonce}
            self.answer(request, addr, refusal, kind=stun.Class.ERROR)
        elif request.message_method is stun.Method.ALLOCATE:
            task = asyncio.get_running_loop().create_task(self._allocate(request, addr, key))
            self._making.add(task)
            task.add_done_callback(self._making.discard)
        elif request.message_method is stun.Method.CHANNEL_BIND:
            channel, peer = (request.attributes[n] for n in ("CHANNEL-NUMBER", "XOR-PEER-ADDRESS"))
            self.allocations[addr].bind(channel, peer)
            self.answer(request, addr, {}, key)
        else:
            self.allocations.pop(addr).transport.close()
            self.answer(request, addr, {"LIFETIME": 0}, key)

    async def _allocate(self, request: stun.Message, address: tuple[Any, ...], key: bytes) -> None:
        loop = asyncio.get_running_loop()
        transport, relay = await loop.create_datagram_endpoint(
            lambda: _Relay(self, address), ("127.0.0.1", 0)
        )
        self.allocations[address] = relay
        told = {
            "LIFETIME": 600,
            "XOR-MAPPED-ADDRESS": address,
            "XOR-RELAYED-ADDRESS": transport.get_extra_info("sockname"),
        }
        self.answer(request, address, told, key)

    def close(self) -> None:
        for relay in self.allocations.values():
            relay.transport.close()
        super().close()


class _Relay(asyncio.DatagramProtocol):
    """The address that a client has at the server."""

    transport: asyncio.DatagramTransport

    def __init__(self, server: TurnServer, client: tuple[Any, ...]) -> None:
        self._server = server
        self._client = client
        self._channels: dict[int, tuple[Any, ...]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def bind(self, channel: int, peer: tuple[Any, ...]) -> None:
        self._channels[channel] = peer

    def send(self, data: bytes) -> None:
        channel, size = struct.unpack_from("!HH", data)
        self._server.relayed += 1
        self.transport.sendto(data[4 : 4 + size], self._channels[channel])

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        for channel, peer in self._channels.items():
            if peer == addr:
                self._server.relayed += 1
                framed = struct.pack("!HH", channel, len(data)) + data
                self._server.transport.sendto(framed, self._client)
