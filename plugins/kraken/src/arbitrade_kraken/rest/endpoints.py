"""The endpoints of the REST API that we use, each with what it costs and what it means."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import structlog

from arbitrade.errors import MessageError, UsageError
from arbitrade.models import (
    Asset,
    Balance,
    BalanceChange,
    ExecutionReport,
    FeeRates,
    InstrumentsChanged,
    OrderState,
)
from arbitrade_kraken.bookings import Precisions, as_booked, from_rows
from arbitrade_kraken.instruments import read_asset_pairs
from arbitrade_kraken.rest import answers
from arbitrade_kraken.rest.answers import KeyInfo, PairNames, Trade, WebSocketToken
from arbitrade_kraken.rest.client import RestClient

log = structlog.stdlib.get_logger(__name__)

_HISTORY_COST = 4.0
"""Trades and ledgers; older documentation says 2."""
_QUERY_MOST = 50
_FEES_MOST = 200
_LEDGER_EARLIER = timedelta(seconds=1)
"""Nothing promises that a fill and its rows in the ledger have the same time."""
_LONG_AGO = "1970-01-01T00:00:00Z"
_PAGES_MOST = 200
"""A history that never ends is a bug, ours or the venue's."""


@attrs.define(eq=False)
class KrakenApi:
    """Typed calls over a `RestClient`; each raises what that raises.

    Args:
        client: Asks.
    """

    client: RestClient
    _names: PairNames | None = attrs.field(default=None, init=False)
    _precisions: Precisions | None = attrs.field(default=None, init=False)

    # ── public ───────────────────────────────────────────────────────────────────────────────────

    async def server_time(self) -> datetime:
        """Return the venue's time, whole seconds."""
        answer = await self.client.public("Time")
        return datetime.fromtimestamp(int(answer["unixtime"]), UTC)

    async def assets(self) -> list[Asset]:
        """Return every asset, by its v2 name."""
        return answers.read_assets(await self.client.public("Assets"))

    async def precisions(self) -> Precisions:
        """Return the decimals of the ledger by asset; asked for once."""
        if self._precisions is None:
            self._precisions = {asset.name: asset.precision for asset in await self.assets()}
        return self._precisions

    async def instruments(self, country: str = "") -> InstrumentsChanged:
        """Return every pair, or those that may be traded from a country (two letters)."""
        return read_asset_pairs(await self._asset_pairs(country))

    async def pair_names(self) -> PairNames:
        """Return every spelling of every pair; asked for once."""
        if self._names is None:
            self._names = answers.read_pair_names(await self._asset_pairs())
        return self._names

    async def _asset_pairs(self, country: str = "") -> Any:
        return await self.client.public("AssetPairs", {"country_code": country} if country else {})

    # ── the account ──────────────────────────────────────────────────────────────────────────────

    async def key_info(self) -> KeyInfo:
        """Return what the API key may do."""
        return answers.read_key_info(await self.client.private("GetApiKeyInfo", matters=True))

    async def token(self) -> WebSocketToken:
        """Return a fresh WebSocket token."""
        return answers.read_token(await self.client.private("GetWebSocketsToken", matters=True))

    async def balances(self) -> list[Balance]:
        """Return what can be traded, with what open orders hold."""
        return answers.read_balances(await self.client.private("BalanceEx", matters=True))

    async def fee_rates(self, symbols: Collection[str]) -> list[FeeRates]:
        """Return the account's rates on these pairs; those the venue doesn't know are missing."""
        names = await self.pair_names()
        keys = [names.keys[symbol] for symbol in symbols if symbol in names.keys]
        rates: list[FeeRates] = []
        for begin in range(0, len(keys), _FEES_MOST):
            pairs = ",".join(keys[begin : begin + _FEES_MOST])
            result = await self.client.private("TradeVolume", {"pair": pairs})
            rates += answers.read_fee_rates(result, names)
        return rates

    async def ledger(self, start: str, kind: str = "all") -> list[BalanceChange]:
        """Return the trading wallet's ledger since an RFC 3339 time, oldest first."""
        rows: dict[str, BalanceChange] = {}
        seen: set[str] = set()
        fields = {"start": _seconds(start), "type": kind}
        for _ in range(_PAGES_MOST):
            page = answers.read_ledger(
                await self.client.private(
                    "Ledgers", {**fields, "ofs": str(len(seen))}, cost=_HISTORY_COST
                )
            )
            # New rows push older ones to the next page, where they are seen a second time.
            is_news = not page.ids <= seen
            seen |= page.ids
            rows.update((row.ledger_id, row) for row in page.rows)
            if not is_news or (page.count is not None and len(seen) >= page.count):
                break
        kept = [row for row in rows.values() if not _is_before(row.timestamp, start)]
        return _oldest_first(kept, lambda row: row.timestamp)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    async def open_orders(self, client_id: str | None = None) -> list[OrderState]:
        """Return the orders that stand; one that was just placed may be missing for a moment."""
        fields = {} if client_id is None else {"cl_ord_id": client_id}
        result = await self.client.private("OpenOrders", fields, matters=True)
        return answers.read_orders(result, "open", await self.pair_names())

    async def closed_orders(self, client_id: str | None = None) -> list[OrderState]:
        """Return the newest orders that ended, or the one with our id."""
        fields = {} if client_id is None else {"cl_ord_id": client_id}
        result = await self.client.private("ClosedOrders", fields, matters=True)
        return answers.read_orders(result, "closed", await self.pair_names())

    async def query_orders(self, order_ids: Sequence[str]) -> list[OrderState]:
        """Return what became of orders, by the venue's ids; exact, other than the lists."""
        names = await self.pair_names()
        states: list[OrderState] = []
        for begin in range(0, len(order_ids), _QUERY_MOST):
            some = ",".join(order_ids[begin : begin + _QUERY_MOST])
            result = await self.client.private("QueryOrders", {"txid": some}, matters=True)
            states += answers.read_order_states(result, names)
        return states

    async def trades(self, start: str) -> list[Trade]:
        """Return the fills since an RFC 3339 time, oldest first, one row a fill."""
        names = await self.pair_names()
        trades: dict[str, Trade] = {}
        fields = {"start": _seconds(start), "consolidate_taker": "false"}
        for _ in range(_PAGES_MOST):
            result = await self.client.private(
                "TradesHistory", {**fields, "ofs": str(len(trades))}, cost=_HISTORY_COST
            )
            page, count = answers.read_trades(result, names)
            # New fills push older ones to the next page, where they are seen a second time.
            new = {str(trade.fill.exec_id): trade for trade in page}.keys() - trades.keys()
            trades.update(
                (str(trade.fill.exec_id), trade) for trade in page if trade.fill.exec_id in new
            )
            if not new or (count is not None and len(trades) >= count):
                break
        return _oldest_first(list(trades.values()), lambda trade: trade.fill.timestamp)

    async def fills(
        self, start: str, known: dict[str, str | None] | None = None
    ) -> list[ExecutionReport]:
        """Return the fills since an RFC 3339 time, oldest first, with our ids where there are any.

        Amounts are those of the ledger, which also tells in which asset a fee was taken; a fill
        whose rows can't be found is told as the ledger would round it.

        Args:
            start: The first moment that counts.
            known: Our ids by the venue's, as far as we know; the others are asked for.
        """
        history = await self.trades(start)
        trades = await self._booked(
            [trade for trade in history if not _is_before(trade.fill.timestamp, start)]
        )
        ids = dict(known or {})
        unknown = sorted({trade.order_id for trade in trades} - ids.keys())
        for state in await self.query_orders(unknown):
            ids[state.order_id] = state.client_id
        return answers.with_client_ids(trades, ids)

    async def _booked(self, trades: Sequence[Trade]) -> list[Trade]:
        if not trades:
            return []
        since = _moment(trades[0].fill.timestamp or _LONG_AGO) - _LEDGER_EARLIER
        rows: defaultdict[str, list[BalanceChange]] = defaultdict(list)
        for row in await self.ledger(since.isoformat(), "trade"):
            rows[row.reference].append(row)
        precisions = await self.precisions()
        done, missing = [], 0
        for trade in trades:
            fill = from_rows(trade.fill, rows[trade.fill.exec_id or ""])
            missing += fill is None
            done.append(attrs.evolve(trade, fill=fill or as_booked(trade.fill, precisions)))
        if missing:
            log.warning("kraken.ledger_lacks_fills", fills=missing)
        return done

    # ── cancels, when the WebSocket is down ──────────────────────────────────────────────────────

    async def cancel(self, client_id: str) -> int:
        """Cancel an order; return how many orders that reached."""
        return await self._cancel("CancelOrder", {"cl_ord_id": client_id}, cost=0.0)

    async def cancel_all(self) -> int:
        """Cancel everything of the account; return how many orders that reached."""
        return await self._cancel("CancelAll", {})

    async def cancel_all_after(self, timeout_s: int) -> None:
        """Arm the dead man's switch; 0 disarms."""
        result = await self._write("CancelAllOrdersAfter", {"timeout": str(timeout_s)})
        if not isinstance(result, dict):
            raise MessageError("kraken: CancelAllOrdersAfter: the answer is not an object")

    async def _cancel(self, method: str, fields: dict[str, str], cost: float = 1.0) -> int:
        return answers.read_count(await self._write(method, fields, cost), method)

    async def _write(self, method: str, fields: dict[str, str], cost: float = 1.0) -> Any:
        return await self.client.private(
            method, fields, cost=cost, matters=True, is_urgent=True, is_read=False
        )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time; write 2026-11-22T10:00:00Z") from error
    if moment.tzinfo is None:
        raise UsageError(f"{text!r} has no time zone; write 2026-11-22T10:00:00Z")
    return moment


def _seconds(text: str) -> str:
    """Return seconds since the epoch, a little earlier: the venue's `start` is exclusive."""
    since = _moment(text) - datetime(1970, 1, 1, tzinfo=UTC)
    micros = max(0, since // timedelta(microseconds=1) - 1000)
    return format(Decimal(micros).scaleb(-6), "f")


def _is_before(timestamp: str | None, start: str) -> bool:
    return timestamp is not None and _moment(timestamp) < _moment(start)


def _oldest_first[T](rows: Sequence[T], timestamp: Callable[[T], str | None]) -> list[T]:
    """Return rows the other way round: they come newest first, and some at the same time."""
    ordered = list(reversed(rows))
    ordered.sort(key=lambda row: timestamp(row) or "")
    return ordered
