"""The machine's ways to the world: what it is told by asking, and what it tells."""

from collections.abc import Callable, Mapping

import attrs

from arbitrade.book import OrderBook
from arbitrade.calls import Calls, OnFault
from arbitrade.models import Alert, Instruments, VenueState
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols.execution import Executor
from arbitrade.records import CycleClosed, Record
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.events import PluginSwapped, RunBegan


def _nobody(*_: object) -> None:
    """Nobody to tell."""


@attrs.frozen
class Ports:
    """What the machine asks and tells the world; none of it may call back before it returns.

    Args:
        write: Appends a record of a run to the journal, returns its number.
        alert: Raises an alert.
        halt: Engages the kill switch.
        instruments: As they are now.
        books: By symbol, as they are now.
        executor: Who carries out what a detector found, by the detector's name.
        venue_state: State of the venue's matching engine now.
        on_begin: Puts the machine where the run begins.
        on_plugin: Swaps a plugin as an event says; returns whether that could be done.
        on_cycle_end: Told of each cycle that has ended, after it was written down.
        on_fees: Told what orders cost, when that has changed.
        on_reconciled: Told when balances have been compared with the venue's.
        on_fault: Told what a rule or an executor did wrong.
        calls: Told while one of them runs.
    """

    write: Callable[[Record, str], int]
    alert: Callable[[Alert], None]
    halt: Callable[[str], None]
    instruments: Callable[[], Instruments]
    books: Callable[[], Mapping[str, OrderBook]]
    executor: Callable[[str], Executor]
    venue_state: Callable[[], VenueState] = lambda: VenueState.ONLINE
    on_begin: Callable[[RunBegan], None] = _nobody
    on_plugin: Callable[[PluginSwapped], bool] = lambda event: True
    on_cycle_end: Callable[[Cycle, CycleClosed], None] = _nobody
    on_fees: Callable[[FeeSchedule], None] = _nobody
    on_reconciled: Callable[[], None] = _nobody
    on_fault: OnFault = _nobody
    calls: Calls = attrs.field(factory=Calls)
