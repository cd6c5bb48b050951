"""What every store of opportunities has to keep to."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import pytest

from arbitrade.models import (
    Leg,
    Opportunity,
    PlannedOrder,
    Side,
)
from arbitrade.protocols import (
    OpportunityStore,
)


class StoreContract:
    """What every store must do.

    A subclass brings two fixtures: `store`, and `kept`, which returns what can be read back once
    the store was closed: one mapping for each sighting, in order, with the keys of `detect --out`
    and numbers as `Decimal`.
    """

    @pytest.fixture
    def store(self) -> OpportunityStore:
        """Return the store under test, empty."""
        raise NotImplementedError("the subclass brings a fixture `store`")

    @pytest.fixture
    def kept(self) -> Callable[[], list[Mapping[str, object]]]:
        """Return a function that reads back what was written."""
        raise NotImplementedError("the subclass brings a fixture `kept`")

    def test_sightings_are_kept_in_order_with_every_digit(
        self, store: OpportunityStore, kept: Callable[[], list[Mapping[str, object]]]
    ) -> None:
        """Nothing goes through a float on its way."""
        edges = [Decimal("13.60123456789012345678"), Decimal("-0.1"), Decimal(0)]
        for line, edge in enumerate(edges, start=7):
            store.write(_sighting(edge), line)
        store.close()
        rows = kept()
        assert [row["edge_bps"] for row in rows] == edges
        assert [row["line"] for row in rows] == [7, 8, 9]
        assert rows[0]["assets"] == ["USD", "BTC", "ETH"]
        assert rows[0]["size"] == Decimal("15020.005")

    def test_blocked_sighting_carries_its_reason(
        self, store: OpportunityStore, kept: Callable[[], list[Mapping[str, object]]]
    ) -> None:
        """Why something was not taken is half of what is worth knowing."""
        store.write(_sighting(Decimal(1), blocked="below the minimum of ETH/USD"), 1)
        store.close()
        assert kept()[0]["blocked"] == "below the minimum of ETH/USD"

    def test_store_without_sightings_is_empty(
        self, store: OpportunityStore, kept: Callable[[], list[Mapping[str, object]]]
    ) -> None:
        """Finding nothing is a result."""
        store.close()
        assert kept() == []

    def test_store_may_be_closed_twice(self, store: OpportunityStore) -> None:
        """Whoever cleans up need not know who did before."""
        store.close()
        store.close()


def _sighting(edge_bps: Decimal, blocked: str | None = None) -> Opportunity:
    symbols = ("BTC/USD", "ETH/BTC", "ETH/USD")
    sides = (Side.BUY, Side.BUY, Side.SELL)
    orders = [
        PlannedOrder(symbol, side, Decimal("0.30"), Decimal("50025.0"))
        for symbol, side in zip(symbols, sides, strict=True)
    ]
    return Opportunity(
        detector="triangular",
        key="triangular:USD>BTC>ETH",
        assets=("USD", "BTC", "ETH"),
        legs=tuple(Leg(symbol, side) for symbol, side in zip(symbols, sides, strict=True)),
        edge_bps=edge_bps,
        size=Decimal("15020.005"),
        profit=Decimal("42.302881"),
        orders=() if blocked else tuple(orders),
        lot_profit=Decimal(42),
        dust=(),
        blocked=blocked,
        timestamp="2026-11-22T10:00:00.000000Z",
    )
