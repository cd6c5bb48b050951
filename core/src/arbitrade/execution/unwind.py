"""Ways out of an asset back to the start asset, compared on the books as they are.

`finish` goes on along the legs that remain, `reverse` goes back along those that were done,
`direct` takes the pair of the two assets, `two_hop` goes over any third one, `hold` does nothing.
Pure: what is compared is handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import attrs

from arbitrade.book import BookState, OrderBook
from arbitrade.execution.exact import EXACT, ROUNDED_ONCE, ZERO, plain, short
from arbitrade.execution.walk import Conditions, ledger_step, why_not_tradable
from arbitrade.models import (
    Instrument,
    Instruments,
    Leg,
    LegQuote,
    Side,
    UnwindCandidate,
    UnwindDecision,
)
from arbitrade.pricing import FeeSchedule

_KINDS = ("finish", "reverse", "direct", "two_hop", "hold")
_TAKEN, _HOLD, _BEYOND_CAP, _BLOCKED = range(4)

type _Path = tuple[str, tuple[Leg, ...]]
"""Kind, and the legs from what is held to the start asset."""


def ways_out(
    asset: str,
    amount: Decimal,
    cost: Decimal,
    start: str,
    remaining_legs: Sequence[Leg],
    done_legs: Sequence[Leg],
    instruments: Instruments,
    books: Mapping[str, OrderBook],
    fees: FeeSchedule,
    loss_cap: Decimal,
    attempts_left: int = 1,
    *,
    slippage_bps: Decimal = ZERO,
    step_of: Callable[[str], Decimal | None] | None = None,
    skip: Callable[[str, Side], int] | None = None,
    available: Callable[[str], Decimal] | None = None,
) -> UnwindDecision:
    """Return the cheapest way out of an asset within the loss cap, with all that were looked at.

    `received` counts only what comes back now: what lots, minimums or depth leave behind is worth
    nothing to a candidate, and its note names it.  Only online pairs with tradable books are taken.
    `hold` is chosen when nothing else is possible, all else costs more than the cap, or no attempt
    is left; it is valued at the best known rate.  Of ways that cost the same, the kind named first
    above counts, then the name of the asset between.  A path found twice keeps its first kind.

    Candidates are sorted: those within the cap by loss, `hold`, those beyond the cap by loss, those
    that are blocked.  The first is chosen.  O(pairs) to find the third assets, then a walk through
    one or two books for each.

    Args:
        asset: What is held.
        amount: How much.
        cost: What it cost, in the start asset.
        start: Where to go.
        remaining_legs: Of the plan, in trading order; those that don't lead on are passed over.
        done_legs: What was done, in trading order; the same.
        instruments: All pairs.
        books: Those there are, by symbol.
        fees: Rates, and where they are charged.
        loss_cap: Most that `cost` may exceed what comes back, in the start asset.
        attempts_left: Orders that may still be sent.
        slippage_bps: How far each limit may be beyond the worst price touched.
        step_of: Return the smallest amount of an asset the venue's ledger keeps.
        skip: Return lots at the front of a pair's side that other orders of ours will take.
        available: Return what the wallet has free of an asset, `amount` of it included.
    """
    conditions = Conditions(
        fees,
        step_of or (lambda name: ledger_step(instruments, name)),
        slippage_bps,
        skip,
        None if available is None else _at_least(available, asset, amount),
    )
    market = _Market(instruments, books, conditions)
    paths = list(_paths(market, asset, start, remaining_legs, done_legs))
    candidates = [market.candidate(kind, path, amount, cost) for kind, path in paths]
    worth = amount if asset == start else _best_worth(market, paths, amount)
    candidates.append(_hold(worth, cost))
    ranked = sorted(
        (_rank(one, loss_cap, attempts_left), at, one) for at, one in enumerate(candidates)
    )
    marked = tuple(_marked(one, rank[0], loss_cap) for rank, _, one in ranked)
    return UnwindDecision(asset, amount, cost, marked[0], marked, loss_cap)


# ── paths ────────────────────────────────────────────────────────────────────────────────────────


def _paths(
    market: "_Market",
    asset: str,
    start: str,
    remaining_legs: Sequence[Leg],
    done_legs: Sequence[Leg],
) -> Iterator[_Path]:
    """Yield every way once, in the order of kinds, then of the assets between."""
    if asset == start:
        return
    seen: set[tuple[Leg, ...]] = set()
    back = [Leg(leg.symbol, _OPPOSITE[leg.side]) for leg in reversed(done_legs)]
    ways: list[_Path] = [
        ("finish", market.chain(remaining_legs, asset, start)),
        ("reverse", market.chain(back, asset, start)),
    ]
    ways += (("direct", (leg,)) for leg in market.conversions(asset, start))
    ways += (("two_hop", path) for path in market.two_hops(asset, start))
    for kind, path in ways:
        if path and path not in seen:
            seen.add(path)
            yield kind, path


_OPPOSITE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


@attrs.frozen
class _Market:
    """Pairs, books, and what all quotes have in common."""

    instruments: Instruments
    books: Mapping[str, OrderBook]
    conditions: Conditions

    def chain(self, legs: Iterable[Leg], asset: str, start: str) -> tuple[Leg, ...]:
        """Return the legs that lead from `asset` to `start`; none when they don't."""
        path: list[Leg] = []
        held = asset
        for leg in legs:
            ends = self.ends(leg)
            if ends is None or ends[0] != held:
                continue
            path.append(leg)
            held = ends[1]
            if held == start:
                return tuple(path)
        return ()

    def ends(self, leg: Leg) -> tuple[str, str] | None:
        """Return what a leg spends and what it brings; None for a pair that is not listed."""
        pair = self.instruments.get(leg.symbol)
        if pair is None:
            return None
        return (pair.quote, pair.base) if leg.side is Side.BUY else (pair.base, pair.quote)

    def conversions(self, spends: str, brings: str) -> Iterator[Leg]:
        """Yield the legs between two assets, online or not."""
        for pair in self.instruments.values():
            if (pair.base, pair.quote) == (spends, brings):
                yield Leg(pair.symbol, Side.SELL)
            elif (pair.quote, pair.base) == (spends, brings):
                yield Leg(pair.symbol, Side.BUY)

    def two_hops(self, asset: str, start: str) -> Iterator[tuple[Leg, Leg]]:
        """Yield the ways over a third asset whose pairs are online and have a book, by its name."""
        online = [
            pair
            for pair in self.instruments.values()
            if pair.is_online and pair.symbol in self.books
        ]
        first = _neighbours(online, asset, is_spent=True)
        second = _neighbours(online, start, is_spent=False)
        for between in sorted(first.keys() & second.keys() - {asset, start}):
            yield from ((one, two) for one in first[between] for two in second[between])

    def candidate(
        self, kind: str, path: tuple[Leg, ...], amount: Decimal, cost: Decimal
    ) -> UnwindCandidate:
        """Return a way with its price on the books as they are."""
        quotes: list[LegQuote] = []
        notes: list[str] = []
        for leg in path:
            book = self.books.get(leg.symbol)
            reason = self._why_not(leg.symbol, book)
            if book is None or reason is not None:
                return UnwindCandidate(kind, path, tuple(quotes), ZERO, cost, reason)
            if quotes:
                quote = self.conditions.next(book, leg.side, quotes[-1].received)
            else:
                quote = self.conditions.first(book, leg.side, amount)
            quotes.append(quote)
            if quote.blocked is not None:
                return UnwindCandidate(kind, path, tuple(quotes), ZERO, cost, quote.blocked)
            notes += _left_behind(book.instrument, quote)
        received = quotes[-1].received
        loss = EXACT.subtract(cost, received)
        return UnwindCandidate(kind, path, tuple(quotes), received, loss, None, "; ".join(notes))

    def top_rate(self, leg: Leg) -> Fraction | None:
        """Return what one unit brings at the best price after the fee; None when no book tells.

        A book that may not be traded on, its pair being halted, still tells while it is in sync.
        """
        book = self.books.get(leg.symbol)
        if book is None or book.state is not BookState.SYNCED or book.is_crossed:
            return None
        best = book.side(leg.side).best
        if best is None:
            return None
        fees, pair = self.conditions.fees, book.instrument
        spend, receive = fees.charged_in.factors(leg.side, fees.taker_rate(pair.symbol))
        price = Fraction(best, 10**pair.price_precision)
        return receive / spend * (1 / price if leg.side is Side.BUY else price)

    def _why_not(self, symbol: str, book: OrderBook | None) -> str | None:
        pair = self.instruments.get(symbol)
        if pair is not None and not pair.is_online:
            return f"{symbol}: the pair is {pair.status.value}, not online"
        return why_not_tradable(symbol, book)


