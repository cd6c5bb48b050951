"""The simulator as a stand-in for the venue: a process of its own that tells the truth and ends."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from arbitrade import SettingsSection
from arbitrade.config import Settings
from arbitrade.config.load import load_settings
from arbitrade.errors import UsageError, VenueUnavailableError
from arbitrade.models import Accepted, OrderRequest, OrderType, Side
from arbitrade.plugins import PluginRegistry
from arbitrade.protocols import Flow, RunningSimulation
from arbitrade.testing.accounts import running_account
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken import plugin
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.simulation import KrakenSimulation


@asynccontextmanager
async def simulated(**changes: Any) -> AsyncIterator[RunningSimulation]:
    wanted: dict[str, Any] = {"seed": 5, "pairs": 12, "rate": 50.0, "account": "demo"}
    simulation = PluginRegistry.of([plugin]).make_simulation(Settings(), "kraken")
    async with asyncio.timeout(PATIENCE_S), simulation.running(**{**wanted, **changes}) as running:
        yield running


async def is_listening(url: str) -> bool:
    address = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
    except OSError:
        return False
    writer.close()
    return True


async def until_silent(url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await is_listening(url):
            await asyncio.sleep(0.02)


async def test_venue_of_the_overridden_settings_trades_at_the_simulation(tmp_path: Path) -> None:
    async with simulated(balances={"USD": D("5000"), "BTC": D("0.5")}) as running:
        registry = PluginRegistry.of([plugin])
        settings = load_settings(
            registry.settings_sections(),
            folder=tmp_path,
            environ={"ARBITRADE_KRAKEN__API_SECRET_FILE": "/nowhere/of-the-real-account"},
            overrides=running.overrides,
        )
        account = registry.make_venue(settings, "kraken").make_account()  # type: ignore[attr-defined]
        assert account.name == "demo"
        order = OrderRequest(
            "first", "BTC/USD", Side.SELL, D("0.01"), None, order_type=OrderType.MARKET
        )
        async with running_account(account) as told:
            assert isinstance(await account.add(order), Accepted)
            await told.until(lambda: told.has_ended("first"))
            theirs = {b.asset: b.total for b in await account.balances()}
            assert theirs == await running.balances()
        flows = await running.flows()
        assert await running.discrepancies() == []
    assert {asset: flow.closing for asset, flow in flows.items()} == theirs
    # Sold 0.01 BTC of 0.5; nothing came or went otherwise, and the fee is in USD.
    assert flows["BTC"] == Flow(D("0.5"), D(0), D(0), D("-0.01"), D(0), D(0))
    assert flows["USD"].opening == D(5000)
    assert flows["USD"].traded > 0 < flows["USD"].fees


async def test_it_has_ended_when_its_context_has() -> None:
    async with simulated() as running:
        url = str(running.overrides["kraken"]["rest_url"])
        folder = Path(str(running.overrides["kraken"]["nonce_folder"]))
        assert await is_listening(url)
        assert folder.is_dir()
    assert not await is_listening(url)
    assert not folder.exists()
    with pytest.raises(VenueUnavailableError, match="does not answer"):
        await running.balances()


async def test_it_ends_by_itself_when_its_owner_is_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from arbitrade_kraken.simulation import KrakenSimulation\n"
        "async def main():\n"
        "    wanted = {'seed': 1, 'pairs': 3, 'rate': 10.0, 'account': 'demo'}\n"
        "    async with KrakenSimulation().running(**wanted) as running:\n"
        "        print(running.overrides['kraken']['rest_url'], flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    # Who is killed leaves a folder behind; here it goes with the test's own.
    folder = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path))
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=PIPE, env=os.environ | folder
    )
    assert owner.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        url = (await owner.stdout.readline()).decode().strip()
    assert await is_listening(url)
    owner.kill()
    await owner.wait()
    await until_silent(url)


async def test_simulate_ends_in_good_order_when_standard_input_is_closed() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arbitrade", "simulate", "--json", "--while-stdin", "--pairs", "3"),
        *("--account", "me", "--balances", "USD=12.5"),
        stdin=PIPE, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert json.loads(await process.stdout.readline())["control"]
        process.stdin.write(b"anything\n")
        process.stdin.close()
        _, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"moves of the market" in err


async def test_fault_is_injected_and_one_that_makes_no_sense_is_refused() -> None:
    async with simulated() as running:
        await running.fault("slow_response", method="add_order", value=D("1.5"), count=2)
        with pytest.raises(UsageError, match="no_such_fault"):
            await running.fault("no_such_fault")
        with pytest.raises(UsageError, match="takes no colour"):
            await running.fault("lost_ack", colour="red")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"balances": {"XYZ": D(1)}}, "XYZ"),
        ({"balances": {"USD": D("0.00001")}}, "0.00001"),
        ({"pairs": 99_999}, "99999"),
        ({"rate": -1.0}, "--rate"),
    ],
)
async def test_argument_that_makes_no_sense_is_named(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        async with simulated(**changes):
            pass


async def test_recording_that_is_none_is_named(tmp_path: Path) -> None:
    recording = tmp_path / "empty.jsonl"
    recording.write_text("")
    with pytest.raises((UsageError, VenueUnavailableError), match="empty"):
        async with simulated(recording=recording):
            pass


def test_arbitrade_make_simulation_builds_none_but_its_own() -> None:
    assert plugin.arbitrade_make_simulation("moon") is None
    assert isinstance(plugin.arbitrade_make_simulation("kraken"), KrakenSimulation)
    assert SettingsSection("kraken", KrakenAccountSettings) in plugin.arbitrade_register_settings()
