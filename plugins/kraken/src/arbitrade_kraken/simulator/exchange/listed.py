"""What is listed: the venue's pairs and assets of January 2026, as facts in packaged files.

`arbitrade_kraken.simulator.exchange.facts` makes the files.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Self

import attrs

from arbitrade.errors import UsageError
from arbitrade_kraken.simulator.exchange.facts import FOSSILS


@attrs.frozen
class AssetFacts:
    """An asset in its three spellings.

    Args:
        asset_id: REST id, e.g. `XXBT`.
        altname: REST altname, e.g. `XBT`.
        name: v2 name, e.g. `BTC`.
        decimals: How many the ledger has.
        display_decimals: How many are shown.
    """

    asset_id: str
    altname: str
    name: str
    decimals: int
    display_decimals: int


@attrs.frozen
class PairFacts:
    """A pair in its four spellings, with the rules of its orders.

    Args:
        key: Of `AssetPairs.result`, e.g. `XXBTZUSD`.
        altname: E.g. `XBTUSD`.
        wsname: WebSocket v1, e.g. `XBT/USD`.
        symbol: WebSocket v2, e.g. `BTC/USD`.
        base_id: REST id of the base.
        quote_id: REST id of the quote.
        base: v2 name of the base.
        quote: v2 name of the quote.
        price_decimals: Of prices on the wire.
        lot_decimals: Of quantities on the wire.
        cost_decimals: Of price × quantity.
        tick: Prices are multiples of it.
        lot_step: Quantities are multiples of it.
        minimum_quantity: In base.
        minimum_cost: In quote.
        status: The instrument channel's word.
        schedule: Letter of the fee schedule.
        leverage: Allowed leverages of buys, empty if not marginable.
        leverage_sell: Allowed leverages of sells.
        long_limit: Largest long position, None if not marginable.
        short_limit: Largest short position, None if not marginable.
    """

    key: str
    altname: str
    wsname: str
    symbol: str
    base_id: str
    quote_id: str
    base: str
    quote: str
    price_decimals: int
    lot_decimals: int
    cost_decimals: int
    tick: Decimal
    lot_step: Decimal
    minimum_quantity: Decimal
    minimum_cost: Decimal
    status: str
    schedule: str
    leverage: tuple[int, ...] = ()
    leverage_sell: tuple[int, ...] = ()
    long_limit: int | None = None
    short_limit: int | None = None


class ListedPairs:
    """Pairs by symbol and assets by v2 name, in the order listed.  Read-only."""

    def __init__(self, pairs: Iterable[PairFacts], assets: Iterable[AssetFacts]) -> None:
        self._pairs = {pair.symbol: pair for pair in pairs}
        used = {name for pair in self._pairs.values() for name in (pair.base, pair.quote)}
        self._assets = {asset.name: asset for asset in assets if asset.name in used}
        self._pair_names = {
            name: pair
            for pair in self._pairs.values()
            for name in (pair.altname, pair.key, pair.symbol)
        }
        self._asset_names = {
            name: asset
            for asset in self._assets.values()
            for name in (asset.name, asset.altname, asset.asset_id)
        }

    @classmethod
    def load(cls) -> Self:
        """Return the packaged list: 1,434 pairs of 619 assets."""
        return cls(_packaged_pairs(), _packaged_assets())

    @property
    def pairs(self) -> Mapping[str, PairFacts]:
        """The pairs by v2 symbol, as they were listed in the beginning."""
        return self._pairs

    @property
    def assets(self) -> Mapping[str, AssetFacts]:
        """The assets of these pairs by v2 name."""
        return self._assets

    def select(self, count: int) -> Self:
        """Return `count` online pairs that form triangles, those around the hubs first.

        Raises:
            UsageError: Fewer pairs are online.
        """
        online = [pair for pair in self._pairs.values() if pair.status == "online"]
        if not 1 <= count <= len(online):
            raise UsageError(f"pairs: {count} can't be listed; choose from 1 to {len(online)}")
        hubs = frozenset(HUBS)
        links: dict[str, int] = {}
        for pair in online:
            outer = _outer(pair, hubs)
            links[outer] = links.get(outer, 0) + 1

        def order(pair: PairFacts) -> tuple[int, int, str, int]:
            # Hubs among themselves, then coins by the number of hubs they trade against: all pairs
            # of one coin follow each other, so that they close triangles.
            outer = _outer(pair, hubs)
            farthest = max(_place(pair.base), _place(pair.quote)) if outer in hubs else len(HUBS)
            return farthest, -links[outer], outer, _place(pair.quote)

        chosen = {pair.symbol for pair in sorted(online, key=order)[:count]}
        return self._keep(chosen)

    def only(self, symbols: Sequence[str]) -> Self:
        """Return these pairs, whatever their status.

        Raises:
            UsageError: A symbol is not listed.
        """
        for symbol in symbols:
            if symbol not in self._pairs:
                raise UsageError(
                    f"symbols: {symbol!r} is not listed; write v2 symbols such as BTC/USD"
                )
        return self._keep(set(symbols))

    def find_pair(self, name: str) -> PairFacts | None:
        """Return the pair REST means by `name`: key, altname or v2 symbol; never a v1 name."""
        return self._pair_names.get(name)

    def find_asset(self, name: str) -> AssetFacts | None:
        """Return the asset called `name` in any of its three spellings."""
        return self._asset_names.get(name)

    def _keep(self, symbols: set[str]) -> Self:
        kept = (pair for pair in self._pairs.values() if pair.symbol in symbols)
        return type(self)(kept, self._assets.values())


HUBS = ("USD", "EUR", "BTC", "USDT", "USDC", "ETH", "GBP")
"""Assets most triangles go through, in the order they are listed when few pairs are wanted."""


def _outer(pair: PairFacts, hubs: frozenset[str]) -> str:
    """Return the asset of a pair that is no hub; of two hubs the base."""
    return pair.quote if pair.base in hubs and pair.quote not in hubs else pair.base


def _place(asset: str) -> int:
    return HUBS.index(asset) if asset in HUBS else len(HUBS)


def _rows(name: str) -> Iterator[dict[str, str]]:
    content = files("arbitrade_kraken.simulator.exchange").joinpath("data", name).read_text()
    yield from csv.DictReader(content.splitlines())


@cache
def _packaged_assets() -> tuple[AssetFacts, ...]:
    return tuple(
        AssetFacts(
            row["asset_id"],
            row["altname"],
            row["name"],
            int(row["decimals"]),
            int(row["display_decimals"]),
        )
        for row in _rows("assets.csv")
    )


@cache
def _packaged_pairs() -> tuple[PairFacts, ...]:
    return tuple(_pair(row) for row in _rows("pairs.csv"))


def _pair(row: Mapping[str, str]) -> PairFacts:
    base = FOSSILS.get(row["base_id"], row["base_id"])
    quote = FOSSILS.get(row["quote_id"], row["quote_id"])
    lot_decimals = int(row["lot_decimals"])
    return PairFacts(
        key=row["key"],
        altname=row["altname"],
        wsname=row["wsname"],
        symbol=f"{base}/{quote}",
        base_id=row["base_id"],
        quote_id=row["quote_id"],
        base=base,
        quote=quote,
        price_decimals=int(row["price_decimals"]),
        lot_decimals=lot_decimals,
        cost_decimals=int(row["cost_decimals"]),
        tick=Decimal(row["tick"]),
        lot_step=Decimal(1).scaleb(-lot_decimals),
        minimum_quantity=Decimal(row["minimum_quantity"]),
        minimum_cost=Decimal(row["minimum_cost"]),
        status=row["status"],
        schedule=row["schedule"],
        leverage=_leverages(row["leverage_buy"]),
        leverage_sell=_leverages(row["leverage_sell"]),
        long_limit=int(row["long_limit"]) if row["long_limit"] else None,
        short_limit=int(row["short_limit"]) if row["short_limit"] else None,
    )


def _leverages(most: str) -> tuple[int, ...]:
    return tuple(range(2, int(most) + 1)) if most else ()
