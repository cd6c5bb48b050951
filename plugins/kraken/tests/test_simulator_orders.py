"""Orders at the simulated exchange: what is refused, what fills, what is told."""

from collections.abc import Callable, Sequence
from decimal import Decimal as D
from typing import Any

import attrs
import pytest

from arbitrade.clock import ReplayClock
from arbitrade.errors import UsageError
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import (
    EngineChanged,
    ExchangeEvent,
    LedgerEntry,
    OrderEvent,
    PairChanged,
    PublicTrade,
)
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.generated import GeneratedMarket
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.keys import VerificationTier
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import (
    Amendment,
    Edit,
    NewOrder,
    OrderRef,
    VenueRefusal,
)
from arbitrade_kraken.simulator.exchange.still import StillMarket

SECOND = 1_000_000_000
START = 1_767_603_600 * SECOND
SOL = "SOL/EUR"
QUOTES = {
    SOL: (
        [("172.28", "3"), ("172.25", "41"), ("172.10", "50")],
        [("172.31", "14.2"), ("172.33", "0.581"), ("172.40", "210")],
    ),
    "EUR/USD": ([("1.16510", "9000")], [("1.16520", "9000")]),
    "SOL/USD": ([("201.10", "40")], [("201.20", "40")]),
}


NUMBERS = ("quantity", "limit_price", "cash_quantity")


