"""Books of the simulated exchange: what subscribers see, and what they must not see."""

from collections.abc import Callable, Sequence
from decimal import Decimal as D
from zlib import crc32

import pytest

from arbitrade.clock import ReplayClock
from arbitrade.errors import UsageError
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import (
    BookChanged,
    BookSnapshot,
    ExchangeEvent,
    PairChanged,
    PublicTrade,
)
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.generated import GeneratedMarket
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import NewOrder

START = 1_767_603_600_000_000_000
DEPTHS = (10, 25, 100, 500, 1000)

type Side_ = dict[int, int]


def make(seed: int = 7, pairs: int = 12, *, wire: int = 1, **settings: object) -> Exchange:
    market = GeneratedMarket(GeneratedMarketSettings(seed=seed, **settings))  # type: ignore[arg-type]
    listed = ListedPairs.load().select(pairs)
    return Exchange(listed, market, ReplayClock(START), ExchangeSettings(seed=wire))


def run(exchange: Exchange, steps: int) -> None:
    clock = exchange.clock
    assert isinstance(clock, ReplayClock)
    for _ in range(steps):
        clock.time_ns += 333_333
        exchange.step()


class Subscriber:
    """Keeps a book as a client has to: apply, cut, compare the checksum."""

    def __init__(self, view: BookSnapshot) -> None:
        self.depth = view.depth
        self.bids: Side_ = dict(view.bids)
        self.asks: Side_ = dict(view.asks)
        self.messages = self.wrong = self.entries = self.removals = 0
        self.unordered = self.both_sides = self.twice = 0
        self.check(view.checksum)

    def apply(self, event: BookChanged) -> None:
        for side, levels in ((self.bids, event.bids), (self.asks, event.asks)):
            for ticks, lots in levels:
                side.pop(ticks, None)
                if lots:
                    side[ticks] = lots
            prices = [ticks for ticks, _ in levels]
            self.twice += len(set(prices)) < len(prices)
            self.unordered += prices not in (sorted(prices), sorted(prices, reverse=True))
            self.entries += len(levels)
            self.removals += sum(not lots for _, lots in levels)
        self.both_sides += bool(event.bids and event.asks)
        self.bids = dict(sorted(self.bids.items(), reverse=True)[: self.depth])
        self.asks = dict(sorted(self.asks.items())[: self.depth])
        self.messages += 1
        self.check(event.checksum)

    def check(self, checksum: int) -> None:
        levels = [*list(self.asks.items())[:10], *list(self.bids.items())[:10]]
        text = "".join(f"{ticks}{lots}" for ticks, lots in levels)
        self.wrong += crc32(text.encode()) != checksum

    def equals(self, view: BookSnapshot) -> bool:
        return list(self.bids.items()) == list(view.bids) and list(self.asks.items()) == list(
            view.asks
        )


def follow(exchange: Exchange, symbols: Sequence[str], depth: int) -> dict[str, Subscriber]:
    for symbol in symbols:
        exchange.watch(symbol, depth)
    subscribers = {symbol: Subscriber(exchange.book(symbol, depth)) for symbol in symbols}

    def hear(event: ExchangeEvent) -> None:
        if isinstance(event, BookChanged) and event.depth == depth and event.symbol in subscribers:
            subscribers[event.symbol].apply(event)

    exchange.listen(hear)
    return subscribers


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_subscriber_that_cuts_its_book_has_the_venues_book_and_every_checksum(depth: int) -> None:
    exchange = make()
    symbols = tuple(exchange.listed.pairs)
    subscribers = follow(exchange, symbols, depth)
    run(exchange, 6_000)
    for symbol, subscriber in subscribers.items():
        assert subscriber.wrong == 0
        assert subscriber.equals(exchange.book(symbol, depth)), symbol
    assert sum(subscriber.messages for subscriber in subscribers.values()) > 5_000
    assert len(exchange.book("BTC/USD", depth).bids) == depth


def test_a_subscriber_that_does_not_cut_its_book_loses_the_checksum() -> None:
    """So no removal is sent for a level that leaves the window."""
    exchange = make(pairs=3)
    subscribers = follow(exchange, tuple(exchange.listed.pairs), 10)
    for subscriber in subscribers.values():
        subscriber.depth = 10_000
    run(exchange, 3_000)
    assert all(subscriber.wrong > 0 for subscriber in subscribers.values())


