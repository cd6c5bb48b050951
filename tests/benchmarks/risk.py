"""What the risk gate costs when everything passes, and what a refusal with its flips costs.

    python tests/benchmarks/risk.py [--rounds 2000] [--json]

All of core's rules on a view whose facts are plain attributes, so that only the rules are timed.
Prints microseconds, the best of several turns; asserts nothing, machines differ.
"""

import json
import timeit
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction

import attrs
import click

from arbitrade.models import Opportunity, Side
from arbitrade.pricing import net_edge_bps
from arbitrade.risk import RiskGate
from arbitrade.risk.core_rules import core_rules
from arbitrade.testing.risk import FakeRiskView, make_opportunity

TURNS = 7


@click.command()
@click.option("--rounds", default=2_000, show_default=True, help="Calls in a turn.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(rounds: int, as_json: bool) -> None:
    """Measure the risk gate."""
    found = measure(rounds)
    if as_json:
        click.echo(json.dumps(found))
        return
    for title, timings in found.items():
        click.echo(title)
        for name, micros in timings.items():
            click.echo(f"  {name:30}{micros:8.2f}")


def measure(rounds: int) -> Mapping[str, Mapping[str, float]]:
    """Return microseconds by what is called."""
    view = FakeRiskView.around(make_opportunity())
    opportunity = at_the_edge_of(view)
    view.set_limits(minimum_edge_bps=opportunity.edge_bps - 1)
    gate = RiskGate(core_rules(view))

    def micros(call: Callable[[], object]) -> float:
        best = min(timeit.repeat(call, number=rounds, repeat=TURNS))
        return round(best / rounds * 1e6, 3)

    assert gate.check(opportunity) is None
    passing = {
        "all rules, sizes included": micros(lambda: gate.judge(opportunity)),
        "the smallest cap alone": micros(lambda: gate.cap(opportunity)),
        "everything in the way": micros(lambda: gate.check_all(opportunity)),
    }
    each = {rule.name: micros(lambda rule=rule: rule.check(opportunity)) for rule in gate.rules}
    view.set_limits(minimum_edge_bps=opportunity.edge_bps)
    refusing = {"minimum_edge, with its flips": micros(lambda: gate.check(opportunity))}
    return {"passing_us": passing, "each_us": each, "refusing_us": refusing}


def at_the_edge_of(view: FakeRiskView) -> Opportunity:
    """Return an opportunity with the edge the books show."""
    opportunity = make_opportunity()
    rate = Fraction(1)
    for leg in opportunity.legs:
        book = view.books[leg.symbol]
        price = Fraction(book.side(leg.side).best or 1, 10**book.instrument.price_precision)
        spent, received = view.fees.charged_in.factors(leg.side, view.fees.taker_rate(leg.symbol))
        rate *= (1 / price if leg.side is Side.BUY else price) * received / spent
    edge = net_edge_bps(rate)
    return attrs.evolve(opportunity, edge_bps=edge, profit=Decimal(0))


if __name__ == "__main__":
    main()
