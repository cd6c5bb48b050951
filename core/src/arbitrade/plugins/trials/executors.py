"""Tries out executors: cycles that fill, fill in part, are refused, or find no book."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.errors import ArbitradeError
from arbitrade.models import CycleState, OrderRole, PlannedOrder
from arbitrade.plugins.trials.detectors import sample_books
from arbitrade.plugins.trials.running import ForeignAwaitError, TrialOverError, raised, stepped
from arbitrade.plugins.trials.values import order_problems, state_problems
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols import Executor, Ticket
from arbitrade.protocols.execution import takes
from arbitrade.synthetic.desk import FakeDesk, FakeTicket

_MOST_CALLS = 10_000
"""Of the desk for one cycle; three legs and the way back take some twenty."""
_MOST_HOLDS = 100
"""After so many, what is held has to be reduced."""
_BASKET = {"BTC/USD": Decimal("0.5"), "ETH/USD": Decimal("-0.5")}


def try_executor(executor: Executor) -> list[str]:
    """Return everything that is wrong with the way an executor carries cycles out."""
    problems = [
        f"{executor.name}.execute: {problem}, {what}"
        for what, desk in situations(is_basket=is_of_baskets(executor)).items()
        for problem in wrong_end(executor, desk)
    ]
    return list(dict.fromkeys(problems))


def is_of_baskets(executor: Executor) -> bool:
    """Tell whether an executor carries out baskets only."""
    return not takes(executor, make_desk().approved.plan)


def situations(*, is_basket: bool = False) -> "Mapping[str, TrialDesk]":
    """Return desks with a cycle that pays 4 %, or with a basket, by what happens to it."""
    refused, later, partly, alone = (make_desk(is_basket=is_basket) for _ in range(4))
    refused.rejections[0] = later.rejections[1] = "EOrder:a trial"
    partly.fill_share[0] = Decimal("0.5")
    del alone.books["ETH/USD"]
    whole, reduced = (make_desk(is_basket=is_basket) for _ in range(2))
    return {
        "when every order fills": whole,
        "when the first order is refused": refused,
        "when the second order is refused": later,
        "when the first order fills by half": partly,
        "when the last leg's book is gone": alone,
        "when trading has to be reduced": attrs.evolve(reduced, must_reduce=True),
    }


def make_desk(*, is_basket: bool = False) -> "TrialDesk":
    """Return a desk with an approved cycle, or an approved basket, of 100 USD."""
    fees = FeeSchedule(Decimal(0))
    if is_basket:
        made = FakeDesk.around_basket(sample_books(), 100, _BASKET, fees=fees)
    else:
        made = FakeDesk.around(sample_books(), 100, fees=fees)
    return TrialDesk(made.approved, made.books, made.fees, balances=made.balances)


def wrong_end(executor: Executor, desk: "TrialDesk") -> list[str]:
    """Return what is wrong with how one cycle went, and how it was said to end."""
    try:
        state = stepped(executor.execute(desk))
    except TrialOverError as error:
        return [str(error)]
    except ForeignAwaitError as error:
        return [
            f"awaited something that is not its desk's ({error}); await only desk.settled, "
            "desk.pause and desk.unwind, or no replay can do the same"
        ]
    except ArbitradeError:
        return desk.problems  # what the desk itself says; core unwinds and goes on
    except Exception as error:
        return [f"{raised(error)}; return how it ended, or `await desk.unwind(why)`"]
    return [*desk.problems, *state_problems(state), *_left_open(desk, state)]


def _left_open(desk: "TrialDesk", state: object) -> list[str]:
    waiting = [ticket for ticket in desk.orders if not ticket.is_settled]
    if not waiting:
        return []
    said = state.value if isinstance(state, CycleState) else state
    symbols = ", ".join(ticket.order.symbol for ticket in waiting)
    return [
        f"said {said} while the order for {symbols} was still under way; "
        "`await desk.settled(ticket)` first"
    ]


@attrs.define(eq=False)
class TrialTicket:
    """An order under way: nothing is known of it until it was waited for."""

    _ended: FakeTicket
    is_settled: bool = False

    @property
    def client_id(self) -> str:
        """Our id for it, as a real desk gives one."""
        return self._ended.client_id

    @property
    def order(self) -> PlannedOrder:
        """What was asked for."""
        return self._ended.order

    @property
    def filled_quantity(self) -> Decimal:
        """In base; nothing so far."""
        return self._ended.filled_quantity if self.is_settled else Decimal(0)

    @property
    def spent(self) -> Decimal:
        """What went out of the asset that goes in; nothing until it was waited for."""
        return self._ended.spent if self.is_settled else Decimal(0)

    @property
    def received(self) -> Decimal:
        """What came of the asset that comes out; nothing until it was waited for."""
        return self._ended.received if self.is_settled else Decimal(0)

    @property
    def rejection(self) -> str:
        """Why it was refused; empty until it was waited for."""
        return self._ended.rejection if self.is_settled else ""


@attrs.define(eq=False)
class TrialDesk(FakeDesk):
    """A `FakeDesk` whose orders take their time, and that notes what is wrong with them."""

    orders: list[TrialTicket] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    _calls: int = 0
    _holds: int = 0

    def place(  # type: ignore[override]  # a ticket that tells less
        self, leg: int, order: PlannedOrder, role: OrderRole = OrderRole.LEG
    ) -> TrialTicket:
        """Look at an order and fill it; the ticket shows it later."""
        self._count()
        wrong = list(order_problems(order))
        self.problems += [f"desk.place: {problem}" for problem in wrong]
        if wrong or order.symbol not in self.books:
            ticket = FakeTicket("none", order, role, leg, rejection="no order that can be sent")
        else:
            ticket = FakeDesk.place(self, leg, order, role)
        self.orders.append(TrialTicket(ticket))
        return self.orders[-1]

    async def settled(self, *tickets: Ticket) -> None:
        """Let what was waited for show."""
        self._count()
        for ticket in self.orders:
            ticket.is_settled |= ticket in tickets

    async def pause(self, seconds: float) -> None:
        """Let time pass, in which every order ends."""
        self._count()
        await FakeDesk.pause(self, seconds)
        await self.settled(*self.orders)

    async def hold(self, seconds: float) -> None:
        """Let time pass; after long enough, tell that what is held has to be reduced."""
        self._holds += 1
        self.must_reduce = self.must_reduce or self._holds > _MOST_HOLDS
        await self.pause(seconds)

    async def unwind(self, reason: str) -> CycleState:
        """End every order and bring back what is held."""
        await self.settled(*self.orders)
        return await FakeDesk.unwind(self, reason)

    def _count(self) -> None:
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise TrialOverError(
                f"asked its desk {_MOST_CALLS:,} times and did not end; give up after some time"
            )
