"""The journal arrives in PostgreSQL once, whole and exact, whatever breaks on the way."""

import asyncio
import contextlib
import os
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random

import asyncpg
import orjson
import pytest

from arbitrade import records
from arbitrade.journal import FsyncPolicy, Journal
from arbitrade.models import Alert, CycleState
from arbitrade.store import batch
from arbitrade.store.batch import prepare, write_batch
from arbitrade.store.database import Database
from arbitrade.store.position import JournalKey, identify, read_position
from arbitrade.store.writer import JournalWriter
from arbitrade.testing.patience import PATIENCE_S, until
from arbitrade.testing.records import LittleRun, make_run

COUNTED = [
    "run",
    "instrument",
    "cycle",
    "cycle_flow",
    "attribution",
    "leg",
    "trade_order",
    "execution",
    "execution_fee",
    "ledger_transaction",
    "posting",
    "balance",
    "unwind_decision",
    "unwind_candidate",
    "opportunity",
    "risk_decision",
    "book_snapshot",
    "cycle_note",
    "latency",
    "profit_snapshot",
    "profit_by_asset",
    "balance_snapshot",
    "audit",
    "alert",
    "plugin_change",
    "limits_version",
    "unknown_record",
    "rejected_record",
    "journal_gap",
]


@pytest.fixture
def journal(tmp_path: Path):
    with opened(tmp_path / "journal") as one:
        yield one


@contextlib.contextmanager
def opened(folder: Path, *, at_least: int = 1, segment_bytes: int = 64 << 20):
    journal = Journal(folder, fsync=FsyncPolicy.NEVER, segment_bytes=segment_bytes)
    journal.open(at_least=at_least)
    try:
        yield journal
    finally:
        journal.close()


def append(journal: Journal, *runs: LittleRun) -> None:
    for run in runs:
        for payload in run.payloads:
            journal.append(payload)


def key_of(journal: Journal, account: str = "main") -> JournalKey:
    return JournalKey(account, identify(journal._folder))


def make_writer(database: Database, journal: Journal, **options) -> JournalWriter:
    options.setdefault("backoff_s", (0.01, 0.05))
    options.setdefault("poll_s", 0.005)
    session = options.pop("session", database.session)
    account = options.pop("account", "main")
    return JournalWriter(session, journal, lambda: key_of(journal, account), **options)


@asynccontextmanager
async def running(*writers: JournalWriter) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def drained(database: Database, journal: Journal, **options) -> JournalWriter:
    writer = make_writer(database, journal, **options)
    async with running(writer):
        assert await writer.drain(PATIENCE_S), writer.last_error
    return writer


async def counts(database: Database) -> dict[str, int]:
    return {
        table: await database.pool.fetchval(f"SELECT count(*) FROM {table}") for table in COUNTED
    }


def expected_counts(run: LittleRun) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for _, record in run.written:
        kinds[record.kind] = kinds.get(record.kind, 0) + 1
    transactions = [r for _, r in run.written if isinstance(r, records.TransactionBooked)]
    return {
        "run": 1,
        "cycle": kinds["cycle_opened"],
        "attribution": kinds["cycle_closed"],
        "trade_order": kinds["intent"],
        "execution": len(run.fills),
        "execution_fee": sum(len(fill.fees) for fill in run.fills),
        "ledger_transaction": len(transactions),
        "posting": sum(len(one.postings) for one in transactions),
        "opportunity": kinds["opportunity"],
        "book_snapshot": kinds["book"],
        "latency": kinds["latency"],
        "balance": kinds["balance"],
        "audit": kinds["audit"],
        "alert": kinds.get("alert", 0),
        "unknown_record": 0,
        "rejected_record": 0,
        "journal_gap": 0,
    }


async def assert_whole(database: Database, *runs: LittleRun) -> None:
    """Everything of these runs is there, once, and to the last digit."""
    found = await counts(database)
    expected = [expected_counts(run) for run in runs]
    for table in expected[0]:
        assert found[table] == sum(one[table] for one in expected), table
    for run in runs:
        await assert_money(database, run)


