"""The trading machine against the matching engine on one simulated clock: no sockets, no asyncio.

    bot = FastBot(FastVenue.make(SimulatorSettings(pairs=20), FastFaults.storm()))
    bot.run(3600)                    # an hour of market in seconds
    bot.wind_down()
    bot.check()                      # what has to hold, at rest

What has to hold at every instant is checked while it runs: see `Watch`.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import attrs

from arbitrade.book import BookState
from arbitrade.config import Settings
from arbitrade.config.load import load_settings
from arbitrade.errors import VenueUnavailableError
from arbitrade.journal import Journal
from arbitrade.models import (
    Accepted,
    Alert,
    BalanceChange,
    ConnectionLost,
    CycleState,
    ExecutionReport,
    Intent,
    Mode,
    OrderRole,
    OrderState,
    Rejected,
    Severity,
    Side,
    Unknown,
    VenueState,
)
from arbitrade.plugins import discover
from arbitrade.protocols import Executor
from arbitrade.records import (
    CRITICAL,
    AlertRaised,
    CycleClosed,
    CycleOpened,
    ExecutionBooked,
    IntentWritten,
    OpportunitySeen,
    Record,
    TransactionBooked,
    decode,
    encode,
)
from arbitrade.trading.machine.cycles import OPERATOR, Cycle
from arbitrade.trading.machine.events import (
    AccountGap,
    AccountReadiness,
    BalanceMoved,
    BalancesTold,
    Commanded,
    Execution,
    FeesTold,
    LookUpFailed,
    OrderAnswer,
    OrderFound,
    Reconciled,
    RunBegan,
    TimeCame,
    TradingEvent,
    read_event,
    write_event,
)
from arbitrade.trading.machine.recovery import Recovered, run_began
from arbitrade.trading.run.hands import Inside, Outside, PaperHands, choose_hands
from arbitrade.trading.run.rig import Effects, Rig
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.still import StillMarket
from arbitrade_kraken.simulator.fast.events import (
    AllBalances,
    FastEvent,
    FastFaults,
    FastLatency,
    PrivateGap,
    PrivateReadiness,
)
from arbitrade_kraken.simulator.fast.venue import FastVenue
from arbitrade_kraken.venue import KrakenVenue

ZERO = Decimal(0)
SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
RUN = "5eed0000-0000-4000-8000-{:012x}"


def make_settings(**overrides: Mapping[str, object]) -> Settings:
    """Return settings for real orders at full size, with these sections changed."""
    registry = discover()
    sections: dict[str, dict[str, object]] = {
        "live": {"rehearsal_cycles": 0, "minimum_size_cycles": 0},
    }
    for name, values in overrides.items():
        sections[name] = {**sections.get(name, {}), **values}
    return load_settings(
        registry.settings_sections(),
        folder=Path(__file__).parent,
        environ={},
        overrides=sections,
        plugin_names=[plugin.name for plugin in registry],
    )


@attrs.define
class FastClock:
    """Stands still within an event, as a run's clock does."""

    time_ns: int

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_ns(self) -> int:
        return self.time_ns


@attrs.frozen(kw_only=True)
class Manners:
    """How long our own side takes, and how often asking the venue fails.

    Args:
        journal_us: From an intent being written to its order being sent.
        ask_us: A question over REST, each.
        ask_fails: Share of questions without an answer.
        lists_lag_s: How long after its deadline an order may still turn up.
    """

    journal_us: tuple[int, int] = (100, 2_000)
    ask_us: tuple[int, int] = (20_000, 200_000)
    ask_fails: float = 0.0
    lists_lag_s: float = 1.0


