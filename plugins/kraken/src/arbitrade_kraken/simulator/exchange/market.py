"""What moves the books: a generated market, or a recording.

    GeneratedMarket(GeneratedMarketSettings(seed=7, edge_every=500))
    RecordedMarket(frames)          # of `arbitrade_kraken.simulator.exchange.recorded`

The generated one lets every asset have a worth that drifts; a pair's fair price is the quotient of
two of them, so prices of all pairs move together and no triangle pays, until a pair is quoted away
from its fair price for a while: an edge.  Only the four basic operations are done on floats,
because those give the same bits on every machine.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from random import Random
from typing import Protocol

import attrs

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.book import Ladder, VenueBook
from arbitrade_kraken.simulator.exchange.universe import PairFacts, Universe
from arbitrade_kraken.simulator.exchange.worth import asset_worths


@attrs.frozen(kw_only=True)
class GeneratedMarketSettings:
    """What a generated market depends on.  The pace is set by who calls `Exchange.step`.

    Args:
        seed: Any integer; another seed is another market.
        volatility: Size of one step of an asset's worth, as a fraction; one per step.
        liquidity: What levels hold, as a multiple of what is usual.
        levels: Levels a side a book has before anybody asks for more.
        edge_every: Mean number of steps between two openings of a triangular edge; 0 for none.
        edge_bps: Smallest and largest net edge that opens, after `taker_fee` on every leg.
        edge_lifetime: Mean life of an edge, in steps.  Taking it ends it at once.
        taker_fee: What three legs are assumed to pay, as a fraction of the notional.
        trade_share: Steps in which somebody takes from a book instead of quoting.
        duplicate_share: Messages that name one price twice.
        thin_share: Coins' pairs whose books have fewer than ten levels a side.
    """

    seed: int = 1
    volatility: float = 2e-5
    liquidity: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    levels: int = attrs.field(default=40, validator=attrs.validators.ge(12))
    edge_every: int = attrs.field(default=1_500, validator=attrs.validators.ge(0))
    edge_bps: tuple[float, float] = (1.0, 40.0)
    edge_lifetime: int = attrs.field(default=300, validator=attrs.validators.ge(1))
    taker_fee: float = 0.0040
    trade_share: float = 0.05
    duplicate_share: float = 0.002
    thin_share: float = 0.03


class Floor(Protocol):
    """What a market acts through where orders of ours may stand in the way."""

    def arrive(self, book: VenueBook, side: Side, key: int, lots: int) -> int:
        """Let a stranger's limit order match ours that cross it; return the lots left to rest."""

    def hit(self, book: VenueBook, taker: Side, lots: int) -> None:
        """Let a stranger's market order take from the best prices."""


class Market(Protocol):
    """Moves the books of an exchange."""

    @property
    def is_over(self) -> bool:
        """True when nothing moves any more."""

    @property
    def duplicate_share(self) -> float:
        """How often a message names one price twice."""

    def open(self, universe: Universe, floor: Floor) -> dict[str, VenueBook]:
        """Return a filled book for each pair."""

    def step(self, is_matching: Mapping[str, bool]) -> VenueBook | None:
        """Move one book; None if nothing happened.

        Args:
            is_matching: Pairs that don't match now, as False; their books hardly move.
        """

    def deepen(self, book: VenueBook, depth: int) -> None:
        """See to it that a book has this many levels a side, if the market knows as many."""

    def on_taken(self, book: VenueBook, taker: Side, key: int, lots: int) -> None:
        """Hear that an order of ours took these lots from strangers."""

    def on_rescaled(self, book: VenueBook, pair: PairFacts) -> None:
        """Hear that the book stands in other integers now."""

    def worth(self, asset: str) -> float:
        """Return what an asset is worth in USD, about."""