async def assert_money(database: Database, run: LittleRun) -> None:
    rows = await database.pool.fetch(
        "SELECT exec_id, quantity, price, cost, symbol, side FROM execution WHERE run = $1", run.run
    )
    assert {row["exec_id"]: tuple(row)[1:] for row in rows} == {
        fill.exec_id: (
            *(fill.last_quantity, fill.last_price, fill.cost),
            *(fill.symbol, fill.side and fill.side.value),
        )
        for fill in run.fills
    }
    rows = await database.pool.fetch(
        "SELECT asset, sum(balance) FROM ledger_balance WHERE run = $1 AND ledger_account = "
        "'wallet' GROUP BY asset",
        run.run,
    )
    assert dict(map(tuple, rows)) == run.balances
    rows = await database.pool.fetch(
        "SELECT asset, sum(flow) FROM cycle_flow WHERE run = $1 GROUP BY asset", run.run
    )
    assert dict(map(tuple, rows)) == run.profit


def run_with(*extra: bytes, at: int | None = None, seed: int = 1) -> list[bytes]:
    """Return the payloads of a run with some others put in the middle."""
    payloads = make_run(seed=seed).payloads
    middle = len(payloads) // 2 if at is None else at
    return [*payloads[:middle], *extra, *payloads[middle:]]


def changed(payload: bytes, **fields: object) -> bytes:
    return orjson.dumps({**orjson.loads(payload), **fields})


def payload_of(run: LittleRun, kind: type, number: int = 0) -> bytes:
    found = [
        records.encode(record, run.run, run.account, time_ns)
        for time_ns, record in run.written
        if isinstance(record, kind)
    ]
    return found[number]


# ── exactly once, exactly right ──────────────────────────────────────────────────────────────────


async def test_a_run_is_stored_whole_and_to_the_last_digit(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=3, cycles=10)
    append(journal, run)
    writer = await drained(database, journal)
    await assert_whole(database, run)
    assert (writer.written, writer.rejected, writer.repeated) == (len(run.written), 0, 0)
    assert writer.lag_records == 0


async def test_orders_carry_intent_answer_and_end_in_one_row(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=4)
    append(journal, run)
    await drained(database, journal)
    for _, record in run.written:
        if isinstance(record, records.IntentWritten):
            request = record.intent.request
            row = await database.pool.fetchrow(
                "SELECT * FROM trade_order WHERE client_id = $1", request.client_id
            )
            assert (row["quantity"], row["limit_price"]) == (request.quantity, request.limit_price)
            assert (row["cycle"], row["spends"]) == (record.intent.cycle, record.intent.spends)
        if isinstance(record, records.OrderEnded):
            row = await database.pool.fetchrow(
                "SELECT * FROM trade_order WHERE client_id = $1", record.client_id
            )
            assert row["status"] == (record.status and record.status.value)
            assert (row["filled_quantity"], row["filled_cost"], row["spent"], row["received"]) == (
                *(record.filled_quantity, record.filled_cost, record.spent, record.received),
            )


async def test_cycles_end_as_they_ended_with_what_was_left(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=5, cycles=5)
    append(journal, run)
    await drained(database, journal)
    rows = await database.pool.fetch("SELECT * FROM cycle ORDER BY number")
    assert [row["state"] for row in rows] == [one.state.value for one in run.closed]
    assert [row["profit"] for row in rows] == [one.profit for one in run.closed]
    left = await database.pool.fetch(
        "SELECT cycle, asset, residual FROM cycle_flow WHERE residual <> 0"
    )
    assert {(row["cycle"], row["asset"]): row["residual"] for row in left} == {
        (one.cycle, asset): amount for one in run.closed for asset, amount in one.residual.items()
    }
    chosen = await database.pool.fetch(
        "SELECT kind FROM unwind_candidate WHERE is_chosen ORDER BY seq"
    )
    assert [row["kind"] for row in chosen] == ["reverse", "hold"]


