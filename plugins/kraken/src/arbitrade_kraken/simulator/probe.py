"""A bare client that looks at a simulator from outside: frames as they came, answers as they are.

For tests and measurements; it trusts nothing and remembers everything.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson

from arbitrade_kraken.simulator.faces.rest import sign
from arbitrade_kraken.simulator.faces.wire import dumps, loads

TIMEOUT_S = 10.0

type JsonObject = dict[str, Any]

_NONCES = itertools.count(1_000)
"""One count for all probes, because several may use one key."""


class SocketProbe:
    """One WebSocket to a simulator.

    Args:
        socket: Open.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.frames: list[JsonObject] = []
        """Every frame so far, its numbers exact."""
        self.texts: list[str] = []
        """Every frame so far as it came, which may not be JSON."""
        self.is_over = False
        self._socket = socket
        self._unread: list[JsonObject] = []
        self._news = asyncio.Event()
        self._numbers = itertools.count(1)

    async def send(self, message: object) -> None:
        """Send a request as it is; text stays text."""
        await self._socket.send_str(
            message if isinstance(message, str) else dumps(message).decode()
        )

    async def ask(self, method: str, *, token: str | None = None, **params: object) -> JsonObject:
        """Send a request and return its first answer."""
        number = await self.tell(method, token=token, **params)
        return await self.answer(number)

    async def tell(self, method: str, *, token: str | None = None, **params: object) -> int:
        """Send a request without waiting; return its `req_id`."""
        number = next(self._numbers)
        if token is not None:
            params["token"] = token
        message: JsonObject = {"method": method, "req_id": number}
        await self.send(message | {"params": params} if params else message)
        return number

    async def answer(self, number: int) -> JsonObject:
        """Return the next answer to a request."""
        return await self.take(lambda frame: frame.get("req_id") == number)

    async def update(self, channel: str, kind: str | None = None) -> JsonObject:
        """Return the next unread frame of a channel."""
        return await self.take(
            lambda frame: frame.get("channel") == channel and kind in (None, frame.get("type"))
        )

    async def take(self, matches: Callable[[JsonObject], bool]) -> JsonObject:
        """Return the first unread frame that matches, waiting for one.

        Raises:
            TimeoutError: None came.
        """
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for place, frame in enumerate(self._unread):
                    if matches(frame):
                        return self._unread.pop(place)
                if self.is_over:
                    raise ConnectionError("the simulator closed the socket")
                self._news.clear()
                await self._news.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds, looking after every frame.

        Raises:
            TimeoutError: It never did.
        """
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def settle(self) -> None:
        """Wait until everything sent before now has arrived: a ping comes back."""
        await self.ask("ping")

    async def close(self) -> None:
        """Close the socket from this side."""
        await self._socket.close()

    async def read(self) -> None:
        """Take in frames until the socket closes."""
        try:
            async for message in self._socket:
                self.texts.append(str(message.data))
                try:
                    frame = loads(message.data)
                except ValueError:
                    frame = {"broken": message.data}
                self.frames.append(frame)
                self._unread.append(frame)
                self._news.set()
        finally:
            self.is_over = True
            self._news.set()


class RestProbe:
    """REST calls to a simulator.

    Args:
        base: Its base URL.
        key: For private calls; empty where none are made.
        secret: The private part of that key.
    """

    def __init__(
        self, session: aiohttp.ClientSession, base: str, key: str = "", secret: str = ""
    ) -> None:
        self._session = session
        self._base = base
        self._key, self._secret = key, secret

    def with_key(self, key: str, secret: str) -> "RestProbe":
        """Return a probe with another key."""
        return RestProbe(self._session, self._base, key, secret)

    async def public(self, name: str, **params: str) -> JsonObject:
        """Return the answer of a public call."""
        url = f"{self._base}/0/public/{name}"
        async with self._session.get(url, params=params) as response:
            assert response.status == 200
            return self._read(await response.read())

    async def private(self, name: str, *, nonce: int | None = None, **params: object) -> JsonObject:
        """Return the answer of a private call, its arguments sent as a form."""
        fields = {"nonce": str(next(_NONCES) if nonce is None else nonce)}
        fields |= {name: str(value) for name, value in params.items()}
        body = urlencode(fields).encode()
        return await self.signed(name, body, fields["nonce"], "application/x-www-form-urlencoded")

    async def private_json(self, name: str, **params: object) -> JsonObject:
        """Return the answer of a private call, its arguments sent as JSON."""
        nonce = str(next(_NONCES))
        body = orjson.dumps({"nonce": nonce, **params})
        return await self.signed(name, body, nonce, "application/json")

    async def signed(
        self, name: str, body: bytes, nonce: str, content_type: str, signature: str | None = None
    ) -> JsonObject:
        """Send a body with its signature, or with another one."""
        path = f"/0/private/{name}"
        headers = {
            "API-Key": self._key,
            "API-Sign": signature or sign(self._secret, path, nonce, body).decode(),
            "Content-Type": content_type,
        }
        async with self._session.post(self._base + path, data=body, headers=headers) as response:
            assert response.status == 200, response.status
            return self._read(await response.read())

    @staticmethod
    def _read(content: bytes) -> JsonObject:
        answer = loads(content)
        assert isinstance(answer, dict)
        return answer


@asynccontextmanager
async def probing(url: str) -> AsyncIterator[SocketProbe]:
    """Open a WebSocket to a simulator and read it while the context is open."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, max_msg_size=1 << 26, autoclose=True) as socket,
    ):
        probe = SocketProbe(socket)
        reader = asyncio.create_task(probe.read())
        try:
            yield probe
        finally:
            reader.cancel()
            await asyncio.wait((reader,))


@asynccontextmanager
async def calling(base: str, key: str = "", secret: str = "") -> AsyncIterator[RestProbe]:
    """Make REST calls to a simulator while the context is open."""
    async with aiohttp.ClientSession() as session:
        yield RestProbe(session, base, key, secret)
