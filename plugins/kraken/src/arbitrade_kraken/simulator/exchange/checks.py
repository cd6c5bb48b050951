"""What the venue checks before an order reaches the engine, in its order.

Arguments first, then decimals and minimums, then what the account may trade, then the state of pair
and engine.  Counters, funds and the book come later, in the engine.
"""

import re
from decimal import Decimal

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.orders import NewOrder, Order, OrderRef, VenueRefusal
from arbitrade_kraken.simulator.exchange.rounding import decimals_of, is_multiple, product

DEFAULT_DEADLINE_NS = 5_000_000_000
_LATEST_DEADLINE_NS = 60_000_000_000
_EARLIEST_DEADLINE_NS = {"ws": 500_000_000, "rest": 2_000_000_000}
_MONTH_NS = 31 * 86_400 * 1_000_000_000

_CLOSED = ("maintenance", "work_in_progress", "delisted")
_UUID = re.compile(
    r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}"
)

_UNOFFERED = frozenset(
    {
        "iceberg", "stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit",
        "trailing-stop", "trailing-stop-limit", "settle-position",
    }
)  # fmt: skip


def invalid(what: str) -> VenueRefusal:
    """Return the refusal of a malformed request."""
    return VenueRefusal(f"EGeneral:Invalid arguments:{what}")


def check_order(order: NewOrder, pair: PairFacts, settings: ExchangeSettings, now_ns: int) -> None:
    """Check everything that needs neither account nor book.

    Raises:
        VenueRefusal: The first thing wrong.
    """
    _check_type(order)
    _check_ids(order)
    _check_numbers_given(order)
    _check_time_in_force(order, settings, now_ns)
    check_deadline(order.deadline_ns, order.received_ns, order.origin, now_ns)
    if order.quantity is not None:
        check_quantity(order.quantity, pair, settings)
    if order.limit_price is not None:
        check_price(order.limit_price, pair, settings)
        check_cost(order.quantity, order.limit_price, pair)
    if order.cash_quantity is not None and order.cash_quantity < pair.minimum_cost:
        raise VenueRefusal("EOrder:Cost minimum not met")


def check_deadline(
    deadline_ns: int | None, received_ns: int | None, origin: str, now_ns: int
) -> None:
    """Check that a deadline lies in the range its dialect allows."""
    if deadline_ns is None:
        return
    ahead = deadline_ns - (received_ns if received_ns is not None else now_ns)
    if not _EARLIEST_DEADLINE_NS[origin] <= ahead <= _LATEST_DEADLINE_NS:
        raise invalid("deadline")


def check_quantity(quantity: Decimal, pair: PairFacts, settings: ExchangeSettings) -> None:
    """Check sign, decimals and minimum of a quantity."""
    if quantity <= 0 or decimals_of(quantity) > pair.lot_decimals:
        raise invalid("volume")
    if quantity < pair.minimum_quantity:
        raise VenueRefusal(settings.below_minimum)


def check_price(price: Decimal, pair: PairFacts, settings: ExchangeSettings) -> None:
    """Check sign, decimals and tick of a price."""
    if price <= 0:
        raise VenueRefusal("EOrder:Invalid price")
    if decimals_of(price) > pair.price_decimals:
        raise VenueRefusal(
            f"EOrder:Invalid price:{pair.symbol} price can only be specified up to "
            f"{pair.price_decimals} decimals."
        )
    if not is_multiple(price, pair.tick):
        raise VenueRefusal(settings.off_tick)


def check_cost(quantity: Decimal | None, price: Decimal, pair: PairFacts) -> None:
    """Check the minimum worth of an order."""
    if quantity is not None and product(quantity, price) < pair.minimum_cost:
        raise VenueRefusal("EOrder:Cost minimum not met")


def check_country(pair: PairFacts, country: str, settings: ExchangeSettings) -> None:
    """Check that the account's country may trade both assets."""
    for asset in (pair.base, pair.quote):
        if asset in settings.restricted.get(country, ()):
            raise VenueRefusal(
                f"EAccount:Invalid permissions:{asset} trading restricted for {country}."
            )


