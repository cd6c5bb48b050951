"""The venue without sockets: same seed, same stream; whatever goes wrong, the sums are right."""

import hashlib
from collections import Counter
from decimal import Decimal as D
from random import Random
from typing import Any

import attrs
import pytest

from arbitrade.engine.engine import Engine
from arbitrade.errors import UsageError
from arbitrade.models import (
    Accepted,
    BalanceChange,
    ConnectionLost,
    ExecutionReport,
    FeeAsset,
    OrderRequest,
    OrderStatus,
    Rejected,
    Side,
    TimeInForce,
    Unknown,
)
from arbitrade_kraken.bookings import changes_of
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.fast.events import (
    AllBalances,
    Armed,
    Cancelled,
    FastEvent,
    FastFaults,
    FastLatency,
    PrivateGap,
    PrivateReadiness,
)
from arbitrade_kraken.simulator.fast.venue import FastVenue
from arbitrade_kraken.simulator.making import build_exchange, fund
from arbitrade_kraken.venue import KrakenVenue

SECOND_NS = 1_000_000_000
SYMBOLS = ("SOL/USD", "SOL/EUR", "EUR/USD", "BTC/USD", "BTC/EUR", "ETH/BTC", "ETH/EUR")
SETTINGS = SimulatorSettings(symbols=SYMBOLS, seed=7, rate=40.0)


class Client:
    """Sends orders now and then, believes what it is told, and asks where it was told nothing.

    A handler of our own, no part of the bot: what it ends up with has to be the venue's truth.
    """

    def __init__(self, venue: FastVenue, seed: int) -> None:
        self.venue = venue
        self.random = Random(seed)
        self.engine = Engine(KrakenVenue(), lambda instruments: (), lambda found, position: None)
        self.engine.on_out_of_sync = lambda symbol: venue.resync(symbol, venue.now_ns)
        self.opening: dict[str, D] = {}
        self.is_ready = False
        self.fills: dict[str, ExecutionReport] = {}
        self.rows: dict[str, BalanceChange] = {}
        self.outcomes: dict[str, object] = {}
        self.sent: list[str] = []
        self.ended: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.digest = hashlib.sha256()

    def run(self, seconds: int, orders_every: float = 2.0) -> None:
        end = self.venue.now_ns + seconds * SECOND_NS
        due = self.venue.now_ns
        for time_ns, event in self.venue.run(end):
            self.digest.update(f"{time_ns} {event!r}\n".encode())
            self.take(event)
            if time_ns >= due and self.is_ready and orders_every:
                due = time_ns + int(SECOND_NS * orders_every * self.random.random() * 2)
                self.send()

    def take(self, event: FastEvent) -> None:
        self.seen[type(event).__name__] += 1
        match event:
            case bytes():
                self.engine.on_frame(event)
            case ConnectionLost():
                self.engine.on_event(event)
            case ExecutionReport():
                if event.exec_id is not None:
                    told = self.fills.setdefault(event.exec_id, event)
                    assert (told.last_quantity, told.cost) == (event.last_quantity, event.cost)
                elif event.status.is_final:
                    self.ended.add(event.order_id)
            case BalanceChange():
                self.rows[event.ledger_id] = event
            case Accepted() | Rejected() | Unknown():
                assert event.client_id not in self.outcomes, "an order has one outcome"
                self.outcomes[event.client_id] = event
            case PrivateReadiness():
                self.is_ready = event.is_ready
            case AllBalances() if not self.opening:
                self.opening = {b.asset: b.total for b in event.balances}
            case _:
                pass

    def send(self) -> None:
        random, exchange = self.random, self.venue.exchange
        symbol, side = random.choice(SYMBOLS), random.choice((Side.BUY, Side.SELL))
        pair, book = exchange.pair(symbol), self.engine.books.get(symbol)
        best = None if book is None else (book.best_ask if side is Side.BUY else book.best_bid)
        if best is None:
            return
        price = D(best).scaleb(-pair.price_decimals)
        away = random.choice((D("1.002"), D("0.999")))
        price = (price * (away if side is Side.BUY else 2 - away)).quantize(pair.tick)
        unit = D(1).scaleb(-pair.lot_decimals)
        quantity = pair.minimum_quantity * random.randint(1, 40) + unit * random.randint(0, 9_999)
        client_id = f"fast-{len(self.sent)}"
        self.sent.append(client_id)
        self.venue.submit(
            OrderRequest(
                client_id,
                symbol,
                side,
                quantity,
                price,
                time_in_force=random.choice((TimeInForce.IOC, TimeInForce.IOC, TimeInForce.GTC)),
                fee_in=random.choice(list(FeeAsset)),
            ),
            self.venue.now_ns,
        )
        if random.random() < 0.1:
            self.venue.cancel_all(self.venue.now_ns)


