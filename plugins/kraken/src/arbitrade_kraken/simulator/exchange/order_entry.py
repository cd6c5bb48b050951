"""Where new orders arrive: checks, counters, funds; then the engine.

The order of the checks: pair, counter (its fixed part is paid whatever comes after), arguments,
decimals and minimums, country, state, duplicate client id, open orders, funds, post-only, deadline.
"""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from arbitrade.models import Side
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange import rates
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.checks import (
    DEFAULT_DEADLINE_NS,
    check_country,
    check_order,
    check_quantity,
    check_standing,
    check_state,
    invalid,
)
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.orders import Edit, NewOrder, Order, Placed, VenueRefusal
from arbitrade_kraken.simulator.exchange.rounding import product
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.state import ExchangeState
from arbitrade_kraken.simulator.exchange.telling import Teller
from arbitrade_kraken.simulator.exchange.timers import OrderTimers


class OrderEntry:
    """Takes new orders of accounts, edits included, which are new orders in an old one's stead.

    Every request may raise `VenueRefusal`.
    """

    def __init__(
        self,
        state: ExchangeState,
        matching: Matching,
        settlement: Settlement,
        timers: OrderTimers,
        settings: ExchangeSettings,
        clock: Clock,
        ids: Identifiers,
        teller: Teller,
    ) -> None:
        self._state = state
        self._matching = matching
        self._settlement = settlement
        self._timers = timers
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._teller = teller

    def add(self, account: CustomerAccount, request: NewOrder) -> Placed:
        """Take one order and match it at once."""
        pair = self._state.pair(request.symbol)
        self._charge(account, pair.symbol, rates.ADD)
        self._validate(account, pair, request)
        return self._enter(account, pair, request)

    def add_batch(self, account: CustomerAccount, requests: Sequence[NewOrder]) -> Sequence[Placed]:
        """Take a batch: validation refuses all, the engine refuses single rows."""
        if not 2 <= len(requests) <= 15:
            raise invalid("orders")
        symbols = {request.symbol for request in requests}
        if len(symbols) > 1:
            raise invalid("orders of one pair only")
        pair = self._state.pair(requests[0].symbol)
        self._charge(account, pair.symbol, rates.batch_points(len(requests)))
        for request in requests:
            self._validate(account, pair, request)
        named = [request.client_id for request in requests if request.client_id is not None]
        if len(set(named)) < len(named):
            raise VenueRefusal(self._settings.duplicate_client_id)
        rows = []
        for request in requests:
            try:
                rows.append(self._enter(account, pair, request))
            except VenueRefusal as refusal:
                rows.append(Placed(None, describe(request, pair), str(refusal)))
        return rows

    def edit(self, account: CustomerAccount, edit: Edit) -> Placed:
        """Cancel an order and place another with a new id."""
        order = check_standing(account, edit.ref, self._settings)
        pair = self._state.pair(edit.symbol)
        now = self._clock.now_ns()
        account.counters.check(pair.symbol, now)
        account.counters.add(pair.symbol, rates.EDIT, now)
        if order.symbol != edit.symbol:
            raise invalid("pair")
        if order.client_id is not None:
            raise invalid("cl_ord_id")
        request = NewOrder(
            symbol=order.symbol,
            side=order.side,
            quantity=edit.quantity if edit.quantity is not None else order.quantity,
            limit_price=edit.limit_price if edit.limit_price is not None else order.limit_price,
            time_in_force=order.time_in_force,
            expire_ns=order.expire_ns,
            deadline_ns=edit.deadline_ns,
            received_ns=edit.received_ns,
            post_only=order.post_only if edit.post_only is None else edit.post_only,
            userref=edit.userref if edit.userref is not None else order.userref,
            fee_preference="base" if order.fee_in_base else "quote",
            stp_type=order.stp_type,
            validate=edit.validate,
            origin=edit.origin,
        )
        self._validate(account, pair, request)
        # Whether the new order can stand is asked before the old one goes, with what the old one
        # holds counted as free: an edit that is refused leaves everything as it was.
        candidate = self._make(account, pair, request)
        asset = self._settlement.spent_asset(pair, order.side)
        if self._needed(account, pair, candidate) > account.available(asset) + order.held:
            raise VenueRefusal("EOrder:Insufficient funds")
        if candidate.post_only and self._matching.would_take(candidate):
            raise VenueRefusal("EOrder:Post only order")
        if edit.validate:
            return Placed(candidate, describe(request, pair))
        account.counters.add(pair.symbol, rates.edit_points(now - order.aged_ns), now)
        self._teller.touch(pair.symbol)
        self._matching.end(order, self._settings.reasons.replaced)
        return self._enter(account, pair, request, order.order_id)

    def _validate(self, account: CustomerAccount, pair: PairFacts, request: NewOrder) -> None:
        check_order(request, pair, self._settings, self._clock.now_ns())
        check_country(pair, account.country, self._settings)
        check_state(
            self._state.engine,
            pair.status,
            is_limit=request.order_type == "limit",
            is_post_only=request.post_only,
            unavailable=self._settings.unavailable,
        )
        if request.client_id is not None and request.client_id in account.clients:
            raise VenueRefusal(self._settings.duplicate_client_id)

    def _enter(
        self,
        account: CustomerAccount,
        pair: PairFacts,
        request: NewOrder,
        replaces: str | None = None,
    ) -> Placed:
        """Check what the engine checks; then place and match."""
        standing = sum(order.symbol == pair.symbol for order in account.standing.values())
        if standing >= account.max_open_orders:
            raise VenueRefusal("EOrder:Orders limit exceeded")
        order = self._make(account, pair, request)
        needed = self._needed(account, pair, order)
        asset = self._settlement.spent_asset(pair, order.side)
        if needed > account.available(asset):
            raise VenueRefusal("EOrder:Insufficient funds")
        if order.post_only and self._matching.would_take(order):
            raise VenueRefusal("EOrder:Post only order")
        if self._clock.now_ns() > order.deadline_ns:
            raise VenueRefusal("EService:Deadline elapsed")
        description = describe(request, pair)
        # Up to here nothing has changed; an order that was only to be checked leaves no trace.
        if request.validate:
            return Placed(attrs.evolve(order, order_id=""), description)
        order.order_id = self._ids.order()
        order.replaces = replaces
        account.orders[order.order_id] = account.standing[order.order_id] = order
        if order.client_id is not None:
            account.clients[order.client_id] = order.order_id
        self._settlement.hold(account, pair, order, needed)
        self._timers.watch(account, order)
        self._teller.touch(pair.symbol)
        self._matching.report(order, "pending_new")
        order.status = "new"
        self._matching.report(order, "new")
        self._matching.run(order, is_matching=self._state.is_matching(pair.symbol))
        return Placed(order.copy(), description)

    def _make(self, account: CustomerAccount, pair: PairFacts, request: NewOrder) -> Order:
        now = self._clock.now_ns()
        received = request.received_ns if request.received_ns is not None else now
        in_base = request.fee_preference == "base" or (
            request.fee_preference is None
            and self._settings.default_fee_in_base
            and request.side is Side.SELL
        )
        order = Order(
            order_id="",
            account=account.name,
            symbol=pair.symbol,
            side=request.side,
            order_type=request.order_type,
            quantity=request.quantity if request.quantity is not None else Decimal(0),
            limit_price=request.limit_price,
            time_in_force=request.time_in_force,
            client_id=request.client_id,
            userref=request.userref,
            post_only=request.post_only,
            fee_in_base=in_base and self._settings.honour_fee_preference,
            stp_type=request.stp_type,
            created_ns=now,
            aged_ns=now,
            deadline_ns=request.deadline_ns or received + DEFAULT_DEADLINE_NS,
            expire_ns=request.expire_ns,
            cash_quantity=request.cash_quantity,
            origin=request.origin,
        )
        if order.cash_quantity is not None:
            # So much quote buys what the book gives for it now, in whole lots.
            lots = self._matching.affordable(order, order.cash_quantity)
            order.quantity = Decimal(lots).scaleb(-pair.lot_decimals)
            check_quantity(order.quantity, pair, self._settings)
        order.quantity = order.quantity.quantize(Decimal(1).scaleb(-pair.lot_decimals))
        return order

    def _needed(self, account: CustomerAccount, pair: PairFacts, order: Order) -> Decimal:
        if order.limit_price is not None:
            cost = product(order.quantity, order.limit_price)
        else:
            _, cost = self._matching.walk(order, self._matching.lots(order))
        return self._settlement.needed(account, pair, order, order.quantity, cost)

    def _charge(self, account: CustomerAccount, symbol: str, points: Decimal) -> None:
        now = self._clock.now_ns()
        account.counters.check(symbol, now)
        account.counters.add(symbol, points, now)


def describe(request: NewOrder, pair: PairFacts) -> str:
    """Return an order in the words of REST's `descr.order`."""
    amount = request.quantity if request.quantity is not None else request.cash_quantity
    text = f"{request.side.value} {amount:.{pair.lot_decimals}f} {pair.altname} @ "
    if request.limit_price is None:
        return text + request.order_type
    return f"{text}{request.order_type} {request.limit_price:.{pair.price_decimals}f}"
