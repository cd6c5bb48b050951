"""Double-entry ledger in exact amounts: opening + fills − fees + external = what the venue holds.

Accounts of the ledger: `wallet` is what the venue holds for us; its counterparts are `opening`,
`trading`, `fees`, `external` and `rounding`.  In each transaction the postings of an asset sum to
zero, so the wallet is explained by the others to the last digit.

A fill is booked at once, from its execution report, in the ledger's precision of each asset.  The
venue's own ledger rows, which come a moment later and are the truth, settle what it rounded
differently.  A fill is booked once by its execution id, a row once by its ledger id, in any order.
"""

from collections import deque
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

import attrs

from arbitrade.errors import ArbitradeError
from arbitrade.models import BalanceChange, ExecutionReport, Side
from arbitrade.records import Posting, TransactionBooked

ZERO = Decimal(0)
_KEPT = 100_000
"""Execution and ledger ids remembered: far more than a venue ever repeats."""


class TwoAssets(Protocol):
    """What booking a fill needs of its pair; an `Instrument` is one."""

    @property
    def base(self) -> str:
        """What is bought or sold."""

    @property
    def quote(self) -> str:
        """What it is paid in."""


@attrs.define(eq=False)
class _Trade:
    """A fill and the venue's rows about it, as far as they came."""

    booked: dict[str, Decimal] | None = None
    rows: dict[str, Decimal] = attrs.field(factory=dict)
    cycle: int = 0
    settled: set[str] = attrs.field(factory=set)