def totals(venue: FastVenue) -> dict[str, D]:
    return {balance.asset: balance.total for balance in venue.balances()}


def check(client: Client) -> None:
    """What the client was told adds up to what the venue says."""
    venue = client.venue
    assert venue.oracle.discrepancies() == ()
    history = {fill.exec_id: fill for fill in venue.fills_since(0)}
    assert set(client.fills) == set(history)
    for exec_id, fill in client.fills.items():
        theirs = history[exec_id]
        for name in ("order_id", "client_id", "symbol", "side", "last_price", "timestamp"):
            assert getattr(fill, name) == getattr(theirs, name), name
        assert (fill.last_quantity, fill.cost, fill.fees) == (
            theirs.last_quantity,
            theirs.cost,
            theirs.fees,
        )
    expected = dict(client.opening)
    for fill in client.fills.values():
        for asset, change in changes_of(fill).items():
            expected[asset] = expected.get(asset, D(0)) + change
    assert expected == totals(venue)
    ledger = {row.ledger_id: row for row in venue.ledger_since(0)}
    assert all(ledger[ledger_id] == row for ledger_id, row in client.rows.items())


@pytest.mark.parametrize("faults", [None, FastFaults.storm()], ids=["calm", "storm"])
def test_same_seed_is_the_same_stream(faults):
    clients = []
    for seed in (1, 1, 2):
        client = Client(FastVenue.make(attrs.evolve(SETTINGS, seed=seed), faults), 3)
        client.run(40)
        clients.append(client)
    first, again, other = clients
    assert first.digest.digest() == again.digest.digest() != other.digest.digest()
    assert len(first.fills) > 5


def test_calm_venue_loses_nothing_and_tells_everything_once():
    client = Client(FastVenue.make(SETTINGS), 1)
    client.run(120)
    client.run(10, orders_every=0)
    check(client)
    assert client.seen["PrivateGap"] == client.seen["ConnectionLost"] == client.seen["Unknown"] == 0
    assert client.seen["BalanceChange"] == len(client.rows) == 2 * len(client.fills)
    assert set(client.outcomes) == set(client.sent)
    tally = client.engine.tally()
    assert tally.wrong == tally.skipped == 0
    assert tally.right == tally.book_updates > 3_000


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_whatever_goes_wrong_the_client_ends_up_with_the_venues_truth(seed):
    faults = attrs.evolve(
        FastFaults.storm(), private_gap_s=20.0, public_gap_s=30.0, corrupted=0.003, dropped=0.003
    )
    client = Client(FastVenue.make(attrs.evolve(SETTINGS, seed=seed), faults), seed)
    client.run(240, orders_every=1.0)
    while not client.is_ready:
        client.run(6, orders_every=0)
    client.run(20, orders_every=0)
    if not client.is_ready:
        client.run(20, orders_every=0)
    check(client)
    # Each order has one outcome; where that is unknown, the venue knows.
    assert set(client.outcomes) == set(client.sent)
    placed = {
        order.client_id: order for order in client.venue.exchange.inquiry.closed_orders("main")
    }
    placed |= {
        order.client_id: order for order in client.venue.exchange.inquiry.open_orders("main")
    }
    for client_id, outcome in client.outcomes.items():
        state = client.venue.ask(client_id)
        assert (state is not None) == (client_id in placed)
        if isinstance(outcome, Accepted):
            assert state is not None
            assert state.order_id == outcome.order_id
        elif isinstance(outcome, Rejected):
            assert state is None
    counts = client.seen
    assert counts["Unknown"] > 3
    assert counts["PrivateGap"] > 3
    assert counts["ConnectionLost"] > 2
    assert client.engine.tally().wrong > 3


