"""Each mistake a plugin can make is found, with the object, the member, the value and a way out."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType

import attrs
import pytest

from arbitrade import Changed, Instruments, Leg, Opportunity, OrderBook, Refused, Side
from arbitrade.models import BasketPlan, CycleState, Flip, Plan, PlannedOrder
from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.trials import running
from arbitrade.plugins.trials.detectors import SAMPLE, sample_books, try_detector
from arbitrade.plugins.trials.executors import try_executor
from arbitrade.plugins.trials.rules import try_rule
from arbitrade.plugins.trials.values import opportunity_problems
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols import CycleDesk, Executor, RiskView
from arbitrade.testing.contracts import (
    DetectorContract,
    ExecutorContract,
    RiskRuleContract,
)
from arbitrade.testing.risk import FakeRiskView, make_basket, make_opportunity

D = Decimal
FOUND = make_opportunity(edge_bps=400, size=100)


def only(problems: list[str]) -> str:
    """Return the one thing that was found."""
    assert len(problems) == 1, problems
    return problems[0]


# ── detectors ────────────────────────────────────────────────────────────────────────────────────


class Right:
    """Reports the cycle while it has seen all three books; subclasses do one thing wrong."""

    name = "d"
    changes: Mapping[str, object] = MappingProxyType({})

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.seen: set[str] = set()

    def on_instruments(self, instruments: Instruments) -> None:
        self.seen.clear()

    def on_fees(self, fees: FeeSchedule) -> None: ...

    def on_void(self, symbol: str) -> None:
        self.seen.discard(symbol)

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        self.seen.add(book.symbol)
        return [self.found()] if len(self.seen) == 3 else ()

    def found(self) -> Opportunity:
        return attrs.evolve(FOUND, **{"detector": self.name, **self.changes})


def with_values(**changes: object) -> type[Right]:
    return type("Wrong", (Right,), {"changes": changes})


class ForgetsNoVoid(Right):
    def on_void(self, symbol: str) -> None: ...


class ForgetsNoInstruments(Right):
    def on_instruments(self, instruments: Instruments) -> None: ...


class LearnsLazily(Right):
    def on_book(self, book: OrderBook, changed: Changed) -> Iterator[Opportunity]:
        yield from super().on_book(book, changed)


class ChangesAfterwards(Right):
    assets = ["USD", "BTC", "ETH"]  # noqa: RUF012

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        found = [attrs.evolve(one, dust=self.assets) for one in super().on_book(book, changed)]
        self.assets.append("more")
        return found


class Raises(Right):
    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        raise ZeroDivisionError("a bug")


class ReturnsNothing(Right):
    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        return None  # type: ignore[return-value]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert try_detector(Right) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (with_values(edge_bps=D("NaN")), "d.on_book: reported for .*: its edge_bps is NaN; leave"),
        (with_values(profit=D("Infinity")), "its profit is Infinity; leave out"),
        (with_values(edge_bps=5.0), r"its edge_bps is the float 5\.0; make it a Decimal"),
        (with_values(size=100), "its size is 100; it has to be a Decimal"),
        (with_values(size=D(-1)), "its size is -1; it can't be below 0"),
        (with_values(detector="other"), "its detector is 'other'; it has to be .*'d'"),
        (with_values(key=""), "its key is ''; it has to be text that says something"),
        (with_values(blocked=""), "its blocked is ''; it has to be text"),
        (with_values(timestamp=1.5), "its timestamp is 1.5; hand on the book's"),
        (with_values(legs=list(FOUND.legs)), r"its legs are \[.*; they have to be a tuple of Leg"),
        (with_values(assets=("USD", "BTC")), "it has 3 legs and the assets USD, BTC; leg i turns"),
        (with_values(assets=("USD", "ETH", "BTC")), "buy BTC/USD turns USD into BTC, but"),
        (with_values(legs=(*FOUND.legs[:2], Leg("X/Y", Side.BUY))), "its leg X/Y is no instrument"),
        (
            with_values(orders=(PlannedOrder("BTC/USD", Side.BUY, D("-0.5"), D(100)),)),
            "the quantity of its order to buy BTC/USD is -0.5; it can't be below 0",
        ),
        (
            with_values(orders=(PlannedOrder("BTC/USD", Side.BUY, D(0), D(100)),)),
            "its order to buy BTC/USD is of 0 at 100; leave it out",
        ),
        (with_values(dust=(D(1),)), "one of its dust is .*; it has to be a Dust"),
        (ForgetsNoVoid, "d.on_void: a cycle through BTC/USD was reported after it, which is void"),
        (ForgetsNoInstruments, "d.on_instruments: a cycle through .* which is no longer listed"),
        (LearnsLazily, "d.on_book: reports something else when .* was not iterated over; take"),
        (ChangesAfterwards, "d.on_book: what it reported changed afterwards"),
        (Raises, r"d.on_book: raised ZeroDivisionError: a bug \(test_plugin_trials.py, line \d+\)"),
        (ReturnsNothing, r"d.on_book: returned None; return an iterable, \(\) for nothing"),
    ],
)
def test_mistake_of_a_detector_is_found(make: type[Right], said: str) -> None:
    problems = try_detector(make)
    assert [problem for problem in problems if re.search(said, problem)], problems


def test_contract_of_detectors_finds_what_the_check_does_and_one_that_sees_nothing() -> None:
    contract = DetectorContract()

    class Blind(Right):
        def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
            return ()

    for make, test in (
        (with_values(edge_bps=D("NaN")), contract.test_figures_are_exact_and_legs_join),
        (ForgetsNoVoid, contract.test_void_book_is_forgotten),
        (ForgetsNoInstruments, contract.test_pair_that_is_no_longer_listed_is_forgotten),
        (
            LearnsLazily,
            contract.test_book_is_taken_in_though_nobody_looks_at_what_came_back,
        ),
        (Blind, contract.test_what_is_there_is_reported),
    ):
        test(Right, sample_books)
        with pytest.raises(AssertionError):
            test(make, sample_books)


def test_detector_that_blocks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BLOCKED_S", 0.0)
    said = only(running.within(10, lambda: try_detector(Right)))
    assert said == "d.on_book took 0.0 s; everything waits for it, so do the work at the start"


# ── rules ────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Rule:
    """Refuses below an edge that can be set."""

    view: RiskView
    answer: Callable[["Rule", Opportunity], object] | None = None
    least: Decimal = Decimal("20")
    name: str = "r"

    def check(self, opportunity: Opportunity) -> Refused | None:
        if self.answer is not None:
            return self.answer(self, opportunity)  # type: ignore[return-value]
        if opportunity.edge_bps >= self.least:
            return None
        return self.refusal(opportunity)

    def refusal(self, found: Opportunity, **changes: object) -> Refused:
        flip = Flip("r.least", self.least, found.edge_bps, "bps")
        refused = Refused(found, self.name, "too little", "10 bps", "20 bps", (flip,))
        return attrs.evolve(refused, **changes)


@attrs.frozen
class Cap(Rule):
    cap: object = None

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        return self.cap  # type: ignore[return-value]


def answering(answer: Callable[[Rule, Opportunity], object]) -> Callable[[RiskView], Rule]:
    return lambda view: Rule(view, answer)


def refusing(**changes: object) -> Callable[[RiskView], Rule]:
    return answering(lambda rule, found: rule.refusal(found, **changes))


def test_rule_that_keeps_to_its_role_has_nothing_to_find() -> None:
    assert try_rule(Rule) == []
    assert try_rule(lambda view: Cap(view, cap=D(5))) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (answering(lambda *_: True), "r.check: returned True; return a Refused, or None"),
        (refusing(rule="other"), "r.check: its rule is 'other'; it has to be the rule's name, 'r'"),
        (refusing(reason=""), "r.check: its reason is ''; it has to be text"),
        (refusing(value=10), "r.check: its value is 10; it has to be text"),
        (refusing(opportunity=FOUND), "r.check: its opportunity is another one; hand on"),
        (refusing(flips=[]), r"r.check: its flips are \[\]; they have to be a tuple of Flip"),
        (
            refusing(flips=(Flip("r.least", D(1), D("NaN")),)),
            "r.check: what the flip of r.least needs is NaN",
        ),
        (
            refusing(flips=(Flip("r.least", D(1), D(1)),)),
            "r.check: its flip of r.least changes nothing: 1 to 1",
        ),
        (
            answering(lambda rule, _: [][int(rule.view.value("USD", D(1)) + 1) :] or None),
            "r.check: raised TypeError: .*; a rule that raises refuses everything .*, "
            "while no amount can be valued",
        ),
        (lambda view: Cap(view, cap=1.5), r"r.maximum_input: the cap is the float 1\.5"),
        (lambda view: Cap(view, cap=D(-1)), "r.maximum_input: the cap is -1; it can't be below 0"),
    ],
)
def test_mistake_of_a_rule_is_found(make: Callable[[RiskView], Rule], said: str) -> None:
    problems = try_rule(make)
    assert [problem for problem in problems if re.search(said, problem)], problems


def test_rule_that_remembers_is_found() -> None:
    asked: list[object] = []

    def remembers(rule: Rule, found: Opportunity) -> object:
        asked.append(found)
        return rule.refusal(found) if len(asked) % 2 else None

    problems = try_rule(answering(remembers))
    assert any("r.check: said refused (10 bps) and then None of one" in one for one in problems)


def test_contract_of_rules_holds_flips_to_what_they_promise() -> None:
    contract = RiskRuleContract()
    scene = FakeRiskView(), make_opportunity(edge_bps=10)

    def with_parameter(name: str, value: Decimal) -> Rule:
        assert name == "r.least"
        return Rule(scene[0], least=value)

    test = contract.test_each_flip_alone_lets_it_pass_and_half_of_it_does_not
    test(Rule, scene, with_parameter)
    for needed, said in ((D(15), "is not enough"), (D(-5), "is enough")):
        flips = (Flip("r.least", D(20), needed),)
        with pytest.raises(AssertionError, match=said):
            test(refusing(flips=flips), scene, with_parameter)
    with pytest.raises(AssertionError, match="it names no flip"):
        test(refusing(flips=()), scene, with_parameter)


# ── executors ────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Hands:
    """Goes leg by leg."""

    name: str = "e"
    needs_inventory: bool = False

    async def execute(self, desk: CycleDesk) -> CycleState:
        amount = desk.approved.plan.spent
        for index, leg in enumerate(desk.approved.plan.legs):
            ticket = desk.place(index, desk.quote(leg, amount).order)
            await desk.settled(ticket)
            if not ticket.filled_quantity:
                return await desk.unwind("not filled")
            amount = ticket.received
        return CycleState.COMPLETED


class Sleeps(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        await asyncio.sleep(1)
        return CycleState.COMPLETED


class AwaitsAnother(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        await asyncio.sleep(0)
        return CycleState.COMPLETED


class NeverSettles(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        desk.place(0, desk.approved.plan.quotes[0].order)
        return CycleState.COMPLETED


class NeverEnds(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        while True:
            await desk.pause(1)


class SaysOpen(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        return CycleState.OPEN


class SaysNothing(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        await super().execute(desk)
        return None  # type: ignore[return-value]


class SellsNothing(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        order = attrs.evolve(desk.approved.plan.quotes[0].order, quantity=D(0))
        await desk.settled(desk.place(0, order))
        return await desk.unwind("nothing")


class Falls(Hands):
    async def execute(self, desk: CycleDesk) -> CycleState:
        raise KeyError("USD")


def test_executor_that_keeps_to_its_desk_has_nothing_to_find() -> None:
    assert try_executor(Hands()) == []


@pytest.mark.parametrize(
    ("hands", "said"),
    [
        (Sleeps(), "e.execute: awaited something that is not its desk's (no running event loop)"),
        (AwaitsAnother(), "e.execute: awaited something that is not its desk's (None)"),
        (NeverSettles(), "said completed while the order for BTC/USD was still under way; `await"),
        (NeverEnds(), "e.execute: asked its desk 10,000 times and did not end; give up"),
        (SaysOpen(), "e.execute: returned CycleState.OPEN, which is no end; finish the cycle"),
        (SaysNothing(), "e.execute: returned None; return a CycleState"),
        (SellsNothing(), "desk.place: its order to buy BTC/USD is of 0 at 100"),
        (Falls(), "e.execute: raised KeyError: 'USD' (test_plugin_trials.py, line "),
    ],
)
def test_mistake_of_an_executor_is_found(hands: Hands, said: str) -> None:
    problems = try_executor(hands)
    assert [problem for problem in problems if said in problem], problems
    contract = ExecutorContract()
    contract.test_cycle_ends_with_nothing_under_way(Hands(), "when every order fills")
    with pytest.raises(AssertionError):
        contract.test_cycle_ends_with_nothing_under_way(hands, "when every order fills")


class BasketHolds(Hands):
    """Enters a basket, holds it until it has to be reduced, and has core bring it back."""

    def takes(self, plan: Plan) -> bool:
        return isinstance(plan, BasketPlan)

    async def execute(self, desk: CycleDesk) -> CycleState:
        quotes = desk.approved.plan.quotes
        await desk.settled(*[desk.place(at, quote.order) for at, quote in enumerate(quotes)])
        while not desk.must_reduce:
            await desk.hold(60)
        return await desk.unwind("enough")


class BasketHoldsOn(BasketHolds):
    async def execute(self, desk: CycleDesk) -> CycleState:
        while True:
            await desk.hold(60)


def test_executor_of_baskets_is_tried_with_baskets() -> None:
    assert try_executor(BasketHolds()) == []
    assert any("did not end" in problem for problem in try_executor(BasketHoldsOn()))
    ExecutorContract().test_cycle_ends_with_nothing_under_way(
        BasketHolds(), "when every order fills"
    )
    ExecutorContract().test_same_cycle_is_carried_out_the_same_way_again(BasketHolds())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"weights": (D("0.5"), 0.5)}, "a weight is the float 0.5"),
        ({"weights": (D("0.5"), D("0.5"))}, "turns ETH into USD"),
        ({"weights": (D("0.5"), D("-0.6"))}, "come to 1.1"),
        ({"assets": ("USD", "BTC")}, "2 legs and 2 weights"),
    ],
)
def test_mistake_in_a_basket_is_found(changes: dict[str, object], said: str | None) -> None:
    found = make_basket({"BTC/USD": "0.5", "ETH/USD": "-0.5"})
    problems = list(opportunity_problems(attrs.evolve(found, **changes), "test", SAMPLE))
    assert problems == [] if said is None else any(said in one for one in problems), problems


def test_member_that_is_misspelt_is_named_with_the_right_one() -> None:
    class Misspelt:
        name = "e"
        need_inventory = False

        async def execute(self, desk: CycleDesk) -> CycleState:
            return CycleState.COMPLETED

    problem = only(list(role_problems(Misspelt(), Executor)))
    assert problem == (
        "it has no attribute `needs_inventory`; "
        "is it `need_inventory`, which no role has, misspelt?"
    )


def test_inventory_is_needed_or_not() -> None:
    problem = only(list(role_problems(Hands(needs_inventory="no"), Executor)))  # type: ignore[arg-type]
    assert problem == "its `needs_inventory` is 'no'; it has to be True or False"
