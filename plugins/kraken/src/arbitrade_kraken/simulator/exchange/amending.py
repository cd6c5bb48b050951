"""Where orders are changed in place: an order keeps its id, and its place if it only shrinks."""

from decimal import Decimal

import attrs

from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange import rates
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.checks import (
    check_cost,
    check_deadline,
    check_price,
    check_quantity,
    check_standing,
    check_state,
    invalid,
)
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.orders import Amended, Amendment, Order, VenueRefusal
from arbitrade_kraken.simulator.exchange.rounding import decimals_of, product
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.state import ExchangeState
from arbitrade_kraken.simulator.exchange.telling import Teller


class Amending:
    """Changes orders that stand; what it can't change it refuses by `VenueRefusal`."""

    def __init__(
        self,
        state: ExchangeState,
        matching: Matching,
        settlement: Settlement,
        settings: ExchangeSettings,
        clock: Clock,
        ids: Identifiers,
        teller: Teller,
    ) -> None:
        self._state = state
        self._matching = matching
        self._settlement = settlement
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._teller = teller

    def amend(self, account: CustomerAccount, amendment: Amendment) -> Amended:
        """Change an order; anything but a smaller quantity sends it to the back of the queue."""
        order = check_standing(account, amendment.ref, self._settings)
        pair = self._state.pairs[order.symbol]
        now = self._clock.now_ns()
        account.counters.check(pair.symbol, now)
        quantity = amendment.quantity if amendment.quantity is not None else order.quantity
        price = amendment.limit_price if amendment.limit_price is not None else order.limit_price
        is_ending = quantity <= order.filled
        age = now - order.aged_ns
        # The fixed part is paid whatever comes of it; the part by age only by an order that stays.
        account.counters.add(
            pair.symbol, rates.cancel_points(age) if is_ending else rates.AMEND, now
        )
        check_deadline(amendment.deadline_ns, amendment.received_ns, amendment.origin, now)
        self._check_amendment(amendment, order, pair, quantity, price)
        if amendment.deadline_ns is not None and now > amendment.deadline_ns:
            raise VenueRefusal("EService:Deadline elapsed")
        self._teller.touch(pair.symbol)
        amend_id = self._ids.execution()
        if is_ending:
            self._matching.end(order, self._settings.reasons.below_filled)
            return Amended(amend_id, order.copy())
        self._check_taking(order, price, is_post_only=amendment.post_only or order.post_only)
        self._rehold(account, pair, order, quantity, price)
        account.counters.add(pair.symbol, rates.amend_points(age), now)
        # An order that only shrinks stays where it is.  Any other leaves the book on its old terms
        # and comes back on its new ones, behind everything at its price.
        keeps_place = price == order.limit_price and quantity < order.quantity
        if not keeps_place:
            self._matching.take_out(order)
        self._change(order, pair, quantity, price)
        if keeps_place:
            self._matching.shrink(order)
        self._matching.report(order, "amended", self._settings.reasons.user)
        if not keeps_place:
            self._matching.run(order, is_matching=self._state.is_matching(pair.symbol))
        return Amended(amend_id, order.copy())

    def _check_amendment(
        self,
        amendment: Amendment,
        order: Order,
        pair: PairFacts,
        quantity: Decimal,
        price: Decimal | None,
    ) -> None:
        if amendment.display_quantity is not None:
            raise invalid("display_qty")
        if quantity == order.quantity and price == order.limit_price:
            raise invalid("nothing to amend")
        check_state(
            self._state.engine,
            pair.status,
            is_limit=True,
            is_post_only=order.post_only or amendment.post_only,
            unavailable=self._settings.unavailable,
        )
        if price is not None and price != order.limit_price:
            check_price(price, pair, self._settings)
        if quantity > order.filled:
            check_quantity(quantity, pair, self._settings)
            if price is not None:
                check_cost(quantity, price, pair)
        elif quantity < 0 or decimals_of(quantity) > pair.lot_decimals:
            raise invalid("volume")

    def _check_taking(self, order: Order, price: Decimal | None, *, is_post_only: bool) -> None:
        if is_post_only and self._matching.would_take(attrs.evolve(order, limit_price=price)):
            raise VenueRefusal("EOrder:Post only order")

    def _rehold(
        self,
        account: CustomerAccount,
        pair: PairFacts,
        order: Order,
        quantity: Decimal,
        price: Decimal | None,
    ) -> None:
        """Hold what the changed order needs, or refuse."""
        remaining = quantity - order.filled
        cost = product(remaining, price) if price is not None else Decimal(0)
        needed = self._settlement.needed(account, pair, order, remaining, cost)
        asset = self._settlement.spent_asset(pair, order.side)
        if needed > account.available(asset) + order.held:
            raise VenueRefusal("EOrder:Insufficient funds")
        self._settlement.hold(account, pair, order, needed)

    def _change(
        self, order: Order, pair: PairFacts, quantity: Decimal, price: Decimal | None
    ) -> None:
        order.quantity = quantity.quantize(Decimal(1).scaleb(-pair.lot_decimals))
        order.limit_price = price
        order.amended = True
        order.aged_ns = self._clock.now_ns()
        order.status = "partially_filled" if order.filled else "new"
