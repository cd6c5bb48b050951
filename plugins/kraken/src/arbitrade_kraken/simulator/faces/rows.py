"""Rows of the `instrument` channel: numbers as a double prints them, exponents included."""

from decimal import Decimal

from arbitrade_kraken.simulator.exchange.listed import AssetFacts, PairFacts
from arbitrade_kraken.simulator.faces.wire import scientific

_BORROWABLE = {"USD", "EUR", "GBP", "BTC", "ETH", "SOL", "USDT", "USDC", "XRP", "ADA", "DOGE"}


def asset_row(asset: AssetFacts) -> dict[str, object]:
    """Return the complete row of an asset."""
    row: dict[str, object] = {
        "id": asset.name,
        "status": "enabled",
        "precision": asset.decimals,
        "precision_display": asset.display_decimals,
        "borrowable": asset.name in _BORROWABLE,
        "collateral_value": scientific(Decimal(1 if asset.name in _BORROWABLE else 0)),
    }
    if asset.name in _BORROWABLE:
        row["margin_rate"] = scientific(Decimal("0.02"))
    return row


def pair_row(pair: PairFacts) -> dict[str, object]:
    """Return the complete row of a pair."""
    tick = scientific(pair.tick)
    row: dict[str, object] = {
        "symbol": pair.symbol,
        "base": pair.base,
        "quote": pair.quote,
        "status": pair.status,
        "qty_precision": pair.lot_decimals,
        "qty_increment": scientific(pair.lot_step),
        "price_precision": pair.price_decimals,
        "cost_precision": pair.cost_decimals,
        "marginable": bool(pair.leverage),
        "has_index": True,
        "cost_min": scientific(pair.minimum_cost),
    }
    if pair.leverage:
        row["margin_initial"] = scientific(Decimal(1) / max(pair.leverage))
        row["position_limit_long"] = pair.long_limit or 0
        row["position_limit_short"] = pair.short_limit or 0
    row |= {
        "tick_size": tick,
        "price_increment": tick,
        "qty_min": scientific(pair.minimum_quantity),
    }
    return row