class FastGateway:
    """Sends orders to the matching engine, once their intents are durable."""

    def __init__(self, bot: "FastBot", manners: Manners, seed: int) -> None:
        self._bot = bot
        self._venue = bot.venue
        self._manners = manners
        self._random = Random(f"{seed} gateway")
        self.waiting: dict[str, int] = {}
        """Orders without an answer, and when they were sent."""
        self.sent: dict[str, int] = {}
        """Deadlines of the orders that were sent lately."""

    def send(self, intent: Intent, sequence: int) -> None:
        def go() -> None:
            bot, request = self._bot, intent.request
            bot.watch.on_send(intent, sequence)
            self.waiting[request.client_id] = bot.now_ns
            self.sent[request.client_id] = round(request.deadline.timestamp() * 1e9)
            while len(self.sent) > 200:
                del self.sent[next(iter(self.sent))]
            if bot.script is not None:
                bot.script.next_order()
            self._venue.submit(request, bot.now_ns)

        self._bot.after(self._draw(self._manners.journal_us), go)

    def cancel(self, client_ids: Sequence[str]) -> None:
        self._venue.cancel(client_ids, self._bot.now_ns)

    def look_up(self, client_id: str) -> None:
        """Ask at once, and once more when the order can't turn up any more."""
        self._later(lambda: self._look(client_id, is_last=False))

    def _look(self, client_id: str, *, is_last: bool) -> None:
        bot = self._bot
        if self._fails():
            bot.tell(LookUpFailed(client_id, "no answer in time (simulated)"))
            return
        state = self._venue.ask(client_id)
        until = self.sent.get(client_id, bot.now_ns) + round(self._manners.lists_lag_s * 1e9)
        if state is None and not is_last and bot.now_ns < until:
            bot.after(until - bot.now_ns, lambda: self._look(client_id, is_last=True))
            return
        bot.after(self._draw(self._manners.ask_us), lambda: bot.tell(OrderFound(client_id, state)))

    def reconcile(self, since_ns: int | None) -> None:
        """Ask for one thing after the other, as the venue's account is asked."""
        self._later(lambda: self._balances(since_ns))

    def _balances(self, since_ns: int | None) -> None:
        bot = self._bot
        if self._fails():
            bot.tell(Reconciled("no answer in time (simulated)"))
            return
        told = BalancesTold(tuple(self._venue.balances()))
        if since_ns is None:
            self._later(lambda: bot.tell(told, Reconciled()))
        else:
            self._later(lambda: self._rows(since_ns, told))

    def _rows(self, since_ns: int, told: BalancesTold) -> None:
        rows = [BalanceMoved(row) for row in self._venue.ledger_since(since_ns)]
        self._later(lambda: self._fills(since_ns, rows, told))

    def _fills(self, since_ns: int, rows: Sequence[BalanceMoved], told: BalancesTold) -> None:
        fills = [Execution(fill, True) for fill in self._venue.fills_since(since_ns)]
        self._later(lambda: self._bot.tell(*fills, *rows, told, Reconciled()))

    def taken(self, symbol: str, side: Side) -> int:
        return 0

    def begin(self, balances: Mapping[str, Decimal]) -> None:
        pass

    def _later(self, call: Callable[[], None]) -> None:
        self._bot.after(self._draw(self._manners.ask_us), call)

    def _draw(self, bounds_us: tuple[int, int]) -> int:
        return self._random.randint(*bounds_us) * 1_000

    def _fails(self) -> bool:
        return self._random.random() < self._manners.ask_fails


@attrs.frozen
class FastHands:
    """Live hands whose way to the venue is the fast one."""

    gateway: FastGateway
    mode: Mode = Mode.LIVE
    venue_account: None = None
    must_reconcile: bool = True
    is_real: bool = True
    opening: Mapping[str, Decimal] = attrs.field(factory=dict)

    def make_gateway(self, inside: Inside, outside: Outside | None) -> FastGateway:
        return self.gateway


