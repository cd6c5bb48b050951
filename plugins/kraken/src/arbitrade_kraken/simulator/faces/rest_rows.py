"""RestRows of REST: orders, trades and ledger rows, amounts as text, times as seconds."""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade_kraken.simulator.exchange.events import LedgerEntry
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.reports import average_price
from arbitrade_kraken.simulator.faces.wire import Fields

_STATUSES = {
    "pending_new": "pending",
    "new": "open",
    "partially_filled": "open",
    "filled": "closed",
    "canceled": "canceled",
    "expired": "expired",
}
_ZERO = Decimal(0)


class RestRows:
    """Writes these rows; they say of pairs and assets what REST calls them."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def order(self, order: Order, with_trades: bool) -> Fields:
        """Return an order; a partly filled one that was cancelled is `canceled`."""
        pair = self._face.exchange.pair(order.symbol)
        prices, costs = pair.price_decimals, pair.cost_decimals
        limit = order.limit_price or _ZERO
        row: Fields = {
            "refid": order.replaces,
            "userref": order.userref or 0,
            "status": _STATUSES[order.status],
            "opentm": seconds(order.created_ns),
            "starttm": 0,
            "expiretm": 0 if order.expire_ns is None else order.expire_ns // 1_000_000_000,
            "descr": {
                "pair": pair.altname,
                "aclass": "forex",
                "type": order.side.value,
                "ordertype": order.order_type,
                "price": f"{limit:.{prices}f}" if limit else "0",
                "price2": "0",
                "leverage": "none",
                "order": self._sentence(order, pair.altname, prices, pair.lot_decimals),
                "close": "",
            },
            "vol": f"{order.quantity:.{pair.lot_decimals}f}",
            "vol_exec": f"{order.filled:.{pair.lot_decimals}f}",
            "cost": f"{order.cost:.{costs}f}",
            "fee": f"{order.fee:.{costs}f}",
            "price": f"{average_price(order, pair):f}",
            "stopprice": f"{_ZERO:.{prices}f}",
            "limitprice": f"{_ZERO:.{prices}f}",
            "misc": "amended" if order.amended else "",
            "oflags": ("fcib" if order.fee_in_base else "fciq")
            + (",post" if order.post_only else ""),
        }
        if order.client_id is not None:
            row["cl_ord_id"] = order.client_id
        if order.closed_ns is not None:
            row["reason"] = order.reason
            row["closetm"] = seconds(order.closed_ns)
        if with_trades:
            row["trades"] = list(order.fills)
        return row

    def trade(self, fills: Sequence[OrderFill], with_ledgers: bool) -> Fields:
        """Return one trade, or several fills of a taker order as one."""
        first = fills[0]
        pair = self._face.exchange.pair(first.symbol)
        quantity = sum((fill.quantity for fill in fills), _ZERO)
        cost = sum((fill.cost for fill in fills), _ZERO)
        fee = sum((fill.fee_in_quote for fill in fills), _ZERO)
        price = first.price
        if len(fills) > 1:
            price = sum((fill.price * fill.quantity for fill in fills), _ZERO) / quantity
        row: Fields = {
            "ordertxid": first.order_id,
            "postxid": first.exec_id,
            "pair": pair.key,
            "time": seconds(fills[-1].time_ns),
            "type": first.side.value,
            "ordertype": first.order_type,
            "price": f"{price:.{max(5, pair.price_decimals)}f}",
            "cost": f"{cost:.{pair.cost_decimals}f}",
            "fee": f"{fee:.{pair.cost_decimals}f}",
            "vol": f"{quantity:.{pair.lot_decimals}f}",
            "margin": "0.00000",
            "leverage": "0",
            "misc": "",
            "trade_id": first.trade_id,
            "maker": first.is_maker,
        }
        if with_ledgers:
            row["ledgers"] = [name for fill in fills for name in fill.ledger_ids]
        return row

    def ledger_entry(self, entry: LedgerEntry) -> Fields:
        """Return one row of the ledger."""
        asset = self._face.exchange.listed.assets[entry.asset]
        decimals = asset.decimals
        return {
            "refid": entry.reference,
            "time": seconds(entry.time_ns),
            "type": entry.kind,
            "subtype": "",
            "aclass": "currency",
            "asset": asset.asset_id if entry.wallet == "main" else f"{asset.asset_id}.F",
            "amount": f"{entry.amount:.{decimals}f}",
            "fee": f"{entry.fee:.{decimals}f}",
            "balance": f"{entry.balance:.{decimals}f}",
        }

    @staticmethod
    def _sentence(order: Order, altname: str, prices: int, lots: int) -> str:
        start = f"{order.side.value} {order.quantity:.{lots}f} {altname} @ {order.order_type}"
        return start if order.limit_price is None else f"{start} {order.limit_price:.{prices}f}"


def seconds(time_ns: int) -> Decimal:
    """Return a time as the venue's REST writes it: seconds with a fraction, a number."""
    return Decimal(time_ns // 1000).scaleb(-6)
