"""Tries out risk rules: opportunities to judge while all is well, unknown, or gone."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import attrs

from arbitrade.models import Opportunity, Refused, TradingState
from arbitrade.plugins.trials.detectors import SAMPLE, sample_books
from arbitrade.plugins.trials.running import raised, timed
from arbitrade.plugins.trials.values import cap_problems, refusal_problems
from arbitrade.protocols import RiskRule, RiskView, SizeRule
from arbitrade.synthetic.view import FakeRiskView, make_opportunity

type MakeRule = Callable[[RiskView], RiskRule]


def try_rule(make: MakeRule) -> list[str]:
    """Return everything that is wrong with a rule, whatever there is to see."""
    problems = [
        f"{problem}, {what}"
        for what, view in situations().items()
        for opportunity in (make_opportunity(), make_opportunity(blocked="a test"))
        for problem in wrong_answers(make(view), opportunity)
    ]
    return list(dict.fromkeys(problems))


def situations() -> Mapping[str, FakeRiskView]:
    """Return what a rule may find when it looks around, by what it is."""
    return {
        "while all is well": _seen(),
        "while no amount can be valued": _seen(
            prices=dict.fromkeys(("USD", "BTC", "ETH"), None), default_balance=Decimal(0)
        ),
        "while no book is there": FakeRiskView(decision_age_s=None),
        "while no book's age is known": _seen(
            ages=dict.fromkeys(SAMPLE, None), decision_age_s=None
        ),
        "while trading is halted and the account away": _seen(
            trading_state=TradingState.HALTED,
            halt_reason="a trial",
            is_account_ready=False,
            account_problem="a trial",
            journal_problem="a trial",
        ),
        "after losses and failures": _seen(
            consecutive_failures=9,
            last_failure_ns=FakeRiskView().now_ns,
            realised_today=Decimal(-10_000),
            drawdown=Decimal(10_000),
            orders_last_minute=10_000,
            open_cycles=100,
        ),
    }


def wrong_answers(rule: RiskRule, opportunity: Opportunity) -> list[str]:
    """Return what is wrong with what a rule says of an opportunity, asked twice."""
    problems: list[str] = []
    with timed(f"{rule.name}.check"):
        for first, member in ((True, "check"), (False, "maximum_input")):
            if not first and not isinstance(rule, SizeRule):
                continue
            try:
                one, other = (getattr(rule, member)(opportunity) for _ in range(2))
            except Exception as error:
                problems.append(
                    f"{rule.name}.{member}: {raised(error)}; a rule that raises refuses everything "
                    "and tells an operator nothing, so refuse what is not known"
                )
                continue
            found = _judged(rule.name, member, one, opportunity)
            problems += [f"{rule.name}.{member}: {problem}" for problem in found]
            if not _is_same(one, other):
                problems.append(
                    f"{rule.name}.{member}: said {_short(one)} and then {_short(other)} of one; "
                    "remember nothing between two questions"
                )
    return problems


def _judged(rule: str, member: str, answer: object, opportunity: Opportunity) -> Iterator[str]:
    if member == "maximum_input":
        yield from cap_problems(answer)
    elif answer is not None:
        yield from refusal_problems(answer, rule, opportunity)


def _is_same(one: object, other: object) -> bool:
    # A NaN is a finding of its own, and unlike itself.
    return one == other or repr(one) == repr(other)


def _short(answer: object) -> str:
    return f"refused ({answer.value})" if isinstance(answer, Refused) else repr(answer)


def _seen(**changes: Any) -> FakeRiskView:
    view = FakeRiskView(books={book.symbol: book for book in sample_books()})
    return attrs.evolve(view, **changes)
