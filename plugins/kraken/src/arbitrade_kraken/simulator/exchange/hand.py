"""The hand from outside: what no client of the venue can ask for, but a test or an operator can."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.errors import UsageError
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.accounts import Accounts, CustomerAccount
from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import EngineChanged, LedgerEntry, PairChanged
from arbitrade_kraken.simulator.exchange.fees import Volume
from arbitrade_kraken.simulator.exchange.keys import VerificationTier
from arbitrade_kraken.simulator.exchange.listed import ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.market import Market
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.exchange.rates import TradingCounters
from arbitrade_kraken.simulator.exchange.rounding import decimals_of
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.state import ExchangeState
from arbitrade_kraken.simulator.exchange.telling import Teller

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


class Hand:
    """Opens accounts, moves money, changes the venue, and trades as strangers do.

    What it does is told as if the venue had done it by itself.  Wishes that make no sense raise
    `UsageError`; a pair that is not listed raises `VenueRefusal`, as it does for clients.
    """

    def __init__(
        self,
        listed: ListedPairs,
        market: Market,
        state: ExchangeState,
        accounts: Accounts,
        books: Mapping[str, MatchingBook],
        matching: Matching,
        settlement: Settlement,
        settings: ExchangeSettings,
        teller: Teller,
    ) -> None:
        self._listed = listed
        self._market = market
        self._state = state
        self._accounts = accounts
        self._books = books
        self._matching = matching
        self._settlement = settlement
        self._settings = settings
        self._teller = teller

    # ── accounts and their money ─────────────────────────────────────────────────────────────────

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
        chosen = tier if tier is not None else VerificationTier.INTERMEDIATE
        counters = TradingCounters(chosen, self._settings.domain_limit)
        account = CustomerAccount(name, chosen, country, Volume(volume), counters)
        self._accounts.add(account)
        for asset, amount in (balances or {}).items():
            # A deposit like any other in the ledger; set down apart, so that flows can tell it.
            self.deposit(name, asset, amount)
            account.opening[asset] = amount
        return account

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
        row = self._settlement.book(self._accounts.get(account), kind, asset, amount, wallet=wallet)
        self._teller.emit(row)
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
        owner = self._accounts.get(account)
        if amount + fee > owner.available(asset):
            raise VenueRefusal("EFunding:Insufficient funds")
        row = self._settlement.book(owner, "withdrawal", asset, -amount, fee)
        self._teller.emit(row)
        return row

    # ── the venue ────────────────────────────────────────────────────────────────────────────────

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
        pair = self._state.pair(symbol)
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
        old_decimals = (pair.price_decimals, pair.lot_decimals)
        is_rescaled = (new.price_decimals, new.lot_decimals) != old_decimals
        if is_rescaled:
            self._rescale(pair, new)
        else:
            self._state.set_pair(new)
        self._teller.emit(PairChanged(symbol, is_rescaled))
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
        if state == self._state.engine:
            return
        self._state.engine = state
        self._teller.emit(EngineChanged(state))
        self._restate()

    # ── strangers ────────────────────────────────────────────────────────────────────────────────

    def trade(self, symbol: str, *, side: Side, quantity: Decimal) -> None:
        """Let somebody else's market order hit the book, our resting orders included.

        Raises:
            UsageError: The pair does not match now.
        """
        pair = self._matching_pair(symbol)
        book = self._books[symbol]
        self._matching.hit(book, side, int(quantity.scaleb(pair.lot_decimals)))
        self._teller.tell(book)

    def quote(self, symbol: str, *, side: Side, price: Decimal, quantity: Decimal) -> None:
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
            # `arrive` takes ours alone and stops at quantity of strangers, because theirs never
            # cross in a market that is made or recorded.  Here they may; it goes price by price.
            left = self._matching.arrive(book, side, key, lots)
            best = other.keys[0] if other.keys else None
            if left == lots and best is not None and best <= -key:
                taken = min(lots, other.lots[best])
                self._matching.take_strangers(book, side, best, taken)
                left = lots - taken
            lots = left
        if lots:
            own.put(key, own.market(key) + lots)
        self._teller.tell(book)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _rescale(self, pair: PairFacts, new: PairFacts) -> None:
        """Bring a pair and its book to other decimals."""
        book = self._books[pair.symbol]
        # Orders go, and are told to go, while their prices still mean what they meant.
        self._end_all(pair.symbol, self._settings.reasons.rescaled)
        self._teller.tell(book)
        self._state.set_pair(new)
        book.rescale(
            new.price_decimals - pair.price_decimals,
            new.lot_decimals - pair.lot_decimals,
            int(new.tick.scaleb(new.price_decimals)),
        )
        self._market.on_rescaled(book, new)

    def _end_all(self, symbol: str, reason: str) -> None:
        """End every order of a pair, whoever's."""
        for account in self._accounts.all():
            for order in tuple(account.standing.values()):
                if order.symbol == symbol:
                    self._matching.end(order, reason)

    def _restate(self) -> None:
        """Let pairs that begin to match clear what came to cross while they didn't."""
        for symbol in self._state.restate():
            self._matching.reopen(symbol)
            self._teller.tell(self._books[symbol])

    def _matching_pair(self, symbol: str) -> PairFacts:
        pair = self._state.pair(symbol)
        if not self._state.is_matching(symbol):
            raise UsageError(
                f"{symbol}: does not match now (engine {self._state.engine}, pair "
                f"{pair.status}); set both to online first"
            )
        return pair

    def _check_amount(self, asset: str, amount: Decimal) -> None:
        facts = self._listed.assets.get(asset)
        if facts is None:
            raise UsageError(f"asset: {asset!r} is not listed; use the v2 name of a listed one")
        if amount < 0 or decimals_of(amount) > facts.decimals:
            raise UsageError(
                f"{asset}: {amount} can't be booked; use 0 or more with at most "
                f"{facts.decimals} decimals"
            )


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
