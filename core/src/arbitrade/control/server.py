"""The bot's side of the control socket.

Runs on the bot's own event loop, so whoever connects must not be able to hold it up: connections
are accepted at a bounded pace, few at a time, each with bounded lines, waits and requests a second.
What is turned away is counted.  When all places are taken, a new connection takes that of the one
that has been idle longest, so that a `halt` gets through a crowd.
"""

import asyncio
import hmac
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import suppress
from pathlib import Path

import attrs
import orjson
import structlog

from arbitrade.api import Answer, Bot, BotState, Command
from arbitrade.control import messages
from arbitrade.control.endpoint import DEFAULT_TRANSPORT, Listener, Transport
from arbitrade.control.messages import Request
from arbitrade.control.peers import Peer, name_of, own_id, own_name, peer_of
from arbitrade.errors import ArbitradeError, ControlError
from arbitrade.plain_json import to_json

log = structlog.stdlib.get_logger(__name__)


@attrs.frozen
class ServerLimits:
    """How much of the bot's time its clients may take.

    Args:
        connections: At a time.
        accepts_per_s: New ones, on average.
        requests_per_s: Of one connection, on average; a `halt` is never kept waiting for it.
        burst: How many of either may come at once.
        idle_s: A connection without a whole request for so long is closed.
        write_s: One that doesn't take its answer for so long, too.
        answer_grace_s: How long commands under way may take to be answered at the end.
    """

    connections: int = 64
    accepts_per_s: float = 200.0
    requests_per_s: float = 20.0
    burst: int = 20
    idle_s: float = 10.0
    write_s: float = 5.0
    answer_grace_s: float = 1.0


