"""A synthetic market in the shape of Kraken's public frames, made from a seed.

    market = SyntheticMarket(MarketSettings(seed=7, pairs=60, frames=5_000))
    for frame in market.frames():
        ...  # bytes, as a socket would hand them over
        market.levels("BTC/USD")  # what the venue really holds at this moment

Of the markets this project makes up, this one is for detection: a stream of frames that nobody
trades on.  One that can be traded on, order by order, is the simulator of a venue's plugin
(`arbitrade simulate`); one that sends what no venue would, to hold two engines against each other,
is `arbitrade.testing.wild`.

The same settings give the same bytes on every machine and every Python this project runs on.
`python -m arbitrade.synthetic --help` writes recordings.
"""

from arbitrade.synthetic.market import SyntheticMarket
from arbitrade.synthetic.settings import MarketSettings

__all__ = ["MarketSettings", "SyntheticMarket"]