def test_messages_have_several_entries_both_sides_no_order_and_now_and_then_a_price_twice() -> None:
    exchange = make(pairs=3, duplicate_share=0.02)
    subscribers = follow(exchange, tuple(exchange.listed.pairs), 25)
    run(exchange, 6_000)
    every = list(subscribers.values())
    entries, removals = sum(s.entries for s in every), sum(s.removals for s in every)
    assert sum(s.wrong for s in every) == 0
    assert min(sum(s.both_sides for s in every), sum(s.unordered for s in every)) > 20
    assert sum(s.twice for s in every) > 20
    assert entries > sum(s.messages for s in every)
    assert 0.1 < removals / entries < 0.5


@pytest.mark.parametrize("removals_first", [True, False])
def test_entries_come_in_any_order_or_with_removals_first(removals_first: bool) -> None:
    market = GeneratedMarket(GeneratedMarketSettings(seed=3, duplicate_share=0.0))
    rules = ExchangeSettings(removals_first=removals_first)
    exchange = Exchange(ListedPairs.load().select(3), market, ReplayClock(START), rules)
    mixed = 0

    def hear(event: ExchangeEvent) -> None:
        nonlocal mixed
        if isinstance(event, BookChanged):
            for levels in (event.bids, event.asks):
                sets = [bool(lots) for _, lots in levels]
                mixed += sets != sorted(sets)

    exchange.listen(hear)
    subscribers = follow(exchange, tuple(exchange.listed.pairs), 10)
    run(exchange, 3_000)
    assert all(subscriber.wrong == 0 for subscriber in subscribers.values())
    assert (mixed == 0) is removals_first


def test_thin_books_have_fewer_than_ten_levels_and_true_checksums() -> None:
    exchange = make(pairs=60, thin_share=1.0)
    thin = [s for s in exchange.listed.pairs if len(exchange.whole_book(s).bids) < 10]
    assert len(thin) > 5
    subscribers = follow(exchange, thin, 10)
    run(exchange, 6_000)
    assert sum(subscriber.messages for subscriber in subscribers.values()) > 100
    assert all(subscriber.wrong == 0 for subscriber in subscribers.values())


def test_one_message_can_carry_a_corrupt_checksum_on_purpose() -> None:
    exchange = make(pairs=3)
    subscribers = follow(exchange, tuple(exchange.listed.pairs), 10)
    exchange.faults.inject("corrupt_checksum", symbol="BTC/USD")
    run(exchange, 600)
    assert subscribers["BTC/USD"].wrong == 1
    assert sum(subscriber.wrong for subscriber in subscribers.values()) == 1
    assert exchange.faults.counts() == {"corrupt_checksum": 1}


@pytest.mark.parametrize(("prices", "lots"), [(2, 8), (0, 8), (1, 5), (3, 10)])
def test_a_precision_change_puts_the_subscribed_book_into_other_integers(
    prices: int, lots: int
) -> None:
    exchange = make(pairs=3)
    exchange.watch("BTC/USD", 10)
    heard: list[ExchangeEvent] = []
    exchange.listen(heard.append)
    before = exchange.book("BTC/USD", 10)
    exchange.hand.set_pair("BTC/USD", price_decimals=prices, lot_decimals=lots)
    assert heard == [PairChanged("BTC/USD", is_rescaled=True)]
    after = exchange.book("BTC/USD", 10)
    # The same prices, to the coarser of the two ticks.
    was, now = D(before.asks[0][0]).scaleb(-1), D(after.asks[0][0]).scaleb(-prices)
    assert abs(was - now) <= D(1).scaleb(-min(prices, 1))
    (subscriber,) = follow(exchange, ["BTC/USD"], 10).values()
    run(exchange, 1_500)
    assert subscriber.wrong == 0
    assert subscriber.messages > 100
    assert subscriber.equals(exchange.book("BTC/USD", 10))
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_orders_of_a_pair_end_when_its_precision_changes() -> None:
    exchange = make(pairs=3)
    exchange.hand.open_account("alice", {"USD": D(1000)})
    order = NewOrder(symbol="BTC/USD", side=Side.BUY, quantity=D("0.001"), limit_price=D(50_000))
    exchange.add_order("alice", order)
    exchange.hand.set_pair("BTC/USD", price_decimals=2)
    assert exchange.inquiry.open_orders("alice") == ()
    assert exchange.inquiry.holdings("alice")["USD"].held == 0