def test_books_are_in_sync_again_after_every_loss():
    faults = FastFaults(public_gap_s=5.0, corrupted=0.01, gap_ms=(100, 900))
    client = Client(FastVenue.make(SETTINGS, faults), 1)
    client.run(60, orders_every=0)
    tally = client.engine.tally()
    assert client.seen["ConnectionLost"] > 4
    assert tally.wrong > 5
    assert tally.resyncs > 4
    assert tally.right > 10 * tally.wrong


# ── one thing at a time ──────────────────────────────────────────────────────────────────────────


def venue_of(faults: FastFaults | None = None, **latency: Any) -> FastVenue:
    venue = FastVenue.make(
        attrs.evolve(SETTINGS, rate=0), faults, FastLatency(**latency) if latency else None
    )
    venue.advance_to(venue.now_ns + SECOND_NS)
    return venue


def order_for(venue: FastVenue, client_id: str = "one", **changes: Any) -> OrderRequest:
    book, pair = venue.exchange.book("SOL/EUR", 1), venue.exchange.pair("SOL/EUR")
    price = D(book.asks[0][0]).scaleb(-pair.price_decimals) + pair.tick * 5
    return attrs.evolve(OrderRequest(client_id, "SOL/EUR", Side.BUY, D("0.5"), price), **changes)


def events(venue: FastVenue, seconds: float = 10.0) -> list[FastEvent]:
    return [e for _, e in venue.advance_to(venue.now_ns + int(seconds * SECOND_NS))]


def private(found: list[FastEvent]) -> list[str]:
    """Return what came over the private connection, in order."""
    return [
        event.kind if isinstance(event, ExecutionReport) else type(event).__name__
        for event in found
        if not isinstance(event, bytes)
    ]


def test_answer_comes_before_the_events_and_rows_after_the_fill():
    venue = venue_of()
    venue.submit(order_for(venue), venue.now_ns)
    assert private(events(venue)) == [
        *("Accepted", "pending_new", "new", "trade"),
        *("BalanceChange", "BalanceChange", "filled"),
    ]


def test_early_events_come_before_the_answer():
    venue = venue_of(FastFaults(early=1.0))
    venue.submit(order_for(venue), venue.now_ns)
    kinds = private(events(venue))
    assert kinds[-1] == "Accepted"
    assert "filled" in kinds


def test_latencies_are_those_asked_for():
    venue = venue_of(request_us=(10_000, 10_000), answer_us=(4_000, 4_000))
    sent_ns = venue.now_ns
    venue.submit(order_for(venue), sent_ns)
    times = [t for t, e in venue.advance_to(sent_ns + SECOND_NS) if not isinstance(e, bytes)]
    assert times[0] == sent_ns + 14_000_000
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("faults", "is_placed"),
    [
        (FastFaults(lost_ack=1.0), True),
        (FastFaults(busy_after=1.0), True),
        (FastFaults(lost_request=1.0), False),
        (FastFaults(refused=1.0), False),
        (FastFaults(late=1.0, late_us=(7_000_000, 7_000_000)), False),
    ],
)
def test_unknown_outcome_says_nothing_of_what_happened(faults, is_placed):
    venue = venue_of(faults)
    venue.submit(order_for(venue), venue.now_ns)
    found = events(venue, 30.0)
    (outcome,) = [e for e in found if isinstance(e, Accepted | Rejected | Unknown)]
    assert isinstance(outcome, Unknown)
    state = venue.ask("one")
    assert (state is not None) is is_placed
    if state is not None:
        assert state.status is OrderStatus.FILLED
        assert "trade" in private(found)


