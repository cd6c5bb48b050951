"""The synthetic market, for suites: `SyntheticMarket(MarketSettings(seed=7, pairs=60))`."""

from arbitrade.synthetic import MarketSettings, SyntheticMarket

__all__ = ["MarketSettings", "SyntheticMarket"]
