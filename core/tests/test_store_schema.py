"""Every table, column, type, constraint, index and trigger of core, as PostgreSQL tells them.

The listing is in `schema.txt` beside this file.  After a migration on purpose let
`python core/tests/test_store_schema.py` write it anew, and read the difference.
"""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

from arbitrade.store.database import Database
from arbitrade.store.retention import partitioned_tables
from arbitrade.testing.postgres import PostgresServer

LISTING = Path(__file__).with_name("schema.txt")

COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity <> '' AS is_identity, a.attgenerated <> '' AS is_generated,
        pg_get_expr(d.adbin, d.adrelid) AS initial
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid, true) FROM pg_constraint
    WHERE conrelid = $1 AND contype IN ('p', 'u', 'f', 'c', 'x') ORDER BY contype, conname
"""
INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i
    WHERE i.indrelid = $1 AND NOT EXISTS (
        SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.conrelid = $1)
    ORDER BY 1
"""
TRIGGERS = """
    SELECT pg_get_triggerdef(oid, true), tgenabled::text FROM pg_trigger
    WHERE tgrelid = $1 AND NOT tgisinternal ORDER BY tgname
"""


async def listing(connection) -> str:
    """Return the whole schema as text."""
    tables = await connection.fetch(
        "SELECT c.oid, c.relname, c.relkind::text, pg_get_partkeydef(c.oid) FROM pg_class c "
        "WHERE c.relnamespace = current_schema::regnamespace AND c.relkind IN ('r', 'p', 'v') "
        "AND NOT c.relispartition AND c.relname <> 'schema_migration' ORDER BY c.relname"
    )
    lines = []
    for oid, name, kind, parts in tables:
        what = "view" if kind == "v" else "table"
        lines.append(f"{what} {name}" + (f" by {parts}" if parts else ""))
        lines += [column_line(*row) for row in await connection.fetch(COLUMNS, oid)]
        lines += [f"    = {name} {text}" for name, text in await connection.fetch(CONSTRAINTS, oid)]
        lines += [f"    # {short(text)}" for (text,) in await connection.fetch(INDEXES, oid)]
        lines += [
            f"    ! {short(text)}{' (always)' if mode == 'A' else ''}"
            for text, mode in await connection.fetch(TRIGGERS, oid)
        ]
    return "\n".join(re.sub(r"\s+$", "", line) for line in lines)


def column_line(
    name: str, of: str, is_needed: bool, is_identity: bool, is_generated: bool, initial: str | None
) -> str:
    """Return a column as a line."""
    text = f"    {name} {of}{' not null' if is_needed else ''}{' identity' if is_identity else ''}"
    return f"{text} {'generated' if is_generated else 'default'} {initial}" if initial else text


def short(text: str) -> str:
    """Return a definition without the words that are always the same."""
    text = re.sub(r"^CREATE (UNIQUE )?INDEX (\w+) ON (ONLY )?\S+ USING btree", r"\1\2", text)
    return re.sub(r"^CREATE (CONSTRAINT )?TRIGGER ", r"\1", text)


async def test_the_schema_is_exactly_this(database: Database) -> None:
    async with database.session() as connection:
        found = await listing(connection)
    assert found.splitlines() == LISTING.read_text(encoding="utf-8").splitlines()


WITHOUT_RUN = {"journal_position", "journal_gap"}
"""They are about a journal, whose records belong to many runs."""


async def test_every_table_carries_run_and_account(database: Database) -> None:
    rows = await database.pool.fetch(
        "SELECT c.table_name, array_agg(c.column_name::text) AS names "
        "FROM information_schema.columns c "
        "JOIN information_schema.tables t USING (table_schema, table_name) "
        "WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE' GROUP BY c.table_name"
    )
    assert len(rows) > 30
    for table, names in rows:
        if table == "schema_migration":
            continue
        assert "account" in names, table
        assert "run" in names or table == "run" or table in WITHOUT_RUN, table


async def test_every_run_and_account_point_to_one_row_together(database: Database) -> None:
    rows = await database.pool.fetch(
        "SELECT c.conrelid::regclass::text AS name FROM pg_constraint c WHERE c.contype = 'f' "
        "AND pg_get_constraintdef(c.oid) LIKE '%(run, account) REFERENCES run(id, account)%'"
    )
    tied = {row["name"] for row in rows}
    tables = await database.pool.fetch(
        "SELECT table_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND column_name = 'run' AND data_type = 'uuid'"
    )
    views = {"leg_outcome", "ledger_balance", "plugin_state"}
    assert {row["table_name"] for row in tables} - views == tied


async def test_nothing_anywhere_is_a_float(database: Database) -> None:
    rows = await database.pool.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND (data_type IN ('real', 'double precision', 'money', "
        "'timestamp without time zone') OR udt_name IN ('_float4', '_float8'))"
    )
    assert rows == []


async def test_every_table_and_view_says_what_it_is_for(database: Database) -> None:
    rows = await database.pool.fetch(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace "
        "AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition "
        "AND c.relname <> 'schema_migration' AND obj_description(c.oid) IS NULL"
    )
    assert rows == []


async def test_money_is_in_tables_that_have_no_partitions(database: Database) -> None:
    async with database.session() as connection:
        tables = await partitioned_tables(connection)
    kept = {"trade_order", "execution", "execution_fee", "ledger_transaction", "posting", "audit"}
    kept |= {"cycle", "cycle_flow", "attribution", "leg", "balance", "unwind_decision"}
    assert not kept & set(tables)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
async def test_an_amount_is_a_number(database: Database, text: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await database.pool.fetchval("SELECT $1::text::amount", text)
    assert str(await database.pool.fetchval("SELECT '1.10'::amount")) == "1.10"


def rewrite() -> None:
    """Write the listing anew."""

    async def read() -> str:
        async with server.database() as database, database.session() as connection:
            return await listing(connection)

    server = PostgresServer()
    try:
        LISTING.write_text(f"{asyncio.run(read())}\n", encoding="utf-8")
    finally:
        server.close()


if __name__ == "__main__":
    rewrite()
