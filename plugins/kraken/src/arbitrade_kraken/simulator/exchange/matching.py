"""Price-time priority between our orders and a book of strangers."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from arbitrade.models import Side
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.accounts import Accounts
from arbitrade_kraken.simulator.exchange.book import Chunk, MatchingBook, QueuedSide
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import ExchangeEvent, OrderEvent, PublicTrade
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.market import Market
from arbitrade_kraken.simulator.exchange.orders import Order
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.trades import TradeTape

_NO_BOUND = 1 << 190


class Matching:
    """Lets orders meet the book; knows nothing of requests, counters or refusals."""

    def __init__(
        self,
        books: Mapping[str, MatchingBook],
        pairs: Mapping[str, PairFacts],
        accounts: Accounts,
        market: Market,
        settlement: Settlement,
        settings: ExchangeSettings,
        clock: Clock,
        faults: Faults,
        tape: TradeTape,
        emit: Callable[[ExchangeEvent], None],
    ) -> None:
        self._books = books
        self._pairs = pairs
        self._accounts = accounts
        self._market = market
        self._settlement = settlement
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._tape = tape
        self._emit = emit
        self._places: dict[str, tuple[QueuedSide, int]] = {}

    # ── our orders ───────────────────────────────────────────────────────────────────────────────

    def bound(self, order: Order) -> int:
        """Return the worst key of the other side that an order takes."""
        pair = self._pairs[order.symbol]
        if order.limit_price is not None:
            ticks = _units(order.limit_price, pair.price_decimals)
            return ticks if order.side is Side.BUY else -ticks
        opposite = self.opposite(order.symbol, order.side)
        if not opposite.keys:
            return _NO_BOUND
        best = opposite.keys[0]
        # For bids keys are negative, so that one formula bounds both sides.
        return best + int(abs(best) * self._settings.protection)

    def opposite(self, symbol: str, side: Side) -> QueuedSide:
        """Return the side of the book that an order takes from."""
        book = self._books[symbol]
        return book.asks if side is Side.BUY else book.bids

    def would_take(self, order: Order) -> bool:
        """True when something on the other side is within the order's limit."""
        opposite = self.opposite(order.symbol, order.side)
        return bool(opposite.keys) and opposite.keys[0] <= self.bound(order)

    def walk(self, order: Order, lots: int) -> tuple[int, Decimal]:
        """Return how many lots the book has within the order's limit, and what they cost."""
        pair = self._pairs[order.symbol]
        opposite, bound = self.opposite(order.symbol, order.side), self.bound(order)
        found = cost = 0
        for key in opposite.keys:
            if key > bound or found == lots:
                break
            there, is_last = self._takeable(opposite, key, order)
            taken = min(lots - found, there)
            found += taken
            cost += taken * abs(key)
            if is_last:
                break
        return found, Decimal(cost).scaleb(-pair.price_decimals - pair.lot_decimals)

    def affordable(self, order: Order, cash: Decimal) -> int:
        """Return how many lots a market buy gets for so much quote."""
        pair = self._pairs[order.symbol]
        left = _units(cash, pair.price_decimals + pair.lot_decimals)
        opposite, bound = self.opposite(order.symbol, order.side), self.bound(order)
        lots = 0
        for key in opposite.keys:
            if key > bound:
                break
            there, is_last = self._takeable(opposite, key, order)
            taken = min(there, left // abs(key))
            lots += taken
            left -= taken * abs(key)
            if taken < there or is_last:
                break
        return lots

    def lots(self, order: Order) -> int:
        """Return what remains of an order in lots."""
        return _units(order.remaining, self._pairs[order.symbol].lot_decimals)

    def run(self, order: Order, *, is_matching: bool) -> None:
        """Match an order that was accepted, then let it rest or end it."""
        reason: str | None = None
        if is_matching:
            wanted = self.lots(order)
            if order.time_in_force == "fok" and self.walk(order, wanted)[0] < wanted:
                self.end(order, self._settings.reasons.all_or_nothing)
                return
            reason = self._take(order)
        if not order.is_open:
            return
        if reason is not None:
            self.end(order, reason)
        elif order.order_type == "market":
            opposite = self.opposite(order.symbol, order.side)
            reasons = self._settings.reasons
            self.end(order, reasons.protection if opposite.keys else reasons.exhausted)
        elif order.time_in_force in ("ioc", "fok"):
            self.end(order, self._settings.reasons.rest)
        else:
            self._rest(order)

    def reopen(self, symbol: str) -> None:
        """Match anew what came to cross while the pair did not match, as if it arrived in order."""
        crossing = [
            order
            for account in self._accounts.all()
            for order in account.standing.values()
            if order.symbol == symbol and self.would_take(order)
        ]
        for order in crossing:
            self.take_out(order)
        # Sorting keeps the order of arrival among those of the same moment.
        for order in sorted(crossing, key=lambda order: order.aged_ns):
            if order.is_open:
                self.run(order, is_matching=True)

    def shrink(self, order: Order) -> None:
        """Leave what remains of a resting order at its place in the queue."""
        side, key = self._places[order.order_id]
        side.shrink(key, order, self.lots(order))

    def take_out(self, order: Order) -> None:
        """Take a resting order out of the book, if it is there."""
        place = self._places.pop(order.order_id, None)
        if place is not None:
            side, key = place
            side.shrink(key, order, 0)

    def end(self, order: Order, reason: str, status: str = "canceled") -> None:
        """End an order, give back what it holds and tell."""
        account = self._accounts.get(order.account)
        self.take_out(order)
        self._settlement.release(account, self._pairs[order.symbol], order)
        order.status, order.reason = status, reason
        order.closed_ns = self._clock.now_ns()
        account.close(order)
        self.report(order, status, reason)

    def report(self, order: Order, kind: str, reason: str | None = None) -> None:
        """Tell of an event in an order's life."""
        account, now = self._accounts.get(order.account), self._clock.now_ns()
        counter = account.counters.value(order.symbol, now)
        self._emit(
            OrderEvent(account.name, kind, order.status, order.copy(), None, reason, counter, now)
        )

    # ── strangers ────────────────────────────────────────────────────────────────────────────────

    def arrive(self, book: MatchingBook, side: Side, key: int, lots: int) -> int:
        """Let a stranger's limit order match ours that cross it; return the lots left to rest.

        `key` is that of the side it would rest on, so it takes what stands at `-key` or better.
        """
        opposite = book.asks if side is Side.BUY else book.bids
        while lots and opposite.own and opposite.keys and opposite.keys[0] <= -key:
            best = opposite.keys[0]
            if best not in opposite.own:
                break
            lots = self._strangers_take(book, opposite, best, side, lots, "limit")
        return lots

    def hit(self, book: MatchingBook, taker: Side, lots: int) -> None:
        """Let a stranger's market order take from the best prices."""
        opposite = book.asks if taker is Side.BUY else book.bids
        while lots and opposite.keys:
            lots = self._strangers_take(book, opposite, opposite.keys[0], taker, lots, "market")

    def take_strangers(self, book: MatchingBook, taker: Side, key: int, lots: int) -> None:
        """Let a stranger take up to so many lots from one price."""
        opposite = book.asks if taker is Side.BUY else book.bids
        self._strangers_take(book, opposite, key, taker, lots, "limit")

    def _strangers_take(
        self, book: MatchingBook, opposite: QueuedSide, key: int, taker: Side, lots: int, kind: str
    ) -> int:
        for chunk in opposite.waiting(key):
            taken = min(lots, chunk.lots)
            if taken:
                lots -= taken
                opposite.take(key, chunk, taken)
                trade_id = self._print(book.symbol, taker, key, taken, kind)
                if chunk.order is not None:
                    self._fill(chunk.order, key, taken, trade_id, is_maker=True)
            if not lots:
                break
        return lots

    # ── one order against the book ───────────────────────────────────────────────────────────────

    def _take(self, order: Order) -> str | None:
        """Take what is within the limit; return why to end the rest, None to go on."""
        book = self._books[order.symbol]
        opposite, bound = self.opposite(order.symbol, order.side), self.bound(order)
        lots = most = self.lots(order)
        # Asked only of an order that takes something: one that rests leaves the fault to the next.
        fault = None
        if opposite.keys and opposite.keys[0] <= bound:
            fault = self._faults.take("partial_fill", symbol=order.symbol, account=order.account)
        if fault is not None:
            most = int(lots * (fault.value if fault.value is not None else Decimal("0.5")))
        while most and opposite.keys and opposite.keys[0] <= bound:
            key = opposite.keys[0]
            for chunk in opposite.waiting(key):
                if self._is_own(chunk, order):
                    if self._prevent(chunk, order):
                        return self._settings.reasons.self_trade
                    continue
                taken = min(most, chunk.lots)
                most -= taken
                self._trade(book, opposite, key, chunk, order, taken)
                if not most:
                    break
        return None if fault is None or not order.is_open else self._settings.reasons.rest

    def _trade(
        self,
        book: MatchingBook,
        opposite: QueuedSide,
        key: int,
        chunk: Chunk,
        order: Order,
        taken: int,
    ) -> None:
        opposite.take(key, chunk, taken)
        trade_id = self._print(book.symbol, order.side, key, taken, order.order_type)
        if chunk.order is not None:
            self._fill(chunk.order, key, taken, trade_id, is_maker=True)
        else:
            self._market.on_taken(book, order.side, key, taken)
        self._fill(order, key, taken, trade_id, is_maker=False)

    def _fill(self, order: Order, key: int, lots: int, trade_id: int, *, is_maker: bool) -> None:
        pair = self._pairs[order.symbol]
        ticks = abs(key)
        if not is_maker:
            worse = self._faults.take("worse_fill", symbol=order.symbol, account=order.account)
            if worse is not None:
                by = int(worse.value) if worse.value is not None else 1
                ticks = max(1, ticks + (by if order.side is Side.BUY else -by))
        self._settlement.fill(
            self._accounts.get(order.account),
            pair,
            order,
            Decimal(ticks).scaleb(-pair.price_decimals),
            Decimal(lots).scaleb(-pair.lot_decimals),
            trade_id,
            is_maker=is_maker,
        )
        if not order.is_open:
            self._places.pop(order.order_id, None)

    def _is_own(self, chunk: Chunk, order: Order) -> bool:
        return (
            chunk.order is not None
            and chunk.order.account == order.account
            and not self._faults.take("stp_none", symbol=order.symbol, account=order.account)
        )

    def _prevent(self, chunk: Chunk, order: Order) -> bool:
        """Keep an account from trading with itself; return whether the arriving order ends."""
        resting = chunk.order
        if resting is not None and order.stp_type in ("cancel_oldest", "cancel_both"):
            self.end(resting, self._settings.reasons.self_trade)
        return order.stp_type in ("cancel_newest", "cancel_both")

    def _takeable(self, opposite: QueuedSide, key: int, order: Order) -> tuple[int, bool]:
        """Return the lots an order finds at a price, and whether it ends there on its own order."""
        if key not in opposite.own:
            return opposite.lots[key], False
        lots = 0
        for chunk in opposite.waiting(key):
            if chunk.order is None or chunk.order.account != order.account:
                lots += chunk.lots
            elif order.stp_type != "cancel_oldest":
                return lots, True
        return lots, False

    def _rest(self, order: Order) -> None:
        book = self._books[order.symbol]
        side = book.bids if order.side is Side.BUY else book.asks
        key = -self.bound(order)
        side.queue(key, order, self.lots(order))
        self._places[order.order_id] = (side, key)

    def _print(self, symbol: str, taker: Side, key: int, lots: int, kind: str) -> int:
        """Print a trade on the tape; return its number."""
        pair = self._pairs[symbol]
        trade = PublicTrade(
            symbol=symbol,
            side=taker,
            price=Decimal(abs(key)).scaleb(-pair.price_decimals),
            quantity=Decimal(lots).scaleb(-pair.lot_decimals),
            order_type=kind,
            trade_id=self._tape.next_id(symbol),
            time_ns=self._clock.now_ns(),
        )
        self._tape.print(trade)
        self._emit(trade)
        return trade.trade_id


def _units(amount: Decimal, decimals: int) -> int:
    """Return an amount in units of 10^-decimals, rounded down."""
    return int(amount.scaleb(decimals))
