"""What must hold at the simulated exchange whatever clients do."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal as D
from random import Random

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.clock import ReplayClock
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.book import QueuedSide
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import ExchangeEvent, LedgerEntry, OrderEvent
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
    Order,
    OrderRef,
    VenueRefusal,
)
from arbitrade_kraken.simulator.exchange.rounding import to_nearest

START = 1_767_603_600_000_000_000
SYMBOLS = ("SOL/USD", "SOL/EUR", "EUR/USD")
ACCOUNTS = ("alice", "bob")
BIG = {"USD": D("20000"), "EUR": D("20000"), "SOL": D("90")}
SMALL = {"USD": D("31.4159"), "EUR": D("27.1828"), "SOL": D("0.1618033988")}


class Crowd:
    """Two accounts that do as random numbers tell them, on books that move."""

    def __init__(self, seed: int, **rules: object) -> None:
        self.random = Random(seed)
        self.clock = ReplayClock(START)
        market = GeneratedMarket(
            GeneratedMarketSettings(seed=seed, volatility=2e-4, trade_share=0.3, liquidity=0.02)
        )
        self.exchange = Exchange(
            ListedPairs.load().only(SYMBOLS),
            market,
            self.clock,
            ExchangeSettings(seed=seed, **rules),  # type: ignore[arg-type]
        )
        self.events: list[ExchangeEvent] = []
        self.exchange.listen(self.events.append)
        self.exchange.hand.open_account(
            "alice", BIG, tier=VerificationTier.PRO, volume=D(10_000_000)
        )
        self.exchange.hand.open_account("bob", SMALL, tier=VerificationTier.PRO)

    def act(self) -> None:
        acts: list[Callable[[str], object]] = [
            self.add, self.add, self.add, self.add, self.batch, self.amend, self.edit, self.cancel,
            self.move, self.move, self.outside, self.state,
        ]  # fmt: skip
        with suppress(VenueRefusal):
            self.random.choice(acts)(self.random.choice(ACCOUNTS))

    def request(self) -> NewOrder:
        random = self.random
        symbol = random.choice(SYMBOLS)
        pair, view = self.exchange.pair(symbol), self.exchange.whole_book(symbol)
        side = random.choice((Side.BUY, Side.SELL))
        levels = view.asks or view.bids if side is Side.BUY else view.bids or view.asks
        best = levels[0][0] if levels else 20_000
        away = random.choice((-40, -5, -1, 0, 1, 5, 40))
        price = D(best + away).scaleb(-pair.price_decimals)
        quantity = pair.minimum_quantity * random.choice((1, 1, 3, 20, 100))
        quantity += D(random.randrange(10**6)).scaleb(-pair.lot_decimals)
        force = random.choice(("gtc", "gtc", "ioc", "gtd", "fok"))
        is_market = random.random() < 0.15
        return NewOrder(
            symbol=symbol,
            side=side,
            order_type="market" if is_market else "limit",
            quantity=quantity,
            limit_price=None if is_market else price,
            time_in_force="gtc" if is_market else force,
            expire_ns=self.clock.time_ns + 2 * 10**9 if force == "gtd" and not is_market else None,
            post_only=force == "gtc" and not is_market and random.random() < 0.2,
            fee_preference=random.choice((None, "base", "quote")),
            stp_type=random.choice(("cancel_newest", "cancel_oldest", "cancel_both")),
            origin="rest",
        )

    def add(self, account: str) -> None:
        self.exchange.add_order(account, self.request())

    def batch(self, account: str) -> None:
        orders = [self.request() for _ in range(3)]
        self.exchange.add_batch(account, [o for o in orders if o.symbol == orders[0].symbol])

    def some_order(self, account: str) -> Order:
        standing = self.exchange.inquiry.open_orders(account)
        if not standing:
            raise VenueRefusal("nothing stands")
        return self.random.choice(standing)

    def amend(self, account: str) -> None:
        order = self.some_order(account)
        pair = self.exchange.pair(order.symbol)
        price = order.limit_price
        assert price is not None
        if self.random.random() < 0.5:
            price += pair.tick * self.random.choice((-3, 3, 60, -60))
        factor = self.random.choice((D("0.5"), D(1), D("1.7")))
        quantity = to_nearest(order.quantity * factor, pair.lot_decimals)
        ref = OrderRef(order_id=order.order_id)
        self.exchange.amend_order(account, Amendment(ref=ref, quantity=quantity, limit_price=price))

    def edit(self, account: str) -> None:
        order = self.some_order(account)
        ref, quantity = OrderRef(order_id=order.order_id), order.quantity * 2
        self.exchange.edit_order(account, Edit(ref=ref, symbol=order.symbol, quantity=quantity))

    def cancel(self, account: str) -> None:
        if self.random.random() < 0.1:
            self.exchange.cancel_all(account)
        ref = OrderRef(order_id=self.some_order(account).order_id)
        self.exchange.cancel_orders(account, [ref])

    def move(self, account: str) -> None:
        for _ in range(self.random.randrange(40)):
            self.exchange.step()
        self.clock.time_ns += self.random.randrange(3 * 10**9)
        self.exchange.run_timers()

    def state(self, account: str) -> None:
        states = ("online", "online", "limit_only", "post_only", "cancel_only", "reduce_only")
        self.exchange.hand.set_pair(self.random.choice(SYMBOLS), status=self.random.choice(states))
        engines = ("online", "online", "online", "post_only", "maintenance")
        self.exchange.hand.set_engine(self.random.choice(engines))

    def outside(self, account: str) -> None:
        if self.random.random() < 0.5:
            self.exchange.hand.deposit(account, "USD", D("12.3456"))
        else:
            self.exchange.hand.withdraw(account, "EUR", D("0.5"), D("0.0100"))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["ROUND_HALF_UP", "ROUND_DOWN", "ROUND_UP"]))
def test_money_is_conserved_to_the_last_digit_and_nothing_goes_negative(
    seed: int, rounding: str
) -> None:
    """Per asset: deposits − withdrawals + Σ trades − Σ fees = balance; held and free are ≥ 0."""
    crowd = Crowd(seed, ledger_rounding=rounding, fee_rounding=rounding)
    oracle = ExchangeOracle(crowd.exchange)
    for _ in range(60):
        crowd.act()
        assert oracle.discrepancies() == ()
    told = [event for event in crowd.events if isinstance(event, LedgerEntry)]
    booked = [row for name in ACCOUNTS for row in crowd.exchange.inquiry.ledger(name)]
    assert sorted(row.ledger_id for row in told) == sorted(row.ledger_id for row in booked)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_between_accounts_what_one_pays_in_a_trade_the_other_gets(seed: int) -> None:
    crowd = Crowd(seed)
    for _ in range(80):
        crowd.act()
    by_trade: dict[tuple[str, int], list[tuple[str, D, D]]] = {}
    for name in ACCOUNTS:
        for fill in crowd.exchange.inquiry.fills(name):
            row = (fill.side.value, fill.quantity, fill.cost)
            by_trade.setdefault((fill.symbol, fill.trade_id), []).append(row)
    for rows in by_trade.values():
        if len(rows) == 2:
            assert {rows[0][0], rows[1][0]} == {"buy", "sell"}
            assert rows[0][1:] == rows[1][1:]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_events_of_an_order_come_in_the_only_order_they_can(seed: int) -> None:
    crowd = Crowd(seed)
    for _ in range(80):
        crowd.act()
    stories: dict[str, list[OrderEvent]] = {}
    for event in crowd.events:
        if isinstance(event, OrderEvent):
            stories.setdefault(event.order.order_id, []).append(event)
    for story in stories.values():
        kinds = [event.exec_type for event in story]
        assert kinds[:2] == ["pending_new", "new"]
        assert set(kinds[2:-1]) <= {"trade", "amended"}
        filled = [event.order.filled for event in story]
        assert filled == sorted(filled)
        for event in story:
            if event.exec_type == "trade":
                assert event.order_status == "partially_filled"
                assert event.fill is not None
        if kinds[-1] == "filled":
            assert kinds[-2] == "trade"
            assert not story[-1].order.remaining
        if story[-1].order.time_in_force == "fok":
            assert filled[-1] in (0, story[-1].order.quantity)
        if story[-1].order.status in ("filled", "canceled", "expired"):
            assert story[-1].exec_type == story[-1].order.status
            assert story[-1].order.held == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_seed_and_the_same_requests_give_the_same_story(seed: int) -> None:
    def story() -> list[str]:
        crowd = Crowd(seed)
        for _ in range(40):
            crowd.act()
        return [repr(event) for event in crowd.events]

    assert story() == story()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 5)), min_size=1, max_size=12), st.data()
)
def test_price_comes_before_time_and_time_before_nothing(
    arrivals: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Orders and strangers queue; a taker meets the best price first, there the oldest."""
    ladder = QueuedSide(1)
    expected: list[tuple[int, int, int]] = []
    for place, (offset, lots) in enumerate(arrivals):
        key = 100 + offset
        if data.draw(st.booleans(), label="a stranger"):
            ladder.put(key, ladder.market(key) + lots)
            expected.append((key, place, -lots))
        else:
            ladder.queue(key, _order(str(place)), lots)
            expected.append((key, place, lots))
    met: list[tuple[int, int, int]] = []
    while ladder.keys:
        key = ladder.keys[0]
        for chunk in ladder.waiting(key):
            lots = chunk.lots
            ladder.take(key, chunk, lots)
            if chunk.order is not None:
                met.append((key, int(chunk.order.order_id), lots))
    assert met == sorted((key, place, lots) for key, place, lots in expected if lots > 0)
    assert not (ladder.lots)
    assert not (ladder.own)
    assert not (ladder.queues)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), max_size=30), st.integers(1, 5))