def test_status_and_minimum_change_while_books_are_subscribed() -> None:
    exchange = make(pairs=3)
    heard: list[ExchangeEvent] = []
    exchange.listen(heard.append)
    for status in ("cancel_only", "post_only", "reduce_only", "online"):
        exchange.hand.set_pair("EUR/USD", status=status)
        assert exchange.pair("EUR/USD").status == status
    exchange.hand.set_pair("EUR/USD", minimum_quantity=D("6.5"))
    assert exchange.pair("EUR/USD").minimum_quantity == D("6.5")
    assert heard == [PairChanged("EUR/USD", is_rescaled=False)] * 5
    with pytest.raises(UsageError, match="choose from online"):
        exchange.hand.set_pair("EUR/USD", status="closed")
    with pytest.raises(UsageError, match="choose from online"):
        exchange.hand.set_engine("closed")


def test_nothing_moves_in_maintenance_and_nothing_trades_unless_online() -> None:
    exchange = make(pairs=3, trade_share=0.5)
    heard: list[ExchangeEvent] = []
    for symbol in exchange.listed.pairs:
        exchange.watch(symbol, 10)
    exchange.listen(heard.append)
    exchange.hand.set_engine("maintenance")
    run(exchange, 300)
    assert len(heard) == 1
    exchange.hand.set_engine("post_only")
    run(exchange, 300)
    assert not any(isinstance(event, PublicTrade) for event in heard)
    exchange.hand.set_engine("online")
    run(exchange, 300)
    assert any(isinstance(event, PublicTrade) for event in heard)


def test_our_resting_order_is_seen_by_everybody_and_hit_by_the_market() -> None:
    exchange = make(pairs=3, edge_every=0, volatility=2e-4)
    exchange.hand.open_account("alice", {"USD": D(10_000_000)})
    (subscriber,) = follow(exchange, ["BTC/USD"], 10).values()
    best = exchange.book("BTC/USD", 10).bids[0][0]
    price = D(best + 1).scaleb(-1)
    exchange.add_order(
        "alice", NewOrder(symbol="BTC/USD", side=Side.BUY, quantity=D(20), limit_price=price)
    )
    assert subscriber.bids[best + 1] == 20 * 10**8
    run(exchange, 6_000)
    fills = exchange.inquiry.fills("alice")
    assert fills
    assert all(fill.is_maker and fill.price == price for fill in fills)
    assert subscriber.wrong == 0
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_trades_are_numbered_without_gaps_and_the_last_thousand_are_kept() -> None:
    exchange = make(pairs=3, trade_share=0.9)
    run(exchange, 6_000)
    numbers = [trade.trade_id for trade in exchange.public_trades("BTC/USD", 1000)]
    assert len(numbers) == 1000
    assert numbers == list(range(numbers[0], numbers[0] + 1000))
    assert len(exchange.public_trades("BTC/USD")) == 50
    assert exchange.public_trades("BTC/USD", 0) == ()


def best_edge(exchange: Exchange) -> D:
    """Return the net edge of the better way round BTC, EUR and USD, as a fraction."""
    quotes = {}
    for symbol in ("BTC/USD", "BTC/EUR", "EUR/USD"):
        view = exchange.whole_book(symbol)
        decimals = exchange.pair(symbol).price_decimals
        quotes[symbol] = [D(side[0][0]).scaleb(-decimals) for side in (view.bids, view.asks)]
    keep = D("0.996") ** 3
    there = quotes["BTC/EUR"][0] * quotes["EUR/USD"][0] / quotes["BTC/USD"][1]
    back = quotes["BTC/USD"][0] / quotes["EUR/USD"][1] / quotes["BTC/EUR"][1]
    return max(there, back) * keep - 1