def test_duplicates_and_late_fills_come_as_they_may_from_the_venue():
    venue = venue_of(FastFaults(duplicated=1.0))
    venue.submit(order_for(venue), venue.now_ns)
    assert Counter(private(events(venue)))["trade"] == 2
    kinds = set()
    for seed in range(20):
        venue = FastVenue.make(attrs.evolve(SETTINGS, rate=0, seed=seed), FastFaults(reordered=0.4))
        events(venue, 1.0)
        venue.submit(order_for(venue), venue.now_ns)
        order = private(events(venue))
        last = max(at for at, kind in enumerate(order) if kind == "trade")
        kinds.add(any(kind in order[:last] for kind in ("filled", "canceled")))
    assert kinds == {True, False}


def test_requests_while_the_connection_is_away_are_not_sent_but_cancels_are():
    venue = venue_of(FastFaults(private_gap_s=4.0, gap_ms=(3_000, 3_000)))
    venue.submit(order_for(venue, "stands", limit_price=D(1), time_in_force=TimeInForce.GTC,
                           quantity=D(5)), venue.now_ns)  # fmt: skip
    for _, event in venue.run(venue.now_ns + 20 * SECOND_NS):
        if isinstance(event, PrivateGap):
            break
    venue.submit(order_for(venue, "away"), venue.now_ns)
    venue.cancel_all(venue.now_ns)
    found = [e for _, e in venue.advance_to(venue.now_ns + SECOND_NS)]
    assert isinstance(found[0], Rejected)
    assert Cancelled(1) in found
    assert venue.ask("away") is None
    back = events(venue, 4.0)
    assert "canceled" in private(back)
    assert PrivateReadiness(is_ready=True) in back


def test_dead_mans_switch_cancels_what_stands_in_its_own_time():
    venue = venue_of()
    order = order_for(venue, limit_price=D(1), time_in_force=TimeInForce.GTC, quantity=D(5))
    venue.submit(order, venue.now_ns)
    venue.cancel_all_after(30, venue.now_ns)
    assert Armed(is_confirmed=True) in events(venue, 20.0)
    assert len(venue.open_orders()) == 1
    assert "canceled" in private(events(venue, 20.0))
    assert venue.open_orders() == []


def test_engine_that_is_not_online_is_told_on_both_sides():
    venue = venue_of()
    venue.exchange.hand.set_engine("cancel_only")
    found = events(venue)
    assert PrivateReadiness(is_ready=False) in found
    assert any(isinstance(e, bytes) and b'"system":"cancel_only"' in e for e in found)
    venue.submit(order_for(venue), venue.now_ns)
    assert "Rejected" in private(events(venue))
    venue.exchange.hand.set_engine("online")
    assert PrivateReadiness(is_ready=True) in events(venue)


def test_cancel_has_an_outcome_for_each_order():
    venue = venue_of()
    order = order_for(venue, limit_price=D(1), time_in_force=TimeInForce.GTC, quantity=D(5))
    venue.submit(order, venue.now_ns)
    events(venue)
    venue.cancel(["one", "never"], venue.now_ns)
    found = [e for e in events(venue) if isinstance(e, Accepted | Rejected)]
    assert {type(outcome): outcome.client_id for outcome in found} == {
        Accepted: "one",
        Rejected: "never",
    }


