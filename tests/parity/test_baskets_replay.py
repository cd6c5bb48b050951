"""Baskets beside cycles in one run: held, left, gone on with by the next run; all of it replays."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from runs import MARKET, prepared, until
from swap_baskets import Swap, SwapExecutor

import arbitrade_kraken.plugin
import arbitrade_triangular.plugin
from arbitrade.api import Command
from arbitrade.config import Secret
from arbitrade.errors import PluginError
from arbitrade.models import Mode
from arbitrade.plugins import PluginRegistry
from arbitrade.recording import RecordingReader
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.replay import Replay, Verdict
from arbitrade.trading.run.session import TradingSession
from arbitrade_kraken.simulator.running import running_simulator


def plugins(executor: SwapExecutor) -> PluginRegistry:
    return PluginRegistry.of(
        {
            "kraken": arbitrade_kraken.plugin,
            "triangular": arbitrade_triangular.plugin,
            "swap": Swap(executor),
        }
    )


async def traded(
    folder: Path,
    dsn: Secret,
    account: str,
    executor: SwapExecutor,
    enough: Callable[[TradingSession], bool],
    then: Callable[[TradingSession], Awaitable[None]] | None = None,
) -> RunOutcome:
    """Trade in paper at the simulator until something holds."""
    async with running_simulator(MARKET) as simulator:
        overrides: dict[str, dict[str, object]] = {
            "kraken": {
                "ws_url": simulator.ws,
                "rest_url": simulator.rest,
                "nonce_folder": str(folder),
            },
            "paper": {"balances": {"USD": "1000", "ETH": "50"}, "send_ms": "5", "ack_ms": "5"},
            "risk": {"maximum_book_age_s": "0", "minimum_edge_bps": "0", "maximum_cycles": 9},
        }
        settings, registry = prepared(folder, dsn, overrides, plugins(executor))
        venue = registry.make_venue(settings, "kraken")
        session = TradingSession(settings, registry, venue, mode=Mode.PAPER, account=account)

        async def watch() -> None:
            await until(lambda: enough(session))
            if then is not None:
                await then(session)
            session.stop("the test has seen enough")

        watching = asyncio.create_task(watch())
        try:
            report = await session.run()
        except BaseException:
            watching.cancel()
            raise
        await watching
        return report


def baskets(session: TradingSession) -> list[Cycle]:
    """Return the baskets under way."""
    return [c for c in session.parts.rig.state.cycles.values() if c.is_basket]


def is_held(session: TradingSession) -> bool:
    return any("entered" in cycle.notes for cycle in baskets(session))


def replayed(path: str, executor: SwapExecutor) -> Verdict:
    with RecordingReader(path) as reader:
        return Replay(reader, plugins(executor)).run()


async def test_a_run_with_baskets_beside_cycles_replays_to_the_same_decisions(
    tmp_path: Path, dsn: Secret
) -> None:
    seen: set[str] = set()

    def several(session: TradingSession) -> bool:
        under_way = {cycle.tag for cycle in baskets(session)}
        seen.update(under_way)
        completed = session.parts.rig.state.portfolio.cycles["completed"]
        return len(seen - under_way) >= 2 and completed >= 4

    executor = SwapExecutor(hold_s=0.3)
    report = await traded(tmp_path, dsn, f"swap-{uuid.uuid4().hex[:8]}", executor, several)
    verdict = replayed(report.recording, executor)
    assert verdict.divergence is None
    assert verdict.is_complete
    assert verdict.decision_hash == report.state.decision_hash
    assert verdict.cycles == dict(report.state.cycles)


async def test_a_basket_outlives_its_run_and_the_next_one_replays_too(
    tmp_path: Path, dsn: Secret
) -> None:
    seen: set[str] = set()

    def is_left(session: TradingSession) -> bool:
        older = {c.tag for c in baskets(session) if c.run != session.parts.run_id}
        if session.is_ready_to_trade.is_set():
            seen.update(older)
        return bool(seen) and not older

    account = f"swap-{uuid.uuid4().hex[:8]}"
    stays = SwapExecutor(hold_s=6, stays=True)
    first = await traded(tmp_path, dsn, account, stays, is_held)
    assert first.ledger["ETH"] < 50
    second = await traded(tmp_path, dsn, account, stays, is_left)
    assert second.state.cycles["completed"] >= 1
    for report in (first, second):
        verdict = replayed(report.recording, stays)
        assert verdict.divergence is None
        assert verdict.decision_hash == report.state.decision_hash
        assert verdict.cycles == dict(report.state.cycles)


async def test_operators_flatten_goes_before_what_an_executor_wants(
    tmp_path: Path, dsn: Secret
) -> None:
    answers = []

    async def flatten(session: TradingSession) -> None:
        halted = await session.command(Command("halt", "operator", {"reason": "enough"}))
        assert halted.is_done, halted.message
        await until(lambda: all(c.is_at_rest for c in session.parts.rig.state.cycles.values()))
        assert is_held(session)
        done = await session.command(Command("flatten", "operator", {"loss_cap": "100"}))
        assert done.is_done, done.message
        answers.append(done)
        assert not baskets(session)

    stays = SwapExecutor(hold_s=3_600, stays=True)
    account = f"swap-{uuid.uuid4().hex[:8]}"
    report = await traded(tmp_path, dsn, account, stays, is_held, flatten)
    # What the basket had bought is gone; of the ETH that was there before the book takes a part, or
    # none within the cap, and then the answer says so.
    assert report.ledger.get("BTC", Decimal(0)) < Decimal("0.0001")
    (answer,) = answers
    if "ETH" in answer.message.partition("; held")[0]:
        assert report.ledger["USD"] > 1_000
    else:
        assert "ETH" in answer.message.partition("; held")[2]
        assert report.ledger["USD"] > 990
    verdict = replayed(report.recording, stays)
    assert verdict.divergence is None
    assert verdict.decision_hash == report.state.decision_hash


async def test_run_does_not_start_without_the_executor_a_detector_brings(
    tmp_path: Path, dsn: Secret
) -> None:
    other = SwapExecutor(name="other")
    with pytest.raises(PluginError, match="detector swap brings an executor, but"):
        await traded(tmp_path, dsn, f"swap-{uuid.uuid4().hex[:8]}", other, lambda _: False)