def test_a_stranger_never_takes_our_place_in_the_queue(
    changes: list[tuple[int, int]], ours: int
) -> None:
    ladder = QueuedSide(-1)
    ladder.put(-50, 7)
    order = _order("mine")
    ladder.queue(-50, order, ours)
    least = 7
    for lots, _ in changes:
        ladder.put(-50, lots)
        least = min(least, lots)
        ahead = 0
        for chunk in ladder.waiting(-50):
            if chunk.order is order:
                break
            ahead += chunk.lots
        assert ahead == least
        assert ladder.lots[-50] == lots + ours
        assert ladder.own[-50] == ours


def _order(order_id: str) -> Order:
    return Order(
        order_id=order_id,
        account="alice",
        symbol="SOL/USD",
        side=Side.SELL,
        order_type="limit",
        quantity=D(1),
        limit_price=D(1),
        time_in_force="gtc",
        client_id=None,
        userref=None,
        post_only=False,
        fee_in_base=False,
        stp_type="cancel_newest",
        created_ns=0,
        aged_ns=0,
        deadline_ns=0,
    )


@settings(max_examples=200)
@given(
    st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False),
    st.integers(0, 10),
)
def test_rounding_to_nearest_is_never_off_by_more_than_half_a_unit(
    amount: D, decimals: int
) -> None:
    rounded = to_nearest(amount, decimals)
    assert abs(rounded - amount) <= D(1).scaleb(-decimals) / 2
    assert -rounded.as_tuple().exponent == decimals  # type: ignore[operator]


def test_copies_handed_out_change_nothing_at_the_exchange() -> None:
    crowd = Crowd(5)
    request = attrs.evolve(
        NewOrder(symbol="SOL/USD", side=Side.BUY, quantity=D(1), limit_price=D(50)), client_id="a"
    )
    placed = crowd.exchange.add_order("alice", request).order
    assert placed is not None
    placed.status = "filled"
    assert crowd.exchange.inquiry.open_orders("alice")[0].status == "new"
