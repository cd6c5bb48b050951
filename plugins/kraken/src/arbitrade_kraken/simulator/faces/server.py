"""The simulator on loopback: REST, both WebSocket hosts and the control API on one port."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs
from aiohttp import web

from arbitrade.errors import VenueUnavailableError
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.faces.client_socket import MAX_REQUEST_BYTES, ClientSocket
from arbitrade_kraken.simulator.faces.control import Control
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.private import PrivateFace, PrivateSession
from arbitrade_kraken.simulator.faces.public import PublicFace, PublicSession
from arbitrade_kraken.simulator.faces.rest import RestFace
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings

PULSE_S = 0.005
"""The market moves this often, by as many steps as its rate asks for."""

_MOST_STEPS = 500
_ATTEMPTS_WINDOW_S = 600.0


@attrs.frozen
class Addresses:
    """Base URLs of REST and the control API, full ones of both WebSockets."""

    rest: str
    ws: str
    ws_auth: str
    control: str


class SimulatorServer:
    """One simulator; see `listening`.

    Args:
        settings: Say where it listens, how fast the market moves and how the faces behave.
        exchange: What is shown.
        clock: The exchange's, which the control API can move forward.
        key: Opens the funded account.
    """

    def __init__(
        self, settings: SimulatorSettings, exchange: Exchange, clock: MovableClock, key: ApiKey
    ) -> None:
        self.settings = settings
        self.exchange = exchange
        self.clock = clock
        self.key = key
        self.steps = 0
        """How often the market has moved so far."""
        self.face = Face(exchange, settings.wire, settings.seed)
        self._public = PublicFace(self.face)
        self._private = PrivateFace(self.face)
        restricted = (settings.exchange or ExchangeSettings()).restricted
        self._rest = RestFace(self.face, restricted)
        self._clients: set[ClientSocket] = set()
        self._hung_up = asyncio.Event()
        self._opened = 0
        self._attempts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._banned_until: dict[str, float] = {}
        self._addresses: Addresses | None = None
        self._pulse: asyncio.Task[None] | None = None

    # ── for those who look ───────────────────────────────────────────────────────────────────────

    @property
    def addresses(self) -> Addresses:
        """Where it listens; only while it does."""
        if self._addresses is None:
            raise RuntimeError("the simulator is not listening")
        return self._addresses

    @property
    def faults(self) -> Faults:
        """The exchange's switchboard of what goes wrong."""
        return self.exchange.faults

    @property
    def frames(self) -> int:
        """Public frames sent so far, over all sockets."""
        return self._public.market.frames

    @property
    def waiting(self) -> int:
        """Frames that clients haven't taken yet."""
        return sum(client.waiting for client in self._clients)

    @property
    def connections(self) -> int:
        """How many sockets are open now."""
        return len(self._clients)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Addresses]:
        """Listen, let the market move, and end in good order on the way out.

        Raises:
            VenueUnavailableError: The port is taken.
        """
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self._routes())
        runner = web.AppRunner(
            app, handle_signals=False, access_log=None, handler_cancellation=True,
            shutdown_timeout=1.0,
        )  # fmt: skip
        await runner.setup()
        try:
            await self._bind(runner)
            self._pulse = asyncio.create_task(self._beat())
            try:
                yield self.addresses
            finally:
                self._pulse.cancel()
                with suppress(asyncio.CancelledError):
                    await self._pulse
        finally:
            await self._hang_up()
            await runner.cleanup()
            self._addresses = None

    async def until(self, stop: asyncio.Event, seconds: float | None = None) -> None:
        """Wait for `stop`, or so many seconds; raises what broke the market if something did."""
        assert self._pulse is not None
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                (stopped, self._pulse), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            stopped.cancel()
        if self._pulse.done():
            self._pulse.result()

    def poke(self) -> None:
        """Let what was just injected act at once on the sockets it means."""
        if self.faults.is_quiet:
            return
        sessions: list[PublicSession | PrivateSession] = [
            *self._public.sessions,
            *self._private.sessions,
        ]
        for session in sorted(sessions, key=lambda one: one.socket.number):
            session.break_socket()

    def _routes(self) -> list[web.AbstractRouteDef]:
        control = Control(self.exchange, self.clock, self.poke, self._about)
        return [
            web.get("/v2", self._public_socket),
            web.get("/auth/v2", self._private_socket),
            web.route("*", "/0/public/{method}", self._rest.public),
            web.post("/0/private/{method}", self._rest.private),
            *control.routes(),
        ]

    def _about(self) -> dict[str, object]:
        return {
            "seed": self.settings.seed,
            "rate": self.settings.rate,
            "steps": self.steps,
            "frames": self.frames,
            "waiting": self.waiting,
            "connections": self.connections,
            "cpu_s": time.process_time(),
        }

    async def _bind(self, runner: web.AppRunner) -> None:
        host, port = self.settings.host, self.settings.port
        site = web.TCPSite(runner, host, port, backlog=512)
        try:
            await site.start()
        except OSError as error:
            raise VenueUnavailableError(
                f"simulator: can't listen on {host}:{port} ({error.strerror}); "
                "choose another port, or 0 for a free one"
            ) from error
        port = runner.addresses[0][1]
        self._addresses = Addresses(
            rest=f"http://{host}:{port}",
            ws=f"ws://{host}:{port}/v2",
            ws_auth=f"ws://{host}:{port}/auth/v2",
            control=f"http://{host}:{port}/control",
        )

    async def _hang_up(self) -> None:
        for client in list(self._clients):
            if client.is_half_open:
                client.abort()
            else:
                client.close(1001)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while self._clients:
                    await self._hung_up.wait()
                    self._hung_up.clear()
        for client in list(self._clients):
            client.abort()

    # ── sockets ──────────────────────────────────────────────────────────────────────────────────

    async def _public_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._open_public)

    async def _private_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._open_private)

    async def _open_public(self, client: ClientSocket, connection_id: int) -> None:
        session = self._public.open(client, connection_id)
        try:
            await client.run(session.receive)
        finally:
            self._public.close(session)

    async def _open_private(self, client: ClientSocket, connection_id: int) -> None:
        session = self._private.open(client, connection_id)
        try:
            await client.run(session.receive)
        finally:
            self._private.close(session)

    async def _serve(
        self, request: web.Request, converse: Callable[[ClientSocket, int], Awaitable[None]]
    ) -> web.StreamResponse:
        if self._is_banned(request.remote or ""):
            return web.Response(status=429, text="Too many connection attempts")
        # A message of a client is small; Kraken doesn't compress.
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_REQUEST_BYTES)
        await socket.prepare(request)
        self._opened += 1
        wire = self.settings.wire
        client = ClientSocket(socket, request, self._opened, wire.heartbeat_s, wire.idle_s)
        self._clients.add(client)
        try:
            await converse(client, self.face.rng.getrandbits(63) | 1 << 63)
        finally:
            self._clients.discard(client)
            self._hung_up.set()
        return socket

    def _is_banned(self, address: str) -> bool:
        """Count an attempt to connect; too many in ten minutes ban the address for a while."""
        wire, now_s = self.settings.wire, asyncio.get_running_loop().time()
        if not wire.attempts:
            return False
        if self._banned_until.get(address, 0.0) > now_s:
            return True
        recent = self._attempts[address]
        recent.append(now_s)
        while recent[0] <= now_s - _ATTEMPTS_WINDOW_S:
            recent.popleft()
        if len(recent) <= wire.attempts:
            return False
        self._banned_until[address] = now_s + wire.ban_s
        recent.clear()
        return True

    # ── the market's pace ────────────────────────────────────────────────────────────────────────

    async def _beat(self) -> None:
        loop, rate = asyncio.get_running_loop(), self.settings.rate
        owed, last_s = 0.0, loop.time()
        while True:
            await asyncio.sleep(PULSE_S)
            now_s = loop.time()
            # A machine that can't keep up falls behind by a second at most, then slows down.
            owed = min(owed + (now_s - last_s) * rate, rate + 1)
            self.exchange.run_timers()
            steps = min(int(owed), _MOST_STEPS)
            for _ in range(steps):
                if self.exchange.is_over:
                    break
                self.exchange.step()
                self.steps += 1
            owed -= steps
            self.poke()
            self._disconnect_somebody(now_s - last_s)
            last_s = now_s

    def _disconnect_somebody(self, elapsed_s: float) -> None:
        every_s = self.settings.wire.disconnect_every_s
        if every_s and self._clients and self.face.rng.random() < elapsed_s / every_s:
            clients = sorted(self._clients, key=lambda client: client.number)
            clients[self.face.rng.randrange(len(clients))].abort()
