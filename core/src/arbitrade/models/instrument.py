"""What can be traded: assets, instruments, and the set of them a venue reports."""

import enum
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import attrs


class InstrumentStatus(enum.Enum):
    """What a venue lets us do with a pair.  Only `ONLINE` makes its cycles tradable."""

    ONLINE = "online"
    LIMIT_ONLY = "limit_only"
    POST_ONLY = "post_only"
    REDUCE_ONLY = "reduce_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"
    WORK_IN_PROGRESS = "work_in_progress"
    DELISTED = "delisted"
    UNKNOWN = "unknown"

    @classmethod
    def parse(cls, text: str) -> "InstrumentStatus":
        """Return the status called `text`, `UNKNOWN` for a word a venue added since."""
        try:
            return cls(text)
        except ValueError:
            return cls.UNKNOWN


@attrs.frozen
class Asset:
    """A currency or coin.

    Args:
        name: The venue's name for it, in the spelling of its pairs.
        precision: Decimals the venue's ledger keeps; balances can't hold finer amounts.
    """

    name: str
    precision: int


@attrs.frozen
class Instrument:
    """A pair at a venue, with the rules its orders and its book obey.

    Args:
        symbol: `BASE/QUOTE`.
        base: Asset bought and sold; quantities count it.
        quote: Asset paid and received; prices count it per unit of base.
        status: What the venue allows now.
        price_precision: Decimals of a price on the wire.  One *tick* of a book's integer price is
            10^-price_precision quote.
        quantity_precision: Decimals of a quantity on the wire.  One *lot* of a book's integer
            quantity is 10^-quantity_precision base.
        price_increment: Order prices are multiples of it.  Usually one tick, sometimes more.
        quantity_increment: Order quantities are multiples of it.  Usually one lot.
        minimum_quantity: Smallest order, in base.
        minimum_notional: Smallest order, price × quantity, in quote.
        cost_precision: Decimals of price × quantity in the venue's reports.
    """

    symbol: str
    base: str
    quote: str
    status: InstrumentStatus
    price_precision: int
    quantity_precision: int
    price_increment: Decimal
    quantity_increment: Decimal
    minimum_quantity: Decimal
    minimum_notional: Decimal
    cost_precision: int = 8

    @property
    def is_online(self) -> bool:
        """True while the venue takes and matches every kind of order on this pair."""
        return self.status is InstrumentStatus.ONLINE


class Instruments(Mapping[str, Instrument]):
    """All instruments of a venue by symbol, and its assets.  Read-only.

    Iterates in the order the venue reported, which is the order everything derived from it has.
    """

    __slots__ = ("_assets", "_pairs")

    def __init__(self, pairs: Iterable[Instrument] = (), assets: Iterable[Asset] = ()) -> None:
        self._pairs = {pair.symbol: pair for pair in pairs}
        self._assets = {asset.name: asset for asset in assets}

    def __getitem__(self, symbol: str) -> Instrument:
        return self._pairs[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"Instruments({len(self._pairs)} pairs, {len(self._assets)} assets)"

    @property
    def assets(self) -> Mapping[str, Asset]:
        """Assets by name; empty where the source of the instruments does not list them."""
        return self._assets

    def online(self) -> tuple[Instrument, ...]:
        """Return the pairs that trade normally now."""
        return tuple(pair for pair in self._pairs.values() if pair.is_online)

    def merged(
        self, pairs: Iterable[Instrument] = (), assets: Iterable[Asset] = ()
    ) -> "Instruments":
        """Return these instruments with `pairs` and `assets` added or replaced."""
        return Instruments(
            ({**self._pairs, **{p.symbol: p for p in pairs}}).values(),
            ({**self._assets, **{a.name: a for a in assets}}).values(),
        )
