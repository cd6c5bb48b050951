"""The exchange: pure, synchronous, deterministic for a seed.  No sockets, no tasks, no sleeping.

    exchange = Exchange(ListedPairs.load().select(12), GeneratedMarket(settings), clock)
    exchange.listen(print)                       # events in order, called synchronously
    exchange.hand.open_account("alice", {"USD": Decimal(10_000)})
    exchange.watch("BTC/USD", 10)
    exchange.step()                              # the market moves once
    placed = exchange.add_order("alice", NewOrder(symbol="BTC/USD", side=Side.BUY, ...))
    exchange.inquiry.fills("alice")              # how things stand, exactly

Whoever puts it on a wire calls `step` at the pace of the market, `run_timers` before each request
and some times a second (dead man's switch, expiries), and every other method when a request
arrives.  Events are pushed to listeners while the call runs, so before it returns.
"""

from collections.abc import Callable, Sequence
from typing import Final

from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.accounts import Accounts, CustomerAccount
from arbitrade_kraken.simulator.exchange.amending import Amending
from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.cancelling import Cancelling
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import BookSnapshot, PublicTrade
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.hand import Hand
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.inquiry import Inquiry
from arbitrade_kraken.simulator.exchange.listed import AssetFacts, ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.market import Market
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.order_entry import OrderEntry
from arbitrade_kraken.simulator.exchange.orders import (
    Amended,
    Amendment,
    CancelResult,
    DeadManSwitch,
    Edit,
    NewOrder,
    OrderRef,
    Placed,
    VenueRefusal,
)
from arbitrade_kraken.simulator.exchange.rates import CallCounters
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.state import ExchangeState
from arbitrade_kraken.simulator.exchange.telling import ExchangeListener, Teller
from arbitrade_kraken.simulator.exchange.timers import OrderTimers
from arbitrade_kraken.simulator.exchange.trades import TradeTape
from arbitrade_kraken.simulator.exchange.worth import UsdPrices