async def test_opportunities_not_taken_say_why_and_what_would_flip_them(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=6)
    append(journal, run)
    await drained(database, journal)
    for seen in run.seen:
        row = await database.pool.fetchrow(
            "SELECT * FROM opportunity WHERE number = $1", seen.opportunity
        )
        assert (row["outcome"], row["rule"], row["value"]) == (seen.outcome, seen.rule, seen.value)
        assert (row["edge_bps"], row["profit"]) == (seen.edge_bps, seen.profit)
        assert [Decimal(flip["needed"]) for flip in row["flips"]] == [f.needed for f in seen.flips]
        assert row["cycle"] == seen.cycle
    summed = await database.pool.fetchrow(
        "SELECT sum(opportunities) AS count, sum(sightings) AS seen FROM risk_decision"
    )
    assert summed["count"] == len(run.seen)
    assert summed["seen"] == sum(seen.sightings for seen in run.seen)


async def test_the_same_journal_under_another_name_changes_nothing(
    database: Database, journal: Journal, tmp_path: Path
) -> None:
    run = make_run(seed=7)
    append(journal, run)
    await drained(database, journal)
    before = await counts(database)
    (tmp_path / "journal" / "journal.id").unlink()  # everything comes once more
    writer = await drained(database, journal)
    assert await counts(database) == before
    await assert_whole(database, run)
    assert writer.rejected == 0
    assert writer.repeated > 0


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_a_writer_cut_off_at_any_batch_is_followed_by_one_that_goes_on(
    database: Database, journal: Journal, limit: int
) -> None:
    run = make_run(seed=8, cycles=3)
    append(journal, run)
    reached = 0
    for _ in range(6):
        writer = make_writer(database, journal, batch=limit)
        async with running(writer):
            await until(lambda writer=writer, reached=reached: writer.last_written_seq > reached)
            reached = min(writer.last_written_seq, len(run.written) - 1)
    await drained(database, journal, batch=limit)
    await assert_whole(database, run)


async def test_two_writers_at_once_store_everything_once(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=9, cycles=20)
    append(journal, run)
    writers = [make_writer(database, journal, batch=11) for _ in range(2)]
    async with running(*writers):
        for writer in writers:
            assert await writer.drain(PATIENCE_S)
    await assert_whole(database, run)
    assert sum(writer.written for writer in writers) == len(run.written)


async def test_two_accounts_on_one_database_never_mix(database: Database, tmp_path: Path) -> None:
    runs = [make_run(account, seed=1, cycles=4) for account in ("main", "second")]
    for run in runs:
        with opened(tmp_path / run.account) as journal:
            append(journal, run)
            await drained(database, journal, account=run.account)
    await assert_whole(database, *runs)
    pairs = await database.pool.fetch(
        "SELECT c.table_name FROM information_schema.columns c JOIN information_schema.columns d "
        "USING (table_schema, table_name) WHERE table_schema = 'public' "
        "AND c.column_name = 'run' AND d.column_name = 'account' AND c.data_type = 'uuid'"
    )
    assert len(pairs) > 30
    for (table,) in pairs:
        rows = await database.pool.fetch(f"SELECT DISTINCT run::text, account FROM {table}")
        assert {tuple(row) for row in rows} <= {(run.run, run.account) for run in runs}, table


async def test_a_row_cannot_point_to_another_accounts_run(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=2)
    append(journal, run)
    await drained(database, journal)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await database.pool.execute(
            "INSERT INTO audit (run, account, entry, at, time_ns, actor, action, subject, detail, "
            "previous_hash, hash) SELECT run, 'second', 99, at, time_ns, actor, action, subject, "
            "detail, hash, repeat('a', 64) FROM audit LIMIT 1"
        )


async def test_a_record_of_another_account_is_set_aside(
    database: Database, journal: Journal
) -> None:
    stranger = make_run("second", seed=2)
    journal.append(stranger.payloads[0])
    writer = await drained(database, journal)
    assert writer.rejected == 1
    assert await database.pool.fetchval("SELECT count(*) FROM run") == 0
    assert "'second'" in await database.pool.fetchval("SELECT error FROM rejected_record")


