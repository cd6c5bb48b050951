"""The exchange: pure, synchronous, deterministic for a seed.  No sockets, no tasks, no sleeping.

    exchange = Exchange(Universe.load().select(12), GeneratedMarket(MarketSettings(seed=7)), clock)
    exchange.listen(print)                       # events in order, called synchronously
    exchange.open_account("alice", {"USD": Decimal(10_000)})
    exchange.watch("BTC/USD", 10)
    exchange.step()                              # the market moves once
    placed = exchange.add_order("alice", NewOrder(symbol="BTC/USD", side=Side.BUY, ...))

Whoever puts it on a wire calls `step` at the pace of the market, `run_timers` before each request
and some times a second (dead man's switch, expiries), and every other method when a request
arrives.  Events are pushed to listeners while the call runs, so before it returns.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from random import Random

import attrs

from arbitrade.errors import UsageError
from arbitrade.models import Level, Side
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount, Holding
from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.checks import is_matching
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings, Reasons
from arbitrade_kraken.simulator.exchange.events import (
    BookChanged,
    BookSnapshot,
    EngineChanged,
    ExchangeEvent,
    LedgerEntry,
    PairChanged,
    PublicTrade,
)
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.fees import FeeQuote, Volume
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.keys import TRADING_PERMISSIONS, ApiKey, VerificationTier
from arbitrade_kraken.simulator.exchange.listed import AssetFacts, ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.market import Market
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.order_entry import (
    Amended,
    CancelResult,
    DeadManSwitch,
    OrderEntry,
    Placed,
)
from arbitrade_kraken.simulator.exchange.orders import (
    Amendment,
    Edit,
    NewOrder,
    Order,
    OrderFill,
    OrderRef,
    VenueRefusal,
)
from arbitrade_kraken.simulator.exchange.rates import CallCounters, TradingCounters
from arbitrade_kraken.simulator.exchange.rounding import decimals_of, to_nearest
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.trades import TradeTape

__all__ = [
    "Amended",
    "CancelResult",
    "DeadManSwitch",
    "Exchange",
    "ExchangeSettings",
    "Placed",
    "Reasons",
]

ENGINE_STATES = ("online", "post_only", "cancel_only", "maintenance")
PAIR_STATES = (
    "online",
    "cancel_only",
    "post_only",
    "limit_only",
    "reduce_only",
    "maintenance",
    "work_in_progress",
    "delisted",
)


class Exchange:
    """The venue.  Every method that a client's request reaches may raise `VenueRefusal`."""

    def __init__(
        self,
        listed: ListedPairs,
        market: Market,
        clock: Clock,
        settings: ExchangeSettings | None = None,
    ) -> None:
        self._settings = settings if settings is not None else ExchangeSettings()
        self._universe = listed
        self._market = market
        self._clock = clock
        self._listeners: tuple[Callable[[ExchangeEvent], None], ...] = ()
        self._faults = Faults(clock)
        self._calls = CallCounters(clock)
        self._ids = Identifiers(self._settings.seed)
        self._rng = Random(f"{self._settings.seed} wire")  # noqa: S311 - no secrets
        self._engine = "online"
        self._pairs = dict(listed.pairs)
        self._accounts: dict[str, CustomerAccount] = {}
        self._keys: dict[str, ApiKey] = {}
        self._books: dict[str, MatchingBook] = {}
        self._still: dict[str, bool] = {}
        self._tape = TradeTape()
        self._settlement = Settlement(
            listed, self._settings, clock, self._ids, self._faults, self._emit, self._usd_price
        )
        self._matching = Matching(
            self._books,
            self._pairs,
            self._accounts,
            market,
            self._settlement,
            self._settings,
            clock,
            self._faults,
            self._tape,
            self._emit,
        )
        self._desk = OrderEntry(
            self._pairs,
            self._accounts,
            self._matching,
            self._settlement,
            self._settings,
            clock,
            self._faults,
            self._ids,
            lambda: self._engine,
        )
        self._books.update(market.open(listed, self._matching))
        now = clock.now_ns()
        for book in self._books.values():
            book.settle()
            book.time_ns = now
        self._restate()

    # ── wiring and time ──────────────────────────────────────────────────────────────────────────

    @property
    def clock(self) -> Clock:
        """The clock everything goes by."""
        return self._clock

    @property
    def settings(self) -> ExchangeSettings:
        """What it was made with."""
        return self._settings

    @property
    def faults(self) -> Faults:
        """The switchboard."""
        return self._faults

    @property
    def calls(self) -> CallCounters:
        """The REST call counters: `calls.charge(api_key, tier, method)`."""
        return self._calls

    def listen(self, listener: Callable[[ExchangeEvent], None]) -> Callable[[], None]:
        """Call `listener` with every event, synchronously; return what ends that."""
        self._listeners = (*self._listeners, listener)

        def end() -> None:
            self._listeners = tuple(kept for kept in self._listeners if kept is not listener)

        return end

    def step(self) -> None:
        """Let the market move once: one book, whether or not anybody watches it.

        About 25 µs with one depth watched.  Nothing moves in `maintenance`.
        """
        if self._engine == "maintenance":
            return
        book = self._market.step(self._still)
        if book is not None:
            self._tell(book)

    @property
    def is_over(self) -> bool:
        """True when a recording has been played to its end; a generated market never ends."""
        return self._market.is_over

    def run_timers(self) -> None:
        """Do what fell due by the clock: dead man's switches, expiries; not in `maintenance`."""
        self._tell_all(self._desk.run_timers())

    def next_timer_ns(self) -> int | None:
        """Return when the next timer falls due, None if there is none."""
        return self._desk.next_timer_ns()

    # ── what is listed ───────────────────────────────────────────────────────────────────────────

    @property
    def listed(self) -> ListedPairs:
        """Names; for rules that change while running ask `pair`."""
        return self._universe

    @property
    def engine_state(self) -> str:
        """`online`, `post_only`, `cancel_only` or `maintenance`."""
        return self._engine

    def pair(self, symbol: str) -> PairFacts:
        """Return the pair as it is now.

        Raises:
            VenueRefusal: `EQuery:Unknown asset pair`.
        """
        pair = self._pairs.get(symbol)
        if pair is None:
            raise VenueRefusal("EQuery:Unknown asset pair")
        return pair

    def pairs(self) -> Sequence[PairFacts]:
        """Return all pairs as they are now, in the order listed."""
        return tuple(self._pairs.values())

    def assets(self) -> Sequence[AssetFacts]:
        """Return all assets in the order listed."""
        return tuple(self._universe.assets.values())

    # ── books ────────────────────────────────────────────────────────────────────────────────────

    def watch(self, symbol: str, depth: int) -> None:
        """Send `BookChanged` for this book at this depth from now on; counts its callers."""
        self.book(symbol, depth)
        self._books[symbol].watch(depth)

    def unwatch(self, symbol: str, depth: int) -> None:
        """Undo one `watch`."""
        self.pair(symbol)
        self._books[symbol].unwatch(depth)

    def book(self, symbol: str, depth: int) -> BookSnapshot:
        """Return the book now, at most `depth` levels a side; any depth up to 1000."""
        self.pair(symbol)
        book = self._books[symbol]
        self._market.deepen(book, depth)
        self._tell(book)
        return BookSnapshot(
            symbol,
            depth,
            book.bids.levels(depth),
            book.asks.levels(depth),
            book.checksum(),
            book.time_ns,
        )

    def whole_book(self, symbol: str) -> BookSnapshot:
        """Return all levels there are now, without asking the market for more."""
        self.pair(symbol)
        book = self._books[symbol]
        self._tell(book)
        depth = max(len(book.bids.keys), len(book.asks.keys))
        bids, asks = book.bids.levels(depth), book.asks.levels(depth)
        return BookSnapshot(symbol, depth, bids, asks, book.checksum(), book.time_ns)

    def public_trades(self, symbol: str, count: int = 50) -> Sequence[PublicTrade]:
        """Return the last trades, oldest first; at most 1000 are kept."""
        self.pair(symbol)
        return self._tape.last(symbol, count)

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────

    def open_account(
        self,
        name: str,
        balances: Mapping[str, Decimal] | None = None,
        *,
        tier: VerificationTier | None = None,
        volume: Decimal = Decimal(0),
        country: str = "",
    ) -> CustomerAccount:
        """Open an account; `balances` (v2 asset → amount) are booked as deposits.

        Args:
            name: Not taken yet.
            balances: None for an empty account.
            tier: Of the rate counters; None for Intermediate.
            volume: 30-day volume in USD that it starts with, and keeps.
            country: ISO code, for `ExchangeSettings.restricted`.

        Raises:
            UsageError: The name is taken, an asset is not listed or an amount too fine.
        """
        if name in self._accounts:
            raise UsageError(f"account: {name!r} is open already; choose another name")
        chosen = tier if tier is not None else VerificationTier.INTERMEDIATE
        counters = TradingCounters(chosen, self._settings.domain_limit)
        account = CustomerAccount(name, chosen, country, Volume(volume), counters)
        self._accounts[name] = account
        for asset, amount in (balances or {}).items():
            self.deposit(name, asset, amount)
            account.opening[asset] = amount
        return account

    def account(self, name: str) -> CustomerAccount:
        """Return an account.

        Raises:
            UsageError: There is none of this name.
        """
        account = self._accounts.get(name)
        if account is None:
            raise UsageError(f"account: {name!r} is not open; open it first")
        return account

    def accounts(self) -> Sequence[CustomerAccount]:
        """Return all accounts."""
        return tuple(self._accounts.values())

    def make_key(self, account: str, permissions: Iterable[str] | None = None) -> ApiKey:
        """Make an API key; None for the permissions that trading needs, none of them withdrawing.

        Key and secret are made from the seed.  Whoever checks nonces keeps them in the `ApiKey`.
        """
        self.account(account)
        secret = base64.b64encode(self._ids.secret_bytes(64)).decode()
        key = ApiKey(
            name=f"key-{len(self._keys) + 1}",
            account=account,
            key=base64.b64encode(self._ids.secret_bytes(42)).decode(),
            secret=secret,
            permissions=TRADING_PERMISSIONS if permissions is None else frozenset(permissions),
            created_ns=self._clock.now_ns(),
        )
        self._keys[key.key] = key
        return key

    def find_key(self, key: str) -> ApiKey | None:
        """Return the API key whose public part this is."""
        return self._keys.get(key)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    def add_order(self, account: str, order: NewOrder) -> Placed:
        """Take an order and match it at once."""
        return self._do(account, "add_order", lambda desk, who: desk.add(who, order), order.symbol)

    def add_batch(self, account: str, orders: Sequence[NewOrder]) -> Sequence[Placed]:
        """Take 2 to 15 orders of one pair; rows in the order of the requests.

        Raises:
            VenueRefusal: One of them fails validation, so none is taken.
        """
        symbol = orders[0].symbol if orders else None
        return self._do(account, "batch_add", lambda desk, who: desk.add_batch(who, orders), symbol)

    def amend_order(self, account: str, amendment: Amendment) -> Amended:
        """Change an order in place."""
        return self._do(account, "amend_order", lambda desk, who: desk.amend(who, amendment))

    def edit_order(self, account: str, edit: Edit) -> Placed:
        """Cancel and replace; the new order's `replaces` is the old id."""
        return self._do(account, "edit_order", lambda desk, who: desk.edit(who, edit), edit.symbol)

    def cancel_orders(self, account: str, refs: Sequence[OrderRef]) -> Sequence[CancelResult]:
        """Cancel each; one row an order (a `userref` may give several), never raises for a row."""
        return self._do(account, "cancel_order", lambda desk, who: desk.cancel(who, refs))

    def cancel_batch(self, account: str, refs: Sequence[OrderRef]) -> int:
        """Cancel 2 to 50 orders; return how many were open."""
        return self._do(account, "batch_cancel", lambda desk, who: desk.cancel_batch(who, refs))

    def cancel_all(self, account: str) -> int:
        """Cancel everything of the account; return how many."""
        return self._do(account, "cancel_all", lambda desk, who: desk.cancel_all(who))

    def cancel_all_after(self, account: str, timeout_s: int) -> DeadManSwitch:
        """Arm the account's dead man's switch anew; 0 disarms.

        Raises:
            VenueRefusal: Not from 0 to 86399.
        """
        return self._do(
            account,
            "cancel_all_orders_after",
            lambda desk, who: desk.cancel_all_after(who, timeout_s),
        )

    # ── what can be asked, exactly and without lag ───────────────────────────────────────────────

    def order(self, account: str, order_id: str) -> Order | None:
        """Return an order, open or closed."""
        order = self.account(account).orders.get(order_id)
        return order.copy() if order is not None else None

    def find_orders(self, account: str, ref: OrderRef) -> Sequence[Order]:
        """Return the orders meant, newest first, open or closed."""
        orders = reversed(self.account(account).orders.values())
        return tuple(
            order.copy()
            for order in orders
            if (ref.order_id is not None and order.order_id == ref.order_id)
            or (ref.client_id is not None and order.client_id == ref.client_id)
            or (ref.userref is not None and order.userref == ref.userref)
        )

    def open_orders(self, account: str) -> Sequence[Order]:
        """Return the open orders, oldest first."""
        return tuple(order.copy() for order in self.account(account).standing.values())

    def closed_orders(self, account: str) -> Sequence[Order]:
        """Return orders that ended, the latest end first."""
        closed = [order for order in self.account(account).orders.values() if not order.is_open]
        closed.sort(key=lambda order: -(order.closed_ns or 0))
        return tuple(order.copy() for order in closed)

    def fills(self, account: str) -> Sequence[OrderFill]:
        """Return all fills, oldest first."""
        return tuple(self.account(account).fills)

    def ledger(self, account: str) -> Sequence[LedgerEntry]:
        """Return all ledger rows, oldest first."""
        return tuple(self.account(account).ledger)

    def holdings(self, account: str) -> Mapping[str, Holding]:
        """Return balances and holds by v2 asset, only assets the account ever had."""
        return self.account(account).holdings()

    def fee_quote(self, account: str, symbol: str) -> FeeQuote:
        """Return what the account pays on a pair now, with the tiers around it."""
        return self._settlement.fee_quote(self.account(account), self.pair(symbol))

    def volume_30d(self, account: str) -> Decimal:
        """Return the 30-day volume in USD that the fee tier follows."""
        return self.account(account).volume.at(self._clock.now_ns())

    def rate_counter(self, account: str, symbol: str) -> Decimal:
        """Return the trading counter of a pair now, decayed."""
        return self.account(account).counters.value(symbol, self._clock.now_ns())

    # ── the hand from outside ────────────────────────────────────────────────────────────────────

    def deposit(
        self,
        account: str,
        asset: str,
        amount: Decimal,
        kind: str = "deposit",
        wallet: str = "main",
    ) -> LedgerEntry:
        """Book a deposit (or another kind of row); sends the ledger event.

        Raises:
            UsageError: The asset is not listed or the amount too fine for its ledger.
        """
        self._check_amount(asset, amount)
        row = self._settlement.book(self.account(account), kind, asset, amount, wallet=wallet)
        self._emit(row)
        return row

    def withdraw(
        self, account: str, asset: str, amount: Decimal, fee: Decimal = Decimal(0)
    ) -> LedgerEntry:
        """Book a withdrawal of what no order holds; sends the ledger event.

        Raises:
            VenueRefusal: `EFunding:Insufficient funds`.
            UsageError: The asset is not listed or the amount too fine for its ledger.
        """
        self._check_amount(asset, amount)
        owner = self.account(account)
        if amount + fee > owner.available(asset):
            raise VenueRefusal("EFunding:Insufficient funds")
        row = self._settlement.book(owner, "withdrawal", asset, -amount, fee)
        self._emit(row)
        return row

    def set_pair(
        self,
        symbol: str,
        *,
        status: str | None = None,
        price_decimals: int | None = None,
        lot_decimals: int | None = None,
        minimum_quantity: Decimal | None = None,
        tick: Decimal | None = None,
    ) -> None:
        """Change a pair while it runs; sends `PairChanged`.

        With other price decimals and no `tick` the tick stays the same number of last digits.
        After a change of decimals the book stands in other integers: whoever watches it gets
        `BookChanged` events in the new ones, without a fresh snapshot, as the venue does.  Orders
        of the pair are cancelled by it.

        Raises:
            UsageError: No such status or decimals.
        """
        pair = self.pair(symbol)
        if status is not None and status not in PAIR_STATES:
            raise UsageError(f"{symbol}: status {status!r}; choose from {', '.join(PAIR_STATES)}")
        new = _rescaled(pair, price_decimals, lot_decimals)
        new = attrs.evolve(
            new,
            status=pair.status if status is None else status,
            minimum_quantity=(
                new.minimum_quantity if minimum_quantity is None else minimum_quantity
            ),
            tick=new.tick if tick is None else tick,
        )
        if new.tick <= 0 or decimals_of(new.tick) > new.price_decimals:
            raise UsageError(
                f"{symbol}: tick {new.tick}; choose one above 0 with at most "
                f"{new.price_decimals} decimals"
            )
        is_rescaled = (new.price_decimals, new.lot_decimals) != (
            pair.price_decimals,
            pair.lot_decimals,
        )
        book = self._books[symbol]
        if is_rescaled:
            self._desk.end_all(symbol, self._settings.reasons.rescaled)
            self._tell(book)
        self._pairs[symbol] = new
        if is_rescaled:
            book.rescale(
                new.price_decimals - pair.price_decimals,
                new.lot_decimals - pair.lot_decimals,
                int(new.tick.scaleb(new.price_decimals)),
            )
            self._market.on_rescaled(book, new)
        self._emit(PairChanged(symbol, is_rescaled))
        self._restate()

    def set_engine(self, state: str) -> None:
        """Change the engine's state; sends `EngineChanged`.

        Raises:
            UsageError: No such state.
        """
        if state not in ENGINE_STATES:
            raise UsageError(
                f"engine: {state!r} is no state; choose from {', '.join(ENGINE_STATES)}"
            )
        if state == self._engine:
            return
        self._engine = state
        self._emit(EngineChanged(state))
        self._restate()

    def trade_outside(self, symbol: str, *, side: Side, quantity: Decimal) -> None:
        """Let somebody else's market order hit the book, our resting orders included.

        Raises:
            UsageError: The pair does not match now.
        """
        pair = self._matching_pair(symbol)
        book = self._books[symbol]
        self._matching.hit(book, side, int(quantity.scaleb(pair.lot_decimals)))
        self._tell(book)

    def quote_outside(self, symbol: str, *, side: Side, price: Decimal, quantity: Decimal) -> None:
        """Let somebody else's limit order arrive: it matches what crosses and rests.

        Raises:
            UsageError: The pair does not match now.
        """
        pair = self._matching_pair(symbol)
        book = self._books[symbol]
        ticks, lots = (
            int(price.scaleb(pair.price_decimals)),
            int(quantity.scaleb(pair.lot_decimals)),
        )
        own, other = (book.bids, book.asks) if side is Side.BUY else (book.asks, book.bids)
        key = -ticks if side is Side.BUY else ticks
        while lots and other.keys and other.keys[0] <= -key:
            left = self._matching.arrive(book, side, key, lots)
            best = other.keys[0] if other.keys else None
            if left == lots and best is not None and best <= -key:
                taken = min(lots, other.lots[best])
                self._matching.take_strangers(book, side, best, taken)
                left = lots - taken
            lots = left
        if lots:
            own.put(key, own.market(key) + lots)
        self._tell(book)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _do[T](
        self,
        account: str,
        method: str,
        act: Callable[[OrderEntry, CustomerAccount], T],
        symbol: str | None = None,
    ) -> T:
        """Carry out an order method between the two faults that pretend it was not."""
        who = self.account(account)
        if not self._faults.is_quiet:
            fault = self._faults.take("refuse_order", symbol=symbol, account=account, method=method)
            if fault is not None:
                raise VenueRefusal(fault.text or "EService:Unavailable")
        try:
            result = act(self._desk, who)
        finally:
            self._tell_all(self._desk.touched())
        if not self._faults.is_quiet:
            fault = self._faults.take("busy_after", symbol=symbol, account=account, method=method)
            if fault is not None:
                raise VenueRefusal(fault.text or "EService:Busy")
        return result

    def _emit(self, event: ExchangeEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def _tell_all(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._tell(self._books[symbol])

    def _tell(self, book: MatchingBook) -> None:
        """Tell subscribers of every depth what changed in a book."""
        if not book.has_changed:
            return
        bids, asks = book.bids, book.asks
        told = [(depth, bids.changes(depth), asks.changes(depth)) for depth in book.watchers]
        book.settle()
        book.time_ns = now = self._clock.now_ns()
        if not told:
            return
        checksum = book.checksum()
        for depth, bid_changes, ask_changes in told:
            if not (bid_changes or ask_changes):
                continue
            self._disorder(bid_changes)
            self._disorder(ask_changes)
            shown = checksum
            if not self._faults.is_quiet and self._faults.take(
                "corrupt_checksum", symbol=book.symbol, channel="book"
            ):
                shown ^= 1
            self._emit(BookChanged(book.symbol, depth, bid_changes, ask_changes, shown, now))

    def _disorder(self, levels: list[Level]) -> None:
        """Leave entries in no order but removals first; now and then name a price twice.

        Of a price named twice the later entry counts.  Nothing promises that removals come first,
        but every recorded message has it so, and a client that cuts its book after each entry
        loses a level otherwise.
        """
        if not levels:
            return
        random = self._rng.random
        if len(levels) > 1:
            for last in range(len(levels) - 1, 0, -1):
                other = int(random() * (last + 1))
                levels[last], levels[other] = levels[other], levels[last]
            if self._settings.removals_first:
                levels.sort(key=_is_set)
        if random() < self._market.duplicate_share:
            ticks, lots = levels[-1]
            first = 0
            if self._settings.removals_first and lots:
                first = sum(not size for _, size in levels)
            levels.insert(first, (ticks, 0 if random() < 0.3 else lots + 7))

    def _matching_pair(self, symbol: str) -> PairFacts:
        if not self._still.get(symbol, True):
            raise UsageError(
                f"{symbol}: does not match now (engine {self._engine}, pair "
                f"{self.pair(symbol).status}); set both to online first"
            )
        return self.pair(symbol)

    def _check_amount(self, asset: str, amount: Decimal) -> None:
        facts = self._universe.assets.get(asset)
        if facts is None:
            raise UsageError(f"asset: {asset!r} is not listed; use the v2 name of a listed one")
        if amount < 0 or decimals_of(amount) > facts.decimals:
            raise UsageError(
                f"{asset}: {amount} can't be booked; use 0 or more with at most "
                f"{facts.decimals} decimals"
            )

    def _restate(self) -> None:
        """Work out which pairs match now; pairs that begin to do so clear what crosses."""
        was = self._still
        self._still = {
            symbol: False
            for symbol, pair in self._pairs.items()
            if not is_matching(self._engine, pair.status, self._settings)
        }
        for symbol in was:
            if symbol not in self._still:
                self._desk.reopen(symbol)
                self._tell(self._books[symbol])

    def _usd_price(self, asset: str) -> Decimal:
        """Return the worth of one unit in USD: the mid of its book, else about."""
        if asset == "USD":
            return Decimal(1)
        book = self._books.get(f"{asset}/USD")
        if book is not None and book.bids.keys and book.asks.keys:
            twice = book.asks.keys[0] - book.bids.keys[0]
            return Decimal(twice).scaleb(-self._pairs[book.symbol].price_decimals) / 2
        return to_nearest(Decimal(self._market.worth(asset)), 8)


def _is_set(level: Level) -> bool:
    return level[1] > 0


def _rescaled(pair: PairFacts, price_decimals: int | None, lot_decimals: int | None) -> PairFacts:
    """Return the pair with other decimals; tick and lot step stay as coarse as they were."""
    prices = pair.price_decimals if price_decimals is None else price_decimals
    lots = pair.lot_decimals if lot_decimals is None else lot_decimals
    if not (0 <= prices <= 12 and 0 <= lots <= 12):
        raise UsageError(f"{pair.symbol}: decimals {prices} and {lots}; choose from 0 to 12")
    return attrs.evolve(
        pair,
        price_decimals=prices,
        lot_decimals=lots,
        tick=pair.tick.scaleb(pair.price_decimals - prices),
        lot_step=pair.lot_step.scaleb(pair.lot_decimals - lots),
    )
