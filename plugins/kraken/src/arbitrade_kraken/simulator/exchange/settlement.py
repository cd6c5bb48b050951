"""From fills to money: fees, ledger rows, holds."""

from collections.abc import Callable
from decimal import Decimal

import attrs

from arbitrade.models import Side
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import ExchangeEvent, LedgerEntry, OrderEvent
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.fees import FeeQuote, fee_schedules
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.listed import ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.orders import ZERO, Order, OrderFill
from arbitrade_kraken.simulator.exchange.rounding import product, to_nearest, up
from arbitrade_kraken.simulator.exchange.worth import UsdPrices


class Settlement:
    """Books what happens to accounts.

    Where rounding to ledger precision would take a last unit more than an order holds, it comes out
    of what is free; where nothing is, the fee is cut by it, then the amount.  So nothing a customer
    may use goes negative, and every row still says balance = balance before + amount − fee.
    """

    def __init__(
        self,
        listed: ListedPairs,
        settings: ExchangeSettings,
        clock: Clock,
        ids: Identifiers,
        faults: Faults,
        emit: Callable[[ExchangeEvent], None],
        prices: UsdPrices,
    ) -> None:
        self._assets = listed.assets
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._faults = faults
        self._emit = emit
        self._prices = prices

    # ── fees and holds ───────────────────────────────────────────────────────────────────────────

    def fee_quote(self, account: CustomerAccount, pair: PairFacts) -> FeeQuote:
        """Return what an account pays on a pair now."""
        volume = account.volume.at(self._clock.now_ns())
        return fee_schedules()[pair.schedule].quote(pair.symbol, volume)

    def needed(
        self,
        account: CustomerAccount,
        pair: PairFacts,
        order: Order,
        quantity: Decimal,
        cost: Decimal,
    ) -> Decimal:
        """Return what an order has to hold for so much, exactly; fees as a taker.

        In quote for a buy, in base for a sell.
        """
        rate = self.fee_quote(account, pair).taker.rate
        spent = cost if order.side is Side.BUY else quantity
        if order.fee_in_base is (order.side is Side.SELL):
            return product(spent, 1 + rate)
        return spent

    def spent_asset(self, pair: PairFacts, side: Side) -> str:
        """Return the asset an order of this side holds."""
        return pair.quote if side is Side.BUY else pair.base

    def hold(
        self, account: CustomerAccount, pair: PairFacts, order: Order, needed: Decimal
    ) -> None:
        """Let an order hold what it needs, in whole units of the ledger."""
        asset = self.spent_asset(pair, order.side)
        account.hold(order, asset, up(needed, self.decimals(asset)))

    def release(self, account: CustomerAccount, pair: PairFacts, order: Order) -> None:
        """Let an order hold nothing."""
        account.hold(order, self.spent_asset(pair, order.side), ZERO)

    def decimals(self, asset: str) -> int:
        """Return an asset's ledger precision."""
        return self._assets[asset].decimals

    # ── fills ────────────────────────────────────────────────────────────────────────────────────

    def fill(
        self,
        account: CustomerAccount,
        pair: PairFacts,
        order: Order,
        price: Decimal,
        quantity: Decimal,
        trade_id: int,
        *,
        is_maker: bool,
    ) -> OrderFill:
        """Book one fill: the order, the two ledger rows, the volume, the hold; tell of each."""
        made = self._make(account, pair, order, price, quantity, trade_id, is_maker=is_maker)
        # Cut first, then booked and told: the report never says another amount than the ledger.
        fill = self._affordable(account, pair, order, made)
        order.filled += fill.quantity
        order.cost += fill.cost
        order.fee += fill.fee_in_quote
        order.fills.append(fill.exec_id)
        order.status = "partially_filled"
        account.fills.append(fill)
        rows = self._book_fill(account, pair, order, fill)
        if fee_schedules()[pair.schedule].counts:
            usd = to_nearest(fill.cost * self._prices.of(pair.quote), 4)
            account.volume.add(fill.time_ns, usd)
        if not order.remaining:
            order.status = "filled"
            order.closed_ns = fill.time_ns
            account.close(order)
        # As recorded: a last fill still says partially filled, its balances follow, and that the
        # order is filled is a report of its own after them.
        self._report(account, order, "trade", "partially_filled", fill)
        for row in rows:
            self._emit(row)
        if not order.remaining:
            self._report(account, order, "filled", "filled")
        return fill

    def _make(
        self,
        account: CustomerAccount,
        pair: PairFacts,
        order: Order,
        price: Decimal,
        quantity: Decimal,
        trade_id: int,
        *,
        is_maker: bool,
    ) -> OrderFill:
        """Return the fill as it would be if there were enough of everything."""
        quote = self.fee_quote(account, pair)
        exact = product(price, quantity)
        rate = (quote.maker if is_maker else quote.taker).rate
        fee, fee_asset, in_quote = self._fee(order, pair, exact, quantity, rate)
        return OrderFill(
            exec_id=self._ids.execution(),
            trade_id=trade_id,
            order_id=order.order_id,
            account=account.name,
            symbol=pair.symbol,
            side=order.side,
            order_type=order.order_type,
            price=to_nearest(price, pair.price_decimals),
            quantity=to_nearest(quantity, pair.lot_decimals),
            cost=to_nearest(exact, pair.cost_decimals),
            fee=fee,
            fee_asset=fee_asset,
            fee_in_quote=in_quote,
            is_maker=is_maker,
            time_ns=self._clock.now_ns(),
            ledger_ids=(self._ids.ledger(), self._ids.ledger()),
        )

    def _affordable(
        self, account: CustomerAccount, pair: PairFacts, order: Order, fill: OrderFill
    ) -> OrderFill:
        """Return the fill with what it takes cut to what there is: it says what is booked."""
        spent = self.spent_asset(pair, order.side)
        is_buy = order.side is Side.BUY
        sold = self._moved(order.filled, order.filled + fill.quantity, pair.base)
        paid = self._booked(fill.cost, spent) if is_buy else sold
        fee = self._booked(fill.fee, spent) if fill.fee_asset == spent else ZERO
        kept, kept_fee = _cut(paid, fee, order.held, account.available(spent))
        if kept_fee != fee:
            in_quote = kept_fee if spent == pair.quote else fill.fee_in_quote
            fill = attrs.evolve(fill, fee=kept_fee, fee_in_quote=in_quote)
        return attrs.evolve(fill, cost=kept) if is_buy and kept != paid else fill

    def _fee(
        self, order: Order, pair: PairFacts, cost: Decimal, quantity: Decimal, rate: Decimal
    ) -> tuple[Decimal, str, Decimal]:
        """Return the fee, its asset and its worth in quote."""
        mode = self._settings.fee_rounding
        in_quote = to_nearest(product(cost, rate), pair.cost_decimals, mode)
        in_base = order.fee_in_base
        if self._faults.take("fee_currency", symbol=pair.symbol, account=order.account):
            in_base = not in_base
        if not in_base:
            return in_quote, pair.quote, in_quote
        return (
            to_nearest(product(quantity, rate), self.decimals(pair.base), mode),
            pair.base,
            in_quote,
        )

    def _book_fill(
        self, account: CustomerAccount, pair: PairFacts, order: Order, fill: OrderFill
    ) -> tuple[LedgerEntry, LedgerEntry]:
        is_buy = order.side is Side.BUY
        spent, got = (pair.quote, pair.base) if is_buy else (pair.base, pair.quote)
        base = self._moved(order.filled - fill.quantity, order.filled, pair.base)
        cost = self._booked(fill.cost, pair.quote)
        paid, received = (cost, base) if is_buy else (base, cost)
        fee = self._booked(fill.fee, fill.fee_asset)
        paid_fee = fee if fill.fee_asset == spent else ZERO
        got_fee = fee if fill.fee_asset == got else ZERO
        free = account.available(spent)
        paid, paid_fee = _cut(paid, paid_fee, order.held, free)
        still = self._still_needed(account, pair, order)
        # Rounding may ask for a unit more than is left of the hold; nothing is held anew for it.
        left = max(ZERO, order.held - paid - paid_fee)
        account.hold(order, spent, min(up(still, self.decimals(spent)), left))
        first, second = fill.ledger_ids
        row = self.book(account, "trade", spent, -paid, paid_fee, fill.exec_id, first)
        return row, self.book(account, "trade", got, received, got_fee, fill.exec_id, second)

    def _still_needed(self, account: CustomerAccount, pair: PairFacts, order: Order) -> Decimal:
        if not order.remaining:
            return ZERO
        if order.limit_price is None:
            # A market order is about to go on or to end; what it held stays until then.
            return order.held
        cost = product(order.remaining, order.limit_price)
        return self.needed(account, pair, order, order.remaining, cost)

    def _moved(self, before: Decimal, after: Decimal, asset: str) -> Decimal:
        """Return what is booked of base as an order's filled quantity goes from here to there.

        Lots may be finer than the ledger; so all fills of an order together are never booked as
        more than it asked for, rounded.
        """
        return self._booked(after, asset) - self._booked(before, asset)

    def _booked(self, amount: Decimal, asset: str) -> Decimal:
        return to_nearest(amount, self.decimals(asset), self._settings.ledger_rounding)

    # ── ledger ───────────────────────────────────────────────────────────────────────────────────

    def book(
        self,
        account: CustomerAccount,
        kind: str,
        asset: str,
        amount: Decimal,
        fee: Decimal = ZERO,
        reference: str | None = None,
        ledger_id: str | None = None,
        wallet: str = "main",
    ) -> LedgerEntry:
        """Write one row and change the balance by it; telling of it is the caller's."""
        wallets = account.totals if wallet == "main" else account.earning
        balance = wallets.get(asset, ZERO) + amount - fee
        wallets[asset] = to_nearest(balance, self.decimals(asset))
        row = LedgerEntry(
            account=account.name,
            ledger_id=ledger_id or self._ids.ledger(),
            reference=reference or self._ids.reference(),
            kind=kind,
            asset=asset,
            amount=to_nearest(amount, self.decimals(asset)),
            fee=to_nearest(fee, self.decimals(asset)),
            balance=wallets[asset],
            wallet=wallet,
            time_ns=self._clock.now_ns(),
        )
        account.ledger.append(row)
        return row

    def _report(
        self,
        account: CustomerAccount,
        order: Order,
        kind: str,
        status: str,
        fill: OrderFill | None = None,
    ) -> None:
        now = self._clock.now_ns()
        counter = account.counters.value(order.symbol, now)
        self._emit(OrderEvent(account.name, kind, status, order.copy(), fill, None, counter, now))


def _cut(paid: Decimal, fee: Decimal, held: Decimal, free: Decimal) -> tuple[Decimal, Decimal]:
    """Cut what a fill takes to what the order holds; beyond that it may reach for `free`.

    Rounding reaches for a last unit too many now and then: the fee is cut by it.  A fill worse than
    the limit, a fault, costs more: that comes out of what no order holds.
    """
    over = paid + fee - held - free
    if over <= 0:
        return paid, fee
    from_fee = min(over, max(fee, ZERO))
    return paid - (over - from_fee), fee - from_fee