class Ledger:
    """Balances by asset, and the transactions that made them.

    Args:
        precision: Decimals the venue's ledger keeps of an asset; None where it is unknown.
        on_transaction: Called with each transaction, once.
    """

    def __init__(
        self,
        precision: Callable[[str], int | None],
        on_transaction: Callable[[TransactionBooked], None],
    ) -> None:
        self._precision = precision
        self._tell = on_transaction
        self._accounts: dict[tuple[str, str], Decimal] = {}
        self._trades: dict[str, _Trade] = {}
        self._seen: dict[str, None] = {}
        self._order: deque[str] = deque()
        self.is_open = False

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def balance(self, asset: str) -> Decimal:
        """Return what the venue must hold of an asset."""
        return self._accounts.get(("wallet", asset), ZERO)

    def balances(self) -> dict[str, Decimal]:
        """Return all of them, also those that are zero again."""
        return {
            asset: amount for (name, asset), amount in self._accounts.items() if name == "wallet"
        }

    def account(self, name: str, asset: str) -> Decimal:
        """Return the balance of any account of the ledger."""
        return self._accounts.get((name, asset), ZERO)

    def is_booked(self, execution_id: str) -> bool:
        """Tell whether a fill is in."""
        trade = self._trades.get(execution_id)
        return trade is not None and trade.booked is not None

    def flows_of(self, execution_id: str) -> Mapping[str, Decimal]:
        """Return what a fill changed by asset, rounding included; nothing if it isn't booked."""
        trade = self._trades.get(execution_id)
        return {} if trade is None else dict(trade.booked or {})

    def differences(self, venue: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Return venue minus ledger where they differ."""
        assets = {*venue, *self.balances()}
        found = {asset: venue.get(asset, ZERO) - self.balance(asset) for asset in sorted(assets)}
        return {asset: amount for asset, amount in found.items() if amount}

    # ── booking ──────────────────────────────────────────────────────────────────────────────────

    def open(self, balances: Mapping[str, Decimal], reference: str) -> None:
        """Begin with what is there.

        Args:
            balances: By asset.
            reference: Of whose opening it is, e.g. the run's id.
        """
        self.is_open = True
        postings: list[Posting] = []
        for asset, amount in sorted(balances.items()):
            self._accounts.setdefault(("wallet", asset), ZERO)
            if amount:
                postings.append(Posting("wallet", asset, amount))
                postings.append(Posting("opening", asset, -amount))
        if postings:
            # All in one: half an opening, after a crash, would look like money that is missing.
            self._book(TransactionBooked(f"opening:{reference}", "opening", 0, "", tuple(postings)))

    def restore(self, balances: Mapping[str, Decimal]) -> None:
        """Take balances over from a journal, without a transaction."""
        self.is_open = True
        for asset, amount in balances.items():
            self._accounts["wallet", asset] = amount

    def replay(self, transaction: TransactionBooked) -> None:
        """Take a transaction over from a journal: it was told already."""
        self.is_open = True
        self._apply(transaction)
        self.remember(transaction)

    def remember(self, transaction: TransactionBooked) -> None:
        """Know a transaction that is in the balances already, should the venue tell it again."""
        kind, _, reference = transaction.transaction.partition(":")
        if kind == "fill":
            trade = self._trade(reference)
            trade.booked = _wallet(transaction)
            trade.cycle = transaction.cycle
            return
        if transaction.proof:
            self._seen[transaction.proof] = None
        if kind == "rounding":
            trade = self._trade(reference.rsplit(":", 2)[0])
            for asset, amount in _wallet(transaction).items():
                # After it was settled, what is booked is what the rows say.
                settled = (trade.booked or {}).get(asset, ZERO) + amount
                trade.rows[asset] = settled
                if trade.booked is not None:
                    trade.booked[asset] = settled

    def book_fill(
        self, report: ExecutionReport, pair: TwoAssets, cycle: int
    ) -> Mapping[str, Decimal] | None:
        """Book a fill; return what it changed by asset, None if it is booked already.

        Rows of the venue's ledger that came before it are taken into account.
        """
        if report.exec_id is None or self.is_booked(report.exec_id):
            return None
        postings = self._postings(report, pair)
        transaction = TransactionBooked(f"fill:{report.exec_id}", "fill", cycle, "", postings)
        trade = self._trade(report.exec_id)
        trade.booked, trade.cycle = _wallet(transaction), cycle
        self._book(transaction)
        flows = dict(trade.booked)
        for ledger_id, asset in [tuple(name.split("|", 1)) for name in sorted(trade.settled)]:
            for name, amount in self._settle(trade, report.exec_id, asset, ledger_id).items():
                flows[name] = flows.get(name, ZERO) + amount
        return flows

    def book_row(self, change: BalanceChange) -> Mapping[str, Decimal] | None:
        """Take a row of the venue's ledger; return what it changed by asset, None if it is known.

        A row of a fill settles rounding; any other is external, with the row as proof.
        """
        if not change.ledger_id or change.ledger_id in self._seen:
            return None
        self._seen[change.ledger_id] = None
        if change.kind == "trade":
            trade = self._trade(change.reference)
            net = change.amount - change.fee
            trade.rows[change.asset] = trade.rows.get(change.asset, ZERO) + net
            if trade.booked is None:
                trade.settled.add(f"{change.ledger_id}|{change.asset}")
                return {}
            return self._settle(trade, change.reference, change.asset, change.ledger_id)
        self._book_external(change)
        return {change.asset: change.amount - change.fee}

    def adopt(self, asset: str, amount: Decimal, reference: str, cycle: int = 0) -> None:
        """Book a difference as external, with what proves it; `amount` is venue minus ledger."""
        self._book(
            TransactionBooked(
                f"external:{reference}:{asset}",
                "external",
                cycle,
                reference,
                (Posting("wallet", asset, amount), Posting("external", asset, -amount)),
            )
        )

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _postings(self, report: ExecutionReport, pair: TwoAssets) -> tuple[Posting, ...]:
        base = self._rounded(pair.base, report.last_quantity)
        cost = self._rounded(pair.quote, report.cost)
        sign = 1 if report.side is Side.BUY else -1
        postings = [
            Posting("wallet", pair.base, sign * base),
            Posting("trading", pair.base, -sign * base),
            Posting("wallet", pair.quote, -sign * cost),
            Posting("trading", pair.quote, sign * cost),
        ]
        for fee in report.fees:
            amount = self._rounded(fee.asset, fee.amount)
            if amount:
                postings.append(Posting("wallet", fee.asset, -amount))
                postings.append(Posting("fees", fee.asset, amount))
        return tuple(postings)

    def _settle(
        self, trade: _Trade, execution_id: str, asset: str, ledger_id: str
    ) -> Mapping[str, Decimal]:
        assert trade.booked is not None
        difference = trade.rows.get(asset, ZERO) - trade.booked.get(asset, ZERO)
        trade.settled.discard(f"{ledger_id}|{asset}")
        if not difference:
            return {}
        trade.booked[asset] = trade.rows[asset]
        self._book(
            TransactionBooked(
                f"rounding:{execution_id}:{asset}:{ledger_id}",
                "rounding",
                trade.cycle,
                ledger_id,
                (Posting("wallet", asset, difference), Posting("rounding", asset, -difference)),
            )
        )
        return {asset: difference}

    def _book_external(self, change: BalanceChange) -> None:
        postings = [
            Posting("wallet", change.asset, change.amount),
            Posting("external", change.asset, -change.amount),
        ]
        if change.fee:
            postings.append(Posting("wallet", change.asset, -change.fee))
            postings.append(Posting("fees", change.asset, change.fee))
        self._book(
            TransactionBooked(
                f"external:{change.ledger_id}", "external", 0, change.ledger_id, tuple(postings)
            )
        )

    def _book(self, transaction: TransactionBooked) -> None:
        self._apply(transaction)
        self._tell(transaction)

    def _apply(self, transaction: TransactionBooked) -> None:
        sums: dict[str, Decimal] = {}
        for posting in transaction.postings:
            sums[posting.asset] = sums.get(posting.asset, ZERO) + posting.amount
        if any(sums.values()):
            raise ArbitradeError(f"ledger: {transaction.transaction} does not sum to zero")
        for posting in transaction.postings:
            at = posting.account, posting.asset
            self._accounts[at] = self._accounts.get(at, ZERO) + posting.amount

    def _trade(self, execution_id: str) -> _Trade:
        trade = self._trades.get(execution_id)
        if trade is None:
            trade = self._trades[execution_id] = _Trade()
            self._order.append(execution_id)
            if len(self._order) > _KEPT:
                self._trades.pop(self._order.popleft(), None)
                self._seen = dict.fromkeys(list(self._seen)[-2 * _KEPT :])
        return trade

    def _rounded(self, asset: str, amount: Decimal) -> Decimal:
        precision = self._precision(asset)
        if precision is None:
            return amount
        return amount.quantize(Decimal(1).scaleb(-precision), rounding=ROUND_HALF_UP)


def _wallet(transaction: TransactionBooked) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for posting in transaction.postings:
        if posting.account == "wallet":
            sums[posting.asset] = sums.get(posting.asset, ZERO) + posting.amount
    return sums
