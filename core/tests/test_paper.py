"""Simulated fills: never the same lots twice, never late, never for money that isn't there."""

from datetime import UTC, datetime
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.models import (
    ExecutionReport,
    InstrumentStatus,
    Intent,
    OrderRequest,
    OrderRole,
    Side,
)
from arbitrade.records import CycleClosed
from arbitrade.testing.trading import START_NS, TradingBench
from arbitrade.trading.gateways.paper import PaperVenue
from arbitrade.trading.machine.events import (
    Execution,
    LookUpFailed,
    OrderAnswer,
    OrderFound,
    TradingEvent,
)

D = Decimal


class Venue:
    """A paper venue with 1000 USD, 5 BTC and 20 ETH, and what it told."""

    def __init__(self, latency_ms: str = "20", run: str = "0192f0c4") -> None:
        self.told: list[TradingEvent] = []
        self.bench = TradingBench(
            {"USD": 1_000, "BTC": 5, "ETH": 20}, paper_ms=latency_ms, paper_tell=self.told.append
        )
        assert self.bench.paper is not None
        self.paper: PaperVenue = self.bench.paper
        self.run = run
        self.count = 0

    def send(self, side: Side, quantity: str, price: str, **changes: object) -> str:
        """Send an order on BTC/USD; return its id."""
        name = f"{self.run}-1-{self.count}"
        self.count += 1
        request = OrderRequest(name, "BTC/USD", side, D(quantity), D(price))
        request = attrs.evolve(request, **changes)
        self.paper.send(Intent(1, 0, OrderRole.LEG, request, "USD", "BTC"), 1)
        return name

    def fills(self) -> list[ExecutionReport]:
        """Return the fills told so far."""
        reports = [event.report for event in self.told if isinstance(event, Execution)]
        return [report for report in reports if report.exec_id is not None]

    def answers(self) -> list[str]:
        """Return how orders were answered so far."""
        return [
            f"{event.outcome} {event.reason}".strip()
            for event in self.told
            if isinstance(event, OrderAnswer)
        ]


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_order_fills_on_the_book_as_it_is_when_it_arrives(venue):
    venue.send(Side.BUY, "1", "100")
    venue.bench.wait(0.01)
    venue.bench.quote("BTC/USD", [("99", 90)], [("98", "0.25"), ("100", "0.5")])
    venue.bench.wait(0.02)
    assert venue.told == []  # The answer takes its time as well.
    venue.bench.wait(0.02)
    assert [(fill.last_price, fill.last_quantity) for fill in venue.fills()] == [
        (98, D("0.25")),
        (100, D("0.5")),
    ]
    end = venue.told[-1].report
    assert (end.status.value, end.cumulative_quantity) == ("canceled", D("0.75"))


def test_two_orders_never_take_the_same_lots(venue):
    venue.bench.quote("BTC/USD", [("99", 90)], [("100", "1")])
    venue.send(Side.BUY, "0.75", "100")
    venue.send(Side.BUY, "0.75", "100")
    venue.bench.wait(1)
    assert [fill.last_quantity for fill in venue.fills()] == [D("0.75"), D("0.25")]
    assert venue.paper.taken("BTC/USD", Side.BUY) == 10**8
    # A level that is new is somebody else's quote.
    venue.bench.quote("BTC/USD", [("99", 90)], [("101", "1")])
    assert venue.paper.taken("BTC/USD", Side.BUY) == 0


def test_order_after_its_deadline_is_refused(venue):
    at = datetime.fromtimestamp(START_NS / 1e9 + 0.01, UTC)
    venue.send(Side.BUY, "1", "100", deadline=at)
    venue.bench.wait(1)
    assert venue.answers() == ["rejected EOrder:Deadline elapsed"]


@pytest.mark.parametrize(
    ("side", "quantity", "price", "why"),
    [
        (Side.BUY, "0.0001", "100", "EGeneral:Invalid arguments:volume minimum not met"),
        (Side.BUY, "10", "100", "EOrder:Insufficient funds"),
        (Side.SELL, "5.1", "99", "EOrder:Insufficient funds"),
    ],
)
def test_order_a_venue_would_refuse_is_refused(venue, side, quantity, price, why):
    venue.send(side, quantity, price)
    venue.bench.wait(1)
    assert venue.answers() == [f"rejected {why}"]


def test_pair_that_stopped_takes_no_order(venue):
    venue.bench.quote("BTC/USD", [], [("100", 1)], status=InstrumentStatus.CANCEL_ONLY)
    venue.send(Side.BUY, "1", "100")
    venue.bench.wait(1)
    assert venue.answers() == ["rejected EOrder:Market in cancel_only mode"]


def test_book_out_of_sync_fills_nothing(venue):
    venue.bench.books["BTC/USD"].tradable = False
    venue.send(Side.BUY, "1", "100")
    venue.bench.wait(1)
    assert (venue.answers(), venue.fills()) == (["accepted"], [])


def test_order_on_its_way_is_not_said_to_have_been_lost():
    venue = Venue("500")
    name = venue.send(Side.BUY, "1", "100")
    venue.paper.look_up(name)
    venue.bench.wait(0.1)
    assert venue.told == [LookUpFailed(name, "it is on its way to the book")]
    venue.bench.wait(0.5)
    venue.paper.look_up(name)
    venue.bench.wait(0.1)
    found = venue.told[-1]
    assert isinstance(found, OrderFound)
    assert found.state is not None
    assert found.state.filled_quantity == 1


def test_order_of_a_process_that_died_is_not_known(venue):
    venue.paper.look_up("0192f0c4-9-9")
    venue.bench.wait(0.1)
    assert venue.told == [OrderFound("0192f0c4-9-9", None)]


def test_fills_of_two_runs_never_share_an_id():
    names = []
    for run in ("aaaaaaaa", "bbbbbbbb"):
        venue = Venue(run=run)
        venue.send(Side.BUY, "1", "100")
        venue.bench.wait(1)
        names += [fill.exec_id for fill in venue.fills()]
    assert len(set(names)) == 2


def test_order_all_of_which_was_told_is_forgotten(venue):
    name = venue.send(Side.BUY, "1", "100")
    venue.bench.wait(1)
    venue.paper.look_up(name)
    venue.bench.wait(0.1)
    assert venue.told[-1] == OrderFound(name, None)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["0.25", "1", "30"]), st.integers(20, 30), st.integers(0, 40)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["0", "20", "uniform(0,80)"]),
)
def test_whatever_happens_the_venue_and_the_ledger_hold_the_same(moves, latency):
    bench = TradingBench({"USD": 300}, paper_ms=latency)
    paper = bench.paper
    for number, (depth, price, wait) in enumerate(moves):
        bench.find(key=f"cycle {number}")
        bench.quote("ETH/BTC", [("0.24", depth)], [("0.25", depth)])
        bench.quote("ETH/USD", [(price, depth)], [(price + 1, 9)])
        bench.wait(wait / 1000)
        for asset in ("USD", "BTC", "ETH"):
            assert bench.machine.quoting.available(asset) >= 0
    bench.wait(200)
    assert not bench.state.cycles
    assert len(bench.written(CycleClosed)) == bench.state.last_cycle
    held = {asset: amount for asset, amount in paper.balances().items() if amount}
    assert held == {a: v for a, v in bench.state.ledger.balances().items() if v}
    flagged = [one for one in bench.written(CycleClosed) if one.state.value == "flagged"]
    assert len(bench.alerts) == len(flagged)
