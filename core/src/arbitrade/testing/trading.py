"""For tests of the machine: a trader on books that a test sets, whose venue is the test itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import attrs

from arbitrade.book import OrderBook
from arbitrade.config import Settings
from arbitrade.execution.sequential import SequentialExecutor
from arbitrade.execution.walk import expected_fee
from arbitrade.models import (
    Alert,
    Asset,
    ExecutionReport,
    Fee,
    Instruments,
    InstrumentStatus,
    Intent,
    OrderStatus,
    Side,
)
from arbitrade.process.latency import Latency
from arbitrade.protocols import Executor
from arbitrade.records import Record
from arbitrade.risk.limits import LimitBook
from arbitrade.testing.factories import Figure, Rung, make_book, make_instrument
from arbitrade.testing.risk import make_opportunity
from arbitrade.trading.gateways.latencies import parse_latency
from arbitrade.trading.gateways.paper import PaperLatencies, PaperVenue
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.events import Execution, OrderAnswer, TimeCame, TradingEvent
from arbitrade.trading.machine.orders import TrackedOrder
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.recovery import Recovered
from arbitrade.trading.machine.state import MachineState
from arbitrade.trading.machine.trader import Trader

__all__ = ["SECOND", "START_NS", "FakeGateway", "TradingBench"]

SECOND = 1_000_000_000
START_NS = 1_790_000_000 * SECOND
_ASSETS = {"USD": 4, "BTC": 10, "ETH": 10}
_MARKET = (("BTC/USD", "99", "100"), ("ETH/BTC", "0.24", "0.25"), ("ETH/USD", "26", "27"))


@attrs.define(eq=False)
class FakeGateway:
    """A way out that leads nowhere, and remembers what went there."""

    sent: list[Intent] = attrs.field(factory=list)
    looked_up: list[str] = attrs.field(factory=list)
    cancelled: list[str] = attrs.field(factory=list)
    reconciled: list[int | None] = attrs.field(factory=list)

    def send(self, intent: Intent, sequence: int) -> None:
        """Remember an order; what becomes of it is for the test to tell."""
        self.sent.append(intent)

    def cancel(self, client_ids: Sequence[str]) -> None:
        """Remember what was to be cancelled."""
        self.cancelled += client_ids

    def look_up(self, client_id: str) -> None:
        """Remember what was asked for."""
        self.looked_up.append(client_id)

    def reconcile(self, since_ns: int | None) -> None:
        """Remember since when histories were asked for."""
        self.reconciled.append(since_ns)

    def taken(self, symbol: str, side: Side) -> int:
        """Return 0: what the books show is there."""
        return 0

    def begin(self, balances: Mapping[str, Decimal]) -> None:
        """Hold nothing: the test is the venue."""

    def fail_waiting(self, reason: str) -> None:
        """Do nothing: orders here wait for no disk."""

    def latencies(self) -> Mapping[str, Latency]:
        """Return nothing: nothing is timed."""
        return {}

    async def close(self) -> None:
        """Nothing is under way."""


class TradingBench:
    """A trader, its books, and everything it wrote, alerted and halted for.

    The market pays: 100 USD buy 1 BTC, that buys 4 ETH, those bring 104 USD, before fees.

    Args:
        balances: The ledger begins with these; None leaves it closed.
        settings: Everything configured.
        run: Its UUID.
        now_ns: What time it is.
        must_reconcile: Whether the venue has a ledger of its own to agree with.
        paper_ms: Latency of simulated fills; None hands orders to `gateway`, which fills none.
        paper_tell: Takes what simulated fills tell, in the trader's place.
    """

    def __init__(
        self,
        balances: Mapping[str, Figure] | None = None,
        *,
        settings: Settings | None = None,
        run: str = "0192f0c4-7a10-7cc2-9a54-0d6a1c1f9a77",
        now_ns: int = START_NS,
        must_reconcile: bool = False,
        paper_ms: str | None = None,
        paper_tell: Callable[[TradingEvent], None] | None = None,
    ) -> None:
        self.run = run
        self.now_ns = now_ns
        self.executor: Executor = SequentialExecutor()
        self.records: list[tuple[int, str, Record]] = []
        self.alerts: list[Alert] = []
        self.halts: list[str] = []
        self.reconciled = 0
        self.books: dict[str, OrderBook] = {}
        self.instruments = Instruments()
        for symbol, bid, ask in _MARKET:
            self.quote(symbol, [(bid, 90)], [(ask, 90)])
        settings = settings or Settings()
        ports = Ports(
            self._write,
            self.alerts.append,
            self.halts.append,
            lambda: self.instruments,
            lambda: self.books,
            lambda _: self.executor,
            on_reconciled=self._on_reconciled,
        )
        self.state = MachineState.fresh(settings, run, ports)
        self.gateway = FakeGateway()
        self.paper: PaperVenue | None = None
        if paper_ms is not None:
            self.paper = self._make_paper(paper_ms, paper_tell or self._take_paper)
        self.trader = Trader(
            settings,
            ports,
            self.state,
            self.gateway if self.paper is None else self.paper,
            Decisions(),
            LimitBook(settings.risk),
            must_reconcile=must_reconcile,
        )
        self.machine = self.trader.machine
        self.state.is_connected = True
        self.trader.at(self.now_ns)
        if balances is not None:
            self.state.opened_ns = self.now_ns
            self.state.ledger.open({a: Decimal(v) for a, v in balances.items()}, run)
        if self.paper is not None:
            self.paper.begin(self.state.ledger.balances())

    def _make_paper(self, latency_ms: str, tell: Callable[[TradingEvent], None]) -> PaperVenue:
        """Return a venue that fills orders by walking the books."""
        state, latency = self.state, parse_latency(latency_ms, "test")
        return PaperVenue(
            state.timers,
            lambda: state.now_ns,
            tell,
            books=lambda: self.books,
            instruments=lambda: self.instruments,
            fees=lambda: state.fees,
            latencies=PaperLatencies(parse_latency("0", "test"), latency, latency),
            seed=1,
        )

    def _take_paper(self, event: TradingEvent) -> None:
        """Take what the simulated venue tells."""
        self.trader.on_event(event)

    def _on_reconciled(self) -> None:
        self.reconciled += 1

    def _write(self, record: Record, run: str) -> int:
        self.records.append((self.now_ns, run, record))
        return len(self.records)

    def written[R](self, kind: type[R]) -> list[R]:
        """Return the records of one kind."""
        return [record for _, _, record in self.records if isinstance(record, kind)]

    # ── the market ───────────────────────────────────────────────────────────────────────────────

    def quote(
        self,
        symbol: str,
        bids: Iterable[Rung],
        asks: Iterable[Rung],
        *,
        status: InstrumentStatus = InstrumentStatus.ONLINE,
    ) -> OrderBook:
        """Replace a book and its pair."""
        pair = make_instrument(symbol, status=status, minimum_quantity="0.001")
        known = [other for other in self.instruments.values() if other.symbol != symbol]
        assets = [Asset(name, precision) for name, precision in _ASSETS.items()]
        self.instruments = Instruments([*known, pair], assets)
        book = self.books[symbol] = make_book(pair, bids=bids, asks=asks)
        book.tradable = status is InstrumentStatus.ONLINE
        return book

    # ── time and events ──────────────────────────────────────────────────────────────────────────

    def tell(self, event: TradingEvent) -> None:
        """Have the trader handle an event now."""
        self.trader.at(self.now_ns)
        self.trader.on_event(event)

    def wait(self, seconds: float) -> None:
        """Let time pass; timers run when they are due."""
        until = self.now_ns + round(seconds * SECOND)
        while (due := self.trader.next_timer_ns) is not None and due <= until:
            self.now_ns = max(due, self.now_ns)
            self.tell(TimeCame())
        self.now_ns = until
        self.trader.at(until)

    def find(self, size: Figure = 100, key: str = "USD>BTC>ETH") -> Cycle | None:
        """Show the trader an opportunity; return the cycle it began, if it did and it lasts."""
        self.trader.at(self.now_ns)
        self.trader.on_opportunities([make_opportunity(edge_bps=270, size=size, key=key)], 0)
        cycles = list(self.state.cycles.values())
        return cycles[-1] if cycles else None

    # ── the venue ────────────────────────────────────────────────────────────────────────────────

    @property
    def last(self) -> TrackedOrder:
        """The order sent last."""
        found = self.state.orders.find(self.gateway.sent[-1].request.client_id)
        assert found is not None
        return found

    def accept(self, order: TrackedOrder) -> None:
        """Answer an order as taken, with an id of the venue's."""
        self.tell(OrderAnswer(order.client_id, "accepted", f"O-{order.client_id}"))

    def fill(self, order: TrackedOrder, quantity: Figure | None = None, number: int = 0) -> None:
        """Fill an order at its limit: so much of it, all of it without."""
        self.tell(Execution(self.trade(order, quantity, number)))

    def end(self, order: TrackedOrder, filled: Figure | None = None) -> None:
        """End an order: filled if it is, else cancelled."""
        self.tell(Execution(self.final(order, filled)))

    def fill_whole(self, order: TrackedOrder) -> None:
        """Answer, fill and end an order."""
        self.accept(order)
        self.fill(order)
        self.end(order)

    def refuse(self, order: TrackedOrder, reason: str = "EOrder:Insufficient funds") -> None:
        """Answer an order as refused, for a reason in the venue's words."""
        self.tell(OrderAnswer(order.client_id, "rejected", "", reason))

    def trade(
        self, order: TrackedOrder, quantity: Figure | None = None, number: int = 0
    ) -> ExecutionReport:
        """Return the report of a fill at an order's limit."""
        request = order.intent.request
        assert request.limit_price is not None
        amount = request.quantity if quantity is None else Decimal(quantity)
        pair = self.instruments[request.symbol]
        cost = amount * request.limit_price
        fee = expected_fee(pair, request.side, amount, cost, self.state.fees)
        return attrs.evolve(
            self.final(order, amount),
            exec_id=f"T-{order.client_id}-{number}",
            kind="trade",
            status=OrderStatus.PARTIALLY_FILLED,
            last_quantity=amount,
            last_price=request.limit_price,
            cost=cost,
            fees=(Fee(pair.quote, fee),),
            cumulative_quantity=None,
        )

    def final(self, order: TrackedOrder, filled: Figure | None = None) -> ExecutionReport:
        """Return the report of an order's end, with how much of it was filled."""
        request = order.intent.request
        done = order.filled_quantity if filled is None else Decimal(filled)
        is_full = done == request.quantity
        return ExecutionReport(
            order_id=f"O-{order.client_id}",
            client_id=order.client_id,
            exec_id=None,
            kind="filled" if is_full else "canceled",
            status=OrderStatus.FILLED if is_full else OrderStatus.CANCELED,
            symbol=request.symbol,
            side=request.side,
            last_quantity=Decimal(0),
            last_price=Decimal(0),
            cost=Decimal(0),
            fees=(),
            cumulative_quantity=done,
            cumulative_cost=None,
            is_maker=None,
            reason=None,
            timestamp=None,
        )

    # ── after a crash ────────────────────────────────────────────────────────────────────────────

    def recovered(self, until: int | None = None) -> Recovered:
        """Return the state a journal with the first so many records ends in."""
        state = Recovered("main")
        for at_ns, run, record in self.records[:until]:
            state.take(at_ns, run, record)
        return state