class Exchange:
    """The venue as its clients reach it: market data and order methods.

    Every method that a client's request reaches may raise `VenueRefusal`.  What concerns an account
    raises `UsageError` for the name of one that is not open.

    Args:
        listed: Names; for rules that change while running ask `pair`.
        market: Not opened yet: it belongs to this exchange from now on.
        clock: Everything goes by it.
        settings: None for the defaults.
    """

    def __init__(
        self,
        listed: ListedPairs,
        market: Market,
        clock: Clock,
        settings: ExchangeSettings | None = None,
    ) -> None:
        settings = settings if settings is not None else ExchangeSettings()
        self.listed: Final = listed
        self.clock: Final = clock
        self.settings: Final = settings
        self.faults: Final = Faults(clock)
        """The switchboard: what goes wrong on demand."""
        self.calls: Final = CallCounters(clock)
        """The REST call counters: `calls.charge(api_key, tier, method)`."""
        ids = Identifiers(settings.seed)
        self.accounts: Final = Accounts(ids, clock)
        self._market = market
        self._state = state = ExchangeState(listed, settings)
        self._tape = TradeTape()
        # Everything below knows the books by this mapping, and the market needs the matching before
        # it can fill it.  Nobody looks into it before that is done, at the end.
        self._books: dict[str, MatchingBook] = {}
        self._teller = teller = Teller(
            self._books, clock, self.faults, settings, market.duplicate_share
        )
        prices = UsdPrices(self._books, state, market.worth)
        settlement = Settlement(listed, settings, clock, ids, self.faults, teller.emit, prices)
        matching = Matching(
            self._books,
            state.pairs,
            self.accounts,
            market,
            settlement,
            settings,
            clock,
            self.faults,
            self._tape,
            teller.emit,
        )
        self._timers = OrderTimers(self.accounts, state, matching, settings, clock, teller)
        self._entry = OrderEntry(
            state, matching, settlement, self._timers, settings, clock, ids, teller
        )
        self._amending = Amending(state, matching, settlement, settings, clock, ids, teller)
        self._cancelling = Cancelling(state, matching, settings, clock, teller)
        self.inquiry: Final = Inquiry(self.accounts, state, settlement, clock)
        """What can be asked of an account."""
        self.hand: Final = Hand(
            listed,
            market,
            state,
            self.accounts,
            self._books,
            matching,
            settlement,
            settings,
            teller,
        )
        """What no client can ask for: accounts, deposits, changes of the venue, others' trades."""
        self._books.update(market.open(listed, matching))
        now = clock.now_ns()
        for book in self._books.values():
            book.settle()
            book.time_ns = now

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    def listen(self, listener: ExchangeListener) -> Callable[[], None]:
        """Call `listener` with every event, synchronously; return what ends that."""
        return self._teller.listen(listener)

    def step(self) -> None:
        """Let the market move once: one book, whether or not anybody watches it.

        About 25 µs with one depth watched.  Nothing moves in `maintenance`.
        """
        if self._state.engine == "maintenance":
            return
        book = self._market.step(self._state.still)
        if book is not None:
            self._teller.tell(book)

    @property
    def is_over(self) -> bool:
        """True when a recording has been played to its end; a generated market never ends."""
        return self._market.is_over

    def run_timers(self) -> None:
        """Do what fell due by the clock: dead man's switches, expiries; not in `maintenance`."""
        self._timers.run()

    def next_timer_ns(self) -> int | None:
        """Return when the next timer falls due, None if there is none."""
        return self._timers.next_ns()

    # ── what is listed ───────────────────────────────────────────────────────────────────────────

    @property
    def engine_state(self) -> str:
        """What the engine does now: `online`, `post_only`, `cancel_only` or `maintenance`."""
        return self._state.engine

    def pair(self, symbol: str) -> PairFacts:
        """Return the pair as it is now.

        Raises:
            VenueRefusal: `EQuery:Unknown asset pair`.
        """
        return self._state.pair(symbol)

    def pairs(self) -> Sequence[PairFacts]:
        """Return all pairs as they are now, in the order listed."""
        return tuple(self._state.pairs.values())

    def assets(self) -> Sequence[AssetFacts]:
        """Return all assets in the order listed."""
        return tuple(self.listed.assets.values())

    # ── market data ──────────────────────────────────────────────────────────────────────────────

    def watch(self, symbol: str, depth: int) -> None:
        """Send `BookChanged` for this book at this depth from now on; counts its callers."""
        self.book(symbol, depth)
        self._books[symbol].watch(depth)

    def unwatch(self, symbol: str, depth: int) -> None:
        """Undo one `watch`; too many are ignored."""
        self.pair(symbol)
        self._books[symbol].unwatch(depth)

    def book(self, symbol: str, depth: int) -> BookSnapshot:
        """Return the book now, at most `depth` levels a side; any depth up to 1000."""
        self.pair(symbol)
        book = self._books[symbol]
        self._market.deepen(book, depth)
        # What changed until now is told first, so that a snapshot begins where the updates end.
        self._teller.tell(book)
        return _snapshot(book, depth)

    def whole_book(self, symbol: str) -> BookSnapshot:
        """Return all levels there are now, without asking the market for more."""
        self.pair(symbol)
        book = self._books[symbol]
        self._teller.tell(book)
        return _snapshot(book, max(len(book.bids.keys), len(book.asks.keys)))

    def public_trades(self, symbol: str, count: int = 50) -> Sequence[PublicTrade]:
        """Return the last trades, oldest first; at most 1000 are kept."""
        self.pair(symbol)
        return self._tape.last(symbol, count)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    def add_order(self, account: str, order: NewOrder) -> Placed:
        """Take an order and match it at once."""
        return self._do(account, "add_order", lambda who: self._entry.add(who, order), order.symbol)

    def add_batch(self, account: str, orders: Sequence[NewOrder]) -> Sequence[Placed]:
        """Take 2 to 15 orders of one pair; rows in the order of the requests.

        Raises:
            VenueRefusal: One of them fails validation, so none is taken.
        """
        symbol = orders[0].symbol if orders else None
        return self._do(
            account, "batch_add", lambda who: self._entry.add_batch(who, orders), symbol
        )

    def amend_order(self, account: str, amendment: Amendment) -> Amended:
        """Change an order in place."""
        return self._do(account, "amend_order", lambda who: self._amending.amend(who, amendment))

    def edit_order(self, account: str, edit: Edit) -> Placed:
        """Cancel and replace; the new order's `replaces` is the old id."""
        return self._do(account, "edit_order", lambda who: self._entry.edit(who, edit), edit.symbol)

    def cancel_orders(self, account: str, refs: Sequence[OrderRef]) -> Sequence[CancelResult]:
        """Cancel each; one row an order (a `userref` may give several), never raises for a row."""
        return self._do(account, "cancel_order", lambda who: self._cancelling.cancel(who, refs))

    def cancel_batch(self, account: str, refs: Sequence[OrderRef]) -> int:
        """Cancel 2 to 50 orders; return how many were open."""
        return self._do(
            account, "batch_cancel", lambda who: self._cancelling.cancel_batch(who, refs)
        )

    def cancel_all(self, account: str) -> int:
        """Cancel everything of the account; return how many."""
        return self._do(account, "cancel_all", lambda who: self._cancelling.cancel_all(who))

    def cancel_all_after(self, account: str, timeout_s: int) -> DeadManSwitch:
        """Arm the account's dead man's switch anew; 0 disarms.

        Raises:
            VenueRefusal: Not from 0 to 86399.
        """
        return self._do(
            account,
            "cancel_all_orders_after",
            lambda who: self._timers.cancel_all_after(who, timeout_s),
        )

    def _do[T](
        self,
        account: str,
        method: str,
        act: Callable[[CustomerAccount], T],
        symbol: str | None = None,
    ) -> T:
        """Carry out an order method between the two faults that pretend it was not."""
        who = self.accounts.get(account)
        if not self.faults.is_quiet:
            fault = self.faults.take("refuse_order", symbol=symbol, account=account, method=method)
            if fault is not None:
                raise VenueRefusal(fault.text or "EService:Unavailable")
        try:
            result = act(who)
        finally:
            # Also of a request that was refused half-way: what it changed until then has happened.
            self._teller.tell_touched()
        if not self.faults.is_quiet:
            fault = self.faults.take("busy_after", symbol=symbol, account=account, method=method)
            if fault is not None:
                raise VenueRefusal(fault.text or "EService:Busy")
        return result


def _snapshot(book: MatchingBook, depth: int) -> BookSnapshot:
    return BookSnapshot(
        book.symbol,
        depth,
        book.bids.levels(depth),
        book.asks.levels(depth),
        book.checksum(),
        book.time_ns,
    )