# ── records that are wrong ───────────────────────────────────────────────────────────────────────


def poisons() -> dict[str, bytes]:
    run = make_run(seed=1)
    execution = payload_of(run, records.ExecutionBooked)
    transaction = payload_of(run, records.TransactionBooked)
    fields = orjson.loads(transaction)
    fields["postings"][0]["amount"] = "10000.000000000001"
    closed = payload_of(run, records.CycleClosed, 3)
    report = orjson.loads(execution)["report"]
    return {
        "postings that don't sum to zero": orjson.dumps({**fields, "transaction": "opening:x"}),
        "a fill with other figures": changed(execution, report={**report, "cost": "1"}),
        "a fill without an id": changed(execution, report={**report, "exec_id": None}),
        "an amount that is no number": changed(execution, report={**report, "cost": "NaN"}),
        "text with a zero byte": changed(payload_of(run, records.CycleNoted), what="a\0b"),
        "an answer to no order": changed(
            payload_of(run, records.OrderAnswered), client_id="nobody"
        ),
        "a cycle closed twice": changed(closed, state="unwound"),
        "a profit that is not the flow": changed(closed, cycle=77, profit="1"),
        "a run that is no uuid": changed(execution, run="yesterday"),
        "an unknown word": changed(payload_of(run, records.OrderAnswered), outcome="perhaps"),
        "not JSON": b"{",
        "no object": b"[1,2]",
        "nothing in it": b'{"kind":"execution","run":"","account":"main","t":1,"v":1}',
        "a number too large": changed(
            payload_of(run, records.RunStarted), run=make_run(seed=5).run, seed=2**63
        ),
    }


@pytest.mark.parametrize("what", list(poisons()))
async def test_a_poison_record_is_set_aside_alone_and_told(
    database: Database, journal: Journal, what: str
) -> None:
    poison = poisons()[what]
    payloads = make_run(seed=1).payloads if what == "a cycle closed twice" else run_with(poison)
    payloads.append(poison)  # at the end, too: what it depends on is there by then
    for payload in payloads:
        journal.append(payload)
    alerts: list[Alert] = []
    writer = await drained(database, journal, on_alert=alerts.append)
    rows = await database.pool.fetch("SELECT payload, error FROM rejected_record")
    assert {row["payload"] for row in rows} == {poison}
    assert all(row["error"] for row in rows)
    assert writer.rejected == len(rows) > 0
    assert "refused by the database" in alerts[0].title
    await database.pool.execute("DELETE FROM rejected_record")
    await database.pool.execute("DELETE FROM risk_decision")
    found = await counts(database)
    expected = expected_counts(make_run(seed=1))
    same = [t for t in expected if t not in ("run", "cycle")]
    assert {t: found[t] for t in same} == {t: expected[t] for t in same}
    await assert_money(database, make_run(seed=1))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_in_a_record_the_rest_is_written(
    database: Database, journal: Journal, seed: int
) -> None:
    """Each record is written, set aside, repeated or unknown; none stops the writer."""
    random, run = Random(seed), make_run(seed=1, cycles=5)
    payloads = run.payloads
    for payload in payloads:
        journal.append(payload)
        journal.append(damaged(random, payload))
    writer = await drained(database, journal, batch=100)
    assert writer.written == 2 * len(payloads)
    assert writer.rejected > len(payloads) // 3
    kept = await database.pool.fetchval("SELECT count(*) FROM rejected_record")
    assert kept == writer.rejected
    sums = await database.pool.fetch(
        "SELECT 1 FROM posting GROUP BY account, transaction, asset HAVING sum(amount) <> 0"
    )
    assert sums == []
    booked = await database.pool.fetch("SELECT exec_id FROM execution")
    assert {row["exec_id"] for row in booked} >= {fill.exec_id for fill in run.fills}


WILD = (
    *(None, True, -1, 0, 1.5, 2**63, 2**64 - 1, -(2**63), "", "x", "NaN", "-Infinity", "1e400"),
    *(
        "1E-2000",
        "9" * 5000,
        "a\0b",
        "\U0001f600",
        [],
        {},
        [None],
        {"a": 1},
        [[["1"]]],
        "2026-13-45",
    ),
)


