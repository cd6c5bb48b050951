"""What must add up, asked of the exchange itself.  For tests, and for whoever doubts a client.

oracle = Oracle(exchange)
assert oracle.discrepancies() == ()
oracle.flow("alice", "EUR")      # opening, deposited, withdrawn, traded, fees, closing
oracle.taken("SOL/EUR")          # what accounts took from the book, fill by fill
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from arbitrade.protocols import Flow
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.checks import is_matching
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.orders import OrderFill

ZERO = Decimal(0)

_KINDS = ("deposit", "withdrawal", "trade")
_NOTHING = Flow(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)


class ExchangeOracle:
    """Adds up what the exchange has written down, and says where it doesn't agree with itself.

    It is no second exchange: `arbitrade.testing.oracle` works out what a detector has to find, this
    only reads balances, ledgers, orders and books and compares them.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def flow(self, account: str, asset: str, wallet: str = "main") -> Flow:
        """Return what the ledger says of an asset."""
        return self.flows(account, wallet).get(asset, _NOTHING)

    def flows(self, account: str, wallet: str = "main") -> Mapping[str, Flow]:
        """Return what the ledger says of every asset that is in it."""
        owner = self._exchange.accounts.get(account)
        sums: defaultdict[str, defaultdict[str, Decimal]]
        sums = defaultdict(lambda: defaultdict(Decimal))
        for row in owner.ledger:
            if row.wallet == wallet:
                found = sums[row.asset]
                found[row.kind if row.kind in _KINDS else "other"] += row.amount
                found["fee"] += row.fee
        return {name: _flow(found, owner.opening.get(name, ZERO)) for name, found in sums.items()}

    def taken(self, symbol: str) -> Sequence[OrderFill]:
        """Return the fills of a pair that took, of all accounts, in the order they happened."""
        fills = [
            fill
            for account in self._exchange.accounts.all()
            for fill in account.fills
            if fill.symbol == symbol and not fill.is_maker
        ]
        return tuple(sorted(fills, key=lambda fill: fill.trade_id))

    def discrepancies(self) -> Sequence[str]:
        """Return everything that doesn't add up, one line each; empty when all is well."""
        found: list[str] = []
        for account in self._exchange.accounts.all():
            found += self._of_balances(account)
            found += self._of_orders(account)
            found += self._of_fills(account)
        for symbol in self._exchange.listed.pairs:
            found += self._of_book(symbol)
        return tuple(found)

    def _of_balances(self, account: CustomerAccount) -> Iterator[str]:
        running: dict[tuple[str, str], Decimal] = {}
        for row in account.ledger:
            place = (row.asset, row.wallet)
            running[place] = running.get(place, ZERO) + row.amount - row.fee
            if running[place] != row.balance:
                yield f"{account.name}: ledger row {row.ledger_id} leaves {row.balance} {row.asset}"
        flows = self.flows(account.name)
        for asset, holding in account.holdings().items():
            if flows.get(asset, _NOTHING).closing != holding.total:
                yield f"{account.name}: {holding.total} {asset} is not the sum of its ledger"
            if holding.held < 0 or holding.available < 0:
                yield f"{account.name}: {asset} holds {holding.held} of {holding.total}"

    def _of_orders(self, account: CustomerAccount) -> Iterator[str]:
        held: dict[str, Decimal] = {}
        for order in account.orders.values():
            if order.is_open is not (order.order_id in account.standing):
                yield f"{account.name}: {order.order_id} is {order.status} among the wrong orders"
            if not order.is_open and order.held:
                yield f"{account.name}: {order.order_id} is {order.status} and holds {order.held}"
            pair = self._exchange.pair(order.symbol)
            asset = pair.quote if order.side.value == "buy" else pair.base
            held[asset] = held.get(asset, ZERO) + order.held
        for asset, amount in held.items():
            if account.held(asset) != amount:
                yield f"{account.name}: {asset} held {account.held(asset)}, orders say {amount}"

    def _of_fills(self, account: CustomerAccount) -> Iterator[str]:
        rows: dict[str, int] = {}
        for row in account.ledger:
            rows[row.reference] = rows.get(row.reference, 0) + 1
        filled: dict[str, Decimal] = {}
        for fill in account.fills:
            filled[fill.order_id] = filled.get(fill.order_id, ZERO) + fill.quantity
            if rows.get(fill.exec_id) != 2:
                yield f"{account.name}: fill {fill.exec_id} has {rows.get(fill.exec_id, 0)} rows"
        for order in account.orders.values():
            if filled.get(order.order_id, ZERO) != order.filled:
                yield f"{account.name}: {order.order_id} filled {order.filled}, fills say otherwise"
            if order.filled > order.quantity:
                yield f"{account.name}: {order.order_id} filled more than asked"

    def _of_book(self, symbol: str) -> Iterator[str]:
        exchange = self._exchange
        pair, view = exchange.pair(symbol), exchange.whole_book(symbol)
        for side, levels in (("buy", view.bids), ("sell", view.asks)):
            ours: dict[int, Decimal] = {}
            for account in exchange.accounts.all():
                for order in account.standing.values():
                    if order.symbol == symbol and order.side.value == side and order.limit_price:
                        ticks = int(order.limit_price.scaleb(pair.price_decimals))
                        ours[ticks] = ours.get(ticks, ZERO) + order.remaining
            there = dict(levels)
            for ticks, quantity in ours.items():
                if there.get(ticks, 0) < int(quantity.scaleb(pair.lot_decimals)):
                    yield f"{symbol}: {quantity} of ours at {ticks} ticks is not in the book"
            if any(lots <= 0 for lots in there.values()):
                yield f"{symbol}: a level without quantity"
        crosses = view.bids and view.asks and view.bids[0][0] >= view.asks[0][0]
        if crosses and is_matching(exchange.engine_state, pair.status, exchange.settings):
            yield f"{symbol}: crossed, bid {view.bids[0][0]} and ask {view.asks[0][0]} ticks"


def _flow(sums: Mapping[str, Decimal], opening: Decimal) -> Flow:
    return Flow(
        opening=opening,
        deposited=sums["deposit"] - opening,
        withdrawn=-sums["withdrawal"],
        traded=sums["trade"],
        fees=sums["fee"],
        other=sums["other"],
    )
