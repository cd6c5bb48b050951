"""What the client of a `FastVenue` may ask for at any time; answered exactly, as of now."""

from collections.abc import Collection, Sequence

from arbitrade.models import (
    Balance,
    BalanceChange,
    ExecutionReport,
    Fee,
    FeeRates,
    OrderState,
    OrderStatus,
)
from arbitrade_kraken.account import wallets
from arbitrade_kraken.bookings import from_rows
from arbitrade_kraken.simulator.exchange.events import LedgerEntry
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.reports import Reports


class FastHistory:
    """One account as the venue knows it.

    Args:
        name: Of the account.
    """

    def __init__(self, exchange: Exchange, face: Face, name: str) -> None:
        self._exchange = exchange
        self._face = face
        self._reports = Reports(face)
        self._name = name

    def open_orders(self) -> Sequence[OrderState]:
        """Return the orders that stand, foreign ones too."""
        return [state_of(order) for order in self._exchange.inquiry.open_orders(self._name)]

    def balances(self) -> Sequence[Balance]:
        """Return all balances that can be traded, holds included."""
        holdings = self._exchange.inquiry.holdings(self._name).values()
        return [Balance(holding.asset, holding.total, holding.held) for holding in holdings]

    def fee_rates(self, symbols: Collection[str]) -> Sequence[FeeRates]:
        """Return what the account pays on these pairs now."""
        quotes = [self._exchange.inquiry.fee_quote(self._name, symbol) for symbol in symbols]
        return [FeeRates(quote.symbol, quote.taker.rate, quote.maker.rate) for quote in quotes]

    def fills(
        self, wanted: Collection[str] | None = None, since_ns: int = 0
    ) -> list[ExecutionReport]:
        """Return fills as the history tells them, oldest first; None for all since a time."""
        fills = [
            fill
            for fill in self._exchange.accounts.get(self._name).fills
            if fill.time_ns >= since_ns and (wanted is None or fill.exec_id in wanted)
        ]
        rows = self._rows_by_reference({fill.exec_id for fill in fills}) if fills else {}
        return [self._fill_report(fill, rows.get(fill.exec_id, [])) for fill in fills]

    def ledger(self, since_ns: int = 0) -> list[BalanceChange]:
        """Return every change of a balance since a time, oldest first."""
        entries = self._exchange.accounts.get(self._name).ledger
        rows = (self._change(entry) for entry in entries if entry.time_ns >= since_ns)
        return [row for row in rows if row is not None]

    def _rows_by_reference(self, references: Collection[str]) -> dict[str, list[BalanceChange]]:
        rows: dict[str, list[BalanceChange]] = {}
        for entry in self._exchange.accounts.get(self._name).ledger:
            if entry.reference in references and (row := self._change(entry)) is not None:
                rows.setdefault(entry.reference, []).append(row)
        return rows

    def _change(self, entry: LedgerEntry) -> BalanceChange | None:
        return wallets.read_change(self._reports.ledger_entry(entry))

    def _fill_report(self, fill: OrderFill, rows: Collection[BalanceChange]) -> ExecutionReport:
        order = self._exchange.accounts.get(self._name).orders[fill.order_id]
        report = ExecutionReport(
            order_id=fill.order_id,
            client_id=order.client_id,
            exec_id=fill.exec_id,
            kind="trade",
            status=OrderStatus.PARTIALLY_FILLED,
            symbol=fill.symbol,
            side=fill.side,
            last_quantity=fill.quantity,
            last_price=fill.price,
            cost=fill.cost,
            fees=(Fee(fill.fee_asset, fill.fee),),
            cumulative_quantity=None,
            cumulative_cost=None,
            is_maker=fill.is_maker,
            reason=None,
            timestamp=self._face.text_of(fill.time_ns),
        )
        return from_rows(report, rows) or report


def state_of(order: Order) -> OrderState:
    """Return what the venue says of an order when asked."""
    return OrderState(
        order_id=order.order_id,
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        status=OrderStatus(order.status),
        quantity=order.quantity,
        limit_price=order.limit_price,
        filled_quantity=order.filled,
        filled_cost=order.cost,
        fee=order.fee,
        reason=order.reason,
    )
