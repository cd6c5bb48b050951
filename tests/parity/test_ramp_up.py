"""Live trading comes to full size by way of rehearsals and then the smallest orders."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import attrs
from runs import traded

from arbitrade.config import Secret
from arbitrade.journal import read_journal
from arbitrade.models import CycleState, Mode, OrderRole
from arbitrade.records import CycleClosed, CycleOpened, IntentWritten, Record, decode
from arbitrade.trading.run.session import TradingSession


def records(folder: Path) -> Sequence[Record]:
    (journal,) = (folder / "journal").iterdir()
    found = [decode(entry.payload).record for entry in read_journal(journal)]
    return [record for record in found if record is not None]


class ReachedFullSize:
    """Holds once a cycle was opened after the ramp-up had ended."""

    def __init__(self) -> None:
        self._last_small: int | None = None

    def __call__(self, session: TradingSession) -> bool:
        opened = session.parts.rig.state.last_cycle
        if session.parts.rig.ramp.stage != "full":
            return False
        if self._last_small is None:
            self._last_small = opened
        return opened > self._last_small


async def test_rehearsals_send_nothing_then_the_smallest_sizes_then_everything(
    tmp_path: Path, dsn: Secret
) -> None:
    ramp = {"rehearsal_cycles": 2, "minimum_size_cycles": 2, "ramp_daily_cap": "100000"}
    report = await traded(tmp_path, dsn, Mode.LIVE, ReachedFullSize(), live=ramp)
    written = records(tmp_path)
    opened = {one.cycle: one for one in written if isinstance(one, CycleOpened)}
    closed = {one.cycle: one for one in written if isinstance(one, CycleClosed)}
    rehearsed = [number for number, one in opened.items() if one.executor == "rehearsal"]
    assert len(rehearsed) >= 2
    for number in rehearsed:
        assert closed[number].state is CycleState.ABORTED_CLEAN
        intents = [o.intent for o in written if isinstance(o, IntentWritten)]
        mine = [intent for intent in intents if intent.cycle == number]
        assert mine
        assert all(i.role is OrderRole.REHEARSAL and i.request.is_dry_run for i in mine)
    real = [one.approved.plan for number, one in opened.items() if number not in rehearsed]
    small = [plan for plan in real if plan.cap == "ramp_up"]
    assert len(small) >= 2
    assert max(plan.spent for plan in small) < max(plan.spent for plan in real)
    # Nothing at all was put in while rehearsing: the first flows come with the first real cycle.
    assert all(closed[number].flows == {} for number in rehearsed)
    assert not any(report.differences.values())


async def test_the_daily_cap_of_the_ramp_up_keeps_the_rest_of_the_day_quiet(
    tmp_path: Path, dsn: Secret
) -> None:
    def capped(session: TradingSession) -> bool:
        return session.parts.rig.trader.funnel.refusals["ramp_up"] >= 3

    ramp = {"rehearsal_cycles": 0, "minimum_size_cycles": 50, "ramp_daily_cap": "10"}
    await traded(tmp_path, dsn, Mode.LIVE, capped, live=ramp)
    spent = Decimal(0)
    for one in records(tmp_path):
        if isinstance(one, CycleOpened):
            assert spent < 10, "a cycle began although the cap was used"
            plan = attrs.asdict(one.approved.plan, recurse=False)
            # About the smallest orders the venue takes: a few units of currency each.
            assert plan["cap"] == "ramp_up"
        elif isinstance(one, CycleClosed) and one.profit_reference is not None:
            opened = next(
                o for o in records(tmp_path) if isinstance(o, CycleOpened) and o.cycle == one.cycle
            )
            if opened.approved.plan.assets[0] in ("USD", "USDT", "USDC"):
                spent += opened.approved.plan.spent
