"""Whole little runs as records: consistent to the last digit, the same for the same seed.

    run = make_run("main", seed=7, cycles=5)
    for payload in run.payloads: journal.append(payload)
    await store_run(connection, run)         or straight into a database

Every kind of record occurs, and every way a cycle can end.

Large because a little run holds one of everything, written out in the order it would happen.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import attrs

from arbitrade import records
from arbitrade.accounting.audit import AuditChain
from arbitrade.models import (
    Alert,
    Approved,
    Attribution,
    CyclePlan,
    CycleState,
    Dust,
    ExecutionReport,
    Fee,
    Flip,
    Instrument,
    InstrumentStatus,
    Intent,
    Leg,
    LegQuote,
    Opportunity,
    OrderRequest,
    OrderRole,
    OrderStatus,
    Severity,
    Side,
    UnwindCandidate,
    UnwindDecision,
)
from arbitrade.records import Posting, Record

if TYPE_CHECKING:
    import asyncpg

__all__ = ["LittleRun", "make_run", "store_run"]

BEGIN_NS = 1_795_000_000_000_000_000
"""2026-11-18, in the forenoon."""
FEE = Decimal("0.0026")
ASSETS = ("USD", "BTC", "EUR")
LEGS = (Leg("BTC/USD", Side.BUY), Leg("BTC/EUR", Side.SELL), Leg("EUR/USD", Side.SELL))
KEY = "USD-BTC-EUR"
OPENING = {"USD": Decimal(10_000), "EUR": Decimal("5000.50"), "BTC": Decimal("0.1")}
_SECOND = 1_000_000_000
_ZERO, _CENT, _LOT = Decimal(0), Decimal("0.01"), Decimal("0.00000001")
_ENDINGS = (
    CycleState.COMPLETED,
    CycleState.UNWOUND,
    CycleState.ABORTED_CLEAN,
    CycleState.FLAGGED,
    CycleState.COMPLETED,
)


@attrs.define
class LittleRun:
    """A run, and what has to come of it.

    Args:
        run: Its id.
        account: Whose.
        written: Times and records in order.
        balances: Of the ledger's wallet at the end.
        fills: Executions in order.
        closed: Ends of cycles in order.
        seen: Opportunities in order.
        audit: The chain as it goes on.
    """

    run: str
    account: str
    audit: AuditChain
    written: list[tuple[int, Record]] = attrs.field(factory=list)
    balances: dict[str, Decimal] = attrs.field(factory=dict)
    fills: list[ExecutionReport] = attrs.field(factory=list)
    closed: list[records.CycleClosed] = attrs.field(factory=list)
    seen: list[records.OpportunitySeen] = attrs.field(factory=list)
    now_ns: int = BEGIN_NS

    @property
    def payloads(self) -> list[bytes]:
        """The run as a journal has it."""
        return [
            records.encode(record, self.run, self.account, time_ns)
            for time_ns, record in self.written
        ]

    @property
    def profit(self) -> Mapping[str, Decimal]:
        """What all cycles changed, by asset."""
        sums: dict[str, Decimal] = {}
        for one in self.closed:
            for asset, amount in one.flows.items():
                sums[asset] = sums.get(asset, _ZERO) + amount
        return sums

    def add(self, record: Record, after_ns: int = 1_000_000) -> None:
        """Write a record a millisecond later."""
        self.now_ns += after_ns
        self.written.append((self.now_ns, record))

    def note_audit(self, actor: str, action: str, subject: str = "", detail: str = "") -> None:
        """Write the next entry of the audit chain."""
        self.now_ns += 1_000_000
        entry = self.audit.next(self.now_ns, actor, action, subject, detail)
        self.written.append((self.now_ns, entry))

    def book(
        self,
        transaction: str,
        reason: str,
        postings: Iterable[Posting],
        *,
        cycle: int = 0,
        proof: str = "",
    ) -> None:
        """Write a transaction of the ledger and keep the balances."""
        lines = tuple(postings)
        self.add(records.TransactionBooked(transaction, reason, cycle, proof, lines))
        for line in lines:
            if line.account == "wallet":
                self.balances[line.asset] = self.balances.get(line.asset, _ZERO) + line.amount


def make_run(
    account: str = "main",
    *,
    seed: int = 1,
    cycles: int = 5,
    refused: int = 12,
    begin_ns: int = BEGIN_NS,
    mode: str = "paper",
    audit: AuditChain | None = None,
    is_ended: bool = True,
) -> LittleRun:
    """Return a run; its id, client ids and execution ids follow from account and seed.

    Args:
        account: Whose.
        seed: Another one makes another run.
        cycles: How many; with five each way to end occurs.
        refused: How many opportunities were not taken.
        begin_ns: When it began.
        mode: Of the run.
        audit: The chain of the account; None begins one.
        is_ended: False for a run that ended without a word.
    """
    random = Random(f"{account} {seed}")
    run = str(UUID(bytes=random.randbytes(16), version=4))
    little = LittleRun(run, account, audit or AuditChain(account, run), now_ns=begin_ns)
    _begin(little, mode, seed)
    for number in range(1, refused + 1):
        _refuse(little, random, number)
    for number in range(1, cycles + 1):
        _Cycle(little, random, number, refused + number).play(_ENDINGS[(number - 1) % 5])
        _measure(little, random)
    if is_ended:
        little.note_audit("engine", "run_ended", run)
        little.add(records.RunEnded("--for", refused + cycles, sha256(run.encode()).hexdigest()))
    return little


async def store_run(connection: "asyncpg.Connection", run: LittleRun) -> None:
    """Write a run into a database with core's tables, as the writer would.

    Raises:
        ValueError: The database refuses a record.
    """
    from arbitrade.journal import JournalEntry
    from arbitrade.store.batch import prepare, write_batch
    from arbitrade.store.position import JournalKey, begin_position

    key = JournalKey(run.account, UUID(run.run))
    entries = [JournalEntry(seq, payload) for seq, payload in enumerate(run.payloads, start=1)]
    position = await begin_position(connection, key)
    outcome = await write_batch(connection, key, position, await prepare(entries, key))
    if outcome.rejected:
        raise ValueError(f"{outcome.rejected[0]}")


def _begin(little: LittleRun, mode: str, seed: int) -> None:
    settings = '{"venue":"kraken"}'
    digest = sha256(settings.encode()).hexdigest()
    little.add(records.RunStarted(little.run, mode, "kraken", "0.1.0", digest, settings, seed))
    little.note_audit("engine", "run_started", little.run, mode)
    for leg in LEGS:
        little.add(records.InstrumentSeen(_instrument(leg.symbol)))
    for asset, amount in OPENING.items():
        lines = (Posting("wallet", asset, amount), Posting("opening", asset, -amount))
        little.book(f"opening:{little.run}:{asset}", "opening", lines)
    little.add(records.LimitsChanged(1, {"risk.minimum_edge_bps": "5"}, "settings"))
    little.add(records.PluginChanged("triangular", "enabled", ""))
    lines = (
        Posting("wallet", "EUR", Decimal("12.34")),
        Posting("external", "EUR", Decimal("-12.34")),
    )
    little.book(f"external:L{little.run[:8]}", "external", lines, proof=f"L{little.run[:8]}")


def _instrument(symbol: str) -> Instrument:
    base, quote = symbol.split("/")
    step = Decimal("0.00000001")
    return Instrument(
        symbol,
        base,
        quote,
        InstrumentStatus.ONLINE,
        1,
        8,
        Decimal("0.1"),
        step,
        step,
        Decimal("0.5"),
    )


def _refuse(little: LittleRun, random: Random, number: int) -> None:
    edge = Decimal(random.randint(-500, 490)) / 100
    is_blocked = number % 4 == 0
    rule = "lots" if is_blocked else ("minimum_edge", "balance", "maximum_notional")[number % 3]
    begin = little.now_ns + 1
    little.now_ns += random.randint(1, 20) * _SECOND
    size = Decimal(random.randint(10, 500))
    seen = records.OpportunitySeen(
        opportunity=number,
        detector="triangular",
        key=KEY,
        assets=ASSETS,
        legs=LEGS,
        first_ns=begin,
        last_ns=little.now_ns,
        sightings=random.randint(1, 30),
        edge_bps=edge,
        best_edge_bps=edge + 1,
        size=size,
        profit=size * edge / 10_000,
        best_profit=size * (edge + 1) / 10_000,
        outcome="blocked" if is_blocked else "refused",
        rule=rule,
        reason=f"{rule}: {edge} against 5",
        value=str(edge),
        limit="5",
        also=("cooldown",) if number % 5 == 0 else (),
        flips=(Flip(f"risk.{rule}", Decimal(5), edge, "basis points"),),
        cycle=None,
    )
    little.seen.append(seen)
    little.add(seen)


def _measure(little: LittleRun, random: Random) -> None:
    p50 = Decimal(random.randint(100, 400)) / 10
    values = (p50, p50 * 3, p50 * 7, p50 * 11)
    begin = little.now_ns - _SECOND
    for name in ("tick_to_decision", "send_to_ack"):
        little.add(records.LatencyMeasured(name, begin, random.randint(50, 500), *values))
    realised = dict(little.profit)
    total = sum((one.profit for one in little.closed), _ZERO)
    peak = max(total, _ZERO)
    little.add(records.ProfitMeasured(realised, total, peak, total, 0))
    for asset, amount in little.balances.items():
        little.add(records.BalanceCompared(asset, amount, amount, "equal"))
    little.add(records.BalancesKept(dict(little.balances)))


class _Cycle:
    """One cycle as it goes along."""

    def __init__(self, little: LittleRun, random: Random, number: int, opportunity: int) -> None:
        self._little = little
        self._random = random
        self._number = number
        self._opportunity = opportunity
        self._flows: dict[str, Decimal] = {}
        self._expected = _ZERO
        self._orders = 0
        self._opened_ns = little.now_ns

    def play(self, ending: CycleState) -> None:
        random = self._random
        quantity = Decimal(random.randint(1, 40)) / 1000
        price = Decimal(random.randint(59_000, 61_000))
        plan = self._open(quantity, price)
        self._snapshot("opened", price)
        if ending is CycleState.ABORTED_CLEAN:
            self._order(0, LEGS[0], quantity, price, filled=_ZERO)
        else:
            self._order(0, LEGS[0], quantity, price, parts=random.randint(1, 3))
        if ending is CycleState.COMPLETED:
            cross = plan.quotes[1].vwap + random.randint(-20, 20)
            self._order(1, LEGS[1], quantity, cross)
            whole = (self._flows["EUR"] / _CENT).to_integral_value("ROUND_DOWN") * _CENT
            self._order(2, LEGS[2], whole, plan.quotes[2].vwap)
        elif ending in (CycleState.UNWOUND, CycleState.FLAGGED):
            self._order(1, LEGS[1], quantity, plan.quotes[1].vwap, outcome="rejected")
            self._unwind(quantity, price, is_held=ending is CycleState.FLAGGED)
        self._snapshot("closed", price)
        self._close(ending)

    def _open(self, quantity: Decimal, price: Decimal) -> CyclePlan:
        little = self._little
        plan = _plan(quantity, price)
        self._expected = plan.expected_profit
        edge = Decimal(self._random.randint(500, 900)) / 100
        orders = tuple(quote.order for quote in plan.quotes)
        found = Opportunity(
            *("triangular", KEY, ASSETS, LEGS, edge, plan.spent, plan.expected_profit, orders),
            *(plan.expected_profit, plan.dust, None, "2026-11-18T10:00:00.123456Z"),
        )
        approved = Approved(found, plan, 1, little.now_ns)
        self._opened_ns = little.now_ns + 1_000_000
        little.add(records.CycleOpened(self._number, "sequential", approved))
        little.add(records.CycleNoted(self._number, "sized", {"cap": "balance"}))
        seen = records.OpportunitySeen(
            opportunity=self._opportunity,
            detector="triangular",
            key=KEY,
            assets=ASSETS,
            legs=LEGS,
            first_ns=little.now_ns,
            last_ns=little.now_ns + 5,
            sightings=self._random.randint(1, 9),
            edge_bps=edge,
            best_edge_bps=edge,
            size=plan.spent,
            profit=plan.expected_profit,
            best_profit=plan.expected_profit,
            outcome="approved",
            rule="",
            reason="",
            value="",
            limit="",
            also=(),
            flips=(),
            cycle=self._number,
        )
        little.seen.append(seen)
        little.add(seen)
        return plan

    def _snapshot(self, moment: str, price: Decimal) -> None:
        bids = tuple((price - n, Decimal(n + 1) / 10) for n in range(1, 4))
        asks = tuple((price + n, Decimal(n + 1) / 10) for n in range(1, 4))
        self._little.add(records.BookSeen(self._number, LEGS[0].symbol, moment, bids, asks))

    def _order(
        self,
        leg: int,
        way: Leg,
        quantity: Decimal,
        price: Decimal,
        *,
        role: OrderRole = OrderRole.LEG,
        filled: Decimal | None = None,
        parts: int = 1,
        outcome: str = "accepted",
    ) -> None:
        little = self._little
        self._orders += 1
        client_id = f"{little.run[:8]}-{self._number}-{self._orders}"
        order_id = f"O{client_id}" if outcome == "accepted" else ""
        base, quote = way.symbol.split("/")
        spends, receives = (quote, base) if way.side is Side.BUY else (base, quote)
        request = OrderRequest(client_id, way.symbol, way.side, quantity, price)
        little.add(
            records.IntentWritten(Intent(self._number, leg, role, request, spends, receives))
        )
        reason = "" if order_id else "EOrder:Post only order"
        sent = little.now_ns + 200_000
        little.add(records.OrderAnswered(client_id, outcome, order_id, reason, sent))
        before = dict(self._flows)
        done = (quantity if filled is None else filled) if order_id else _ZERO
        for part in range(parts if done else 0):
            share = (done / parts).quantize(_LOT)
            amount = share if part else done - share * (parts - 1)
            self._fill(leg, way, amount, price, order_id, client_id, part)
        status = OrderStatus.FILLED if done == quantity else OrderStatus.CANCELED
        spent = before.get(spends, _ZERO) - self._flows.get(spends, _ZERO)
        received = self._flows.get(receives, _ZERO) - before.get(receives, _ZERO)
        end = status if order_id else OrderStatus.REJECTED
        amounts = (done, done * price, spent, received)
        little.add(records.OrderEnded(client_id, order_id, end, reason, *amounts))

    def _fill(
        self,
        leg: int,
        way: Leg,
        quantity: Decimal,
        price: Decimal,
        order_id: str,
        client_id: str,
        part: int,
    ) -> None:
        little = self._little
        base, quote = way.symbol.split("/")
        cost = quantity * price
        fee = cost * FEE
        sign = 1 if way.side is Side.BUY else -1
        exec_id = f"T{client_id}-{part}"
        report = ExecutionReport(
            order_id=order_id,
            client_id=client_id,
            exec_id=exec_id,
            kind="trade",
            status=OrderStatus.FILLED,
            symbol=way.symbol,
            side=way.side,
            last_quantity=quantity,
            last_price=price,
            cost=cost,
            fees=(Fee(quote, fee),),
            cumulative_quantity=None,
            cumulative_cost=None,
            is_maker=False,
            reason=None,
            timestamp="2026-11-18T10:00:01.123456789Z",
        )
        little.fills.append(report)
        little.add(records.ExecutionBooked(report, self._number, leg, False))
        moved = {base: sign * quantity, quote: -sign * cost - fee}
        postings = [
            Posting("wallet", base, moved[base]),
            Posting("trading", base, -moved[base]),
            Posting("wallet", quote, moved[quote]),
            Posting("trading", quote, sign * cost),
            Posting("fees", quote, fee),
        ]
        little.book(f"fill:{exec_id}", "fill", postings, cycle=self._number)
        for asset, amount in moved.items():
            self._flows[asset] = self._flows.get(asset, _ZERO) + amount

    def _unwind(self, quantity: Decimal, price: Decimal, *, is_held: bool) -> None:
        cost = -self._flows["USD"]
        back = Leg("BTC/USD", Side.SELL)
        quote = _quote(back, quantity, price - 5)
        hold = UnwindCandidate("hold", (), (), quantity * price, cost - quantity * price)
        sale = UnwindCandidate(
            *("reverse", (back,), (quote,), quote.received, cost - quote.received),
            "the pair is in cancel_only" if is_held else None,
        )
        ways = (hold, sale) if is_held else (sale, hold)
        decision = UnwindDecision("BTC", quantity, cost, ways[0], ways, Decimal(100))
        self._little.add(records.UnwindDecided(self._number, "leg 2 was rejected", decision))
        if not is_held:
            self._order(0, back, quantity, price - 5, role=OrderRole.UNWIND)

    def _close(self, state: CycleState) -> None:
        little = self._little
        flows = {asset: amount for asset, amount in self._flows.items() if amount}
        residual = {asset: amount for asset, amount in flows.items() if asset != "USD"}
        profit = flows.get("USD", _ZERO)
        split = self._split(profit)
        closed = records.CycleClosed(
            *(self._number, KEY, state, "USD", profit, profit, flows, residual, split),
            "" if state is CycleState.COMPLETED else "leg 2 was rejected",
            state is CycleState.UNWOUND,
            self._opened_ns,
        )
        little.closed.append(closed)
        little.add(closed)
        if state is CycleState.FLAGGED:
            body = f"cycle {self._number} holds {residual}"
            alert = Alert(Severity.CRITICAL, "a cycle was flagged", body, "BTC")
            little.add(records.AlertRaised(self._number, alert))
            little.note_audit("engine", "cycle_flagged", str(self._number), body)

    def _split(self, profit: Decimal) -> Attribution:
        moved = [Decimal(self._random.randint(-50, 50)) / 1000 for _ in range(6)]
        return Attribution(
            expected=self._expected,
            realised=profit,
            moved_before_send=moved[0],
            moved_send_to_ack=moved[1],
            moved_ack_to_fill=moved[2],
            fees=moved[3],
            rounding_and_dust=moved[4],
            depth_misjudged=moved[5],
            unwinding=self._expected - profit - sum(moved),
        )


def _plan(quantity: Decimal, price: Decimal) -> CyclePlan:
    first = _quote(LEGS[0], quantity, price)
    second = _quote(LEGS[1], quantity, price * Decimal("0.92"))
    whole = (second.received / _CENT).to_integral_value("ROUND_DOWN") * _CENT
    third = _quote(LEGS[2], whole, Decimal("1.0998"), second.received - whole)
    dust = (Dust("EUR", third.left, third.left * Decimal("1.09")),) if third.left else ()
    spent, received = first.spent, third.received
    return CyclePlan(
        KEY, ASSETS, LEGS, (first, second, third), spent, received, dust, None, "balance"
    )


def _quote(leg: Leg, quantity: Decimal, price: Decimal, left: Decimal = _ZERO) -> LegQuote:
    cost = quantity * price
    fee = cost * FEE
    is_buy = leg.side is Side.BUY
    spent, received = (cost + fee, quantity) if is_buy else (quantity, cost - fee)
    quote = leg.symbol.split("/")[1]
    prices = (price, price, price)
    return LegQuote(leg.symbol, leg.side, quantity, *prices, spent, received, fee, quote, left, 1)