class Venue:
    """An exchange with still books, one funded account and everything it told."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ReplayClock(START)
        listed = ListedPairs.load().only([*QUOTES, "DOGE/BTC"])
        settings = ExchangeSettings(**settings)  # type: ignore[assignment]
        self.exchange = Exchange(listed, StillMarket(QUOTES), self.clock, settings)  # type: ignore[arg-type]
        self.exchange.hand.open_account("alice", {"EUR": D(10_000), "SOL": D(20), "USD": D(5_000)})
        self.exchange.hand.open_account(
            "bob", {"EUR": D(10_000), "SOL": D(20)}, tier=VerificationTier.STARTER
        )
        self.events: list[ExchangeEvent] = []
        self.exchange.listen(self.events.append)

    def add(self, account: str = "alice", **changes: Any) -> Any:
        return self.exchange.add_order(account, order(**changes))

    def pass_s(self, seconds: float) -> None:
        self.clock.time_ns += int(seconds * SECOND)
        self.exchange.run_timers()

    def told(self, order_id: str | None = None) -> list[str]:
        return [
            event.exec_type
            for event in self.events
            if isinstance(event, OrderEvent) and order_id in (None, event.order.order_id)
        ]

    def refusal(self, **changes: Any) -> str:
        with pytest.raises(VenueRefusal) as refused:
            self.add(**changes)
        return str(refused.value)

    def open_ids(self, account: str = "alice") -> Sequence[str]:
        return [order.order_id for order in self.exchange.inquiry.open_orders(account)]

    def sound(self) -> None:
        assert ExchangeOracle(self.exchange).discrepancies() == ()


def order(**changes: Any) -> NewOrder:
    """A buy far below the market, unless told otherwise."""
    given: Any = {k: D(v) if k in NUMBERS and v is not None else v for k, v in changes.items()}
    plain = NewOrder(symbol=SOL, side=Side.BUY, quantity=D(1), limit_price=D(150))
    return attrs.evolve(plain, **given)


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def make() -> Callable[..., Venue]:
    return Venue


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"symbol": "XBT/EUR"}, "EQuery:Unknown asset pair"),
        ({"quantity": "0.01"}, "EOrder:Order minimum not met"),
        (
            {"symbol": "EUR/USD", "quantity": "0.5", "limit_price": "0.5"},
            "EOrder:Cost minimum not met",
        ),
        ({"quantity": "1.000000001"}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": "0"}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": None}, "EGeneral:Invalid arguments:volume"),
        ({"limit_price": "0"}, "EOrder:Invalid price"),
        ({"limit_price": None}, "EGeneral:Invalid arguments:limit_price"),
        (
            {"client_id": "a", "userref": 3},
            "EGeneral:Invalid arguments:cl_ord_id and order_userref",
        ),
        ({"client_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        (
            {"client_id": "a", "has_conditional": True},
            "EGeneral:Invalid arguments:cl_ord_id and conditional",
        ),
        ({"userref": 2**31}, "EGeneral:Invalid arguments:order_userref"),
        ({"quantity": "100"}, "EOrder:Insufficient funds"),
        (
            {"side": Side.SELL, "quantity": "20.00000001", "limit_price": "200"},
            "EOrder:Insufficient funds",
        ),
        ({"limit_price": "172.31", "post_only": True}, "EOrder:Post only order"),
        ({"reduce_only": True}, "EOrder:Reduce only:No position exists"),
        ({"time_in_force": "fok"}, "EGeneral:Invalid arguments:time_in_force"),
        ({"time_in_force": "gtd"}, "EGeneral:Invalid arguments:expire_time"),
        ({"order_type": "market"}, "EGeneral:Invalid arguments:limit_price"),
        (
            {"order_type": "iceberg"},
            "EGeneral:Invalid arguments:ordertype iceberg is not offered by this simulator",
        ),
        ({"deadline_ns": START + SECOND // 2 - 1}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline_ns": START + 60 * SECOND + 1}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline_ns": START + SECOND, "origin": "rest"}, "EGeneral:Invalid arguments:deadline"),
    ],
)
def test_the_venue_refuses_with_its_own_words(
    venue: Venue, changes: dict[str, Any], text: str
) -> None:
    assert venue.refusal(**changes) == text
    assert venue.events == []
    venue.sound()


def test_a_price_with_too_many_decimals_names_them(venue: Venue) -> None:
    assert venue.refusal(limit_price="150.001").startswith("EOrder:Invalid price:SOL/EUR")


def test_a_price_between_two_coarse_ticks_is_refused(venue: Venue) -> None:
    # Four decimals with a tick of 0.01, as some pairs had in September 2025.
    venue.exchange.hand.set_pair(SOL, price_decimals=4, tick=D("0.01"))
    assert venue.refusal(limit_price="150.0010") == "EOrder:Tick size check failed"
    assert venue.add(limit_price="150.0100").order.status == "new"


def test_a_uuid_with_and_without_dashes_is_a_client_id(venue: Venue) -> None:
    plain = "0f8fad5b-d9cb-469f-a165-70867728950e"
    for client_id in (plain, plain.replace("-", ""), "arb-7f3a-0002-l1"):
        assert venue.add(client_id=client_id).order.client_id == client_id


def test_a_client_id_is_unique_among_open_orders_only(venue: Venue) -> None:
    first = venue.add(client_id="mine").order
    assert venue.refusal(client_id="mine") == "EOrder:Duplicate client order id"
    venue.add("bob", client_id="mine")
    venue.exchange.cancel_orders("alice", [OrderRef(order_id=first.order_id)])
    assert venue.add(client_id="mine").order.status == "new"


def test_funds_must_cover_the_fee_too(make: Callable[..., Venue]) -> None:
    venue = make()
    venue.exchange.hand.open_account("carol", {"EUR": D("500")})
    # 500 / (172.31 × 1.004) = 2.89018610 SOL; one lot more costs 0.00000172 EUR too much.
    assert venue.refusal(account="carol", quantity="2.89018611", limit_price="172.31") == (
        "EOrder:Insufficient funds"
    )
    assert venue.add("carol", quantity="2.89018610", limit_price="172.31").order.status == "filled"
    venue.sound()


def test_what_one_order_holds_another_cannot_use(venue: Venue) -> None:
    venue.add(quantity="50", limit_price="150")  # holds 7500 × 1.004 = 7530
    assert venue.exchange.inquiry.holdings("alice")["EUR"].held == D("7530")
    assert venue.refusal(quantity="20", limit_price="150") == "EOrder:Insufficient funds"


@pytest.mark.parametrize(
    ("status", "changes", "text"),
    [
        ("cancel_only", {}, "EService:Market in cancel_only mode"),
        ("post_only", {}, "EService:Market in post_only mode"),
        ("post_only", {"post_only": True}, None),
        ("limit_only", {}, None),
        (
            "limit_only",
            {"order_type": "market", "limit_price": None},
            "EService:Market in limit_only mode",
        ),
        ("reduce_only", {}, "EService:Market in reduce_only mode"),
        ("maintenance", {}, "EService:Unavailable"),
        ("work_in_progress", {}, "EService:Unavailable"),
        ("delisted", {}, "EService:Unavailable"),
    ],
)
def test_a_pair_that_is_not_online_takes_only_what_its_state_allows(
    venue: Venue, status: str, changes: dict[str, Any], text: str | None
) -> None:
    venue.exchange.hand.set_pair(SOL, status=status)
    assert venue.events == [PairChanged(SOL, is_rescaled=False)]
    if text is None:
        assert venue.add(**changes).order.status == "new"
    else:
        assert venue.refusal(**changes) == text


@pytest.mark.parametrize("state", ["post_only", "cancel_only", "maintenance"])
def test_the_engine_state_counts_for_every_pair(venue: Venue, state: str) -> None:
    mine = venue.add().order
    venue.exchange.hand.set_engine(state)
    assert EngineChanged(state) in venue.events
    assert venue.refusal().startswith("EService:")
    (row,) = venue.exchange.cancel_orders("alice", [OrderRef(order_id=mine.order_id)])
    assert (row.refusal is None) is (state != "maintenance")


def test_what_crossed_while_nothing_matched_is_matched_when_the_pair_opens(venue: Venue) -> None:
    venue.exchange.hand.set_pair(SOL, status="limit_only")
    resting = venue.add(limit_price="172.31").order
    assert resting.filled == 0
    venue.exchange.hand.set_pair(SOL, status="online")
    after = venue.exchange.inquiry.order("alice", resting.order_id)
    assert after is not None
    assert after.status == "filled"
    venue.sound()


def test_what_crossed_meanwhile_meets_in_order_of_arrival(venue: Venue) -> None:
    venue.exchange.hand.set_pair(SOL, status="limit_only")
    early = venue.add(limit_price="172.30").order
    venue.pass_s(1)
    late = venue.add("bob", side=Side.SELL, limit_price="172.29").order
    venue.exchange.hand.set_pair(SOL, status="online")
    (maker,), (taker,) = venue.exchange.inquiry.fills("alice"), venue.exchange.inquiry.fills("bob")
    assert (maker.order_id, taker.order_id) == (early.order_id, late.order_id)
    assert (maker.is_maker, taker.is_maker, taker.price) == (True, False, D("172.30"))
    venue.sound()


def test_strangers_cannot_trade_where_nothing_matches(venue: Venue) -> None:
    venue.exchange.hand.set_pair(SOL, status="post_only")
    with pytest.raises(UsageError, match="post_only"):
        venue.exchange.hand.trade(SOL, side=Side.SELL, quantity=D(1))
    with pytest.raises(UsageError, match="post_only"):
        venue.exchange.hand.quote(SOL, side=Side.SELL, price=D(170), quantity=D(1))


def test_orders_of_one_pair_are_limited_by_tier(venue: Venue) -> None:
    for _ in range(60):
        venue.add("bob", quantity="0.1")
        venue.pass_s(1)
    assert venue.refusal(account="bob", quantity="0.1") == "EOrder:Orders limit exceeded"


def test_a_full_counter_refuses_until_it_decayed(venue: Venue) -> None:
    ids = [venue.add("bob", quantity="0.1").order.order_id for _ in range(52)]
    # 52 adds and one cancel of a fresh order make 60 at once.
    venue.exchange.cancel_orders("bob", [OrderRef(order_id=ids.pop())])
    assert venue.exchange.inquiry.rate_counter("bob", SOL) == 60
    assert venue.refusal(account="bob", quantity="0.1") == "EOrder:Rate limit exceeded"
    (row,) = venue.exchange.cancel_orders("bob", [OrderRef(order_id=ids[0])])
    assert row.refusal == "EOrder:Rate limit exceeded"
    venue.pass_s(1)
    assert venue.add("bob", quantity="0.1").order.status == "new"


def test_another_pair_has_its_own_counter_and_the_account_perhaps_one(
    make: Callable[..., Venue],
) -> None:
    venue = make(domain_limit=D(3))
    for _ in range(3):
        venue.add(quantity="0.1")
    assert venue.exchange.inquiry.rate_counter("alice", "SOL/USD") == 0
    assert venue.refusal(symbol="SOL/USD", quantity="0.1") == "EOrder:Domain rate limit exceeded"


def test_an_asset_an_account_may_not_trade_is_refused_by_name(make: Callable[..., Venue]) -> None:
    venue = make(restricted={"DE": ("SOL",)})
    venue.exchange.hand.open_account("dora", {"EUR": D(100)}, country="DE")
    assert venue.refusal(account="dora", quantity="0.1") == (
        "EAccount:Invalid permissions:SOL trading restricted for DE."
    )


def test_a_deadline_that_passed_on_the_way_is_refused(venue: Venue) -> None:
    received = START
    venue.pass_s(6)
    assert venue.refusal(received_ns=received) == "EService:Deadline elapsed"
    assert venue.refusal(received_ns=received, deadline_ns=received + 2 * SECOND) == (
        "EService:Deadline elapsed"
    )


def test_validate_checks_everything_and_places_nothing(venue: Venue) -> None:
    placed = venue.add(validate=True)
    assert placed.order.order_id == ""
    assert venue.events == []
    assert venue.open_ids() == []
    assert venue.refusal(validate=True, quantity="100") == "EOrder:Insufficient funds"


# ── what fills ───────────────────────────────────────────────────────────────────────────────────


def test_a_taker_is_told_pending_new_trade_and_filled_and_the_last_trade_is_partial(
    venue: Venue,
) -> None:
    placed = venue.add(quantity="14.5", limit_price="172.33", time_in_force="ioc")
    assert venue.told() == ["pending_new", "new", "trade", "trade", "filled"]
    executions = [event for event in venue.events if isinstance(event, OrderEvent)]
    assert [event.order_status for event in executions] == [
        "pending_new", "new", "partially_filled", "partially_filled", "filled",
    ]  # fmt: skip
    fills = [event.fill for event in executions if event.fill]
    assert [(fill.price, fill.quantity) for fill in fills] == [
        (D("172.31"), D("14.2")), (D("172.33"), D("0.3")),
    ]  # fmt: skip
    assert placed.order.status == "filled"
    assert not any(fill.is_maker for fill in fills)
    venue.sound()


def test_a_trade_brings_two_ledger_rows_after_it_with_one_reference(venue: Venue) -> None:
    venue.add(quantity="1", limit_price="172.31", time_in_force="ioc")
    kinds = [type(event) for event in venue.events]
    assert kinds == [
        OrderEvent,
        OrderEvent,
        PublicTrade,
        OrderEvent,
        LedgerEntry,
        LedgerEntry,
        OrderEvent,
    ]
    first, second = (event for event in venue.events if isinstance(event, LedgerEntry))
    assert first.reference == second.reference == venue.exchange.inquiry.fills("alice")[0].exec_id
    # 172.31 × 0.40 % = 0.68924, at the ledger's four decimals 0.6892.
    assert (first.asset, first.amount, first.fee) == ("EUR", D("-172.31"), D("0.6892"))
    assert (second.asset, second.amount, second.fee) == ("SOL", D(1), D(0))


def test_what_we_take_is_gone_from_the_book(venue: Venue) -> None:
    venue.add(quantity="14.5", limit_price="172.33", time_in_force="ioc")
    view = venue.exchange.book(SOL, 10)
    assert view.asks[0] == (17233, 28_100_000)  # 0.581 − 0.3
    assert [fill.quantity for fill in ExchangeOracle(venue.exchange).taken(SOL)] == [
        D("14.2"),
        D("0.3"),
    ]


def test_an_ioc_that_fills_partly_ends_canceled_with_what_it_got(venue: Venue) -> None:
    placed = venue.add(quantity="20", limit_price="172.31", time_in_force="ioc")
    assert venue.told() == ["pending_new", "new", "trade", "canceled"]
    assert (placed.order.status, placed.order.filled) == ("canceled", D("14.2"))
    assert venue.exchange.inquiry.holdings("alice")["EUR"].held == 0
    venue.sound()


def test_an_ioc_that_finds_nothing_ends_canceled_with_nothing(venue: Venue) -> None:
    placed = venue.add(limit_price="172.30", time_in_force="ioc")
    assert venue.told() == ["pending_new", "new", "canceled"]
    assert (placed.order.status, placed.order.filled) == ("canceled", 0)
    assert venue.exchange.inquiry.fills("alice") == ()
    venue.sound()


def test_fok_fills_all_or_nothing_over_rest_and_behind_a_switch_over_websocket(
    make: Callable[..., Venue],
) -> None:
    venue = make(allow_fok_over_ws=True)
    none = venue.add(quantity="20", limit_price="172.33", time_in_force="fok")
    assert (none.order.status, none.order.filled) == ("canceled", 0)
    whole = venue.add(quantity="14.781", limit_price="172.33", time_in_force="fok", origin="rest")
    assert whole.order.status == "filled"


def test_a_limit_order_takes_what_it_can_and_rests_with_the_remainder(venue: Venue) -> None:
    placed = venue.add(quantity="15", limit_price="172.32")
    assert (placed.order.status, placed.order.filled) == ("partially_filled", D("14.2"))
    assert venue.exchange.book(SOL, 10).bids[0] == (17232, 80_000_000)
    # Holds 0.8 × 172.32 × 1.004 = 138.407424, rounded up to the ledger.
    assert venue.exchange.inquiry.holdings("alice")["EUR"].held == D("138.4075")
    venue.sound()


def test_a_market_order_is_protected_five_percent_from_the_best_price(venue: Venue) -> None:
    for price in ("190", "185"):
        venue.exchange.hand.quote(SOL, side=Side.SELL, price=D(price), quantity=D(5))
    # Beyond 172.31 × 1.05 = 180.92 nothing is taken.
    venue.exchange.hand.open_account("rich", {"EUR": D(1_000_000)})
    placed = venue.add("rich", order_type="market", limit_price=None, quantity="230")
    assert placed.order.filled == D("224.781")
    assert (placed.order.status, placed.order.reason) == ("canceled", "Market price protection")


def test_a_market_order_for_an_amount_of_quote_gets_what_it_buys(venue: Venue) -> None:
    placed = venue.add(order_type="market", limit_price=None, quantity=None, cash_quantity="100")
    # 100 / 172.31 = 0.58034937…
    assert placed.order.filled == D("0.58034937")
    assert (
        venue.refusal(
            side=Side.SELL,
            order_type="market",
            limit_price=None,
            quantity=None,
            cash_quantity="100",
        )
        == "EGeneral:Invalid arguments:cash_order_qty"
    )


def test_a_market_order_on_an_empty_book_is_canceled(venue: Venue) -> None:
    venue.exchange.hand.open_account("dog", {"DOGE": D(1000)})
    placed = venue.add("dog", symbol="DOGE/BTC", side=Side.SELL, quantity="100",
                       order_type="market", limit_price=None)  # fmt: skip
    assert (placed.order.status, placed.order.filled) == ("canceled", 0)


# ── resting orders ───────────────────────────────────────────────────────────────────────────────


def test_a_resting_order_fills_as_maker_behind_what_was_there_before(venue: Venue) -> None:
    mine = venue.add(quantity="1", limit_price="172.28").order
    venue.exchange.hand.trade(SOL, side=Side.SELL, quantity=D(3))
    assert venue.exchange.inquiry.fills("alice") == ()  # three were there before ours
    venue.exchange.hand.trade(SOL, side=Side.SELL, quantity=D("0.4"))
    (fill,) = venue.exchange.inquiry.fills("alice")
    assert (fill.is_maker, fill.quantity, fill.price) == (True, D("0.4"), D("172.28"))
    # Maker fee 0.25 %: 68.912 × 0.0025 = 0.17228.
    assert fill.fee == D("0.17228")
    assert venue.told(mine.order_id) == ["pending_new", "new", "trade"]
    venue.sound()


def test_a_better_price_comes_before_an_earlier_order(venue: Venue) -> None:
    early = venue.add(quantity="1", limit_price="172.29").order
    better = venue.add("bob", quantity="1", limit_price="172.30").order
    venue.exchange.hand.trade(SOL, side=Side.SELL, quantity=D("1.5"))
    assert venue.exchange.inquiry.order("bob", better.order_id).status == "filled"  # type: ignore[union-attr]
    assert venue.exchange.inquiry.order("alice", early.order_id).filled == D("0.5")  # type: ignore[union-attr]


def test_a_strangers_quote_that_crosses_fills_our_resting_order_first(venue: Venue) -> None:
    venue.add(quantity="1", limit_price="172.30")
    venue.exchange.hand.quote(SOL, side=Side.SELL, price=D("172.29"), quantity=D(3))
    (fill,) = venue.exchange.inquiry.fills("alice")
    assert fill.price == D("172.30")
    assert venue.exchange.book(SOL, 10).asks[0] == (17229, 200_000_000)
    venue.sound()


def test_two_accounts_trade_with_each_other_under_one_trade_id(venue: Venue) -> None:
    venue.add(quantity="1", limit_price="172.30")
    venue.add("bob", side=Side.SELL, quantity="1", limit_price="172.30", time_in_force="ioc")
    (maker,), (taker,) = venue.exchange.inquiry.fills("alice"), venue.exchange.inquiry.fills("bob")
    assert maker.trade_id == taker.trade_id
    assert maker.exec_id != taker.exec_id
    assert (maker.is_maker, taker.is_maker) == (True, False)
    assert venue.exchange.public_trades(SOL)[-1].trade_id == maker.trade_id
    venue.sound()


@pytest.mark.parametrize(
    ("stp_type", "old", "new"),
    [
        ("cancel_newest", "new", "canceled"),
        ("cancel_oldest", "canceled", "filled"),
        ("cancel_both", "canceled", "canceled"),
    ],
)
def test_an_account_never_trades_with_itself(
    venue: Venue, stp_type: str, old: str, new: str
) -> None:
    resting = venue.add(quantity="1", limit_price="172.29").order
    arriving = venue.add(side=Side.SELL, quantity="1", limit_price="172.28", stp_type=stp_type)
    after = venue.exchange.inquiry.order("alice", resting.order_id)
    assert after is not None
    assert (after.status, arriving.order.status) == (old, new)
    assert all(fill.price == D("172.28") for fill in venue.exchange.inquiry.fills("alice"))
    venue.sound()


def test_a_fok_order_that_would_meet_its_own_account_takes_nothing(venue: Venue) -> None:
    venue.add(side=Side.SELL, quantity="1", limit_price="172.32")
    # 14.2 at 172.31 come before our own order, 0.581 at 172.33 behind it.
    fok = venue.add(quantity="14.5", limit_price="172.33", time_in_force="fok", origin="rest")
    assert (fok.order.status, fok.order.filled) == ("canceled", 0)


def test_a_far_order_of_ours_does_not_pull_the_book_after_it() -> None:
    exchange = Exchange(
        ListedPairs.load().only([SOL]),
        GeneratedMarket(GeneratedMarketSettings(seed=2)),
        ReplayClock(START),
    )
    exchange.hand.open_account("alice", {"EUR": D(1000)})
    exchange.add_order("alice", order(limit_price="1"))
    for _ in range(3_000):
        exchange.step()
    bids = exchange.whole_book(SOL).bids
    assert bids[-1] == (100, 100_000_000)
    assert bids[-2][0] > 9_000


def test_a_gtd_order_expires_on_its_own_and_costs_no_points(venue: Venue) -> None:
    mine = venue.add(time_in_force="gtd", expire_ns=START + 30 * SECOND).order
    assert venue.exchange.next_timer_ns() == START + 30 * SECOND
    venue.pass_s(29.9)
    assert venue.open_ids() == [mine.order_id]
    venue.pass_s(0.1)
    assert venue.told(mine.order_id)[-1] == "expired"
    assert venue.exchange.inquiry.rate_counter("alice", SOL) == 0
    venue.sound()


# ── amend, edit, cancel ──────────────────────────────────────────────────────────────────────────


def amend(venue: Venue, order_id: str, **changes: Any) -> Any:
    return venue.exchange.amend_order(
        "alice", Amendment(ref=OrderRef(order_id=order_id), **changes)
    )


def test_an_amend_keeps_the_id_and_quantity_down_keeps_the_place(venue: Venue) -> None:
    mine = venue.add(quantity="2", limit_price="172.29").order
    venue.add("bob", quantity="2", limit_price="172.29")
    amended = amend(venue, mine.order_id, quantity=D(1))
    assert amended.order.order_id == mine.order_id
    assert amended.order.amended
    venue.exchange.hand.trade(SOL, side=Side.SELL, quantity=D("1.5"))
    assert [fill.quantity for fill in venue.exchange.inquiry.fills("alice")] == [D(1)]
    assert [fill.quantity for fill in venue.exchange.inquiry.fills("bob")] == [D("0.5")]
    assert venue.told(mine.order_id) == ["pending_new", "new", "amended", "trade", "filled"]
    venue.sound()


@pytest.mark.parametrize("changes", [{"quantity": D(3)}, {"limit_price": D("172.30")}])
def test_more_quantity_or_another_price_goes_to_the_back(
    venue: Venue, changes: dict[str, D]
) -> None:
    mine = venue.add(quantity="2", limit_price="172.29").order
    venue.add("bob", quantity="2", limit_price=str(changes.get("limit_price", "172.29")))
    amend(venue, mine.order_id, **changes)
    venue.exchange.hand.trade(SOL, side=Side.SELL, quantity=D("1.5"))
    assert venue.exchange.inquiry.fills("alice") == ()
    assert len(venue.exchange.inquiry.fills("bob")) == 1
    venue.sound()


def test_an_amend_to_a_crossing_price_takes_unless_post_only(venue: Venue) -> None:
    mine = venue.add(quantity="2", limit_price="172.29").order
    with pytest.raises(VenueRefusal, match="EOrder:Post only order"):
        amend(venue, mine.order_id, limit_price=D("172.31"), post_only=True)
    assert amend(venue, mine.order_id, limit_price=D("172.31")).order.status == "filled"
    venue.sound()


def test_an_amend_below_what_filled_cancels_the_rest(venue: Venue) -> None:
    mine = venue.add(quantity="15", limit_price="172.31").order
    ended = amend(venue, mine.order_id, quantity=D(10)).order
    assert (ended.status, ended.filled) == ("canceled", D("14.2"))
    # An add, and the cancel of a fresh order instead of an amend.
    assert venue.exchange.inquiry.rate_counter("alice", SOL) == 1 + 8
    venue.sound()


def test_an_amend_is_refused_when_it_changes_nothing_or_funds_lack(venue: Venue) -> None:
    mine = venue.add(quantity="2", limit_price="150").order
    with pytest.raises(VenueRefusal, match="EGeneral:Invalid arguments"):
        amend(venue, mine.order_id, quantity=D(2))
    with pytest.raises(VenueRefusal, match="EOrder:Insufficient funds"):
        amend(venue, mine.order_id, quantity=D(200))
    with pytest.raises(VenueRefusal, match="EOrder:Unknown order"):
        amend(venue, "OAAAAA-AAAAA-AAAAAA", quantity=D(3))
    assert venue.exchange.inquiry.holdings("alice")["EUR"].held == D("301.2")
    venue.sound()


def test_an_edit_gives_a_new_order_and_ends_the_old_one(venue: Venue) -> None:
    mine = venue.add(quantity="2", limit_price="150").order
    ref = OrderRef(order_id=mine.order_id)
    edit = Edit(ref=ref, symbol=SOL, limit_price=D(151))
    placed = venue.exchange.edit_order("alice", edit)
    assert placed.order is not None
    assert placed.order.replaces == mine.order_id != placed.order.order_id
    assert venue.open_ids() == [placed.order.order_id]
    assert venue.exchange.inquiry.rate_counter("alice", SOL) == 1 + 1 + 6
    named = venue.add(client_id="named").order
    with pytest.raises(VenueRefusal, match="EGeneral:Invalid arguments:cl_ord_id"):
        venue.exchange.edit_order(
            "alice", Edit(ref=OrderRef(order_id=named.order_id), symbol=SOL, quantity=D(3))
        )
    venue.sound()


def test_a_cancel_answers_for_each_order_and_refuses_what_is_gone(venue: Venue) -> None:
    mine = venue.add(client_id="one").order
    rows = venue.exchange.cancel_orders(
        "alice",
        [OrderRef(client_id="one"), OrderRef(client_id="two"), OrderRef(order_id=mine.order_id)],
    )
    assert [row.refusal for row in rows] == [None, "EOrder:Unknown order", "EOrder:Unknown order"]
    assert rows[0].order is not None
    assert rows[0].order.reason == "User requested"


def test_one_userref_cancels_a_group_and_nobody_elses(venue: Venue) -> None:
    for _ in range(3):
        venue.add(userref=-7)
    venue.add("bob", userref=-7)
    rows = venue.exchange.cancel_orders("alice", [OrderRef(userref=-7)])
    assert len(rows) == 3
    assert venue.open_ids() == []
    assert len(venue.open_ids("bob")) == 1


def test_the_other_text_for_a_gone_order_is_a_setting(make: Callable[..., Venue]) -> None:
    venue = make(gone_order="EOrder:Invalid order")
    (row,) = venue.exchange.cancel_orders("alice", [OrderRef(order_id="OAAAAA-AAAAA-AAAAAA")])
    assert row.refusal == "EOrder:Invalid order"


def test_cancel_all_takes_every_order_of_the_account(venue: Venue) -> None:
    venue.add()
    venue.add(symbol="SOL/USD", quantity="0.1")
    venue.add("bob")
    assert venue.exchange.cancel_all("alice") == 2
    assert (len(venue.open_ids()), len(venue.open_ids("bob"))) == (0, 1)
    venue.sound()


def test_a_batch_cancel_counts_what_was_open(venue: Venue) -> None:
    ids = [venue.add().order.order_id for _ in range(2)]
    refs = [OrderRef(order_id=order_id) for order_id in (*ids, "OAAAAA-AAAAA-AAAAAA")]
    assert venue.exchange.cancel_batch("alice", refs) == 2
    with pytest.raises(VenueRefusal, match="EGeneral:Invalid arguments:orders"):
        venue.exchange.cancel_batch("alice", refs[:1])


# ── batches ──────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_two_to_fifteen_orders_of_one_pair(venue: Venue) -> None:
    for orders in ([order()], [order()] * 16, [order(), order(symbol="SOL/USD")]):
        with pytest.raises(VenueRefusal, match="EGeneral:Invalid arguments:orders"):
            venue.exchange.add_batch("alice", orders)


def test_one_invalid_order_refuses_the_whole_batch(venue: Venue) -> None:
    with pytest.raises(VenueRefusal, match="EOrder:Order minimum not met"):
        venue.exchange.add_batch("alice", [order(), order(quantity="0.01")])
    assert venue.open_ids() == []


def test_a_refusal_of_the_engine_concerns_one_row(venue: Venue) -> None:
    rows = venue.exchange.add_batch("alice", [order(), order(quantity="500"), order()])
    assert [row.refusal for row in rows] == [None, "EOrder:Insufficient funds", None]
    assert [row.order is None for row in rows] == [False, True, False]
    assert len(venue.open_ids()) == 2
    assert venue.exchange.inquiry.rate_counter("alice", SOL) == D("1.5")
    venue.sound()


# ── the dead man's switch ────────────────────────────────────────────────────────────────────────


def test_the_dead_mans_switch_cancels_everything_of_the_account_once(venue: Venue) -> None:
    venue.clock.time_ns += SECOND // 2
    armed = venue.exchange.cancel_all_after("alice", 60)
    assert (armed.current_s, armed.trigger_s) == (START // SECOND, START // SECOND + 60)
    venue.add()
    venue.add(symbol="SOL/USD", quantity="0.1")
    venue.add("bob")
    venue.pass_s(59)
    assert len(venue.open_ids()) == 2
    venue.pass_s(1)
    assert (len(venue.open_ids()), len(venue.open_ids("bob"))) == (0, 1)
    later = venue.add().order
    venue.pass_s(600)
    assert venue.open_ids() == [later.order_id]  # off until armed again
    venue.sound()


def test_arming_again_moves_the_switch_and_zero_disarms(venue: Venue) -> None:
    venue.add()
    venue.exchange.cancel_all_after("alice", 60)
    venue.pass_s(50)
    venue.exchange.cancel_all_after("alice", 60)
    venue.pass_s(50)
    assert len(venue.open_ids()) == 1
    assert venue.exchange.cancel_all_after("alice", 0).trigger_s is None
    venue.pass_s(600)
    assert len(venue.open_ids()) == 1
    with pytest.raises(VenueRefusal, match="EGeneral:Invalid arguments:timeout"):
        venue.exchange.cancel_all_after("alice", 86_400)


def test_a_switch_that_ran_out_in_maintenance_fires_when_the_engine_returns(venue: Venue) -> None:
    venue.add()
    venue.exchange.cancel_all_after("alice", 10)
    venue.exchange.hand.set_engine("maintenance")
    venue.pass_s(60)
    assert len(venue.open_ids()) == 1
    venue.exchange.hand.set_engine("cancel_only")
    venue.pass_s(0)
    assert venue.open_ids() == []


# ── the hand from outside ────────────────────────────────────────────────────────────────────────


def test_movements_from_outside_are_told_and_booked(venue: Venue) -> None:
    row = venue.exchange.hand.deposit("alice", "EUR", D("12.5"))
    assert (row.kind, row.balance) == ("deposit", D("10012.5"))
    venue.exchange.hand.withdraw("alice", "EUR", D(100), D("0.09"))
    with pytest.raises(VenueRefusal, match="EFunding:Insufficient funds"):
        venue.exchange.hand.withdraw("alice", "EUR", D(10_000))
    venue.exchange.hand.deposit("alice", "SOL", D(2), "staking", wallet="flexible")
    assert venue.exchange.inquiry.holdings("alice")["SOL"].earning == 2
    assert venue.exchange.inquiry.holdings("alice")["SOL"].total == 20
    assert len([event for event in venue.events if isinstance(event, LedgerEntry)]) == 3
    venue.sound()


def test_amounts_no_ledger_could_hold_are_refused(venue: Venue) -> None:
    with pytest.raises(UsageError, match="4 decimals"):
        venue.exchange.hand.deposit("alice", "EUR", D("0.00001"))
    with pytest.raises(UsageError, match="not listed"):
        venue.exchange.hand.deposit("alice", "XBT", D(1))
    with pytest.raises(UsageError, match="open already"):
        venue.exchange.hand.open_account("alice")


def test_identifiers_have_the_venues_shapes(venue: Venue) -> None:
    placed = venue.add(quantity="1", limit_price="172.31", time_in_force="ioc").order
    fill = venue.exchange.inquiry.fills("alice")[0]
    for name, first in ((placed.order_id, "O"), (fill.exec_id, "T"), (fill.ledger_ids[0], "L")):
        assert [len(part) for part in name.split("-")] == [6, 5, 6]
        assert name.startswith(first)
        assert name.replace("-", "").isalnum()
        assert name.isupper()
    key = venue.exchange.accounts.make_key("alice")
    assert venue.exchange.accounts.find_key(key.key) is key
    assert "withdraw-funds" not in key.permissions
    assert key.secret not in repr(key)