class ControlServer:
    """Lets operators look at a bot and command it.  A `Service`.

    Args:
        bot: What is looked at and commanded.
        folder: The state folder, where the socket goes.
        account: Whose bot this is.
        transport: By default a Unix socket, on Windows a port of the loopback.
        limits: See there.
    """

    def __init__(
        self,
        bot: Bot,
        folder: Path,
        account: str,
        *,
        transport: Transport | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self.name = "control"
        self._bot = bot
        self._folder = folder
        self._account = account
        self._transport: Transport = transport or DEFAULT_TRANSPORT
        self._limits = limits or ServerLimits()
        self._listener: Listener | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._commands: set[asyncio.Task[Answer]] = set()
        self._counted: Counter[str] = Counter()
        self._pace = _Pace(self._limits.accepts_per_s, self._limits.burst)
        self._state = _NO_STATE

    @property
    def counters(self) -> Mapping[str, int]:
        """What came and what was turned away, by name, such as `control.commands`."""
        return {f"control.{name}": count for name, count in sorted(self._counted.items())}

    async def start(self) -> None:
        """Begin to listen; `run` serves, and ends it, as `close` does.  Idempotent.

        Raises:
            UsageError: Another bot of this account listens already.
            ControlError: The socket can't be made.
        """
        if self._listener is not None:
            return
        making = asyncio.ensure_future(asyncio.to_thread(self._listen))
        try:
            self._listener = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_close_unwanted)
            raise

    async def run(self) -> None:
        """Serve until cancelled; then answer what is under way, and clean up."""
        await self.start()
        assert self._listener is not None
        log.debug("control.listening", endpoint=str(self._listener.endpoint))
        try:
            await self._accept(self._listener.socket)
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop listening; cancel what doesn't end within a moment.  Idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        busy = [task for task, one in self._connections.items() if one.is_commanding]
        for task in set(self._connections) - set(busy):
            task.cancel()
        if busy:
            await asyncio.wait(busy, timeout=self._limits.answer_grace_s)
        ending = [*self._connections, *self._commands]
        for one in ending:
            one.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _listen(self) -> Listener:
        own_name(), name_of(own_id())  # asked for now, not while somebody waits
        return Listener(self._folder, self._account, self._transport)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted = await _accept_one(listening)
            except OSError:  # no descriptors left, or it was gone before we came
                self._counted["accept_failed"] += 1
                await asyncio.sleep(0.1)
                continue
            self._counted["connections"] += 1
            try:
                self._admit(accepted)
            except OSError:
                accepted.close()
            await self._pace.wait()

    def _admit(self, accepted: socket.socket) -> None:
        peer = Peer(True, own_name()) if self._transport == "tcp" else peer_of(accepted)
        if not peer.is_allowed:
            self._counted["foreign"] += 1
            log.warning("control.foreign_user", user=peer.actor)
        if not peer.is_allowed or not self._make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        connection = _Connection(accepted, peer.actor)
        task = asyncio.create_task(self._serve(connection), name="control connection")
        self._connections[task] = connection
        task.add_done_callback(self._forget)

    def _make_room(self) -> bool:
        """Tell whether a place is free; the connection idle for longest may have to make one."""
        places = len(self._connections) - sum(one.is_leaving for one in self._connections.values())
        if places < self._limits.connections:
            return True
        for waited in (lambda one: one.is_idle, lambda one: not one.is_commanding):
            for task, one in self._connections.items():
                if waited(one) and not one.is_leaving:
                    one.is_leaving = True
                    self._counted["crowded_out"] += 1
                    task.cancel()
                    return True
        self._counted["refused"] += 1
        return False

    def _forget(self, task: asyncio.Task[None]) -> None:
        connection = self._connections.pop(task, None)
        if connection is not None:
            connection.close()
        if not task.cancelled() and task.exception() is not None:
            self._counted["failed"] += 1
            log.error("control.connection_failed", exc_info=task.exception())

    async def _serve(self, connection: "_Connection") -> None:
        """Answer one connection's requests until it ends or breaks a rule."""
        pace = _Pace(self._limits.requests_per_s, self._limits.burst)
        try:
            await connection.open()
            while True:
                line = await connection.read_line(self._limits.idle_s)
                request = messages.read_request(line)
                self._refuse_token(request)
                connection.is_idle = False
                if request.name != "halt":
                    await pace.wait()
                await self._answer(connection, request)
                connection.is_idle = True
        except _EndedError as end:
            if end.counted:
                self._counted[end.counted] += 1
        except ControlError as error:
            self._counted["malformed"] += 1
            with suppress(_EndedError):
                await connection.write(messages.write_error(0, str(error)), self._limits.write_s)

    async def _answer(self, connection: "_Connection", request: Request) -> None:
        number, limit_s = request.id, self._limits.write_s
        self._counted[request.ask] += 1
        if request.ask == "subscribe":
            await self._publish(connection, request)
        elif request.ask == "state":
            await connection.write(messages.write_result(number, self._state_json()), limit_s)
        elif request.ask == "hello":
            said = orjson.dumps({"account": self._account, "process": os.getpid()})
            await connection.write(messages.write_result(number, said), limit_s)
        else:
            connection.is_commanding = True
            try:
                answer = await self._carry_out(connection.actor, request)
                await connection.write(answer, limit_s)
            finally:
                connection.is_commanding = False

    async def _carry_out(self, actor: str, request: Request) -> bytes:
        """Run a command to its end, also when whoever gave it goes away."""
        command = Command(request.name, actor, request.arguments)
        task = asyncio.ensure_future(_awaited(self._bot.command(command)))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        try:
            answer = await asyncio.shield(task)
        except ArbitradeError as error:
            return messages.write_error(request.id, str(error))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("control.command_failed", command=request.name, actor=actor)
            return messages.write_error(
                request.id, f"{request.name}: the bot failed to do it; see its log for the reason"
            )
        finally:
            self._state = _NO_STATE  # whoever asks next wants to see what came of it
        return messages.write_result(request.id, orjson.dumps(to_json(answer), default=str))

    async def _publish(self, connection: "_Connection", request: Request) -> None:
        updates = self._bot.updates(request.every_s)
        try:
            async for state in updates:
                line = messages.write_result(request.id, state_json(state))
                await connection.write(line, self._limits.write_s)
        finally:
            await _close(updates)

    def _state_json(self) -> bytes:
        """Return the state, at most some tens of milliseconds old however often it is asked for."""
        now = asyncio.get_running_loop().time()
        if now - self._state[0] > _STATE_S:
            self._state = (now, state_json(self._bot.state()))
        return self._state[1]

    def _refuse_token(self, request: Request) -> None:
        wanted = "" if self._listener is None else self._listener.endpoint.token
        if not hmac.compare_digest(request.token.encode(), wanted.encode()) and wanted:
            self._counted["foreign"] += 1
            raise ControlError("token: not the one in the endpoint file; use the bot's own account")


