"""`arbitrade export`: CSV an accountant can add up, and no spreadsheet can be fooled by."""

import asyncio
import csv
import io
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import attrs
import pytest
from click.testing import CliRunner, Result

from arbitrade import records
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.cli.export import LEDGER, TRADES
from arbitrade.plugins import PluginRegistry
from arbitrade.store.database import set_codecs
from arbitrade.testing.postgres import core_series
from arbitrade.testing.records import LittleRun, make_run, store_run

type Invoke = Callable[..., Result]


@pytest.fixture
def dsn(postgres_server, monkeypatch):
    """Return the address of a database with core's tables, which the settings name."""
    made = postgres_server.create(core_series())
    monkeypatch.setenv("ARBITRADE_DATABASE__DSN", made.reveal())
    yield made.reveal()
    postgres_server.drop(made)


@pytest.fixture
def invoke(tmp_path, monkeypatch) -> Invoke:
    """Return a function that runs `arbitrade …` without plugins, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARBITRADE_CONFIG", raising=False)
    monkeypatch.setenv("ARBITRADE_SECRETS__KEYRING", "false")

    def invoke(*arguments: str) -> Result:
        line = CommandLine()
        line.__dict__["registry"] = PluginRegistry.of({})
        return CliRunner().invoke(arbitrade, ("export", *arguments), obj=line)

    return invoke


def store(dsn: str, *runs: LittleRun) -> None:
    async def write() -> None:
        connection = await asyncpg.connect(dsn)
        await set_codecs(connection)
        for run in runs:
            await store_run(connection, run)
        await connection.close()

    asyncio.run(write())


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_fill_is_one_line_and_exact(dsn: str, invoke: Invoke) -> None:
    run = make_run(seed=1, cycles=6)
    store(dsn, run)
    result = invoke("trades", "--out", "trades.csv")
    assert (result.exit_code, f"{len(run.fills)} lines in trades.csv" in result.stderr) == (0, True)
    content = Path("trades.csv").read_bytes()
    assert content.startswith(",".join(TRADES).encode() + b"\r\n")
    assert content.count(b"\r\n") == content.count(b"\n") == len(run.fills) + 1
    lines = {line["exec_id"]: line for line in read(content.decode())}
    for fill in run.fills:
        line = lines[fill.exec_id or ""]
        assert Decimal(line["quantity"]) == fill.last_quantity
        assert (Decimal(line["price"]), Decimal(line["cost"])) == (fill.last_price, fill.cost)
        assert (Decimal(line["fee"]), line["fee_asset"]) == (
            fill.fees[0].amount,
            fill.fees[0].asset,
        )
        assert f"{line['base']}/{line['quote']}" == line["pair"] == fill.symbol
        assert line["time"] == "2026-11-18T10:00:01.123456Z"
        assert (line["liquidity"], line["run"]) == ("taker", run.run)


def test_the_ledger_sums_to_zero_and_its_wallet_to_the_balances(dsn: str, invoke: Invoke) -> None:
    runs = [make_run(account, seed=1, cycles=6) for account in ("main", "second")]
    store(dsn, *runs)
    lines = read(invoke("ledger", "--out", "-").stdout)
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    wallets: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        amount = Decimal(line["amount"])
        sums[line["transaction"], line["asset"]] += amount
        if line["ledger_account"] == "wallet":
            wallets[line["account"], line["asset"]] += amount
    assert tuple(lines[0]) == LEDGER
    assert not any(sums.values())
    assert wallets == {
        (run.account, asset): amount for run in runs for asset, amount in run.balances.items()
    }


def test_one_account_and_a_stretch_of_time_can_be_asked_for(dsn: str, invoke: Invoke) -> None:
    day = 86_400_000_000_000
    first = make_run(seed=1, cycles=3, begin_ns=1_795_000_000 * 10**9)
    second = make_run("second", seed=1, cycles=3, begin_ns=first.written[0][0] + day)
    store(dsn, first, second)
    middle = datetime.fromtimestamp(second.written[0][0] // 10**9, UTC).isoformat()

    def runs_in(*arguments: str) -> set[str]:
        return {line["run"] for line in read(invoke("trades", "--out", "-", *arguments).stdout)}

    assert runs_in() == {first.run, second.run}
    assert runs_in("--account", "main") == {first.run}
    assert runs_in("--from", middle) == {second.run}
    assert runs_in("--to", middle) == {first.run}
    assert runs_in("--from", "2030-01-01") == set()
    wrong = invoke("trades", "--out", "-", "--from", "yesterday")
    assert (wrong.exit_code, "is no time" in wrong.stderr) == (2, True)


def test_a_file_is_not_overwritten_unless_forced(dsn: str, invoke: Invoke) -> None:
    store(dsn, make_run(seed=1, cycles=1))
    Path("old.csv").write_text("precious")
    result = invoke("trades", "--out", "old.csv")
    assert (result.exit_code, "--force" in result.stderr) == (2, True)
    assert Path("old.csv").read_text() == "precious"
    assert invoke("trades", "--out", "old.csv", "--force").exit_code == 0
    assert Path("old.csv").read_text().startswith("time,")
    assert [path.name for path in Path().iterdir()] == ["old.csv"]


def test_a_folder_that_is_not_there_is_named(dsn: str, invoke: Invoke) -> None:
    result = invoke("ledger", "--out", "nowhere/ledger.csv")
    assert (result.exit_code, "nowhere/ledger.csv: can't be written" in result.stderr) == (1, True)


@pytest.mark.parametrize("evil", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx"])
def test_no_text_becomes_a_formula(dsn: str, invoke: Invoke, evil: str) -> None:
    run = make_run(seed=1, cycles=1)
    run.written = [
        (time, attrs.evolve(record, proof=evil))
        if isinstance(record, records.TransactionBooked)
        else (time, record)
        for time, record in run.written
    ]
    store(dsn, run)
    result = invoke("ledger", "--out", "ledger.csv")
    assert result.exit_code == 0
    lines = read(Path("ledger.csv").read_bytes().decode())
    assert {line["proof"] for line in lines} == {f"'{evil}"}
    assert all(Decimal(line["amount"]) is not None for line in lines)  # negative ones stay numbers


def test_commas_quotes_and_line_breaks_survive(dsn: str, invoke: Invoke) -> None:
    run = make_run(seed=1, cycles=0)
    wild = 'a "quoted", text\r\nwith lines'
    run.written = [
        (time, attrs.evolve(record, proof=wild))
        if isinstance(record, records.TransactionBooked)
        else (time, record)
        for time, record in run.written
    ]
    store(dsn, run)
    assert invoke("ledger", "--out", "x.csv").exit_code == 0
    assert {line["proof"] for line in read(Path("x.csv").read_bytes().decode())} == {wild}