def check_state(
    engine: str, status: str, *, is_limit: bool, is_post_only: bool, unavailable: str
) -> None:
    """Check that engine and pair take such an order now."""
    if engine == "maintenance" or status in _CLOSED:
        raise VenueRefusal(unavailable)
    if "cancel_only" in (engine, status):
        raise VenueRefusal("EService:Market in cancel_only mode")
    if status == "reduce_only":
        raise VenueRefusal("EService:Market in reduce_only mode")
    if "post_only" in (engine, status) and not is_post_only:
        raise VenueRefusal("EService:Market in post_only mode")
    if status == "limit_only" and not is_limit:
        raise VenueRefusal("EService:Market in limit_only mode")


def check_standing(account: CustomerAccount, ref: OrderRef, settings: ExchangeSettings) -> Order:
    """Return the open order meant, the oldest of several.

    Raises:
        VenueRefusal: There is none, or no more.
    """
    found = account.find_standing(ref)
    if not found:
        raise VenueRefusal(settings.gone_order)
    return found[0]


def check_cancels(engine: str, status: str, unavailable: str) -> None:
    """Check that orders can be cancelled now."""
    if engine == "maintenance" or status in _CLOSED:
        raise VenueRefusal(unavailable)


def is_matching(engine: str, status: str, settings: ExchangeSettings) -> bool:
    """True when orders of a pair meet each other now."""
    if engine != "online":
        return False
    return status in ("online", "reduce_only") or (
        status == "limit_only" and settings.matches_limit_only
    )


def _check_type(order: NewOrder) -> None:
    if order.order_type in _UNOFFERED or order.display_quantity is not None:
        raise invalid(f"ordertype {order.order_type} is not offered by this simulator")
    if order.order_type not in ("limit", "market"):
        raise invalid("ordertype")
    if order.margin:
        raise VenueRefusal("EOrder:Cannot open position")
    if order.reduce_only:
        raise VenueRefusal("EOrder:Reduce only:No position exists")
    if order.fee_preference not in (None, "base", "quote"):
        raise invalid("fee_preference")
    if order.stp_type not in ("cancel_newest", "cancel_oldest", "cancel_both"):
        raise invalid("stp_type")


def _check_ids(order: NewOrder) -> None:
    client_id, userref = order.client_id, order.userref
    if client_id is not None:
        if userref is not None:
            raise invalid("cl_ord_id and order_userref")
        if order.has_conditional:
            raise invalid("cl_ord_id and conditional")
        if not (_UUID.fullmatch(client_id) or (client_id.isascii() and 0 < len(client_id) <= 18)):
            raise invalid("cl_ord_id")
    if order.has_conditional:
        raise invalid("conditional close is not offered by this simulator")
    if userref is not None and not -(2**31) <= userref < 2**31:
        raise invalid("order_userref")


def _check_numbers_given(order: NewOrder) -> None:
    is_limit = order.order_type == "limit"
    if is_limit and order.limit_price is None:
        raise invalid("limit_price")
    if not is_limit and order.limit_price is not None:
        raise invalid("limit_price")
    if order.post_only and not is_limit:
        raise invalid("post_only")
    if order.cash_quantity is not None:
        if is_limit or order.side is Side.SELL or order.quantity is not None:
            raise invalid("cash_order_qty")
        if order.cash_quantity <= 0:
            raise invalid("cash_order_qty")
    elif order.quantity is None:
        raise invalid("volume")


def _check_time_in_force(order: NewOrder, settings: ExchangeSettings, now_ns: int) -> None:
    force = order.time_in_force
    if force not in ("gtc", "gtd", "ioc", "fok"):
        raise invalid("time_in_force")
    if force == "fok":
        if order.origin == "ws" and not settings.allow_fok_over_ws:
            raise invalid("time_in_force")
        if order.order_type != "limit":
            raise invalid("time_in_force")
    if order.post_only and force in ("ioc", "fok"):
        raise invalid("post_only")
    if (force == "gtd") != (order.expire_ns is not None):
        raise invalid("expire_time")
    if order.expire_ns is not None and not now_ns < order.expire_ns <= now_ns + _MONTH_NS:
        raise invalid("expire_time")
    if order.effective_ns is not None and order.effective_ns > now_ns:
        raise invalid("effective_time is not offered by this simulator")
