"""What the machine knows: orders, cycles, balances, and how things stand at the event at hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Self

import attrs

from arbitrade.accounting.ledger import Ledger
from arbitrade.accounting.portfolio import Portfolio
from arbitrade.accounting.valuation import Valuation
from arbitrade.config import Settings
from arbitrade.models import Instruments, TradingState
from arbitrade.pricing import FeeSchedule
from arbitrade.records import Record, TransactionBooked
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.kernel import Timers
from arbitrade.trading.machine.orders import OrderTable
from arbitrade.trading.machine.ports import Ports


class Transactions:
    """Writes down what the ledger books, for the run whose order it is about.

    Args:
        write: Appends a record of a run to the journal.
        run: Id of the run under way.
    """

    def __init__(self, write: Callable[[Record, str], int], run: str) -> None:
        self._write = write
        self._run = self._run_at_hand = run
        self.count = 0

    def add(self, transaction: TransactionBooked) -> None:
        """Take one transaction of the ledger."""
        self.count += 1
        self._write(transaction, self._run_at_hand)

    @contextmanager
    def of(self, run: str) -> Iterator[None]:
        """Let what is booked within belong to another run: an order of an older one was filled."""
        self._run_at_hand = run
        try:
            yield
        finally:
            self._run_at_hand = self._run


@attrs.define(eq=False)
class MachineState:
    """Everything the machine knows; its parts read it, and each field says who changes it.

    Args:
        run: Id of the run.
        fees: What orders cost; changed by the trader when the account tells.
        transactions: Where the ledger's transactions are written.
        ledger: Balances; changed by bookings.
        valuation: What an amount is worth at the books as they are.
    """

    run: str
    fees: FeeSchedule
    transactions: Transactions
    ledger: Ledger
    valuation: Valuation
    portfolio: Portfolio = attrs.field(factory=Portfolio)
    timers: Timers = attrs.field(factory=Timers)
    orders: OrderTable = attrs.field(factory=OrderTable)
    cycles: dict[str, Cycle] = attrs.field(factory=dict)
    """Under way, by tag."""
    to_recover: list[Cycle] = attrs.field(factory=list)
    """Cycles a crash interrupted; ended once the venue can be asked."""
    now_ns: int = 0
    """Time of the event at hand."""
    opened_ns: int = 0
    """When the ledger was opened; a venue repeats older fills when it is connected."""
    last_cycle: int = 0
    order_count: int = 0
    execution_count: int = 0
    foreign_held: dict[str, Decimal] = attrs.field(factory=dict)
    """What orders of others hold of the account, by asset."""
    suspended: dict[str, str] = attrs.field(factory=dict)
    """Pairs nothing is begun on until the end of the run, with the reason."""
    trading_state: TradingState = TradingState.ACTIVE
    halt_reason: str = ""
    is_connected: bool = False
    """Orders may go out, as far as the connection to the account is concerned."""
    connection_problem: str = ""
    balance_problem: str = ""
    """Why balances are not known well enough to begin a cycle."""
    executor_problem: str = ""
    """Why no cycle may begin: who would carry it out is put aside."""
    journal_problem: str = ""
    clock_skew_s: float = 0.0
    event_lag_s: float = 0.0

    @classmethod
    def fresh(cls, settings: Settings, run: str, ports: Ports) -> Self:
        """Return the state of a run before anything has happened."""
        transactions = Transactions(ports.write, run)

        def precision(asset: str) -> int | None:
            return precision_of(ports.instruments(), asset)

        return cls(
            run,
            settings.fees.schedule(),
            transactions,
            Ledger(precision, transactions.add),
            Valuation(ports.books, ports.instruments),
        )

    @property
    def may_begin(self) -> bool:
        """True while new cycles may begin, and those under way may go on as planned."""
        return self.trading_state is TradingState.ACTIVE


def precision_of(instruments: Instruments, asset: str) -> int | None:
    """Return the decimals the venue's ledger keeps of an asset, None where it doesn't tell."""
    found = instruments.assets.get(asset)
    return None if found is None else found.precision
