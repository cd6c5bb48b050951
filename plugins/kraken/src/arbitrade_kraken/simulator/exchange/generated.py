"""A market made from a seed: what moves the books when no recording does.

    GeneratedMarket(GeneratedMarketSettings(seed=7, edge_every=500))

Every asset has a worth that drifts; a pair's fair price is the quotient of two of them.  So prices
of all pairs move together and no triangle pays, until a pair is quoted away from its fair price for
a while: an edge.  Only the four basic operations are done on floats, because those give the same
bits on every machine.

It resembles `arbitrade.synthetic`, which makes frames for detection, and shares no code with it on
purpose: there nobody trades, so books are without queues and one stream of chance will do; here
orders of ours stand in the way of every quote, depth is made only when asked for, and the bytes of
either may change without the other's.
"""

from bisect import bisect_right
from collections.abc import Mapping
from random import Random

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.edges import Edges
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.listed import ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.makers import Makers, QuotedPair
from arbitrade_kraken.simulator.exchange.market import Floor
from arbitrade_kraken.simulator.exchange.worth import asset_worths


class GeneratedMarket:
    """A market made from a seed (see the module)."""

    is_over = False

    def __init__(self, settings: GeneratedMarketSettings | None = None) -> None:
        self.settings = settings if settings is not None else GeneratedMarketSettings()
        self._rng = Random(self.settings.seed)  # noqa: S311 - no secrets
        self._random = self._rng.random
        self._worths: dict[str, float] = {}
        self._hubs: frozenset[str] = frozenset()
        self._quoted: dict[str, QuotedPair] = {}
        self._order: list[QuotedPair] = []
        self._weights: list[float] = []
        """Of the pairs in that order, summed up: how often each moves."""
        self._steps = 0
        self._makers = Makers(self._rng, self._worths)
        self._edges = Edges(self.settings, self._rng, self._makers, self._quoted)

    @property
    def duplicate_share(self) -> float:
        """How often a message names one price twice, as the settings say."""
        return self.settings.duplicate_share

    @property
    def edges_opened(self) -> int:
        """How many triangular edges have opened so far."""
        return self._edges.opened

    def worth(self, asset: str) -> float:
        """Return what an asset is worth in USD just now: what prices follow."""
        return self._worths[asset]

    def open(self, listed: ListedPairs, floor: Floor) -> dict[str, MatchingBook]:
        """Return a book of quotes for every pair; the same for the same seed and pairs."""
        self._worths.update(asset_worths(listed))
        self._hubs = frozenset(pair.quote for pair in listed.pairs.values())
        total = 0.0
        for pair in listed.pairs.values():
            quoted = self._list(pair, floor)
            self._quoted[pair.symbol] = quoted
            self._order.append(quoted)
            total += _ACTIVITY.get(pair.quote, 0.15) * (1.0 if pair.base in _CALM else 0.5)
            self._weights.append(total)
            self._makers.fill(quoted)
            quoted.book.settle()
        self._edges.open(listed)
        return {quoted.symbol: quoted.book for quoted in self._order}

    def step(self, is_matching: Mapping[str, bool]) -> MatchingBook | None:
        """Move one book, a busy one more often.  About 12 µs."""
        self._steps += 1
        if self._steps >= self._edges.next_step:
            return self._edges.act(self._steps, is_matching)
        at = bisect_right(self._weights, self._random() * self._weights[-1])
        quoted = self._order[min(at, len(self._order) - 1)]
        self._drift(quoted)
        book = quoted.book
        if not is_matching.get(quoted.symbol, True):
            self._makers.resize(quoted, book.bids if book.bids.keys else book.asks)
            return book
        if self._random() < self.settings.trade_share and self._trade(quoted):
            return book
        if not self._makers.follow(quoted):
            self._makers.anything(quoted)
        return book

    def deepen(self, book: MatchingBook, depth: int) -> None:
        """Add levels at the far ends until the depth is there; a thin book stays thin."""
        quoted = self._quoted[book.symbol]
        if quoted.levels < 10 or quoted.visible >= depth:
            return
        quoted.visible = depth
        quoted.levels = max(quoted.levels, depth + 8)
        self._makers.replenish(quoted, book.bids)
        self._makers.replenish(quoted, book.asks)

    def on_taken(self, book: MatchingBook, taker: Side, key: int, lots: int) -> None:
        """End the pair's edge: one that was taken is gone."""
        self._quoted[book.symbol].deviation = 0.0

    def on_rescaled(self, book: MatchingBook, pair: PairFacts) -> None:
        """Quote in the pair's new decimals from now on."""
        quoted = self._quoted[book.symbol]
        quoted.take_over(pair)
        quoted.unit = self._unit(quoted, pair)

    def _list(self, pair: PairFacts, floor: Floor) -> QuotedPair:
        quoted = QuotedPair(pair, floor, self.settings.seed)
        is_hub = pair.base in _CALM and pair.quote in _CALM
        steadiness = self._random()
        quoted.half_spread = (0.00003 if is_hub else 0.0003) * (0.5 + 2 * steadiness)
        is_thin = not is_hub and self._random() < self.settings.thin_share
        quoted.levels = 1 + int(self._random() * 9) if is_thin else self.settings.levels
        quoted.unit = self._unit(quoted, pair)
        return quoted

    def _unit(self, quoted: QuotedPair, pair: PairFacts) -> float:
        is_hub = pair.base in _CALM and pair.quote in _CALM
        usd = self.settings.liquidity * (40_000.0 if is_hub else 2_500.0)
        return float(usd / self._worths[pair.base] * 10**pair.lot_decimals)

    def _drift(self, quoted: QuotedPair) -> None:
        random = self._random
        asset = quoted.base if random() < 0.85 else quoted.quote
        if asset != "USD":
            # A hub moves with every one of its pairs, so each time a little less.
            size = self.settings.volatility * (0.2 if asset in self._hubs else 2.0)
            self._worths[asset] *= 1 + size * (random() + random() + random() - 1.5)

    def _trade(self, quoted: QuotedPair) -> bool:
        """Let a stranger take from the best price; a second level now and then."""
        book, taker = quoted.book, Side.BUY if self._random() < 0.5 else Side.SELL
        side = book.asks if taker is Side.BUY else book.bids
        if len(side.keys) < 2:
            return False
        share = self._random() * 1.3
        quoted.floor.hit(book, taker, max(1, int(side.lots[side.keys[0]] * share)))
        self._makers.replenish(quoted, side)
        return True


_ACTIVITY = {"USD": 1.0, "EUR": 0.7, "USDT": 0.4, "USDC": 0.3, "BTC": 0.3, "GBP": 0.2, "ETH": 0.2}
_CALM = frozenset({"USD", "EUR", "GBP", "USDT", "USDC", "BTC", "ETH", "AUD", "CAD", "CHF", "JPY"})