def damaged(random: Random, payload: bytes) -> bytes:
    """Return a record with one value, somewhere in it, made wild; or some bytes changed."""
    if random.random() < 0.1:
        at = random.randrange(len(payload))
        return (payload[:at] + bytes([random.randrange(32, 256)]) + payload[at + 1 :]) or b"x"
    fields = orjson.loads(payload)
    place = fields
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or random.random() < 0.2:
            break
        place = inner
    place[key] = random.choice(WILD)
    return orjson.dumps(fields)


async def test_a_kind_of_a_newer_version_is_kept_and_counted(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=1)
    newer = changed(payload_of(run, records.CycleNoted), kind="hedged", ratio="0.5")
    for payload in run_with(newer):
        journal.append(payload)
    writer = await drained(database, journal)
    assert (writer.unknown, writer.rejected) == (1, 0)
    row = await database.pool.fetchrow("SELECT kind, run, payload FROM unknown_record")
    assert tuple(row) == ("hedged", run.run, newer)


async def test_records_whose_beginning_was_lost_still_find_a_place(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=1)
    lost = (records.RunStarted, records.CycleOpened)
    for time_ns, record in run.written:
        if not isinstance(record, lost):
            journal.append(records.encode(record, run.run, run.account, time_ns))
    writer = await drained(database, journal)
    assert writer.rejected == 0
    await assert_money(database, run)
    assert await database.pool.fetchval("SELECT mode FROM run") == "unknown"
    states = await database.pool.fetch("SELECT state FROM cycle ORDER BY number")
    assert [row["state"] for row in states] == [one.state.value for one in run.closed]


async def test_an_answer_once_known_does_not_become_unknown_again(
    database: Database, journal: Journal
) -> None:
    run = make_run(seed=1)
    append(journal, run)
    answer = payload_of(run, records.OrderAnswered)
    journal.append(changed(answer, outcome="unknown", order_id="", sent_ns=None))
    await drained(database, journal)
    row = await database.pool.fetchrow(
        "SELECT outcome, order_id, sent_at FROM trade_order WHERE client_id = $1",
        orjson.loads(answer)["client_id"],
    )
    assert row["outcome"] == "accepted"
    assert row["order_id"]
    assert row["sent_at"]


# ── a database that is away, slow or older ───────────────────────────────────────────────────────


class Breaking:
    """Connections that break when told to.

    Args:
        session: The real ones.
    """

    def __init__(self, session) -> None:
        self.session = session
        self.is_away = False
        self.opened: list[asyncpg.Connection] = []

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[asyncpg.Connection]:
        if self.is_away:
            raise ConnectionRefusedError("refused")
        async with self.session() as connection:
            self.opened.append(connection)
            yield connection

    def cut(self) -> None:
        for connection in self.opened:
            connection.terminate()


