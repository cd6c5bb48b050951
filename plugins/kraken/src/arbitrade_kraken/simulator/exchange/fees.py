"""Fees: the schedules of January 2026, tiers by 30-day volume."""

import csv
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files

import attrs

_MONTH_NS = 30 * 86_400 * 1_000_000_000

type FeeSteps = Sequence[tuple[Decimal, Decimal]]
"""(30-day volume in USD from which it holds, percent), ascending."""


@attrs.frozen
class FeeSide:
    """What one side pays, in percent and USD, as TradeVolume says it.

    Args:
        fee: What it pays now.
        minimum: What it would pay at the highest volume.
        maximum: What it would pay at no volume.
        next_fee: What it pays in the next tier, None in the last.
        next_volume: Where the next tier begins.
        tier_volume: Where the present tier begins.
    """

    fee: Decimal
    minimum: Decimal
    maximum: Decimal
    next_fee: Decimal | None
    next_volume: Decimal | None
    tier_volume: Decimal | None

    @property
    def rate(self) -> Decimal:
        """The fee as a fraction of the notional."""
        return self.fee / 100


@attrs.frozen
class FeeQuote:
    """What an account pays on a pair now."""

    symbol: str
    taker: FeeSide
    maker: FeeSide


@attrs.frozen
class TieredFees:
    """What a schedule charges takers and makers, by their 30-day volume.

    Core's `FeeSchedule` says what an account pays; this says how the venue comes to it.

    Args:
        counts: Trades under it count towards the 30-day volume.
    """

    taker: FeeSteps
    maker: FeeSteps
    counts: bool

    def quote(self, symbol: str, volume: Decimal) -> FeeQuote:
        """Return what an account with this 30-day volume pays, with the tiers around it."""
        return FeeQuote(symbol, _side(self.taker, volume), _side(self.maker, volume))


class Volume:
    """An account's 30-day volume in USD."""

    def __init__(self, opening: Decimal) -> None:
        self._opening = opening
        self._recent: deque[tuple[int, Decimal]] = deque()
        self._sum = Decimal(0)

    def add(self, time_ns: int, usd: Decimal) -> None:
        """Count a trade of so much worth."""
        self._recent.append((time_ns, usd))
        self._sum += usd

    def at(self, time_ns: int) -> Decimal:
        """Return the volume of the thirty days before; the opening volume stays."""
        while self._recent and self._recent[0][0] <= time_ns - _MONTH_NS:
            self._sum -= self._recent.popleft()[1]
        return self._opening + self._sum


@cache
def fee_schedules() -> Mapping[str, TieredFees]:
    """Return the packaged schedules by letter: A, B, C and those of a few pairs of their own."""
    ladders: dict[tuple[str, str], list[tuple[Decimal, Decimal]]] = {}
    content = files("arbitrade_kraken.simulator.exchange").joinpath("data", "fees.csv").read_text()
    for row in csv.DictReader(content.splitlines()):
        ladder = ladders.setdefault((row["schedule"], row["side"]), [])
        ladder.append((Decimal(row["volume"]), Decimal(row["percent"])))
    letters = {letter for letter, _ in ladders}
    return {
        letter: TieredFees(
            tuple(ladders[letter, "taker"]),
            tuple(ladders[letter, "maker"]),
            # Pegged pairs start below the usual 0.40 and don't earn tiers elsewhere.
            counts=ladders[letter, "taker"][0][1] > Decimal("0.25"),
        )
        for letter in sorted(letters)
    }


def _side(ladder: FeeSteps, volume: Decimal) -> FeeSide:
    at = max(place for place, (start, _) in enumerate(ladder) if start <= max(volume, Decimal(0)))
    following = ladder[at + 1] if at + 1 < len(ladder) else None
    percents = [percent for _, percent in ladder]
    return FeeSide(
        fee=ladder[at][1],
        minimum=min(percents),
        maximum=max(percents),
        next_fee=following[1] if following else None,
        next_volume=following[0] if following else None,
        tier_volume=ladder[at][0],
    )