class Watch:
    """What has to hold at every instant; raises `AssertionError` at the first that doesn't."""

    def __init__(self, bot: "FastBot") -> None:
        self._bot = bot
        self.intents: dict[str, int] = {}
        """By client id, the number of its record; only of open cycles."""
        self.open: dict[tuple[str, int], CycleOpened] = {}
        self.worth: dict[tuple[str, int], Decimal] = {}
        self.booked: set[str] = set()
        self.cycles: Counter[str] = Counter()
        self.wallet: dict[str, Decimal] = {}
        self.intent_records: dict[int, Intent] = {}
        self.sent: set[str] = set()
        self.peak_open = 0
        self.peak_in_flight = ZERO

    # ── records ──────────────────────────────────────────────────────────────────────────────────

    def on_record(self, number: int, record: Record) -> None:
        match record:
            case IntentWritten():
                client_id = record.intent.request.client_id
                assert client_id not in self.intents, "a client id is used once"
                self.intents[client_id] = number
                self.intent_records[number] = record.intent
            case ExecutionBooked():
                assert record.report.exec_id not in self.booked, "a fill is booked once"
                self.booked.add(str(record.report.exec_id))
            case TransactionBooked():
                self._on_transaction(record)
            case CycleOpened():
                self._on_opened(record)
            case CycleClosed():
                self._on_closed(record)
            case _:
                pass

    def _on_transaction(self, record: TransactionBooked) -> None:
        sums: Counter[str] = Counter()
        for posting in record.postings:
            sums[posting.asset] += posting.amount  # type: ignore[assignment]
            if posting.account == "wallet":
                before = self.wallet.get(posting.asset, ZERO)
                self.wallet[posting.asset] = before + posting.amount
        assert not any(sums.values()), f"{record.transaction} doesn't sum to zero"

    def _on_opened(self, record: CycleOpened) -> None:
        bot, opened = self._bot, record
        key = (bot.run_id, record.cycle)
        self.open[key] = record
        if record.executor == OPERATOR:
            return
        plan = record.approved.plan
        assert not bot.halts, "after a halt nothing is begun"
        assert bot.state.may_begin
        assert bot.rig.engine.venue_state is VenueState.ONLINE
        for leg in plan.legs:
            book = bot.rig.engine.books[leg.symbol]
            assert book.state is BookState.SYNCED, leg.symbol
            assert book.tradable, leg.symbol
            assert not book.is_crossed, leg.symbol
            assert book.instrument.is_online, leg.symbol
        limits = bot.trader.limit_book.limits
        assert opened.approved.limits_version == bot.trader.limit_book.version
        self.worth[key] = bot.trader.view.value(plan.assets[0], plan.spent) or ZERO
        if limits.maximum_notional:
            assert self.worth[key] <= limits.maximum_notional
        assert len(self.open) <= limits.maximum_cycles
        in_flight = bot.trader.view.in_flight
        if limits.maximum_in_flight:
            assert in_flight <= limits.maximum_in_flight
        self.peak_open = max(self.peak_open, len(self.open))
        self.peak_in_flight = max(self.peak_in_flight, in_flight)
        for asset in plan.assets[1:]:
            if limits.maximum_per_asset:
                assert bot.trader.view.exposure(asset) <= limits.maximum_per_asset, asset

    def _on_closed(self, record: CycleClosed) -> None:
        key = (self._bot.run_id, record.cycle)
        assert record.state.is_final
        assert key in self.open, "a cycle is closed once"
        del self.open[key]
        self.worth.pop(key, None)
        self.cycles[record.state.value] += 1
        if record.state is CycleState.COMPLETED:
            assert record.flows
        if record.state is CycleState.ABORTED_CLEAN:
            assert not record.flows
        if record.attribution is not None:
            parts = sum(record.attribution.terms().values(), ZERO)
            assert record.attribution.expected - parts == record.attribution.realised
        token = f"{self._bot.run_id.replace('-', '')[:8]}-{record.cycle:x}-"
        for client_id in [name for name in self.intents if name.startswith(token)]:
            self.intent_records.pop(self.intents.pop(client_id), None)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    def on_send(self, intent: Intent, sequence: int) -> None:
        request = intent.request
        assert self.intent_records.get(sequence) == intent, "an order leaves after its intent"
        assert request.client_id not in self.sent, "nothing is sent twice"
        assert request.deadline is not None
        assert request.limit_price is not None
        self.sent.add(request.client_id)

    # ── every event ──────────────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Check exposure; after each frame and event."""
        bot = self._bot
        machine = bot.machine
        if not machine.state.cycles:
            return
        for cycle in machine.state.cycles.values():
            if cycle.brought or set(cycle.symbols) & set(machine.state.suspended):
                continue  # A flattening has its own cap; a venue that breaks limits breaks ours.
            plan = cycle.approved.plan
            flows = cycle.flows()
            # The limit price may be so much worse than the plan's worst; and a fee may be taken
            # here that was to be taken from what comes out.
            allowed = plan.spent * (1 + bot.slippage) + _fees_in(cycle, cycle.start)
            if cycle.state is CycleState.UNWINDING:
                # Buying back what was spent of the inventory costs up to the loss cap above what
                # the same would sell for, and the market may have moved since it was sold.
                allowed = allowed * Decimal("1.01") + machine.quoting.loss_cap(cycle)
            assert -flows.get(cycle.start, ZERO) <= allowed * Decimal("1.0001") + bot.rounding, (
                cycle.tag,
                flows,
                plan.spent,
            )
            for order in cycle.orders:
                request = order.intent.request
                # The venue tells fills as its ledger rounds them.
                step = machine.quoting.step_of(request.symbol.split("/")[0]) or ZERO
                assert order.filled_quantity <= request.quantity + step, "filled beyond itself"


