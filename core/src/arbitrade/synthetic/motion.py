"""How books move: values drift, makers follow, and now and then someone changes their mind.

Only the four basic operations are done on floats (no logarithm, no power), because those give the
same bits on every machine.
"""

from bisect import bisect_right
from collections.abc import Mapping
from random import Random

from arbitrade.synthetic.ladder import Ladder, VenueBook
from arbitrade.synthetic.settings import MarketSettings
from arbitrade.synthetic.universe import Universe


class Motion:
    """Moves one book a step, towards what its assets are worth."""

    def __init__(self, universe: Universe, settings: MarketSettings, rng: Random) -> None:
        self._rng = rng
        self._volatility = settings.volatility
        self._visible = settings.depth
        self._hubs = frozenset(listing.instrument.quote for listing in universe.listings)
        self._values = dict(universe.values)
        self._symbols = [listing.instrument.symbol for listing in universe.listings]
        self._weights: list[float] = []
        total = 0.0
        for listing in universe.listings:
            total += listing.activity
            self._weights.append(total)

    def choose_listening(self, books: Mapping[str, VenueBook]) -> VenueBook:
        """Return a book somebody is subscribed to, busy ones more often."""
        weights, last = self._weights, len(self._weights) - 1
        while True:
            at = bisect_right(weights, self._rng.random() * weights[-1])
            book = books[self._symbols[min(at, last)]]
            if book.is_listening:
                return book

    def step(self, book: VenueBook) -> None:
        """Change something in `book`: follow the price if it moved, else anything."""
        self._drift(book)
        if book.condition:
            self.touch(book)
            return
        self._stir(book, book.bids)
        self._stir(book, book.asks)
        if not self.follow(book):
            self._anything(book)

    def touch(self, book: VenueBook) -> None:
        """Change a quantity that everybody sees."""
        self._resize(book, book.bids if book.bids.keys else book.asks)

    def fill(self, book: VenueBook) -> None:
        """Make a whole new book around the fair price."""
        for side in (book.bids, book.asks):
            side.keys.clear()
            side.lots.clear()
        bid, ask = self._quotes(book)
        book.bids.put(-bid, self._lots(book))
        book.asks.put(ask, self._lots(book))
        self._replenish(book, book.bids)
        self._replenish(book, book.asks)

    def follow(self, book: VenueBook, *, at_once: bool = False) -> bool:
        """Bring the best prices to the fair price if they are off; return whether they were."""
        bids, asks = book.bids, book.asks
        if not (bids.keys and asks.keys):
            self.fill(book)
            return True
        fair, bid, ask = self._fair(book), *self._quotes(book)
        best_bid, best_ask = -bids.keys[0], asks.keys[0]
        slack = 2 * (ask - bid) + book.step
        is_near = fair - slack < best_bid <= fair and fair <= best_ask < fair + slack
        if is_near and not at_once:
            return False
        self._move_best(book, bids, -bid)
        self._move_best(book, asks, ask)
        return True

    def uncross(self, book: VenueBook) -> None:
        """Take away the bids that reach the asks."""
        bids, asks = book.bids, book.asks
        while bids.keys and asks.keys and bids.keys[0] + asks.keys[0] <= 0:
            bids.drop(bids.keys[0])
        self._replenish(book, bids)

    def cross(self, book: VenueBook) -> None:
        """Put a bid at or above the best ask."""
        above = int(self._rng.random() * 3) * book.step
        book.bids.put(-(book.asks.keys[0] + above), self._lots(book))

    def _drift(self, book: VenueBook) -> None:
        random = self._rng.random
        instrument, values = book.instrument, self._values
        asset = instrument.base if random() < 0.85 else instrument.quote
        if asset != "USD":
            # A hub moves with every one of its pairs, so each time a little less.
            size = self._volatility * (0.2 if asset in self._hubs else 2.0)
            values[asset] *= 1 + size * (random() + random() + random() - 1.5)

    def _fair(self, book: VenueBook) -> float:
        values, instrument = self._values, book.instrument
        price = values[instrument.base] / values[instrument.quote]
        return price * (1 + book.deviation) * float(book.scale)

    def _quotes(self, book: VenueBook) -> tuple[int, int]:
        """Return bid and ask ticks around the fair price, on the increment, never touching."""
        fair, step = self._fair(book), book.step
        half = fair * book.listing.half_spread
        bid = max(1, int((fair - half) / step)) * step
        ask = (int((fair + half) / step) + 1) * step
        return bid, max(ask, bid + step)

    def _move_best(self, book: VenueBook, side: Ladder, key: int) -> None:
        """Make `key` the best price of a side: drop what is better, add up to three levels."""
        while side.keys and side.keys[0] < key:
            side.drop(side.keys[0])
        if not side.keys or side.keys[0] != key:
            for _ in range(1 + int(self._rng.random() * 2.5)):
                if key not in side.lots and self._is_priced(side, key):
                    side.put(key, self._lots(book))
                key += book.step * (1 + int(self._rng.random() * 3))
        self._replenish(book, side)

    def _stir(self, book: VenueBook, side: Ladder) -> None:
        """Take away a level nobody sees: who kept it when it left the window has a ghost."""
        hidden = len(side.keys) - self._visible
        if hidden > 2:
            side.drop(side.keys[self._visible + int(self._rng.random() * hidden)])
            self._replenish(book, side)

    def _anything(self, book: VenueBook) -> None:
        random = self._rng.random
        side = book.bids if random() < 0.5 else book.asks
        what = random()
        if what < 0.50:
            self._resize(book, side)
        elif what < 0.66:
            self._insert(book, side)
        elif what < 0.84:
            self._remove(book, side)
        else:
            self._remove(book, side)
            self._insert(book, side)

    def _resize(self, book: VenueBook, side: Ladder) -> None:
        key = side.keys[self._index(side)]
        side.lots[key] = self._lots(book)

    def _insert(self, book: VenueBook, side: Ladder) -> None:
        """Add a level near one that is there, without reaching the other side."""
        other = book.asks if side is book.bids else book.bids
        near = side.keys[self._index(side)]
        key = near - book.step * (1 + int(self._rng.random() * self._gap(book)))
        if key in side.lots or not other.keys or key + other.keys[0] <= 0:
            self._resize(book, side)
            return
        side.put(key, self._lots(book))
        self._replenish(book, side)

    def _remove(self, book: VenueBook, side: Ladder) -> None:
        if len(side.keys) < 2:
            self._resize(book, side)
            return
        side.drop(side.keys[self._index(side)])
        self._replenish(book, side)

    def _index(self, side: Ladder) -> int:
        """Return the place of a level, the best ones being likelier."""
        chance = self._rng.random()
        return int(chance * chance * min(len(side.keys), self._visible))

    def _replenish(self, book: VenueBook, side: Ladder) -> None:
        """Keep as many levels as this book has; the far end is where they come and go."""
        wanted = book.listing.levels
        while len(side.keys) < wanted:
            key = side.keys[-1] + book.step * (1 + int(self._rng.random() * self._gap(book)))
            if not self._is_priced(side, key):
                break
            side.put(key, self._lots(book))
        while len(side.keys) > wanted + 4:
            side.drop(side.keys[-1])
        if wanted < 10:
            while len(side.keys) > wanted:
                side.drop(side.keys[-1])

    def _gap(self, book: VenueBook) -> float:
        """Return the largest usual distance between levels, in price increments."""
        return 2 + self._fair(book) * book.listing.half_spread / book.step * 0.8

    def _lots(self, book: VenueBook) -> int:
        """Return a quantity: small ones are common, one in five is a round number."""
        random = self._rng.random
        chance = random()
        lots = int(book.unit * (0.02 + 3 * chance * chance * chance)) + 1
        if random() < 0.2:
            digits = max(0, len(str(lots)) - 2)
            lots = max(1, lots // 10**digits) * 10**digits
        return lots

    @staticmethod
    def _is_priced(side: Ladder, key: int) -> bool:
        """Tell whether a key is a price that may be quoted: bids stay above zero."""
        return side.sign > 0 or key < 0
