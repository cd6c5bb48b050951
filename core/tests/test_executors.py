"""What core's executors do at a desk whose orders end at once."""

import asyncio
from decimal import Decimal

import pytest

from arbitrade.execution.parallel import ParallelExecutor
from arbitrade.execution.sequential import SequentialExecutor
from arbitrade.models import CycleState
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.desk import FakeDesk
from arbitrade.testing.factories import make_book
from arbitrade.trading.machine.kernel import Process

D = Decimal
FREE = FeeSchedule(D(0))


@pytest.fixture
def desk() -> FakeDesk:
    """100 USD buy 1 BTC, that buys 4 ETH, those bring 104 USD."""
    return FakeDesk.around(
        [
            make_book("BTC/USD", bids=[("99", 9)], asks=[("100", 9)]),
            make_book("ETH/BTC", bids=[("0.24", 9)], asks=[("0.25", 9)]),
            make_book("ETH/USD", bids=[("26", 9)], asks=[("27", 9)]),
        ],
        100,
        fees=FREE,
    )


async def test_legs_one_by_one_bring_what_the_plan_says(desk):
    assert await SequentialExecutor().execute(desk) is CycleState.COMPLETED
    assert [ticket.leg for ticket in desk.tickets] == [0, 1, 2]
    assert desk.held() == {"USD": desk.approved.plan.expected_profit} == {"USD": D(4)}


async def test_first_leg_that_is_refused_leaves_nothing_to_unwind(desk):
    desk.rejections[0] = "EOrder:Insufficient funds"
    # Once more, a lot smaller, would be for later legs: nothing is out yet.
    assert await SequentialExecutor().execute(desk) is CycleState.ABORTED_CLEAN
    assert (len(desk.tickets), desk.unwound_because) == (1, "")


async def test_leg_refused_for_want_of_funds_is_tried_once_more_a_lot_smaller(desk):
    desk.rejections[1] = "EOrder:Insufficient funds"
    assert await SequentialExecutor().execute(desk) is CycleState.UNWOUND
    first, again = desk.tickets[1:]
    assert first.order.quantity - again.order.quantity == D("0.00000001")
    assert desk.unwound_because == "leg 2: EOrder:Insufficient funds"


async def test_each_leg_is_sized_by_what_the_one_before_brought(desk):
    desk.fill_share[0] = D("0.5")
    assert await SequentialExecutor().execute(desk) is CycleState.COMPLETED
    assert [ticket.order.quantity for ticket in desk.tickets] == [1, 2, 2]
    assert desk.held() == {"USD": D(2)}


async def test_cycle_whose_rest_no_longer_pays_is_unwound_after_its_first_leg(desk):
    # After the first order 1 BTC is out for 100 USD; at 24 USD its 4 ETH would bring 96.
    desk.books["ETH/USD"] = make_book("ETH/USD", bids=[("24", 9)], asks=[("27", 9)])
    assert await SequentialExecutor().execute(desk) is CycleState.UNWOUND
    assert len(desk.tickets) == 1
    assert "not worth going on" in desk.unwound_because


async def test_partial_fill_of_a_later_leg_goes_back(desk):
    desk.fill_share[2] = D("0.5")
    assert await SequentialExecutor().execute(desk) is CycleState.UNWOUND
    assert desk.unwound_because == "what partial fills left"


async def test_all_legs_at_once_where_every_asset_is_there(desk):
    desk.balances |= {"BTC": D(2), "ETH": D(8)}
    assert await ParallelExecutor().execute(desk) is CycleState.COMPLETED
    assert [ticket.order for ticket in desk.tickets] == [
        quote.order for quote in desk.approved.plan.quotes
    ]


async def test_legs_go_one_by_one_where_an_asset_is_short(desk):
    desk.balances["BTC"] = D(2)
    assert await ParallelExecutor().execute(desk) is CycleState.COMPLETED
    assert desk.notes == ["one_by_one"]


async def test_least_liquid_leg_goes_first_when_wanted(desk):
    desk.balances |= {"BTC": D(2), "ETH": D(8)}
    # The best levels cover the orders 9, 2.25 and 2.25 times.
    assert await ParallelExecutor("least_liquid_first").execute(desk) is CycleState.COMPLETED
    assert [ticket.leg for ticket in desk.tickets] == [1, 2, 0]


async def test_leg_that_fills_in_part_has_the_others_brought_back(desk):
    desk.balances |= {"BTC": D(2), "ETH": D(8)}
    desk.fill_share[1] = D("0.25")
    assert await ParallelExecutor().execute(desk) is CycleState.UNWOUND
    assert desk.unwound_because == ("not filled in full: ETH/BTC 1 of 4.00000000")


async def test_executor_that_awaits_the_event_loop_ends_its_cycle_and_not_the_run():
    ends = []

    async def execute() -> CycleState:
        try:
            await asyncio.sleep(1)
        finally:
            ends.append("cleaned up")
        return CycleState.COMPLETED

    process = Process(execute(), lambda state, error: ends.append((state, str(error))))
    process.step(0)

    assert process.is_over
    cleaned_up, (state, error) = ends
    assert (cleaned_up, state) == ("cleaned up", None)
    assert "only what its desk gives can be awaited" in error