def _neighbours(pairs: Iterable[Instrument], asset: str, *, is_spent: bool) -> dict[str, list[Leg]]:
    """Return the legs that spend an asset, or that bring it, by the other asset."""
    found: dict[str, list[Leg]] = {}
    for pair in pairs:
        if pair.base == asset:
            side = Side.SELL if is_spent else Side.BUY
            found.setdefault(pair.quote, []).append(Leg(pair.symbol, side))
        elif pair.quote == asset:
            side = Side.BUY if is_spent else Side.SELL
            found.setdefault(pair.base, []).append(Leg(pair.symbol, side))
    return found


# ── prices ───────────────────────────────────────────────────────────────────────────────────────


def _hold(worth: Decimal, cost: Decimal) -> UnwindCandidate:
    return UnwindCandidate("hold", (), (), worth, EXACT.subtract(cost, worth))


def _best_worth(market: _Market, paths: Iterable[_Path], amount: Decimal) -> Decimal:
    """Return what an amount is worth at the best prices of the best way; 0 when no book tells."""
    best = Fraction(0)
    for _, path in paths:
        rate = Fraction(1)
        for leg in path:
            rate *= market.top_rate(leg) or 0
        best = max(best, rate)
    worth = Fraction(amount) * best
    return ROUNDED_ONCE.divide(Decimal(worth.numerator), Decimal(worth.denominator))


