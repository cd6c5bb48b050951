"""A synthetic market in the shape of Kraken's public frames, made from a seed.

    market = SyntheticMarket(MarketSettings(seed=7, pairs=60, frames=5_000))
    for frame in market.frames():
        ...  # bytes, as a socket would hand them over
        market.levels("BTC/USD")  # what the venue really holds at this moment

The same settings give the same bytes on every machine and every Python this project runs on.
`python -m arbitrade.synthetic --help` writes recordings.
"""

from arbitrade.synthetic.settings import MarketSettings
from arbitrade.synthetic.simulation import SyntheticMarket

__all__ = ["MarketSettings", "SyntheticMarket"]