def test_triangular_edges_open_as_often_as_asked_and_close_again() -> None:
    def share_of_edges(**settings: int) -> float:
        exchange = make(pairs=3, **settings)
        seen = 0
        for _ in range(300):
            run(exchange, 20)
            seen += best_edge(exchange) > 0
        return seen / 300

    assert share_of_edges(edge_every=0) == 0
    often = share_of_edges(edge_every=200, edge_lifetime=100)
    rarely = share_of_edges(edge_every=2_000, edge_lifetime=100)
    assert often > 0.2 > rarely


def test_edges_are_as_large_as_asked() -> None:
    exchange = make(pairs=3, edge_every=200, edge_lifetime=100, edge_bps=(80.0, 100.0))
    largest = D(0)
    for _ in range(300):
        run(exchange, 20)
        largest = max(largest, best_edge(exchange))
    assert D("0.006") < largest < D("0.012")


def test_an_edge_that_was_taken_is_gone() -> None:
    exchange = make(pairs=3, edge_every=3_000, edge_lifetime=100_000)
    exchange.hand.open_account("alice", {"BTC": D(10), "USD": D(10_000_000), "EUR": D(10_000_000)})
    while best_edge(exchange) <= 0:
        run(exchange, 1)
    run(exchange, 300)
    assert best_edge(exchange) > 0
    for symbol in exchange.listed.pairs:
        for side in (Side.BUY, Side.SELL):
            view, pair = exchange.whole_book(symbol), exchange.pair(symbol)
            ticks = (view.asks if side is Side.BUY else view.bids)[0][0]
            order = NewOrder(
                symbol=symbol,
                side=side,
                quantity=pair.minimum_quantity * 10,
                limit_price=D(ticks).scaleb(-pair.price_decimals),
                time_in_force="ioc",
            )
            exchange.add_order("alice", order)
    run(exchange, 100)
    assert best_edge(exchange) <= 0


def test_a_seed_gives_the_same_events_and_another_seed_others() -> None:
    def story(seed: int) -> list[str]:
        exchange = make(seed, wire=seed)
        exchange.hand.open_account("alice", {"USD": D(100_000)})
        heard: list[str] = []
        for symbol in exchange.listed.pairs:
            exchange.watch(symbol, 25)
        exchange.listen(lambda event: heard.append(_text(event)))
        for turn in range(20):
            run(exchange, 50)
            best = exchange.book("BTC/USD", 10).asks[0][0]
            order = NewOrder(
                symbol="BTC/USD",
                side=Side.BUY,
                quantity=D("0.01"),
                limit_price=D(best - turn % 3).scaleb(-1),
            )
            exchange.add_order("alice", order)
        return heard

    assert story(3) == story(3)
    assert story(3) != story(4)


def _text(event: ExchangeEvent) -> str:
    if isinstance(event, BookChanged):
        return f"{event.symbol} {event.bids} {event.asks} {event.checksum} {event.time_ns}"
    return repr(event)


def test_depth_asked_for_changes_nothing_near_the_touch() -> None:
    """Who watches must not move the market, or two runs of one seed would differ."""

    def touch(deep: Callable[[Exchange], object]) -> list[BookSnapshot]:
        exchange = make()
        deep(exchange)
        run(exchange, 2_000)
        return [exchange.book(symbol, 5) for symbol in exchange.listed.pairs]

    plain = touch(lambda exchange: None)
    deepened = touch(lambda exchange: [exchange.book(s, 500) for s in exchange.listed.pairs])
    assert [view.asks[0] for view in plain] == [view.asks[0] for view in deepened]


def test_watching_counts_its_callers() -> None:
    exchange = make(pairs=3)
    heard: list[ExchangeEvent] = []
    exchange.listen(heard.append)
    exchange.watch("BTC/USD", 10)
    exchange.watch("BTC/USD", 10)
    exchange.unwatch("BTC/USD", 10)
    run(exchange, 200)
    assert any(isinstance(event, BookChanged) for event in heard)
    exchange.unwatch("BTC/USD", 10)
    exchange.unwatch("BTC/USD", 10)
    heard.clear()
    run(exchange, 200)
    assert not any(isinstance(event, BookChanged) for event in heard)