def _left_behind(pair: Instrument, quote: LegQuote) -> list[str]:
    """Say what of a leg's input would stay, and whether it could be sent at all."""
    if quote.left <= 0:
        return []
    is_buy = quote.side is Side.BUY
    # Near enough for a note: the fee of so little doesn't matter.
    quantity = quote.left / quote.worst_price if is_buy else quote.left
    notional = quote.left if is_buy else quote.left * quote.worst_price
    step = max(pair.minimum_quantity, pair.quantity_increment)
    is_dust = quantity < step or notional < pair.minimum_notional
    asset = pair.quote if is_buy else pair.base
    why = "below the minimum" if is_dust else "more than book and wallet allow"
    return [f"leaves {plain(quote.left)} {asset}, {why} of {pair.symbol}"]


def _rank(
    candidate: UnwindCandidate, loss_cap: Decimal, attempts_left: int
) -> tuple[int, Decimal, int, tuple[str, ...]]:
    if candidate.kind == "hold":
        group = _HOLD
    elif candidate.blocked is not None:
        group = _BLOCKED
    else:
        is_taken = candidate.loss <= loss_cap and attempts_left > 0
        group = _TAKEN if is_taken else _BEYOND_CAP
    names = tuple(leg.symbol for leg in candidate.path)
    return group, candidate.loss, _KINDS.index(candidate.kind), names


def _marked(candidate: UnwindCandidate, group: int, loss_cap: Decimal) -> UnwindCandidate:
    """Return a candidate that says why it comes behind `hold`."""
    if group != _BEYOND_CAP:
        return candidate
    reason = (
        f"loss {short(candidate.loss)} is above the cap {plain(loss_cap)}"
        if candidate.loss > loss_cap
        else "no attempt is left"
    )
    return attrs.evolve(candidate, note="; ".join(filter(None, (reason, candidate.note))))


def _at_least(
    available: Callable[[str], Decimal], asset: str, amount: Decimal
) -> Callable[[str], Decimal]:
    """Return `available`, with what is held of an asset in any case."""
    return lambda name: max(amount, available(name)) if name == asset else available(name)
