"""The exchange without sockets or tasks: hours of market and orders in seconds, for soak tests.

    venue = FastVenue.make(SimulatorSettings(pairs=30, seed=7), FastFaults.storm())
    for time_ns, event in venue.run(venue.now_ns + HOUR_NS):
        if isinstance(event, bytes):
            engine.on_frame(event)           # as the server would have sent it
        ...
        venue.submit(order, time_ns)         # its outcome and its events come later
    assert venue.oracle.discrepancies() == ()

Same seed, same calls: same events at the same nanosecond.  Time is the exchange's clock, and only
`run` and `advance_to` move it; what is asked (`ask`, `balances`, …) is answered as of now, exactly.
"""

from collections.abc import Collection, Iterator, Sequence
from random import Random
from typing import Self

from arbitrade.errors import UsageError
from arbitrade.models import (
    Balance,
    BalanceChange,
    ExecutionReport,
    FeeRates,
    OrderRequest,
    OrderState,
)
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.fast.account import FastAccount
from arbitrade_kraken.simulator.fast.chance import Chance
from arbitrade_kraken.simulator.fast.events import FastEvent, FastFaults, FastLatency
from arbitrade_kraken.simulator.fast.market import FastMarket
from arbitrade_kraken.simulator.fast.queue import FastQueue
from arbitrade_kraken.simulator.making import build_exchange, fund

_START_NS = 1_789_387_200_000_000_000
"""Noon of a day in September 2026."""


class FastVenue:
    """A venue as one client sees it; see the module.

    Args:
        exchange: Its account has to be open.
        clock: The exchange's; it has to stand.
        rng: Of latencies and faults.
        faults: What goes wrong; None for nothing.
        latency: How long things take.
        account: Whose client this is.
        symbols: Books subscribed to; None for all.
        depth: Of those books.
        rate: Moves of the market a second; 0 for a market that only orders move.
    """

    def __init__(
        self,
        exchange: Exchange,
        clock: MovableClock,
        rng: Random,
        faults: FastFaults | None = None,
        latency: FastLatency | None = None,
        *,
        account: str = "main",
        symbols: Sequence[str] | None = None,
        depth: int = 10,
        rate: float = 200.0,
    ) -> None:
        if clock.stands_at_ns is None:
            raise UsageError("clock: runs by itself; give MovableClock(stands_at_ns) that stands")
        faults, latency = faults or FastFaults(), latency or FastLatency()
        chosen = [pair.symbol for pair in exchange.pairs()] if symbols is None else symbols
        face = Face(exchange, WireSettings(), rng.getrandbits(32))
        self._queue = queue = FastQueue(clock, rng)
        chance = Chance(rng)
        self._market = FastMarket(
            exchange, face, queue, chance, faults, latency, chosen, depth, rate
        )
        self._account = FastAccount(exchange, face, queue, chance, faults, latency, account)
        self.exchange = exchange
        self.oracle = ExchangeOracle(exchange)
        self._market.open()
        self._account.open()

    @classmethod
    def make(
        cls,
        settings: SimulatorSettings | None = None,
        faults: FastFaults | None = None,
        latency: FastLatency | None = None,
        *,
        start_ns: int = _START_NS,
        depth: int = 10,
    ) -> Self:
        """Return a venue as `arbitrade simulate` would run it with these settings.

        Raises:
            UsageError: Settings that make no sense.
        """
        settings = settings if settings is not None else SimulatorSettings()
        clock = MovableClock(start_ns)
        exchange = build_exchange(settings, clock)
        fund(exchange, settings)
        rng = Random(f"{settings.seed} client")  # noqa: S311 - of a simulator: the same for a seed
        return cls(
            exchange,
            clock,
            rng,
            faults,
            latency,
            account=settings.account,
            depth=depth,
            rate=settings.rate,
        )

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def now_ns(self) -> int:
        """The time, at the venue and at its client: nanoseconds since the epoch."""
        return self._queue.now_ns

    @property
    def steps(self) -> int:
        """How often the market has moved so far."""
        return self._market.steps

    def run(self, until_ns: int) -> Iterator[tuple[int, FastEvent]]:
        """Yield what the client gets, each at its time, and stop with the clock at the end.

        Between two events requests may be made; what comes of them is among the next.
        """
        return self._queue.run(until_ns)

    def advance_to(self, now_ns: int) -> list[tuple[int, FastEvent]]:
        """Return all that the client gets until then, with its time."""
        return list(self._queue.run(now_ns))

    # ── requests ─────────────────────────────────────────────────────────────────────────────────

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        """Send an order; its outcome comes as an event, before its reports or after some of them.

        Raises:
            UsageError: The venue is further on than `now_ns`.
        """
        self._come_to(now_ns)
        self._account.submit(order)

    def cancel(self, client_ids: Collection[str], now_ns: int) -> None:
        """Cancel orders; each has an outcome, as from `submit`."""
        self._come_to(now_ns)
        self._account.cancel(client_ids)

    def cancel_all(self, now_ns: int) -> None:
        """Cancel everything; `Cancelled` tells how many."""
        self._come_to(now_ns)
        self._account.cancel_all()

    def cancel_all_after(self, timeout_s: int, now_ns: int) -> None:
        """Arm the dead man's switch, 0 disarms; `Armed` tells whether that was confirmed."""
        self._come_to(now_ns)
        self._account.cancel_all_after(timeout_s)

    def resync(self, symbol: str, now_ns: int) -> None:
        """Ask for a fresh snapshot of one book."""
        self._come_to(now_ns)
        self._market.resync(symbol)

    # ── connections ──────────────────────────────────────────────────────────────────────────────

    def lose_private(self) -> None:
        """Lose the private connection, with all that is under way on it."""
        self._account.lose()

    def lose_public(self) -> None:
        """Lose market data, with all that is under way."""
        self._market.lose()

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def ask(self, client_id: str) -> OrderState | None:
        """Return what the venue knows of an order now.

        None before it arrives; when its deadline is over without it, it never will.
        """
        return self._account.ask(client_id)

    def open_orders(self) -> Sequence[OrderState]:
        """Return the orders that stand, foreign ones too."""
        return self._account.history.open_orders()

    def balances(self) -> Sequence[Balance]:
        """Return all balances that can be traded, holds included."""
        return self._account.history.balances()

    def fee_rates(self, symbols: Collection[str]) -> Sequence[FeeRates]:
        """Return what the account pays on these pairs now."""
        return self._account.history.fee_rates(symbols)

    def fills_since(self, start_ns: int) -> Sequence[ExecutionReport]:
        """Return the fills since a time, oldest first."""
        return self._account.history.fills(since_ns=start_ns)

    def ledger_since(self, start_ns: int) -> Sequence[BalanceChange]:
        """Return every change of a balance since a time, oldest first."""
        return self._account.history.ledger(start_ns)

    def _come_to(self, now_ns: int) -> None:
        if now_ns != self.now_ns:
            raise UsageError(
                f"the venue is at {self.now_ns} ns, not at {now_ns}; let `run` or `advance_to` "
                "move it, and make requests at the time of the last event or of the end"
            )
