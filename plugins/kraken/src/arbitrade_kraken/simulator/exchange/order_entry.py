"""Where requests about orders arrive: checks, counters, funds; then the engine.

The order of the checks: pair, counter (its fixed part is paid whatever comes after), arguments,
decimals and minimums, country, state, duplicate client id, open orders, funds, post-only, deadline.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from heapq import heappop, heappush

import attrs

from arbitrade.models import Side
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange import rates
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.checks import (
    DEFAULT_DEADLINE_NS,
    check_cancels,
    check_cost,
    check_country,
    check_deadline,
    check_order,
    check_price,
    check_quantity,
    check_state,
    invalid,
    is_matching,
)
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.orders import (
    Amendment,
    Edit,
    NewOrder,
    Order,
    OrderRef,
    VenueRefusal,
)
from arbitrade_kraken.simulator.exchange.rounding import decimals_of, product
from arbitrade_kraken.simulator.exchange.settlement import Settlement

_SECOND_NS = 1_000_000_000


@attrs.frozen
class Placed:
    """An order was taken.  Answer of `Exchange.add_order` and of a row of a batch.

    Args:
        order: As it stood when the call ended, filled perhaps; its `order_id` is empty for
            `validate`; None in a refused row.
        description: `buy 2.89018610 SOLEUR @ limit 172.31`, what REST calls `descr.order`.
        refusal: Why not, in a row of a batch; None for an order that was taken.
    """

    order: Order | None
    description: str
    refusal: str | None = None


@attrs.frozen
class Amended:
    """An order was changed in place."""

    amend_id: str
    order: Order


@attrs.frozen
class DeadManSwitch:
    """Answer of `cancel_all_after`, in whole seconds; `trigger_s` is None when disarmed."""

    current_s: int
    trigger_s: int | None


@attrs.frozen
class CancelResult:
    """One row of the answer to a cancel: the order, or why not."""

    ref: OrderRef
    order: Order | None
    refusal: str | None = None


class OrderEntry:
    """Takes requests of accounts; raises `VenueRefusal`."""

    def __init__(
        self,
        pairs: Mapping[str, PairFacts],
        accounts: Mapping[str, CustomerAccount],
        matching: Matching,
        settlement: Settlement,
        settings: ExchangeSettings,
        clock: Clock,
        faults: Faults,
        ids: Identifiers,
        engine: Callable[[], str],
    ) -> None:
        self._pairs = pairs
        self._accounts = accounts
        self._matching = matching
        self._settlement = settlement
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._ids = ids
        self._engine = engine
        self._touched: dict[str, None] = {}
        self._expiries: list[tuple[int, str, str]] = []

    def touched(self) -> Sequence[str]:
        """Return the pairs whose books may have changed since the last call."""
        symbols = tuple(self._touched)
        self._touched.clear()
        return symbols

    # ── add ──────────────────────────────────────────────────────────────────────────────────────

    def add(self, account: CustomerAccount, request: NewOrder) -> Placed:
        """Take one order."""
        pair = self._pair(request.symbol)
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
        pair = self._pair(requests[0].symbol)
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

    def _validate(self, account: CustomerAccount, pair: PairFacts, request: NewOrder) -> None:
        check_order(request, pair, self._settings, self._clock.now_ns())
        check_country(pair, account.country, self._settings)
        check_state(
            self._engine(),
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
        if request.validate:
            return Placed(attrs.evolve(order, order_id=""), description)
        order.order_id = self._ids.order()
        order.replaces = replaces
        account.orders[order.order_id] = account.standing[order.order_id] = order
        if order.client_id is not None:
            account.clients[order.client_id] = order.order_id
        self._settlement.hold(account, pair, order, needed)
        if order.expire_ns is not None:
            heappush(self._expiries, (order.expire_ns, account.name, order.order_id))
        self._touched[pair.symbol] = None
        self._matching.report(order, "pending_new")
        order.status = "new"
        self._matching.report(order, "new")
        self._matching.run(order, is_matching=self._is_matching(pair))
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

    # ── change ───────────────────────────────────────────────────────────────────────────────────

    def amend(self, account: CustomerAccount, amendment: Amendment) -> Amended:
        """Change an order in place: quantity down keeps its place, anything else goes back."""
        order = self._standing(account, amendment.ref)
        pair = self._pairs[order.symbol]
        now = self._clock.now_ns()
        account.counters.check(pair.symbol, now)
        quantity = amendment.quantity if amendment.quantity is not None else order.quantity
        price = amendment.limit_price if amendment.limit_price is not None else order.limit_price
        is_ending = quantity <= order.filled
        age = now - order.aged_ns
        account.counters.add(
            pair.symbol, rates.cancel_points(age) if is_ending else rates.AMEND, now
        )
        check_deadline(amendment.deadline_ns, amendment.received_ns, amendment.origin, now)
        self._check_amendment(amendment, order, pair, quantity, price)
        if amendment.deadline_ns is not None and now > amendment.deadline_ns:
            raise VenueRefusal("EService:Deadline elapsed")
        self._touched[pair.symbol] = None
        amend_id = self._ids.execution()
        if is_ending:
            self._matching.end(order, self._settings.reasons.below_filled)
            return Amended(amend_id, order.copy())
        self._check_taking(order, price, is_post_only=amendment.post_only or order.post_only)
        self._rehold(account, pair, order, quantity, price)
        account.counters.add(pair.symbol, rates.amend_points(age), now)
        keeps_place = price == order.limit_price and quantity < order.quantity
        if not keeps_place:
            self._matching.take_out(order)
        self._change(order, pair, quantity, price)
        if keeps_place:
            self._matching.shrink(order)
        self._matching.report(order, "amended", self._settings.reasons.user)
        if not keeps_place:
            self._matching.run(order, is_matching=self._is_matching(pair))
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
            self._engine(),
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

    def edit(self, account: CustomerAccount, edit: Edit) -> Placed:
        """Cancel an order and place another with a new id."""
        order = self._standing(account, edit.ref)
        pair = self._pair(edit.symbol)
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
        candidate = self._make(account, pair, request)
        asset = self._settlement.spent_asset(pair, order.side)
        if self._needed(account, pair, candidate) > account.available(asset) + order.held:
            raise VenueRefusal("EOrder:Insufficient funds")
        if candidate.post_only and self._matching.would_take(candidate):
            raise VenueRefusal("EOrder:Post only order")
        if edit.validate:
            return Placed(candidate, describe(request, pair))
        account.counters.add(pair.symbol, rates.edit_points(now - order.aged_ns), now)
        self._touched[pair.symbol] = None
        self._matching.end(order, self._settings.reasons.replaced)
        return self._enter(account, pair, request, order.order_id)

    # ── cancel ───────────────────────────────────────────────────────────────────────────────────

    def cancel(self, account: CustomerAccount, refs: Sequence[OrderRef]) -> Sequence[CancelResult]:
        """Cancel each of these; a row for each order."""
        rows: list[CancelResult] = []
        for ref in refs:
            found = self._find_standing(account, ref)
            if not found:
                rows.append(CancelResult(ref, None, self._settings.gone_order))
            for order in found:
                try:
                    self._cancel_one(
                        account, order, is_counted=not self._settings.cancels_when_full
                    )
                    rows.append(CancelResult(ref, order.copy()))
                except VenueRefusal as refusal:
                    rows.append(CancelResult(ref, None, str(refusal)))
        return rows

    def cancel_batch(self, account: CustomerAccount, refs: Sequence[OrderRef]) -> int:
        """Cancel 2 to 50; carried out even if it overshoots the counter."""
        if not 2 <= len(refs) <= 50:
            raise invalid("orders")
        for symbol in {order.symbol for ref in refs for order in self._find_standing(account, ref)}:
            account.counters.check(symbol, self._clock.now_ns())
        orders = [order for ref in refs for order in self._find_standing(account, ref)]
        return self._cancel_these(account, {order.order_id: order for order in orders})

    def cancel_all(self, account: CustomerAccount) -> int:
        """Cancel everything that stands."""
        return self._cancel_these(account, dict(account.standing))

    def cancel_all_after(self, account: CustomerAccount, timeout_s: int) -> DeadManSwitch:
        """Arm or disarm the dead man's switch; whole seconds."""
        if not 0 <= timeout_s < 86_400:
            raise invalid("timeout")
        now_s = self._clock.now_ns() // _SECOND_NS
        account.dead_man_s = now_s + timeout_s if timeout_s else None
        return DeadManSwitch(now_s, account.dead_man_s)

    def end_all(self, symbol: str, reason: str) -> None:
        """End every order of a pair, whoever's."""
        for account in self._accounts.values():
            for order in tuple(account.standing.values()):
                if order.symbol == symbol:
                    self._matching.end(order, reason)

    def reopen(self, symbol: str) -> None:
        """Match anew what came to cross while the pair did not match, as if it arrived in order."""
        crossing = [
            order
            for account in self._accounts.values()
            for order in account.standing.values()
            if order.symbol == symbol and self._matching.would_take(order)
        ]
        for order in crossing:
            self._matching.take_out(order)
        # Sorting keeps the order of arrival among those of the same moment.
        for order in sorted(crossing, key=lambda order: order.aged_ns):
            if order.is_open:
                self._matching.run(order, is_matching=True)

    def _cancel_these(self, account: CustomerAccount, orders: Mapping[str, Order]) -> int:
        count = 0
        for order in orders.values():
            try:
                self._cancel_one(account, order, is_counted=False)
            except VenueRefusal:
                continue
            count += 1
        return count

    def _cancel_one(
        self,
        account: CustomerAccount,
        order: Order,
        *,
        is_counted: bool,
    ) -> None:
        """Cancel an order and charge for it; `is_counted` refuses while the counter is full."""
        pair, now = self._pairs[order.symbol], self._clock.now_ns()
        check_cancels(self._engine(), pair.status, self._settings.unavailable)
        if is_counted:
            account.counters.check(pair.symbol, now)
        account.counters.add(pair.symbol, rates.cancel_points(now - order.aged_ns), now)
        self._touched[pair.symbol] = None
        self._matching.end(order, self._settings.reasons.user)

    # ── timers ───────────────────────────────────────────────────────────────────────────────────

    def run_timers(self) -> Sequence[str]:
        """Fire what is due; return the pairs whose books may have changed."""
        if self._engine() == "maintenance":
            return ()
        now = self._clock.now_ns()
        for account in self._accounts.values():
            if account.dead_man_s is not None and account.dead_man_s * _SECOND_NS <= now:
                account.dead_man_s = None
                for order in tuple(account.standing.values()):
                    self._touched[order.symbol] = None
                    self._matching.end(order, self._settings.reasons.dead_man)
        while self._expiries and self._expiries[0][0] <= now:
            _, name, order_id = heappop(self._expiries)
            expired = self._accounts[name].standing.get(order_id)
            if expired is not None:
                self._touched[expired.symbol] = None
                self._matching.end(expired, self._settings.reasons.expiry, "expired")
        return self.touched()

    def next_timer_ns(self) -> int | None:
        """Return when something falls due next."""
        due = [
            account.dead_man_s * _SECOND_NS
            for account in self._accounts.values()
            if account.dead_man_s is not None
        ]
        due += [self._expiries[0][0]] if self._expiries else []
        return min(due, default=None)

    # ── finding ──────────────────────────────────────────────────────────────────────────────────

    def _pair(self, symbol: str) -> PairFacts:
        pair = self._pairs.get(symbol)
        if pair is None:
            raise VenueRefusal("EQuery:Unknown asset pair")
        return pair

    def _charge(self, account: CustomerAccount, symbol: str, points: Decimal) -> None:
        now = self._clock.now_ns()
        account.counters.check(symbol, now)
        account.counters.add(symbol, points, now)

    def _find_standing(self, account: CustomerAccount, ref: OrderRef) -> Sequence[Order]:
        if ref.order_id is not None:
            order = account.standing.get(ref.order_id)
            return () if order is None else (order,)
        if ref.client_id is not None:
            order = account.standing.get(account.clients.get(ref.client_id, ""))
            return () if order is None else (order,)
        if ref.userref is None:
            return ()
        return tuple(o for o in account.standing.values() if o.userref == ref.userref)

    def _standing(self, account: CustomerAccount, ref: OrderRef) -> Order:
        found = self._find_standing(account, ref)
        if not found:
            raise VenueRefusal(self._settings.gone_order)
        return found[0]

    def _is_matching(self, pair: PairFacts) -> bool:
        return is_matching(self._engine(), pair.status, self._settings)


def describe(request: NewOrder, pair: PairFacts) -> str:
    """Return an order in the words of REST's `descr.order`."""
    amount = request.quantity if request.quantity is not None else request.cash_quantity
    text = f"{request.side.value} {amount:.{pair.lot_decimals}f} {pair.altname} @ "
    if request.limit_price is None:
        return text + request.order_type
    return f"{text}{request.order_type} {request.limit_price:.{pair.price_decimals}f}"
