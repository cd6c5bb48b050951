"""Why not: the change a refusal names makes it trade, and half of that change does not."""

from decimal import Decimal as D
from typing import Any

import attrs
import pytest
from fast_bot import KEY, FastBot, make_settings, open_edge, ready, still_venue

from arbitrade.models import Flip
from arbitrade.records import CycleOpened

REFUSALS: dict[str, tuple[dict[str, object], str]] = {
    "edge": ({"minimum_edge_bps": "300"}, "10000"),
    "notional": ({"maximum_notional": "0.8"}, "10000"),
    "in_flight": ({"maximum_in_flight": "0.8"}, "10000"),
    "per_asset": ({"maximum_per_asset": "0.8"}, "10000"),
    "age": ({"maximum_decision_age_s": "0.000001"}, "10000"),
    "reserve": ({"reserve": {"USD": "9999.5"}}, "10000"),
    "share": ({"balance_share": "0.0001"}, "5000"),
    "inventory": ({}, "0.5"),
    "fee": ({"minimum_edge_bps": "150"}, "10000"),
}


def run(
    risk: dict[str, object], balance: D, fees: dict[str, D] | None = None
) -> tuple[bool, tuple[Flip, ...]]:
    """Return whether the cycle was begun, and what would have let it."""
    venue: Any = still_venue(None, None, {"USD": balance})
    told = venue.fee_rates

    def changed(symbols: Any) -> list[Any]:
        rates = told(symbols)
        return [attrs.evolve(r, taker=(fees or {}).get(r.symbol, r.taker)) for r in rates]

    venue.fee_rates = changed
    bot = ready(FastBot(venue, make_settings(risk=risk)))
    open_edge(bot)
    bot.run(5)
    bot.wind_down()
    begun = any(record.approved.plan.key == KEY for record in bot.of(CycleOpened))
    refused = [seen for seen in bot.seen if seen.key == KEY and seen.outcome != "approved"]
    return begun, refused[0].flips if refused else ()


def with_change(
    risk: dict[str, object], balance: D, flip: Flip, value: D
) -> tuple[dict[str, object], D, dict[str, D]]:
    """Return what to run with when one parameter is changed."""
    section, _, name = flip.parameter.partition(".")
    if section == "balance":
        return risk, balance + value - flip.current, {}
    if section == "fees":
        return risk, balance, {name.removeprefix("overrides."): value}
    if name.startswith("reserve."):
        return {**risk, "reserve": {name.removeprefix("reserve."): str(value)}}, balance, {}
    return {**risk, name: str(value)}, balance, {}


@pytest.mark.parametrize("case", REFUSALS)
def test_stated_change_makes_it_trade_and_half_of_it_does_not(case):
    risk, balance = REFUSALS[case]
    begun, flips = run(risk, D(balance))
    assert not begun
    known = [f for f in flips if f.parameter.split(".")[0] in ("risk", "balance", "fees")]
    assert known, flips
    for flip in known:
        needed = flip.needed
        if flip.parameter.startswith("balance."):
            # The venue's ledger keeps four decimals of a dollar.
            needed = needed.quantize(D("0.0001"), "ROUND_UP")
        half = (flip.current + flip.change / 2).quantize(D("0.0001"))
        assert run(*with_change(risk, D(balance), flip, needed))[0], flip
        assert not run(*with_change(risk, D(balance), flip, half))[0], flip