class _Quoted:
    """A pair as its makers see it."""

    __slots__ = (
        "base", "book", "deviation", "half_spread", "levels", "quote", "scale", "symbol", "tail",
        "tick", "unit", "visible",
    )  # fmt: skip

    def __init__(self, pair: PairFacts, seed: int) -> None:
        self.symbol = pair.symbol
        self.book = VenueBook(pair.symbol)
        self.base = pair.base
        self.quote = pair.quote
        self.deviation = 0.0
        """How far the pair trades from its fair price, as a fraction: an open edge."""
        self.tail = Random(f"{seed} {pair.symbol}")  # noqa: S311 - no secrets
        """Of the levels far from the touch, so that depth asked for changes nothing near it."""
        self.levels = 0
        self.visible = 10
        self.half_spread = 0.0
        self.unit = 0.0
        """Lots of a typical level."""
        self.scale = 1.0
        self.tick = 1
        self.take_over(pair)

    def take_over(self, pair: PairFacts) -> None:
        """Learn the pair's decimals."""
        self.scale = float(10**pair.price_decimals)
        self.tick = max(1, int(pair.tick.scaleb(pair.price_decimals)))


class GeneratedMarket:
    """A market made from a seed (see the module)."""

    is_over = False

    def __init__(self, settings: GeneratedMarketSettings | None = None) -> None:
        self.settings = settings if settings is not None else GeneratedMarketSettings()
        self._rng = Random(self.settings.seed)  # noqa: S311 - no secrets
        self._random = self._rng.random
        self._worth: dict[str, float] = {}
        self._hubs: frozenset[str] = frozenset()
        self._quoted: dict[str, _Quoted] = {}
        self._order: list[_Quoted] = []
        self._weights: list[float] = []
        self._floor: Floor | None = None
        self._steps = 0
        self._due: list[tuple[int, int, _Quoted | None]] = []
        self._scheduled = 0
        self._triangles: list[tuple[str, str, str]] = []
        self._popularity: dict[str, int] = {}
        self.edges_opened = 0

    @property
    def duplicate_share(self) -> float:
        """See `GeneratedMarketSettings`."""
        return self.settings.duplicate_share

    def worth(self, asset: str) -> float:
        """See `Market`."""
        return self._worth[asset]

    def open(self, universe: Universe, floor: Floor) -> dict[str, VenueBook]:
        """See `Market`."""
        self._floor = floor
        self._worth = asset_worths(universe)
        self._hubs = frozenset(pair.quote for pair in universe.pairs.values())
        total = 0.0
        for pair in universe.pairs.values():
            quoted = self._list(pair)
            self._quoted[pair.symbol] = quoted
            self._order.append(quoted)
            total += _ACTIVITY.get(pair.quote, 0.15) * (1.0 if pair.base in _CALM else 0.5)
            self._weights.append(total)
            self._fill(quoted)
            quoted.book.settle()
        self._find_triangles(universe)
        if self.settings.edge_every and self._triangles:
            self._schedule_edge()
        return {quoted.symbol: quoted.book for quoted in self._order}

    def step(self, is_matching: Mapping[str, bool]) -> VenueBook | None:
        """See `Market`.  About 12 µs."""
        self._steps += 1
        if self._due and self._due[0][0] <= self._steps:
            return self._edge(is_matching)
        at = bisect_right(self._weights, self._random() * self._weights[-1])
        quoted = self._order[min(at, len(self._order) - 1)]
        self._drift(quoted)
        book = quoted.book
        if not is_matching.get(quoted.symbol, True):
            self._resize(quoted, book.bids if book.bids.keys else book.asks)
            return book
        if self._random() < self.settings.trade_share and self._trade(quoted):
            return book
        if not self._follow(quoted):
            self._anything(quoted)
        return book

    def deepen(self, book: VenueBook, depth: int) -> None:
        """See `Market`."""
        quoted = self._quoted[book.symbol]
        if quoted.levels < 10 or quoted.visible >= depth:
            return
        quoted.visible = depth
        quoted.levels = max(quoted.levels, depth + 8)
        self._replenish(quoted, book.bids)
        self._replenish(quoted, book.asks)

    def on_taken(self, book: VenueBook, taker: Side, key: int, lots: int) -> None:
        """See `Market`: an edge that was taken is gone."""
        self._quoted[book.symbol].deviation = 0.0

    def on_rescaled(self, book: VenueBook, pair: PairFacts) -> None:
        """See `Market`."""
        quoted = self._quoted[book.symbol]
        quoted.take_over(pair)
        quoted.unit = self._unit(quoted, pair)

    # ── listing ──────────────────────────────────────────────────────────────────────────────────

    def _list(self, pair: PairFacts) -> _Quoted:
        quoted = _Quoted(pair, self.settings.seed)
        is_hub = pair.base in _CALM and pair.quote in _CALM
        steadiness = self._random()
        quoted.half_spread = (0.00003 if is_hub else 0.0003) * (0.5 + 2 * steadiness)
        is_thin = not is_hub and self._random() < self.settings.thin_share
        quoted.levels = 1 + int(self._random() * 9) if is_thin else self.settings.levels
        quoted.unit = self._unit(quoted, pair)
        return quoted

    def _unit(self, quoted: _Quoted, pair: PairFacts) -> float:
        is_hub = pair.base in _CALM and pair.quote in _CALM
        usd = self.settings.liquidity * (40_000.0 if is_hub else 2_500.0)
        return float(usd / self._worth[pair.base] * 10**pair.lot_decimals)

    # ── motion ───────────────────────────────────────────────────────────────────────────────────

    def _drift(self, quoted: _Quoted) -> None:
        random = self._random
        asset = quoted.base if random() < 0.85 else quoted.quote
        if asset != "USD":
            # A hub moves with every one of its pairs, so each time a little less.
            size = self.settings.volatility * (0.2 if asset in self._hubs else 2.0)
            self._worth[asset] *= 1 + size * (random() + random() + random() - 1.5)

    def _fair(self, quoted: _Quoted) -> float:
        worth = self._worth
        return worth[quoted.base] / worth[quoted.quote] * (1 + quoted.deviation) * quoted.scale

    def _quotes(self, quoted: _Quoted, fair: float) -> tuple[int, int]:
        """Return bid and ask ticks around the fair price, on the tick, never touching."""
        tick = quoted.tick
        half = fair * quoted.half_spread
        bid = max(1, int((fair - half) / tick)) * tick
        ask = (int((fair + half) / tick) + 1) * tick
        return bid, max(ask, bid + tick)

    def _fill(self, quoted: _Quoted) -> None:
        book = quoted.book
        bid, ask = self._quotes(quoted, self._fair(quoted))
        self._put(quoted, book.bids, -bid)
        self._put(quoted, book.asks, ask)
        self._replenish(quoted, book.bids)
        self._replenish(quoted, book.asks)

    def _follow(self, quoted: _Quoted, *, at_once: bool = False) -> bool:
        """Bring the best prices to the fair price if they are off; return whether they were."""
        book, fair = quoted.book, self._fair(quoted)
        bid, ask = self._quotes(quoted, fair)
        best_bid, best_ask = book.bids.best_market(), book.asks.best_market()
        if best_bid is None or best_ask is None:
            self._fill(quoted)
            return True
        slack = 2 * (ask - bid) + quoted.tick
        if not at_once and fair - slack < -best_bid <= fair <= best_ask < fair + slack:
            return False
        self._withdraw(book.bids, -bid)
        self._withdraw(book.asks, ask)
        self._move_best(quoted, book.bids, -bid)
        self._move_best(quoted, book.asks, ask)
        return True

    @staticmethod
    def _withdraw(side: Ladder, key: int) -> None:
        """Drop strangers' quantity better than `key`."""
        for better in side.keys[: bisect_right(side.keys, key - 1)]:
            side.drop(better)

    def _move_best(self, quoted: _Quoted, side: Ladder, key: int) -> None:
        """Make `key` the best price of strangers on a side and add up to two more."""
        if side.best_market() != key:
            for _ in range(1 + int(self._random() * 2.5)):
                if not side.market(key) and (side.sign > 0 or key < 0):
                    self._put(quoted, side, key)
                key += quoted.tick * (1 + int(self._random() * 3))
        self._replenish(quoted, side)

    def _put(self, quoted: _Quoted, side: Ladder, key: int) -> None:
        """Quote a new level; orders of ours that it reaches are filled first."""
        lots = self._lots(quoted, self._random)
        book = quoted.book
        if book.has_own and self._floor is not None:
            taker = Side.SELL if side.sign > 0 else Side.BUY
            lots = self._floor.arrive(book, taker, key, lots)
        other = book.bids if side is book.asks else book.asks
        if lots and not (other.keys and key + other.keys[0] <= 0):
            side.put(key, lots)

    def _trade(self, quoted: _Quoted) -> bool:
        """Let a stranger take from the best price; a second level now and then."""
        book, taker = quoted.book, Side.BUY if self._random() < 0.5 else Side.SELL
        side = book.asks if taker is Side.BUY else book.bids
        if len(side.keys) < 2 or self._floor is None:
            return False
        share = self._random() * 1.3
        self._floor.hit(book, taker, max(1, int(side.lots[side.keys[0]] * share)))
        self._replenish(quoted, side)
        return True

    def _anything(self, quoted: _Quoted) -> None:
        book = quoted.book
        side = book.bids if self._random() < 0.5 else book.asks
        what = self._random()
        if what < 0.50:
            self._resize(quoted, side)
        elif what < 0.66:
            self._insert(quoted, side)
        else:
            self._remove(quoted, side)
            if what > 0.84:
                self._insert(quoted, side)

    def _resize(self, quoted: _Quoted, side: Ladder) -> None:
        if not side.keys:
            return
        key = side.keys[self._index(side)]
        # Strangers don't join an order of ours alone at its price: it may stand across the spread.
        if side.market(key):
            side.put(key, self._lots(quoted, self._random))

    def _insert(self, quoted: _Quoted, side: Ladder) -> None:
        """Add a level near one that is there, without reaching the other side."""
        book = quoted.book
        other = book.asks if side is book.bids else book.bids
        near = side.keys[self._index(side)]
        key = near - quoted.tick * (1 + int(self._random() * self._gap(quoted)))
        if side.market(key) or not other.keys or key + other.keys[0] <= 0:
            self._resize(quoted, side)
            return
        side.put(key, self._lots(quoted, self._random))
        self._replenish(quoted, side)

    def _remove(self, quoted: _Quoted, side: Ladder) -> None:
        if len(side.keys) < 2:
            self._resize(quoted, side)
            return
        side.drop(side.keys[self._index(side)])
        self._replenish(quoted, side)

    def _index(self, side: Ladder) -> int:
        """Return the place of a level, the best ones being likelier."""
        chance = self._random()
        return int(chance * chance * min(len(side.keys), 12))

    def _replenish(self, quoted: _Quoted, side: Ladder) -> None:
        """Keep as many levels as this book has; the far end is where they come and go."""
        wanted, random = quoted.levels, quoted.tail.random
        keys = side.keys
        if len(keys) < wanted and keys:
            gap = self._gap(quoted)
            # An order of ours far away is not where the book goes on.
            key = keys[-1] if not side.own else max(filter(side.market, keys), default=keys[0])
            while len(keys) < wanted:
                key += quoted.tick * (1 + int(random() * gap))
                if side.sign < 0 and key >= 0:
                    break
                side.put(key, self._lots(quoted, random))
        most = wanted if wanted < 10 else wanted + 4
        at = len(keys) - 1
        while len(keys) > most and at >= 0:
            if side.market(keys[at]):
                side.drop(keys[at])
            at -= 1

    def _gap(self, quoted: _Quoted) -> float:
        """Return the largest usual distance between levels, in ticks of the pair."""
        return 2 + self._fair(quoted) * quoted.half_spread / quoted.tick * 0.8

    @staticmethod
    def _lots(quoted: _Quoted, random: Callable[[], float]) -> int:
        """Return a quantity: small ones are common, one in five is a round number."""
        chance = random()
        lots = int(quoted.unit * (0.02 + 3 * chance * chance * chance)) + 1
        if random() < 0.2:
            digits = max(0, len(str(lots)) - 2)
            lots = max(1, lots // 10**digits) * 10**digits
        return lots

    # ── edges ────────────────────────────────────────────────────────────────────────────────────

    def _find_triangles(self, universe: Universe) -> None:
        between: dict[frozenset[str], str] = {}
        neighbours: dict[str, list[str]] = {}
        for symbol, pair in universe.pairs.items():
            between[frozenset((pair.base, pair.quote))] = symbol
            neighbours.setdefault(pair.base, []).append(pair.quote)
            neighbours.setdefault(pair.quote, []).append(pair.base)
        place = {asset: at for at, asset in enumerate(neighbours)}
        self._triangles = [
            (
                symbol,
                between[frozenset((pair.base, third))],
                between[frozenset((pair.quote, third))],
            )
            for symbol, pair in universe.pairs.items()
            for third in neighbours[pair.base]
            if place[third] > max(place[pair.base], place[pair.quote])
            and frozenset((pair.quote, third)) in between
        ]
        self._popularity = dict.fromkeys(universe.pairs, 0)
        for triangle in self._triangles:
            for symbol in triangle:
                self._popularity[symbol] += 1

    def _schedule_edge(self) -> None:
        self._later(self.settings.edge_every, None)

    def _later(self, mean: int, quoted: _Quoted | None) -> None:
        at = self._steps + max(1, int(mean * (0.5 + self._random())))
        self._scheduled += 1
        heappush(self._due, (at, self._scheduled, quoted))

    def _edge(self, is_matching: Mapping[str, bool]) -> VenueBook | None:
        """Open or close the edge that is due."""
        _, _, quoted = heappop(self._due)
        if quoted is not None:
            quoted.deviation = 0.0
        else:
            self._schedule_edge()
            quoted = self._choose_edge(is_matching)
        if quoted is None or not is_matching.get(quoted.symbol, True):
            return None
        self._follow(quoted, at_once=True)
        return quoted.book

    def _choose_edge(self, is_matching: Mapping[str, bool]) -> _Quoted | None:
        """Move the pair of a triangle that is in the fewest: one edge opens, not hundreds."""
        triangle = self._triangles[int(self._random() * len(self._triangles))]
        quoted = self._quoted[min(triangle, key=self._popularity.__getitem__)]
        low, high = self.settings.edge_bps
        edge = (low + (high - low) * self._random()) / 10_000
        is_up = self._random() < 0.5
        if quoted.deviation or not is_matching.get(quoted.symbol, True):
            return None
        spreads = 0.0
        for symbol in triangle:
            other = self._quoted[symbol]
            spreads += other.half_spread + other.tick / max(1.0, self._fair(other))
        fee = self.settings.taker_fee
        wanted = 3 * fee * (1 + fee) + spreads + edge
        quoted.deviation = wanted if is_up else -wanted
        self.edges_opened += 1
        self._later(self.settings.edge_lifetime, quoted)
        return quoted


_ACTIVITY = {"USD": 1.0, "EUR": 0.7, "USDT": 0.4, "USDC": 0.3, "BTC": 0.3, "GBP": 0.2, "ETH": 0.2}
_CALM = frozenset({"USD", "EUR", "GBP", "USDT", "USDC", "BTC", "ETH", "AUD", "CAD", "CHF", "JPY"})
