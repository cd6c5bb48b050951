"""What became of opportunities: one record from the first sighting with an outcome to the last."""

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from arbitrade.models import Opportunity, Refused
from arbitrade.records import OpportunitySeen


@attrs.define(eq=False)
class _Run:
    """Sightings in a row with the same outcome."""

    number: int
    first: Opportunity
    best: Opportunity
    first_ns: int
    last_ns: int
    sightings: int
    outcome: str
    refused: Refused | None
    also: tuple[str, ...]
    cycle: int | None


class Funnel:
    """Counts opportunities by what became of them, and writes down each change of mind.

    Args:
        tell: Called with each finished record.
    """

    def __init__(self, tell: Callable[[OpportunitySeen], object]) -> None:
        self._tell = tell
        self._runs: dict[str, _Run] = {}
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.count = 0

    def is_same(self, opportunity: Opportunity, outcome: str, rule: str) -> bool:
        """Tell whether the last sighting of it had this outcome for this reason."""
        run = self._runs.get(_key(opportunity))
        was = "" if run is None or run.refused is None else run.refused.rule
        return run is not None and (run.outcome, was) == (outcome, rule)

    def add(
        self,
        opportunity: Opportunity,
        outcome: str,
        now_ns: int,
        *,
        refused: Refused | None = None,
        also: Sequence[str] = (),
        cycle: int | None = None,
    ) -> None:
        """Take one sighting and what became of it."""
        key = _key(opportunity)
        rule = "" if refused is None else refused.rule
        run = self._runs.get(key)
        if run is not None and cycle is None and self.is_same(opportunity, outcome, rule):
            run.last_ns = now_ns
            run.sightings += 1
            if opportunity.profit > run.best.profit:
                # The best sighting is the one that tells what would have flipped it.
                run.best = opportunity
                if refused is not None and refused.reason:
                    run.refused = refused
            return
        if run is not None:
            self._finish(key)
        self.count += 1
        self.outcomes[outcome] += 1
        if rule:
            self.refusals[rule] += 1
        self._runs[key] = _Run(
            self.count,
            opportunity,
            opportunity,
            now_ns,
            now_ns,
            1,
            outcome,
            refused,
            tuple(also),
            cycle,
        )

    def end(self, key: str) -> None:
        """An opportunity (`detector:key`) is gone."""
        if key in self._runs:
            self._finish(key)

    def close(self) -> None:
        """Write down what still lives."""
        for key in list(self._runs):
            self._finish(key)

    def _finish(self, key: str) -> None:
        run = self._runs.pop(key)
        first, best, refused = run.first, run.best, run.refused
        self._tell(
            OpportunitySeen(
                opportunity=run.number,
                detector=first.detector,
                key=first.key,
                assets=first.assets,
                legs=first.legs,
                first_ns=run.first_ns,
                last_ns=run.last_ns,
                sightings=run.sightings,
                edge_bps=first.edge_bps,
                best_edge_bps=max(first.edge_bps, best.edge_bps),
                size=best.size,
                profit=first.profit,
                best_profit=best.profit,
                outcome=run.outcome,
                rule="" if refused is None else refused.rule,
                reason="" if refused is None else refused.reason,
                value="" if refused is None else refused.value,
                limit="" if refused is None else refused.limit,
                also=run.also,
                flips=() if refused is None else refused.flips,
                cycle=run.cycle,
            )
        )


def _key(opportunity: Opportunity) -> str:
    return f"{opportunity.detector}:{opportunity.key}"
