"""Kill -9 at instants nobody chose: F6 of the fault matrix.

pytest tests/chaos/test_kill_instants.py            20 instants
nox -s chaos -- --kills 50                          the long form, with a table
"""

import os
import random
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal

import attrs
import pytest
from chaos_bench import Bench, Bot

from arbitrade.records import CycleClosed, CycleOpened

KILLS = int(os.environ.get("ARBITRADE_KILLS", "20"))
SEED = int(os.environ.get("ARBITRADE_KILLS_SEED", "1"))
_EACH_S = 20
_POINTS = (
    *("before intent", "after intent", "before send", "after send", "before answer"),
    *("before fill", "after transaction", "before execution", "after execution", "booked"),
    *("before leg 2", "before leg 3", "before way back", "way back filled", "after order_ended"),
    *("before cycle_opened", "before cycle_closed", "after cycle_closed", "after profit"),
    *("torn write", "before sync", "before database", "after database", "after audit"),
)
_FAULTS = ("partial_fill", "refuse_order", "lost_ack", "busy_after", "delayed_executions")


@attrs.frozen
class Instant:
    """When a bot is killed.

    Args:
        point: Where it kills itself; empty where it is killed from outside.
        nth: At which passing.
        settled: Whether the journal has everything by then.
        from_start: Whether `after_s` counts from the start of the process, not of trading.
        after_s: When it is killed, had the point not been passed by then.
        fault: What else goes wrong at the venue.
    """

    point: str
    nth: int
    settled: bool
    from_start: bool
    after_s: float
    fault: str

    def __str__(self) -> str:
        """Say it in a table."""
        where = f"{self.point} ({self.nth})" if self.point else ""
        when = f"{self.after_s:.2f} s after {'start' if self.from_start else 'active'}"
        return f"{where or when}{f', {self.fault}' if self.fault else ''}"


@attrs.frozen
class Outcome:
    """What the start after a kill was like.

    Args:
        began_ns: When that was.
        detected_s: From its start until the account was connected and asked.
        safe_s: From its start until everything was in order and trading went on.
    """

    instant: Instant
    began_ns: int
    detected_s: float
    safe_s: float


def instants(count: int, seed: int) -> list[Instant]:
    """Return the same instants for the same seed."""
    dice = random.Random(seed)
    return [_instant(dice) for _ in range(count)]


def _instant(dice: random.Random) -> Instant:
    manner = dice.random()
    from_start = manner < 0.2
    return Instant(
        point=dice.choice(_POINTS) if manner > 0.5 else "",
        nth=dice.randint(1, 4),
        settled=dice.random() < 0.5,
        from_start=from_start,
        after_s=dice.uniform(0.3, 1.6) if from_start else dice.uniform(0.1, 1.2),
        fault=dice.choice(_FAULTS) if not from_start and dice.random() < 0.6 else "",
    )


@pytest.mark.timeout(60 + _EACH_S * KILLS)
async def test_f6_killed_at_random_instants_all_adds_up(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = []
    chosen = instants(KILLS, SEED)
    for number, instant in enumerate(chosen):
        bot = await bench.start(instant.point, instant.nth, settled=instant.settled)
        after = chosen[number - 1] if number else None
        outcome = await _live_and_die(bench, bot, instant, after)
        if outcome is not None:
            outcomes.append(outcome)
    bench.venue.faults.clear()
    bot = await bench.start()
    await bot.until_active()
    await bot.until_state(lambda state: sum(state.cycles.values()) >= 1)
    found = await bench.check(await bot.stopped())
    with capsys.disabled():
        _print_table(outcomes, _under_way(bench, [one.began_ns for one in outcomes]))
        sys.stdout.write(
            f"{KILLS} kills, {found.orders} orders, {found.fills} fills, cycles "
            f"{dict(sorted(found.cycles.items()))}, left by flagged ones: "
            f"{ {a: str(v) for a, v in found.flagged.items()} or 'nothing' }\n"
        )


async def _live_and_die(
    bench: Bench, bot: Bot, instant: Instant, after: Instant | None
) -> Outcome | None:
    """Let a bot come to its instant; return how it had recovered from the one before, if it had."""
    if instant.from_start:
        await bot.wait(instant.after_s)
    elif await bot.until_active_or_end():
        if instant.fault:
            value = Decimal(300) if instant.fault == "delayed_executions" else None
            bench.fault(instant.fault, value=value, count=2)
        await bot.wait(instant.after_s if not instant.point else 4 * instant.after_s)
    bot.kill()
    assert await bot.ended() == -signal.SIGKILL, bot.last_words()
    detected, safe = bot.seconds_to("account.reconciling"), bot.seconds_to("trading.active")
    if after is None or detected is None or safe is None:
        return None
    return Outcome(after, bot.began_ns, detected, safe)


def _under_way(bench: Bench, moments: Sequence[int]) -> dict[int, int]:
    """Return how many cycles the journal had open at moments in between two runs."""
    changes = [
        (one.time_ns, 1 if isinstance(one.record, CycleOpened) else -1)
        for _, one in bench.journal()
        if isinstance(one.record, CycleOpened | CycleClosed)
    ]
    return {at: sum(change for when, change in changes if when < at) for at in moments}


def _print_table(outcomes: Sequence[Outcome], under_way: dict[int, int]) -> None:
    rows = []
    for one in outcomes:
        times = f"{one.detected_s:>8.2f} {one.safe_s:>8.2f}"
        rows.append(f"{one.instant!s:<52} {under_way[one.began_ns]:>6} {times}")
    title = f"{'killed':<52} {'cycles':>6} {'asked, s':>8} {'safe, s':>8}"
    sys.stdout.write("\n".join(["", title, *rows, ""]))
