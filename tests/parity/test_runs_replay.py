"""A recorded run decides the same when it is replayed: live, paper, and with a plugin toggled."""

import asyncio
import uuid
from pathlib import Path

import orjson
import pytest
import zstandard
from runs import MARKET, prepared, several_cycles, traded, until

from arbitrade.api import Command
from arbitrade.config import Secret
from arbitrade.models import Mode
from arbitrade.plugins import discover
from arbitrade.recording import RecordingReader
from arbitrade.trading.run.replay import Replay, Verdict
from arbitrade.trading.run.session import TradingSession
from arbitrade_kraken.simulator.running import running_simulator


def replayed(path: str) -> Verdict:
    with RecordingReader(path) as reader:
        return Replay(reader, discover()).run()


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.LIVE])
@pytest.mark.parametrize("executor", ["sequential", "parallel"])
async def test_a_run_replays_to_the_same_decisions(
    tmp_path: Path, dsn: Secret, mode: Mode, executor: str
) -> None:
    report = await traded(tmp_path, dsn, mode, several_cycles, execution={"executor": executor})
    verdict = replayed(report.recording)
    assert verdict.divergence is None
    assert verdict.is_complete
    assert verdict.decision_hash == report.state.decision_hash
    assert verdict.decisions == report.state.decisions
    assert verdict.cycles == dict(report.state.cycles)


async def until_frames(session: TradingSession, more: int) -> None:
    goal = session.state().counters["frames"] + more
    await until(lambda: session.state().counters["frames"] > goal)


async def test_a_plugin_toggled_in_the_middle_is_toggled_in_the_replay(
    tmp_path: Path, dsn: Secret
) -> None:
    async def off_and_on(session: TradingSession) -> None:
        for state in ("disabled", "enabled"):
            arguments = {"name": "triangular", "state": state}
            answer = await session.command(Command("plugin", "operator", arguments))
            assert answer.is_done, answer.message
            await until_frames(session, 20)

    report = await traded(tmp_path, dsn, Mode.PAPER, several_cycles, off_and_on)
    verdict = replayed(report.recording)
    assert verdict.divergence is None
    assert verdict.decision_hash == report.state.decision_hash


async def test_limits_changed_in_the_middle_change_in_the_replay(
    tmp_path: Path, dsn: Secret
) -> None:
    async def smaller(session: TradingSession) -> None:
        limits = {"maximum_notional": "50", "maximum_cycles": "1"}
        answer = await session.command(Command("limits", "operator", limits))
        assert answer.is_done, answer.message

    report = await traded(tmp_path, dsn, Mode.PAPER, several_cycles, smaller)
    verdict = replayed(report.recording)
    assert verdict.divergence is None
    assert verdict.decision_hash == report.state.decision_hash


async def test_the_first_divergence_is_shown_side_by_side(tmp_path: Path, dsn: Secret) -> None:
    report = await traded(tmp_path, dsn, Mode.PAPER, several_cycles)
    content = zstandard.ZstdDecompressor().stream_reader(Path(report.recording).read_bytes()).read()
    lines = content.splitlines(keepends=True)
    # The settings of the run as recorded, but with another threshold.
    first = orjson.loads(lines[0])
    assert first["m"]["event"] == "run_began"
    settings = orjson.loads(first["m"]["settings"])
    settings["risk"]["maximum_notional"] = "77"
    first["m"]["settings"] = orjson.dumps(settings).decode()
    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(orjson.dumps(first) + b"\n" + b"".join(lines[1:]))
    verdict = replayed(str(changed))
    assert verdict.divergence is not None
    assert verdict.divergence.recorded is not None
    assert verdict.divergence.replayed is not None
    assert verdict.divergence.recorded.what == "approved"
    assert verdict.divergence.recorded.fields != verdict.divergence.replayed.fields


async def test_a_second_run_goes_on_where_the_first_ended_and_replays_too(
    tmp_path: Path, dsn: Secret
) -> None:
    """What a run went on from is on its recording: balances, profit, what was booked."""
    account = f"parity-{uuid.uuid4().hex[:8]}"
    reports = []
    for _ in range(2):
        async with running_simulator(MARKET) as simulator:
            kraken = {"ws_url": simulator.ws, "rest_url": simulator.rest}
            settings, registry = prepared(tmp_path, dsn, {"kraken": kraken})
            venue = registry.make_venue(settings, "kraken")
            session = TradingSession(settings, registry, venue, mode=Mode.PAPER, account=account)

            async def watch(session: TradingSession = session) -> None:
                before = session.parts.rig.state.portfolio.realised_reference
                await until(lambda: session.parts.rig.state.portfolio.realised_reference != before)
                await until(lambda: several_cycles(session))
                session.stop()

            watching = asyncio.create_task(watch())
            reports.append(await session.run())
            await watching
    first, second = reports
    assert second.state.profit_reference != first.state.profit_reference
    opening = settings.paper.balances
    for asset, amount in second.ledger.items():
        assert amount == opening.get(asset, 0) + second.state.profit.get(asset, 0)
    verdict = replayed(second.recording)
    assert verdict.divergence is None
    assert verdict.decision_hash == second.state.decision_hash