def state_json(state: BotState) -> bytes:
    """Return a state as JSON, as `arbitrade.control.client` reads it."""
    return orjson.dumps(to_json(state), option=orjson.OPT_NON_STR_KEYS)


_STATE_S = 0.02
_NO_STATE = (float("-inf"), b"")


class _EndedError(Exception):
    """A connection is over; `counted` says under which name, empty for a normal end."""

    def __init__(self, counted: str = "") -> None:
        self.counted = counted


class _Connection:
    """One client, from accepting it to closing it."""

    def __init__(self, accepted: socket.socket, actor: str) -> None:
        self.actor = actor
        self.is_idle = True
        self.is_commanding = False
        self.is_leaving = False
        self._accepted: socket.socket | None = accepted
        self._reader = asyncio.StreamReader(limit=messages.LONGEST_REQUEST)
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Hand the socket to the event loop."""
        assert self._accepted is not None
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, self._accepted)
        except OSError:
            raise _EndedError("gone") from None
        self._accepted = None
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def read_line(self, limit_s: float) -> bytes:
        """Return the next line."""
        try:
            async with asyncio.timeout(limit_s):
                return await self._reader.readuntil(b"\n")
        except TimeoutError:
            raise _EndedError("idle") from None
        except asyncio.LimitOverrunError:
            raise ControlError(
                f"a request is one line of at most {messages.LONGEST_REQUEST} bytes"
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            partial = getattr(error, "partial", b"")
            raise _EndedError("torn" if partial else "") from None

    async def write(self, line: bytes, limit_s: float) -> None:
        """Send a line; wait until most of it is taken."""
        if self._writer is None:
            raise _EndedError("gone")
        try:
            async with asyncio.timeout(limit_s):
                self._writer.write(line)
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise _EndedError("slow") from None
        except (ConnectionError, RuntimeError):  # uvloop says RuntimeError for a closed one
            raise _EndedError("gone") from None

    def close(self) -> None:
        """Let it go; what was written still goes out."""
        if self._accepted is not None:
            self._accepted.close()
        if self._writer is not None:
            self._writer.close()


class _Pace:
    """Lets through so many a second on average, a burst of them at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._interval_s = 1.0 / per_s
        self._burst_s = burst / per_s
        self._next_s = float("-inf")

    async def wait(self) -> None:
        """Wait until the next one may go."""
        now = asyncio.get_running_loop().time()
        self._next_s = max(self._next_s, now - self._burst_s) + self._interval_s
        if self._next_s > now:
            await asyncio.sleep(self._next_s - now)


def _close_unwanted(making: "asyncio.Future[Listener]") -> None:
    """Close what was made for somebody who doesn't wait for it any more."""
    if not making.cancelled() and making.exception() is None:
        making.result().close()


async def _accept_one(listening: socket.socket) -> socket.socket:
    """Accept a connection.  The event loop's own way may lose one when it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return listening.accept()[0]
        except BlockingIOError:
            pass
        readable = asyncio.Event()
        try:
            loop.add_reader(listening, readable.set)
        except NotImplementedError:  # Windows
            return (await loop.sock_accept(listening))[0]
        try:
            await readable.wait()
        finally:
            loop.remove_reader(listening)


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


async def _close(updates: AsyncIterator[BotState]) -> None:
    """End a generator now; otherwise that waits for the garbage collector."""
    close = getattr(updates, "aclose", None)
    if close is not None:
        await close()