async def test_f33_what_comes_while_the_database_is_away_is_written_when_it_is_back(
    database: Database, journal: Journal
) -> None:
    """F33: drain is idempotent, nothing lost or doubled."""
    run = make_run(seed=11, cycles=8)
    payloads = run.payloads
    breaking, alerts = Breaking(database.session), []
    writer = make_writer(database, journal, session=breaking, on_alert=alerts.append)
    async with running(writer):
        for payload in payloads[: len(payloads) // 2]:
            journal.append(payload)
        assert await writer.drain(PATIENCE_S)
        breaking.is_away = True
        breaking.cut()
        for payload in payloads[len(payloads) // 2 :]:
            journal.append(payload)
        await until(lambda: writer.unavailable_since is not None)
        assert not writer.is_connected
        assert not await writer.drain(0.05)
        assert writer.lag_records > 0
        assert "refused" in writer.last_error or "closed" in writer.last_error
        breaking.is_away = False
        assert await writer.drain(PATIENCE_S)
        await until(lambda: writer.unavailable_since is None)
        assert (writer.is_connected, writer.lag_records, writer.last_error) == (True, 0, "")
    await assert_whole(database, run)
    assert [alert.title for alert in alerts] == [
        "the journal can't be written to the database",
        "the database is back",
    ]


async def test_draining_waits_for_what_is_not_durable_yet(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    sync = os.fsync

    def slow(number: int) -> None:
        may_go_on.wait(PATIENCE_S)
        sync(number)

    journal = Journal(tmp_path / "slow", fsync=FsyncPolicy.ALWAYS)
    journal.open()
    writer, run = make_writer(database, journal), make_run(seed=2)
    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(os, "fdatasync", slow, raising=False)
    try:
        append(journal, run)
        async with running(writer):
            draining = asyncio.create_task(writer.drain(PATIENCE_S))
            await until(lambda: writer.is_connected)
            assert not draining.done()
            may_go_on.set()
            assert await draining
        assert writer.last_written_seq == journal.last_seq
    finally:
        may_go_on.set()
        journal.close()
    await assert_whole(database, run)


async def test_f32_a_writer_may_start_before_its_database(
    database: Database, journal: Journal
) -> None:
    """F32: with a spool allowed, the run begins and the database catches up."""
    run = make_run(seed=12)
    append(journal, run)
    breaking = Breaking(database.session)
    breaking.is_away = True
    revived: list[bool] = []

    async def revive() -> None:
        revived.append(True)
        breaking.is_away = len(revived) < 3

    writer = make_writer(database, journal, session=breaking, revive=revive)
    async with running(writer):
        assert await writer.drain(PATIENCE_S)
    await assert_whole(database, run)
    assert len(revived) == 3


async def test_f36_a_commit_nobody_knows_about_is_neither_lost_nor_doubled(
    database: Database, journal: Journal
) -> None:
    """F36: the connection breaks after the commit and before the answer, again and again."""
    run = make_run(seed=13, cycles=6)
    append(journal, run)
    broken: list[int] = []

    @asynccontextmanager
    async def session() -> AsyncIterator[asyncpg.Connection]:
        async with database.session() as connection:
            yield Forgetful(connection, broken)

    writer = make_writer(database, journal, session=session, batch=20)
    async with running(writer):
        assert await writer.drain(PATIENCE_S)
    await assert_whole(database, run)
    assert len(broken) > 3


class Forgetful:
    """A connection that breaks after every second commit, before it says that it worked."""

    def __init__(self, connection: asyncpg.Connection, broken: list[int]) -> None:
        self._connection = connection
        self._broken = broken
        self._depth = 0
        self._commits = 0

    def __getattr__(self, name: str):
        return getattr(self._connection, name)

    @asynccontextmanager
    async def transaction(self):
        self._depth += 1
        try:
            async with self._connection.transaction():
                yield
        finally:
            self._depth -= 1
        if self._depth == 0:
            self._commits += 1
            if self._commits % 2 == 0:
                self._broken.append(self._commits)
                self._connection.terminate()
                raise ConnectionResetError("in the middle of the commit")


@pytest.mark.parametrize("error", [asyncpg.SerializationError, asyncpg.DeadlockDetectedError])
async def test_f36_a_transaction_the_server_gave_up_is_repeated(
    database: Database, journal: Journal, error: type[Exception]
) -> None:
    """F36: serialization failures and deadlocks are tried again."""
    run = make_run(seed=14)
    append(journal, run)
    failures = [3]

    @asynccontextmanager
    async def session() -> AsyncIterator[asyncpg.Connection]:
        async with database.session() as connection:
            yield GivenUp(connection, failures, error)

    writer = make_writer(database, journal, session=session)
    async with running(writer):
        assert await writer.drain(PATIENCE_S)
    await assert_whole(database, run)
    assert failures == [0]


class GivenUp:
    """A connection whose first statements fail as in a conflict."""

    def __init__(self, connection, failures: list[int], error: type[Exception]) -> None:
        self._connection, self._failures, self._error = connection, failures, error

    def __getattr__(self, name: str):
        return getattr(self._connection, name)

    async def executemany(self, sql: str, rows: Sequence[tuple]) -> None:
        await self._connection.executemany(sql, rows)
        if self._failures[0]:
            self._failures[0] -= 1
            raise self._error("could not serialize access")


async def test_f34_a_lock_makes_the_writer_wait_and_nobody_else(
    database: Database, journal: Journal
) -> None:
    """F34: the loop goes on turning while a table is locked."""
    run = make_run(seed=15)
    writer = make_writer(database, journal, timeout_s=0.3)
    async with running(writer), database.session() as other:
        await until(lambda: writer.is_connected)
        async with other.transaction():
            await other.execute("LOCK TABLE trade_order")
            append(journal, run)
            await until(lambda: writer.unavailable_since is not None)
            turns = 0
            while turns < 200:  # each of them is one turn of the loop
                await asyncio.sleep(0)
                turns += 1
            assert writer.last_written_seq == 0
        assert await writer.drain(PATIENCE_S)
    await assert_whole(database, run)


async def test_f35_an_older_database_gets_again_what_the_journal_still_has(
    database: Database, journal: Journal
) -> None:
    """F35: the server lost its tail although it had acknowledged the commits."""
    run = make_run(seed=16, cycles=6)
    payloads = run.payloads
    alerts: list[Alert] = []
    writer = make_writer(database, journal, on_alert=alerts.append)
    half = len(payloads) // 2
    async with running(writer):
        for payload in payloads[:half]:
            journal.append(payload)
        assert await writer.drain(PATIENCE_S)
        await forget_everything(database)
        for payload in payloads[half:]:
            journal.append(payload)
        await until(lambda: writer.written == len(payloads) + half)
    await assert_whole(database, run)
    assert "the database is older than what was written to it" in {a.title for a in alerts}
    assert await database.pool.fetchval("SELECT count(*) FROM journal_gap") == 0


async def forget_everything(database: Database) -> None:
    """Leave the database as a restored backup from before everything would be."""
    async with database.session() as connection:
        tables = [*COUNTED, "journal_position"]
        for table in (
            "cycle_flow",
            "execution",
            "execution_fee",
            "ledger_transaction",
            "posting",
            "audit",
        ):
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        for table in (
            "cycle_flow",
            "execution",
            "execution_fee",
            "ledger_transaction",
            "posting",
            "audit",
        ):
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def test_f35_what_the_journal_has_not_any_more_is_a_gap_that_is_told(
    database: Database, tmp_path: Path
) -> None:
    """F35: records released to a newer database than the one that came back."""
    run = make_run(seed=17, cycles=6)
    with opened(tmp_path / "journal", segment_bytes=20_000) as journal:
        append(journal, run)
        await drained(database, journal)
        with journal.reader() as reader:
            first_kept = reader.next_batch(1)[0].seq
        assert first_kept > 1
        await forget_everything(database)
        alerts: list[Alert] = []
        writer = await drained(database, journal, on_alert=alerts.append)
    row = await database.pool.fetchrow("SELECT first_seq, last_seq, reason FROM journal_gap")
    assert tuple(row) == (1, first_kept - 1, "released")
    assert writer.gaps == first_kept - 1
    assert "the database lacks records the journal has not any more" in {a.title for a in alerts}


async def test_numbers_the_journal_left_out_on_purpose_are_noted_without_alarm(
    database: Database, tmp_path: Path
) -> None:
    run, alerts = make_run(seed=18), []
    with opened(tmp_path / "journal") as journal:
        journal.append(run.payloads[0])
    with opened(tmp_path / "journal", at_least=10) as journal:
        for payload in run.payloads[1:]:
            journal.append(payload)
        await drained(database, journal, on_alert=alerts.append)
    row = await database.pool.fetchrow("SELECT first_seq, last_seq, reason FROM journal_gap")
    assert tuple(row) == (2, 9, "quarantined")
    assert alerts == []


async def test_a_journal_that_ends_before_the_database_does_is_refused(
    database: Database, tmp_path: Path
) -> None:
    """Its next records would bear numbers that are taken, and be passed over."""
    run = make_run(seed=19)
    folder = tmp_path / "journal"
    with opened(folder) as journal:
        for payload in run.payloads[:5]:
            journal.append(payload)
    shutil.copytree(folder, tmp_path / "copy")
    with opened(folder) as journal:
        key = key_of(journal)
        for payload in run.payloads[5:]:
            journal.append(payload)
        await drained(database, journal)
    (tmp_path / "copy" / "journal.id").write_text(f"{key.journal}\n")
    async with database.session() as connection:
        position = await read_position(connection, key)
    assert position == len(run.written)
    with opened(tmp_path / "copy") as journal:
        writer = make_writer(database, journal)
        async with running(writer):
            await until(lambda: writer.unavailable_since is not None)
            assert (
                f"ended with record 5, but the database has record {position}" in writer.last_error
            )
    with opened(tmp_path / "copy", at_least=position + 1) as journal:
        journal.append(make_run(seed=20).payloads[0])
        assert (await drained(database, journal)).last_written_seq == position + 1


async def test_a_damaged_journal_is_written_up_to_the_damage_and_told(
    database: Database, tmp_path: Path
) -> None:
    run = make_run(seed=21)
    folder = tmp_path / "journal"
    with opened(folder) as journal:
        append(journal, run)
        path = next(folder.glob("journal-*.log"))
        content = bytearray(path.read_bytes())
        at = content.index(b"R %020d" % 40) + 60
        content[at] ^= 1
        path.write_bytes(content)
        alerts: list[Alert] = []
        writer = make_writer(database, journal, on_alert=alerts.append)
        async with running(writer):
            await until(lambda: writer.unavailable_since is not None)
    assert writer.last_written_seq == 39
    assert "journal quarantine" in writer.last_error
    assert len(alerts) == 1


async def test_a_whole_batch_or_nothing_of_it(database: Database, journal: Journal) -> None:
    """Killed before the commit, the position and the rows are as before."""
    run = make_run(seed=22)
    append(journal, run)
    key = key_of(journal)
    async with database.session() as connection:
        await connection.execute(
            "INSERT INTO journal_position (account, journal, seq) VALUES ($1, $2, 0)",
            *(key.account, key.journal),
        )
        with journal.reader() as reader:
            prepared = await prepare(reader.next_batch(500), key)
        with pytest.raises((ConnectionResetError, asyncpg.InterfaceError)):
            await write_batch(Killed(connection), key, 0, prepared)  # type: ignore[arg-type]
    assert not any((await counts(database)).values())
    await drained(database, journal)
    await assert_whole(database, run)


class Killed:
    """A connection that is lost when the position is to be moved: the last step."""

    def __init__(self, connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str):
        return getattr(self._connection, name)

    async def execute(self, sql: str, *values: object):
        if "UPDATE journal_position" in sql:
            self._connection.terminate()
            raise ConnectionResetError("killed")
        return await self._connection.execute(sql, *values)


async def test_a_release_tells_the_journal_what_may_go(
    database: Database, journal: Journal
) -> None:
    append(journal, make_run(seed=23))
    assert journal.statistics().spool_bytes > 0
    await drained(database, journal)
    assert journal.statistics().spool_bytes == 0


def test_a_folder_keeps_the_identity_it_got(tmp_path: Path) -> None:
    first, other = identify(tmp_path / "a"), identify(tmp_path / "b")
    assert identify(tmp_path / "a") == first != other


async def test_converting_a_batch_gives_way_to_others(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_SLICE_S", 0.0)
    run = make_run(seed=24)
    append(journal, run)
    with journal.reader() as reader:
        entries = reader.next_batch(1000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await prepare(entries, key_of(journal))
    counting.cancel()
    assert turns >= len(entries) - 1


async def test_every_state_a_cycle_can_end_in_occurs_in_the_little_runs() -> None:
    states = {one.state for one in make_run(cycles=5).closed}
    assert states == {state for state in CycleState if state.is_final}
