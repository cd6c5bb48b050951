"""What the exchange allows now: its engine's state, its pairs as they are, which of them match."""

from collections.abc import Mapping, Sequence

from arbitrade_kraken.simulator.exchange.checks import is_matching
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.listed import ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal


class ExchangeState:
    """Begins with what is listed and an engine that is online; only the hand changes it.

    Args:
        listed: Pairs as they are in the beginning.
        settings: Say whether a `limit_only` pair matches.
    """

    def __init__(self, listed: ListedPairs, settings: ExchangeSettings) -> None:
        self._settings = settings
        self._pairs = dict(listed.pairs)
        # Plain attributes, because the market asks for them at every step.
        self.engine = "online"
        """`online`, `post_only`, `cancel_only` or `maintenance`; `restate` draws what follows."""
        self.still: Mapping[str, bool] = self._find_still()
        """Pairs that don't match now, each as False; those that do are missing."""

    @property
    def pairs(self) -> Mapping[str, PairFacts]:
        """Pairs by v2 symbol, in the order listed; always shows them as they are now."""
        return self._pairs

    def pair(self, symbol: str) -> PairFacts:
        """Return a pair as it is now.

        Raises:
            VenueRefusal: `EQuery:Unknown asset pair`.
        """
        pair = self._pairs.get(symbol)
        if pair is None:
            raise VenueRefusal("EQuery:Unknown asset pair")
        return pair

    def is_matching(self, symbol: str) -> bool:
        """True when orders of a pair meet each other now."""
        return symbol not in self.still

    def set_pair(self, pair: PairFacts) -> None:
        """Change a pair; what matches changes with `restate`."""
        self._pairs[pair.symbol] = pair

    def restate(self) -> Sequence[str]:
        """Work out which pairs match now; return those that begin to, in the order listed."""
        was, self.still = self.still, self._find_still()
        return tuple(symbol for symbol in was if symbol not in self.still)

    def _find_still(self) -> dict[str, bool]:
        return {
            symbol: False
            for symbol, pair in self._pairs.items()
            if not is_matching(self.engine, pair.status, self._settings)
        }
