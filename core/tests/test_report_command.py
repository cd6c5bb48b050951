"""`arbitrade report` and `arbitrade audit`: what they say adds up, for people and for scripts."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal

import asyncpg
import pytest
from click.testing import CliRunner, Result

from arbitrade.accounting.audit import AuditChain
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.cli.tables import exact, lines_of
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
        return CliRunner().invoke(arbitrade, arguments, obj=line)

    return invoke


def store(dsn: str, *runs: LittleRun) -> None:
    async def write() -> None:
        connection = await asyncpg.connect(dsn)
        await set_codecs(connection)
        for run in runs:
            await store_run(connection, run)
        await connection.close()

    asyncio.run(write())


def execute(dsn: str, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(run())


# ── report ───────────────────────────────────────────────────────────────────────────────────────


def test_the_report_as_json_is_exact_and_adds_up(dsn: str, invoke: Invoke) -> None:
    run = make_run(seed=2, cycles=5)
    store(dsn, run)
    told = json.loads(invoke("report", "--json", "--legs").stdout)
    assert told["run"]["run"] == run.run
    profit = {asset: Decimal(text) for asset, text in told["metrics"]["profit"].items()}
    assert profit == run.profit
    for line in told["ledger"]:
        parts = ("opening", "trading", "fees", "rounding", "external")
        assert sum(Decimal(line[part]) for part in parts) == Decimal(line["wallet"])
        assert Decimal(line["wallet"]) == run.balances[line["asset"]]
        assert Decimal(line["difference"]) == 0
    assert len(told["details"]) == 5
    for detail in told["details"]:
        terms = {name: Decimal(text) for name, text in detail["attribution"].items()}
        assert (
            terms.pop("expected") - sum(terms[name] for name in list(terms)[1:])
            == terms["realised"]
        )
    assert told["near_misses"][0]["flips"][0]["needed"]


def test_the_report_for_people_names_what_the_json_has(dsn: str, invoke: Invoke) -> None:
    run = make_run(seed=3, cycles=5)
    store(dsn, run)
    text = invoke("report", "--cycles", "--legs").stdout
    assert f"Run {run.run}: paper on kraken, account main" in text
    assert exact(run.profit["USD"]) in text
    assert "cycles: 1 aborted_clean, 2 completed, 1 flagged, 1 unwound" in text
    for heading in ("Profit", "Opportunities", "Ledger of this run", "Latency (µs)", "Cycles"):
        assert f"\n{heading}\n" in text
    assert "minimum_edge" in text
    assert "Nearest misses, and what alone would have let them pass" in text
    assert "out of" in text
    assert "Cycle 4 USD-BTC-EUR: flagged" in text
    assert "recovered after a crash" in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_a_run_is_chosen_by_account_or_by_the_begin_of_its_id(dsn: str, invoke: Invoke) -> None:
    day = 86_400_000_000_000
    main = make_run(seed=1, cycles=1)
    second = make_run("second", seed=1, cycles=1, begin_ns=main.now_ns + day)
    store(dsn, main, second)
    chosen = {
        name: json.loads(invoke("report", "--json", *arguments).stdout)["run"]["run"]
        for name, arguments in {
            "last": (),
            "account": ("--account", "main"),
            "id": (main.run[:6],),
        }.items()
    }
    assert chosen == {"last": second.run, "account": main.run, "id": main.run}
    failed = invoke("report", "zzz")
    assert (failed.exit_code, "no run zzz" in failed.stderr) == (2, True)


def test_the_last_runs_are_listed(dsn: str, invoke: Invoke) -> None:
    runs = [make_run(seed=seed, cycles=2, begin_ns=10**18 * seed) for seed in (1, 2)]
    runs[1].written = [
        (t, r) for t, r in runs[1].written if r.kind not in ("audit",)
    ]  # their chains would fork
    store(dsn, *runs)
    told = json.loads(invoke("report", "--last", "5", "--json").stdout)
    assert [one["run"]["run"] for one in told] == [runs[1].run, runs[0].run]
    assert told[0]["executions"] == len(runs[1].fills)
    lines = invoke("report", "--last", "1").stdout.splitlines()
    assert len(lines) == 2
    assert runs[1].run[:8] in lines[1]
    assert invoke("report", "--last", "1", "--legs").exit_code == 2


def test_without_a_run_or_a_database_it_says_so(
    dsn: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    assert "the database has no run" in invoke("report").stderr
    assert invoke("report", "--last", "3").stdout == "No runs yet.\n"
    monkeypatch.delenv("ARBITRADE_DATABASE__DSN")
    monkeypatch.setenv("ARBITRADE_RUNTIME__FOLDER", str(tmp_path / "state"))
    result = invoke("report")
    assert (result.exit_code, "no database yet" in result.stderr) == (1, True)
    assert not (tmp_path / "state").exists()


def test_tables_align_words_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("a", Decimal("1.50"), None), ("bcd", Decimal("-10"), "x")]
    assert list(lines_of(("", "amount", "why"), rows)) == [
        "       amount  why",
        "  a       1.5  -",
        "  bcd     -10  x",
    ]
    assert list(lines_of(("a",), [])) == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1E+3", "1000"),
        ("0E-8", "0"),
        ("-0.00", "0"),
        ("1.230", "1.23"),
        ("1E-20", "0." + "0" * 19 + "1"),
    ],
)
def test_amounts_are_shown_with_all_digits_and_no_more(amount: str, text: str) -> None:
    assert exact(Decimal(amount)) == text


# ── audit ────────────────────────────────────────────────────────────────────────────────────────


def chained(cycles: int = 5) -> list[LittleRun]:
    """Two runs of one account whose chain goes on."""
    first = make_run(seed=1, cycles=cycles)
    chain = AuditChain("main", "", entry=first.audit.entry, last_hash=first.audit.last_hash)
    probe = make_run(seed=2, cycles=0)
    chain = AuditChain("main", probe.run, entry=chain.entry, last_hash=chain.last_hash)
    return [first, make_run(seed=2, cycles=cycles, audit=chain, begin_ns=first.now_ns)]


def test_a_chain_over_two_runs_verifies(dsn: str, invoke: Invoke) -> None:
    runs = chained()
    store(dsn, *runs)
    result = invoke("audit", "verify")
    assert (result.exit_code, "The chain holds." in result.stdout) == (0, True)
    told = json.loads(invoke("audit", "verify", "--json", "--account", "main").stdout)
    assert told["problems"] == []
    assert told["accounts"]["main"] == {
        "entry": runs[1].audit.entry,
        "hash": runs[1].audit.last_hash,
    }


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET detail = 'nothing happened' WHERE id = 2",
        "DELETE FROM audit WHERE id = 3",
        "UPDATE audit SET time_ns = time_ns + 1 WHERE id = 1",
    ],
)
def test_who_switches_the_triggers_off_is_found_by_the_chain(
    dsn: str, invoke: Invoke, tampering: str
) -> None:
    store(dsn, *chained())
    execute(dsn, f"ALTER TABLE audit DISABLE TRIGGER USER; {tampering}")
    result = invoke("audit", "verify")
    assert (result.exit_code, "Broken: entry" in result.stderr) == (1, True)
    assert "The chain holds" not in result.stdout
    assert len(json.loads(invoke("audit", "verify", "--json").stdout)["problems"]) > 0


def test_the_audit_is_listed_oldest_first(dsn: str, invoke: Invoke) -> None:
    run = make_run(seed=1, cycles=5)
    store(dsn, run)
    lines = invoke("audit", "list").stdout.splitlines()
    assert len(lines) == run.audit.entry
    assert "run_started" in lines[0]
    assert "cycle_flagged" in lines[1]
    (last,) = invoke("audit", "list", "--last", "1", "--json").stdout.splitlines()
    assert json.loads(last)["hash"] == run.audit.last_hash
    assert "No audit entries" in invoke("audit", "list", "--account", "nobody").stderr
