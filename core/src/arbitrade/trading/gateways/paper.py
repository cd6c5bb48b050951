"""Simulated fills on the books as they are when the order would arrive.

What a paper order takes is gone for every later one, though the displayed book goes on showing it:
of a level, lots taken stay taken until the level leaves the book.  So two paper orders never take
the same lots, and a standing quote is not eaten twice.  Never flattering: a book not in sync fills
nothing, and an order that arrives after its deadline is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from random import Random

import attrs

from arbitrade.book import OrderBook
from arbitrade.execution.walk import expected_fee, fee_asset
from arbitrade.models import (
    Balance,
    ExecutionReport,
    Fee,
    Instrument,
    Instruments,
    Intent,
    OrderRequest,
    OrderState,
    OrderStatus,
    Side,
)
from arbitrade.pricing import FeeSchedule
from arbitrade.process.latency import Latency
from arbitrade.trading.gateways.latencies import Delay
from arbitrade.trading.machine.events import (
    BalancesTold,
    Execution,
    LookUpFailed,
    OrderAnswer,
    OrderFound,
    Reconciled,
    TradingEvent,
)
from arbitrade.trading.machine.kernel import Timers
from arbitrade.trading.machine.orders import _order_id

ZERO = Decimal(0)


@attrs.frozen
class PaperLatencies:
    """How long things take: from deciding to sending, to the book, and back."""

    decision: Delay
    send: Delay
    ack: Delay


@attrs.define(eq=False)
class _PaperOrder:
    request: OrderRequest
    sent_ns: int
    status: OrderStatus | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    reason: str = ""


class PaperVenue:
    """A `Gateway` that fills orders by walking the books.

    Args:
        timers: The machine's.
        now: The machine's time.
        tell: Takes events, as the shell would hand them over.
        books: As they are.
        instruments: As they are.
        fees: What orders cost, as they are.
        latencies: How long things take.
        seed: Of the latencies.
    """

    def __init__(
        self,
        timers: Timers,
        now: Callable[[], int],
        tell: Callable[[TradingEvent], None],
        *,
        books: Callable[[], Mapping[str, OrderBook]],
        instruments: Callable[[], Instruments],
        fees: Callable[[], FeeSchedule],
        latencies: PaperLatencies,
        seed: int,
    ) -> None:
        self._timers = timers
        self._now = now
        self._tell = tell
        self._books = books
        self._instruments = instruments
        self._fees = fees
        self._latencies = latencies
        self._random = Random(seed)  # noqa: S311 - latencies, no secrets
        self._balances: dict[str, Decimal] = {}
        self._orders: dict[str, _PaperOrder] = {}
        self._taken: dict[tuple[str, Side], dict[int, int]] = {}

    def begin(self, balances: Mapping[str, Decimal]) -> None:
        """Hold these balances, and count on from them by what orders take and bring."""
        self._balances = dict(balances)

    def balances(self) -> Mapping[str, Decimal]:
        """Return what the account holds by the venue's own count."""
        return dict(self._balances)

    # ── a gateway ────────────────────────────────────────────────────────────────────────────────

    def send(self, intent: Intent, sequence: int) -> None:
        """Let the order arrive after the latencies drawn for it."""
        order = _PaperOrder(intent.request, self._now())
        self._orders[intent.request.client_id] = order
        delay = self._latencies.decision.draw(self._random) + self._latencies.send.draw(
            self._random
        )
        self._timers.at(self._now() + delay, lambda: self._arrive(order))

    def cancel(self, client_ids: Sequence[str]) -> None:
        """Nothing to do: an immediate-or-cancel order never stands."""

    def look_up(self, client_id: str) -> None:
        """Tell what became of an order, by the next timer."""
        self._timers.at(self._now(), lambda: self._tell(self._found(client_id)))

    def reconcile(self, since_ns: int | None) -> None:
        """Tell all balances, by the next timer."""

        def told() -> None:
            rows = tuple(Balance(asset, amount) for asset, amount in sorted(self._balances.items()))
            self._tell(BalancesTold(rows))
            self._tell(Reconciled())

        self._timers.at(self._now(), told)

    def taken(self, symbol: str, side: Side) -> int:
        """Return lots our orders have taken that the book still shows."""
        book = self._books().get(symbol)
        taken = self._taken.get((symbol, side))
        if not taken or book is None:
            return 0
        displayed = dict(book.side(side))
        for ticks in [ticks for ticks in taken if ticks not in displayed]:
            del taken[ticks]
        return sum(min(lots, displayed[ticks]) for ticks, lots in taken.items())

    def fail_waiting(self, reason: str) -> None:
        """Nothing waits: a simulated order needs no durable intent."""

    def latencies(self) -> Mapping[str, Latency]:
        """Return nothing: simulated latencies are drawn, not measured."""
        return {}

    async def close(self) -> None:
        """Nothing is under way that timers don't hold."""

    # ── the book ─────────────────────────────────────────────────────────────────────────────────

    def _arrive(self, order: _PaperOrder) -> None:
        request, events = order.request, list[TradingEvent]()
        refusal = self._refusal(order)
        if refusal is not None:
            order.status, order.reason = OrderStatus.REJECTED, refusal
            events.append(OrderAnswer(request.client_id, "rejected", "", refusal))
        else:
            # Named after our id, which no other run has: fills are booked once by their id.
            order_id = _order_id(request.client_id)
            events.append(
                OrderAnswer(request.client_id, "accepted", order_id, sent_ns=order.sent_ns)
            )
            events += [Execution(report) for report in self._match(order, order_id)]
        delay = self._latencies.ack.draw(self._random)
        self._timers.at(self._now() + delay, lambda: self._report(request.client_id, events))

    def _report(self, client_id: str, events: Sequence[TradingEvent]) -> None:
        for event in events:
            self._tell(event)
        # Everything about it is told, so nobody has to ask any more.
        del self._orders[client_id]

    def _refusal(self, order: _PaperOrder) -> str | None:
        request = order.request
        if request.deadline is not None and self._now() > request.deadline.timestamp() * 1e9:
            return "EOrder:Deadline elapsed"
        pair = self._instruments().get(request.symbol)
        if pair is None or not pair.is_online:
            return "EOrder:Market in cancel_only mode"
        if request.quantity < pair.minimum_quantity:
            return "EGeneral:Invalid arguments:volume minimum not met"
        assert request.limit_price is not None
        worth = request.quantity * request.limit_price
        if worth < pair.minimum_notional:
            return "EOrder:Cost minimum not met"
        is_buy = request.side is Side.BUY
        spends = pair.quote if is_buy else pair.base
        needed = worth if is_buy else request.quantity
        if self._pays_fee_in(pair, request.side) == spends:
            needed *= 1 + self._fees().taker_rate(pair.symbol)
        if needed > self._balances.get(spends, ZERO):
            return "EOrder:Insufficient funds"
        return None

    def _match(self, order: _PaperOrder, order_id: str) -> list[ExecutionReport]:
        request = order.request
        book, pair = self._books().get(request.symbol), self._instruments()[request.symbol]
        reports = []
        if book is not None and book.tradable:
            for ticks, lots in self._fills(book, pair, request):
                reports.append(self._fill(order, order_id, pair, ticks, lots))
        is_full = order.filled == request.quantity
        order.status = OrderStatus.FILLED if is_full else OrderStatus.CANCELED
        order.reason = "" if is_full else "Immediate or cancel: no more within the limit"
        reports.append(self._event(order, order_id, order.status.value, order.status))
        return reports

    def _fills(
        self, book: OrderBook, pair: Instrument, request: OrderRequest
    ) -> list[tuple[int, int]]:
        """Return (ticks, lots) the order takes, and mark them taken."""
        assert request.limit_price is not None
        limit = int(request.limit_price.scaleb(pair.price_precision))
        wanted = int(request.quantity.scaleb(pair.quantity_precision))
        is_buy = request.side is Side.BUY
        self.taken(book.symbol, request.side)  # forgets levels that are gone
        taken = self._taken.setdefault((book.symbol, request.side), {})
        fills = []
        for ticks, displayed in list(book.side(request.side)):
            if not wanted or (ticks > limit if is_buy else ticks < limit):
                break
            lots = min(wanted, displayed - taken.get(ticks, 0))
            if lots <= 0:
                continue
            taken[ticks] = taken.get(ticks, 0) + lots
            wanted -= lots
            fills.append((ticks, lots))
        return fills

    def _fill(
        self, order: _PaperOrder, order_id: str, pair: Instrument, ticks: int, lots: int
    ) -> ExecutionReport:
        request = order.request
        price = Decimal(ticks).scaleb(-pair.price_precision)
        quantity = Decimal(lots).scaleb(-pair.quantity_precision)
        cost = _rounded(price * quantity, pair.cost_precision)
        base = self._instruments().assets.get(pair.base)
        step = None if base is None else Decimal(1).scaleb(-base.precision)
        amount = expected_fee(pair, request.side, quantity, price * quantity, self._fees(), step)
        fee = Fee(self._pays_fee_in(pair, request.side), amount)
        order.filled += quantity
        order.cost += cost
        order.fee += amount
        self._move(pair, request.side, quantity, cost, fee)
        report = self._event(order, order_id, "trade", OrderStatus.PARTIALLY_FILLED)
        return attrs.evolve(
            report,
            exec_id=f"{order_id}-{ticks}-{lots}",
            last_quantity=quantity,
            last_price=price,
            cost=cost,
            fees=(fee,) if amount else (),
            is_maker=False,
        )

    def _move(
        self, pair: Instrument, side: Side, quantity: Decimal, cost: Decimal, fee: Fee
    ) -> None:
        """Change the balances in the precision the venue's ledger keeps."""
        sign = 1 if side is Side.BUY else -1
        moves = ((pair.base, sign * quantity), (pair.quote, -sign * cost), (fee.asset, -fee.amount))
        for asset, amount in moves:
            known = self._instruments().assets.get(asset)
            kept = amount if known is None else _rounded(amount, known.precision)
            self._balances[asset] = self._balances.get(asset, ZERO) + kept

    def _event(
        self, order: _PaperOrder, order_id: str, kind: str, status: OrderStatus
    ) -> ExecutionReport:
        request = order.request
        return ExecutionReport(
            order_id=order_id,
            client_id=request.client_id,
            exec_id=None,
            kind=kind,
            status=status,
            symbol=request.symbol,
            side=request.side,
            last_quantity=ZERO,
            last_price=ZERO,
            cost=ZERO,
            fees=(),
            cumulative_quantity=order.filled,
            cumulative_cost=order.cost,
            is_maker=None,
            reason=order.reason or None,
            timestamp=datetime.fromtimestamp(self._now() / 1e9, UTC).isoformat(),
        )

    def _found(self, client_id: str) -> TradingEvent:
        """Answer a look-up; of an order that is still on its way nobody knows anything."""
        order = self._orders.get(client_id)
        if order is None or order.status is OrderStatus.REJECTED:
            return OrderFound(client_id, None)
        if order.status is None:
            return LookUpFailed(client_id, "it is on its way to the book")
        request = order.request
        state = OrderState(
            order_id="",
            client_id=client_id,
            symbol=request.symbol,
            side=request.side,
            status=order.status,
            quantity=request.quantity,
            limit_price=request.limit_price,
            filled_quantity=order.filled,
            filled_cost=order.cost,
            fee=order.fee,
            reason=order.reason or None,
        )
        return OrderFound(client_id, state)

    def _pays_fee_in(self, pair: Instrument, side: Side) -> str:
        return fee_asset(pair, side, self._fees().charged_in)


def _rounded(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
