"""`arbitrade`, with one thing added: at a point named by the environment the process is killed.

    CHAOS_POINT="before intent" CHAOS_NTH=2 python killable_bot.py run --mode live --arm main

Killed as nothing can be caught: SIGKILL, sent to itself.  `CHAOS_SETTLED=1` first waits until the
journal has everything that was appended, so that it ends right there; without it the records of
the last moments may or may not have got to the disk, as in a real crash.
"""

import os
import signal
import time
from typing import Any, NoReturn

from arbitrade.cli import main
from arbitrade.journal import Journal
from arbitrade.journal.files import SegmentFiles
from arbitrade.models import ExecutionReport, Intent, OrderRole, PlannedOrder
from arbitrade.records import Record
from arbitrade.store import writer as store_writer
from arbitrade.trading.gateways.live import LiveGateway
from arbitrade.trading.machine.bookings import Bookings
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.events import OrderAnswer
from arbitrade.trading.machine.orders import TrackedOrder
from arbitrade.trading.machine.sending import Sending
from arbitrade.trading.run.outlet import Outlet


class Trap:
    """Counts how often a point is passed, and kills at the one that was asked for."""

    def __init__(self, point: str, nth: int, settled: bool) -> None:
        self.point = point
        self._left = nth
        self._settled = settled
        self._journals: list[Journal] = []

    def watch(self, journal: Journal) -> None:
        """Know a journal that may have to be waited for."""
        self._journals.append(journal)

    def passed(self, point: str) -> None:
        """Die if this is the point, and often enough passed."""
        if self.is_next(point):
            self.kill()

    def is_next(self, point: str) -> bool:
        """Count a passing; return whether it is the one."""
        if point != self.point:
            return False
        self._left -= 1
        return self._left == 0

    def kill(self) -> NoReturn:
        """End as if the power of this process were cut."""
        for journal in self._journals if self._settled else ():
            while journal.failure is None and journal.statistics().waiting:
                time.sleep(0.0005)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def set_trap(trap: Trap) -> None:
    """Lay the points into the bot."""
    _around_records(trap)
    _around_orders(trap)
    _around_cycles(trap)
    _around_storage(trap)


def _around_records(trap: Trap) -> None:
    """`before KIND`, `after KIND`: of any kind of record, in memory."""
    write, open_ = Outlet.write, Journal.open

    def watched(self: Outlet, record: Record, run: str = "") -> int:
        trap.passed(f"before {record.kind}")
        number = write(self, record, run)
        trap.passed(f"after {record.kind}")
        return number

    def opened(self: Journal, **more: Any) -> object:
        trap.watch(self)
        return open_(self, **more)

    Outlet.write = watched  # type: ignore[method-assign]
    Journal.open = opened  # type: ignore[method-assign,assignment]


def _around_orders(trap: Trap) -> None:
    """`before send`, `after send`, `before answer`, `before fill`."""
    add, start = LiveGateway._add, LiveGateway._start
    on_answer, on_execution = Bookings.on_answer, Bookings.on_execution

    async def sending(self: LiveGateway, intent: Intent) -> None:
        trap.passed("before send")
        await add(self, intent)

    def started(self: LiveGateway, coroutine: Any, name: str) -> None:
        start(self, coroutine, name)
        if name.startswith("order "):
            trap.passed("after send")

    def answered(self: Bookings, event: OrderAnswer) -> None:
        trap.passed("before answer")
        on_answer(self, event)

    def executed(self: Bookings, report: ExecutionReport) -> None:
        orders = self._state.orders
        if report.exec_id is not None and orders.find(report.client_id, report.order_id):
            trap.passed("before fill")
        on_execution(self, report)

    LiveGateway._add = sending  # type: ignore[method-assign]
    LiveGateway._start = started  # type: ignore[method-assign]
    Bookings.on_answer = answered  # type: ignore[method-assign]
    Bookings.on_execution = executed  # type: ignore[method-assign]


def _around_cycles(trap: Trap) -> None:
    """`before leg N`, `before way back`, `way back filled`, `booked`: between the orders."""
    place, book = Sending.place, Bookings._book

    def placed(
        self: Sending, cycle: Cycle, leg: int, order: PlannedOrder, role: OrderRole
    ) -> TrackedOrder:
        is_leg = role is OrderRole.LEG
        trap.passed(f"before leg {leg + 1}" if is_leg else "before way back")
        return place(self, cycle, leg, order, role)

    def booked(self: Bookings, order: TrackedOrder, report: ExecutionReport) -> None:
        book(self, order, report)
        is_leg = order.intent.role is OrderRole.LEG
        trap.passed("booked" if is_leg else "way back filled")

    Sending.place = placed  # type: ignore[method-assign]
    Bookings._book = booked  # type: ignore[method-assign]


def _around_storage(trap: Trap) -> None:
    """`before sync`, `torn write`, `before database`, `after database`."""
    write, sync, write_batch = SegmentFiles.write, SegmentFiles.sync, store_writer.write_batch

    def torn(self: SegmentFiles, frames: Any, first_seq: int) -> None:
        if trap.is_next("torn write"):
            last = frames[-1]
            write(self, [*frames[:-1], last[: len(last) // 2]], first_seq)
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, frames, first_seq)

    def synced(self: SegmentFiles) -> None:
        if trap.is_next("before sync"):
            os.kill(os.getpid(), signal.SIGKILL)
        sync(self)

    async def stored(*arguments: Any, **more: Any) -> Any:
        trap.passed("before database")
        outcome = await write_batch(*arguments, **more)
        trap.passed("after database")
        return outcome

    SegmentFiles.write = torn  # type: ignore[method-assign]
    SegmentFiles.sync = synced  # type: ignore[method-assign]
    store_writer.write_batch = stored


if __name__ == "__main__":
    asked = os.environ.pop("CHAOS_POINT", "")
    if asked:
        nth = int(os.environ.pop("CHAOS_NTH", "1"))
        set_trap(Trap(asked, nth, os.environ.pop("CHAOS_SETTLED", "") == "1"))
    main()