class FastBot:
    """A rig, its gateway, and the loop that drives both by the venue's clock.

    Args:
        venue: The exchange.
        settings: By default `make_settings()`.
        seed: Of our side's latencies, and of the run's id.
        keep: Whether records and alerts are kept for the test to look at.
        journal: Takes the records as well.
        wrap: Puts something around the executor.
    """

    def __init__(
        self,
        venue: FastVenue,
        settings: Settings | None = None,
        *,
        seed: int = 1,
        manners: Manners | None = None,
        keep: bool = True,
        journal: Journal | None = None,
        mode: Mode = Mode.LIVE,
        script: "Scripted | None" = None,
        wrap: Callable[[Executor], Executor] | None = None,
    ) -> None:
        self.venue = venue
        self.script = script
        self.settings = settings if settings is not None else make_settings()
        self.run_id = RUN.format(seed)
        self.clock = FastClock(venue.now_ns)
        self.keep = keep
        self.journal = journal
        self.records: list[tuple[int, Record]] = []
        self.alerts: list[Alert] = []
        self.halts: list[str] = []
        self.counts: Counter[str] = Counter()
        self.digest = hashlib.sha256()
        self._written = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()
        self._queue: list[TradingEvent] = []
        self._is_busy = False
        self._is_ready = False
        self.on_tick: Callable[[], None] | None = None
        """Called after each event, for tests that meddle."""
        self.on_write: Callable[[Record], None] | None = None
        self.gateway = FastGateway(self, manners or Manners(), seed)
        self.reconciled = 0
        registry = discover()
        registry.configure(self.settings)
        if wrap is not None:
            make = registry.make_executor
            registry.make_executor = lambda *chosen: wrap(make(*chosen))
        self.rig = Rig(
            self.settings,
            registry,
            KrakenVenue(),
            choose_hands(
                mode,
                live=lambda: FastHands(self.gateway),
                paper=lambda: PaperHands(self.settings.paper),
            ),
            run_id=self.run_id,
            clock=self.clock,
            effects=Effects(self._write, self._alert, self._halt, reconciled=self._on_reconciled),
            on_out_of_sync=lambda symbol: venue.resync(symbol, venue.now_ns),
        )
        self.trader, self.machine = self.rig.trader, self.rig.machine
        self.state = self.rig.state
        self.slippage = self.settings.execution.slippage_bps / 10_000
        self.rounding = Decimal("0.01")
        self.watch = Watch(self)
        self.tell(self._beginning(mode))
        if mode is Mode.LIVE:
            self._keep_fees()
        self.tell(Commanded("reduce", "arbitrade", {"reason": "starting"}))

    def _beginning(self, mode: Mode) -> RunBegan:
        return run_began(
            Recovered("main"),
            run_id=self.run_id,
            account="main",
            mode=mode.value,
            venue="kraken",
            version="0",
            settings="{}",
            features={},
        )

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def now_ns(self) -> int:
        """The time."""
        return self.venue.now_ns

    def after(self, delay_ns: int, call: Callable[[], None]) -> None:
        """Have something called later."""
        heappush(self._heap, (self.now_ns + delay_ns, next(self._number), call))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let so much time pass, or less if `until` holds after an event; return whether it did."""
        end = self.now_ns + round(seconds * SECOND_NS)
        while True:
            due = self._due_ns()
            stop = end if due is None else max(self.now_ns, min(due, end))
            for _, event in self.venue.run(stop):
                self._take(event)
                if until is not None and until():
                    return True
                due = self._due_ns()
                if due is not None and due < stop:
                    break
            else:
                if not self._run_due() and self.now_ns >= end:
                    return until is not None and until()
                if until is not None and until():
                    return True

    def wind_down(self, seconds: float = 120.0) -> None:
        """Begin nothing more, let everything end, and compare with the venue a last time."""
        self.tell(Commanded("reduce", "arbitrade", {"reason": "stopping"}))
        assert self.run(seconds, lambda: not self.state.cycles), "cycles hang"
        self.run(10)
        if not self.halts:
            self.run(seconds, lambda: self.state.is_connected)
            before = self.reconciled
            self.trader.reconciliation.ask("the run ends")
            assert self.run(seconds, lambda: self.reconciled > before), "never reconciled"
        self.trader.funnel.close()

    def _due_ns(self) -> int | None:
        timer = self.trader.next_timer_ns
        ours = self._heap[0][0] if self._heap else None
        if timer is None or ours is None:
            return ours if timer is None else timer
        return min(timer, ours)

    def _run_due(self) -> bool:
        """Do what is due now; return whether anything was."""
        did = False
        while self._heap and self._heap[0][0] <= self.now_ns:
            _, _, call = heappop(self._heap)
            call()
            did = True
        timer = self.trader.next_timer_ns
        if timer is not None and timer <= self.now_ns:
            self.tell(TimeCame())
            after = self.trader.next_timer_ns
            assert after is None or after > self.now_ns, "a timer that is never over"
            did = True
        return did

    # ── what comes in ────────────────────────────────────────────────────────────────────────────

    def _take(self, event: FastEvent) -> None:
        match event:
            case bytes():
                self._frame(event)
            case ConnectionLost():
                self._at()
                self.rig.engine.on_event(event)
                self._settle()
            case Accepted() | Rejected() | Unknown():
                self._answer(event)
            case ExecutionReport():
                self.tell(Execution(event))
            case BalanceChange():
                self.tell(BalanceMoved(event))
            case AllBalances():
                self.tell(BalancesTold(event.balances))
            case PrivateGap():
                self.tell(AccountGap(event.reason))
            case PrivateReadiness():
                self.tell(AccountReadiness(event.is_ready))
            case _:
                pass

    def _frame(self, frame: bytes) -> None:
        self._at()
        self._is_busy = True
        self.rig.engine.on_frame(frame)
        self._is_busy = False
        self.counts["frames"] += 1
        self._settle()

    def _answer(self, outcome: Accepted | Rejected | Unknown) -> None:
        sent = self.gateway.waiting.pop(outcome.client_id, None)
        if sent is None:
            return  # Of a cancel.
        name = outcome.client_id
        self.counts[type(outcome).__name__] += 1
        match outcome:
            case Accepted():
                self.tell(OrderAnswer(name, "accepted", outcome.order_id, sent_ns=sent))
            case Rejected():
                is_connection = isinstance(outcome.error, VenueUnavailableError)
                self.tell(
                    OrderAnswer(
                        name, "rejected", reason=outcome.reason, is_connection=is_connection
                    )
                )
            case Unknown():
                self.tell(OrderAnswer(name, "unknown", reason=outcome.reason))

    def tell(self, *events: TradingEvent) -> None:
        """Hand events over as the shell does: as they were written down, one after the other."""
        self._queue += events
        if not self._is_busy:
            self._settle()

    def _settle(self) -> None:
        while self._queue:
            event = self._queue.pop(0)
            self._at()
            written = write_event(event)
            self.digest.update(written)
            self.counts[event.kind] += 1
            again = read_event(_loads(written))
            assert again == event, (again, event)
            self._is_busy = True
            try:
                self.trader.on_event(event)
            finally:
                self._is_busy = False
        self.watch.look()
        if not self._is_ready:
            self._get_ready()
        if self.on_tick is not None:
            self.on_tick()

    def _at(self) -> None:
        self.clock.time_ns = self.now_ns
        self.trader.at(self.now_ns)

    def _get_ready(self) -> None:
        books = self.rig.engine.books.values()
        has_market = any(book.state is BookState.SYNCED for book in books)
        has_account = self.state.is_connected and self.trader.reconciliation.is_done
        if not (has_market and has_account):
            return
        self._is_ready = True
        self.tell(Commanded("recover", "arbitrade", {}))
        if not self.halts:
            self.tell(Commanded("resume", "arbitrade", {}))

    def _keep_fees(self) -> None:
        symbols = [pair.symbol for pair in self.venue.exchange.pairs()]
        self.after(MS_NS * 500, lambda: self.tell(FeesTold(tuple(self.venue.fee_rates(symbols)))))
        self.after(SECOND_NS * 3600, self._keep_fees)

    # ── what goes out ────────────────────────────────────────────────────────────────────────────

    def _write(self, record: Record, run: str) -> int:
        self._written += 1
        payload = encode(record, run, "main", self.clock.time_ns)
        read = decode(payload).record
        assert read == record, (read, record)
        self.counts[f"record.{record.kind}"] += 1
        if self.journal is not None:
            self.journal.append(payload, critical=record.kind in CRITICAL)
        if self.keep:
            self.records.append((self.clock.time_ns, record))
        self.watch.on_record(self._written, record)
        if self.on_write is not None:
            self.on_write(record)
        return self._written

    def _alert(self, alert: Alert) -> None:
        self.counts[f"alert.{alert.severity.name}"] += 1
        if self.keep:
            self.alerts.append(alert)
        self._write(AlertRaised(self.counts["record.alert"] + 1, alert), self.run_id)

    def _halt(self, reason: str) -> None:
        if self.halts:
            return
        self.halts.append(reason)
        self.tell(Commanded("halt", "arbitrade", {"reason": reason}))

    def _on_reconciled(self) -> None:
        self.reconciled += 1

    # ── what came of it ──────────────────────────────────────────────────────────────────────────

    def of[R](self, kind: type[R]) -> list[R]:
        """Return the records of a kind."""
        return [record for _, record in self.records if isinstance(record, kind)]

    @property
    def ends(self) -> list[CycleClosed]:
        """How cycles ended."""
        return self.of(CycleClosed)

    @property
    def orders(self) -> list[Intent]:
        """What was sent."""
        return [record.intent for record in self.of(IntentWritten)]

    @property
    def seen(self) -> list[OpportunitySeen]:
        """What became of opportunities."""
        return self.of(OpportunitySeen)

    def totals(self) -> dict[str, Decimal]:
        """Return what the venue holds for us, by the venue."""
        return {balance.asset: balance.total for balance in self.venue.balances() if balance.total}

    def check(self) -> None:
        """Assert what has to hold at rest."""
        state, venue = self.state, self.venue
        assert venue.oracle.discrepancies() == ()
        assert not state.cycles, "every cycle has come to an end"
        assert not self.watch.open
        assert not list(state.orders.unsettled())
        assert not venue.open_orders() or self.counts["foreign"], "nothing of ours stands"
        ours = {asset: amount for asset, amount in state.ledger.balances().items() if amount}
        assert ours == self.totals()
        flows = venue.oracle.flows("main")
        assert ours == {asset: flow.closing for asset, flow in flows.items() if flow.closing}
        assert ours == {asset: amount for asset, amount in self.watch.wallet.items() if amount}
        # A fill of less than the ledger keeps changes nothing, so there is nothing to book.
        told = venue.fills_since(0)
        fills = {fill.exec_id for fill in told if fill.last_quantity}
        assert self.watch.booked == fills or self.counts["foreign"]
        flagged = self.watch.cycles[CycleState.FLAGGED.value]
        if self.keep:
            said = [alert for alert in self.alerts if "is flagged" in alert.title]
            assert len(said) == flagged
            assert all(alert.severity is Severity.CRITICAL for alert in said)


# ── a market that stands still ───────────────────────────────────────────────────────────────────

STILL: Mapping[str, tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]] = {
    "SOL/USD": ([("99.90", "50"), ("99.80", "90")], [("100.00", "50"), ("100.10", "90")]),
    "SOL/EUR": ([("90.00", "50"), ("89.90", "90")], [("93.50", "50"), ("93.60", "90")]),
    "EUR/USD": ([("1.10000", "40000")], [("1.10020", "40000")]),
    "BTC/USD": ([("50000.0", "2")], [("50010.0", "2")]),
    "BTC/EUR": ([("45440.0", "2")], [("45470.0", "2")]),
}
"""No cycle pays.  Fees are 0.4 %, on EUR/USD 0.2 %."""
KEY = "USD>SOL>EUR"


class Scripted:
    """Faults that can be changed while a venue runs: what is `now` holds for the next request."""

    def __init__(self, now: FastFaults | None = None) -> None:
        self.now = now or FastFaults()
        self.orders: dict[int, FastFaults] = {}
        """Faults of single orders, counted from 0; nothing goes wrong with the others."""
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)

    def next_order(self) -> None:
        """Let the next order's faults hold."""
        if self.orders:
            self.now = self.orders.get(self.count, FastFaults())
        self.count += 1