def test_partial_fills_and_fees_in_the_other_asset_are_told_as_booked():
    venue = venue_of(FastFaults(partial=1.0, fee_currency=1.0))
    before = totals(venue)
    venue.submit(order_for(venue), venue.now_ns)
    found = events(venue)
    (fill,) = [e for e in found if isinstance(e, ExecutionReport) and e.exec_id]
    assert fill.last_quantity == D("0.25")
    assert [fee.asset for fee in fill.fees] == ["SOL"]
    after = totals(venue)
    assert {a: after[a] - before[a] for a in changes_of(fill)} == changes_of(fill)


def test_order_that_makes_no_sense_is_refused_before_it_is_sent():
    venue = venue_of()
    venue.submit(order_for(venue, quantity=D(0)), venue.now_ns)
    (refused,) = [e for e in events(venue) if not isinstance(e, bytes)]
    assert isinstance(refused, Rejected)
    assert "quantity" in refused.reason


def test_requests_are_made_at_the_venues_time():
    venue = venue_of()
    with pytest.raises(UsageError, match="the venue is at"):
        venue.submit(order_for(venue), venue.now_ns - 1)


def test_clock_that_runs_by_itself_is_refused():
    clock = MovableClock()
    exchange = build_exchange(SETTINGS, clock)
    fund(exchange, SETTINGS)
    with pytest.raises(UsageError, match="stands"):
        FastVenue(exchange, clock, Random(1))


@pytest.mark.parametrize("seed", range(12))
def test_spending_everything_is_told_to_the_last_digit(seed):
    """Where nothing is free, the fee gives way to rounding; what is told is what is booked."""
    random = Random(seed)
    settings = attrs.evolve(
        SETTINGS, rate=0, seed=seed, balances={"EUR": D(random.randint(50, 5_000)) + D("0.0001")}
    )
    venue = FastVenue.make(settings)
    events(venue, 1.0)
    symbol = random.choice(("SOL/EUR", "BTC/EUR", "ETH/EUR"))
    pair, money = venue.exchange.pair(symbol), totals(venue)["EUR"]
    book = venue.exchange.book(symbol, 20)
    price = D(book.asks[-1][0]).scaleb(-pair.price_decimals)
    rate = venue.fee_rates([symbol])[0].taker
    unit = D(1).scaleb(-pair.lot_decimals)
    quantity = (money / price / (1 + rate)).quantize(unit, "ROUND_DOWN")
    venue.submit(OrderRequest("all", symbol, Side.BUY, quantity, price), venue.now_ns)
    fills = [e for e in events(venue) if isinstance(e, ExecutionReport) and e.exec_id]
    assert fills
    spent = sum((changes_of(fill)["EUR"] for fill in fills), D(0))
    assert totals(venue)["EUR"] == money + spent
    assert venue.oracle.discrepancies() == ()


@pytest.mark.parametrize("seed", range(12))
def test_selling_everything_is_told_to_the_last_digit(seed):
    """Lots of EUR/USD have eight decimals and the ledger of EUR four."""
    random = Random(seed)
    money = D(random.randint(20_000, 90_000)) + D(random.randint(1, 9_999)) / 10_000
    venue = FastVenue.make(attrs.evolve(SETTINGS, rate=0, seed=seed, balances={"EUR": money}))
    events(venue, 1.0)
    bids = venue.exchange.book("EUR/USD", 25).bids
    price = D(bids[-1][0]).scaleb(-venue.exchange.pair("EUR/USD").price_decimals)
    venue.submit(OrderRequest("all", "EUR/USD", Side.SELL, money, price), venue.now_ns)
    fills = [e for e in events(venue) if isinstance(e, ExecutionReport) and e.exec_id]
    assert fills
    changes = Counter[str]()
    for fill in fills:
        for asset, change in changes_of(fill).items():
            changes[asset] += change  # type: ignore[assignment]
    assert totals(venue) == {"EUR": money + changes["EUR"], "USD": changes["USD"]}
    assert venue.oracle.discrepancies() == ()