def still_venue(
    faults: Scripted | None = None,
    latency: FastLatency | None = None,
    balances: Mapping[str, Decimal] | None = None,
    quotes: Mapping[str, Any] = STILL,
    before: Callable[[Exchange], object] = lambda exchange: None,
) -> FastVenue:
    """Return a venue whose books do only what they are told.

    Args:
        before: Called with the exchange ten seconds before anybody connects.
    """
    clock = MovableClock(1_789_387_200_000_000_000)
    exchange = Exchange(ListedPairs.load().only(tuple(quotes)), StillMarket(quotes), clock)
    exchange.hand.open_account("main", {"USD": Decimal(10_000)} if balances is None else balances)
    before(exchange)
    clock.forward(10 * SECOND_NS)
    scripted: Any = faults if faults is not None else Scripted()
    return FastVenue(exchange, clock, Random(1), scripted, latency, rate=0)


def open_edge(
    bot: "FastBot", quantity: str = "5", price: str = "93.00", symbol: str = "SOL/EUR"
) -> None:
    """Let somebody bid for SOL so much that buying it for dollars pays: about 1.28 % at 93."""
    bot.venue.exchange.hand.quote(
        symbol, side=Side.BUY, price=Decimal(price), quantity=Decimal(quantity)
    )


def ready(bot: "FastBot") -> "FastBot":
    """Let a bot get ready."""
    bot.run(3)
    assert bot.trader.reconciliation.is_done
    assert bot.state.may_begin
    return bot


def _fees_in(cycle: Cycle, asset: str) -> Decimal:
    fills = [fill for order in cycle.orders for fill in order.fills.values()]
    return sum((fee.amount for fill in fills for fee in fill.fees if fee.asset == asset), ZERO)


def _loads(written: bytes) -> dict[str, Any]:
    import orjson

    fields: dict[str, Any] = orjson.loads(written)
    return fields


__all__ = ["FastBot", "FastGateway", "Manners", "OrderRole", "OrderState", "make_settings"]
