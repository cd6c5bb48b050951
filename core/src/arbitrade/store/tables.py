"""Counts what is in the tables."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import asyncpg

from arbitrade.errors import DatabaseError
from arbitrade.store.reading import Reader, run_id

_TABLES = """
    SELECT c.relname AS name, c.oid::regclass::text AS quoted, format_type(a.atttypid, NULL) AS kind
    FROM pg_class c
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'run' AND NOT a.attisdropped
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition AND c.relname <> 'schema_migration'
    ORDER BY c.relname
"""


class Sessions(Protocol):
    """Opens connections for long work; `Database` and a run's keeper of it do."""

    def session(self) -> "AbstractAsyncContextManager[asyncpg.Connection]":
        """Open a connection without a time limit."""


async def count_rows(reader: Reader, run: str | None = None) -> dict[str, int]:
    """Return how many rows each table has, empty ones too.

    Args:
        reader: What is asked; one question a table.
        run: Count only rows of this run, in tables whose rows belong to one; None counts all.
    """
    counts: dict[str, int] = {}
    for name, quoted, kind in await reader.rows(_TABLES):
        every = f"SELECT count(*) FROM {quoted}"  # noqa: S608  # quoted by the server
        if run is None:
            counts[name] = await reader.value(every)
        elif kind is not None:
            # Records nobody could read name their run as text.
            of = run_id(run) if kind == "uuid" else run
            counts[name] = await reader.value(f"{every} WHERE run = $1", of)
    return counts


async def rows_by_table(sessions: Sessions, run: str) -> Mapping[str, int]:
    """Return how many rows of a run each table has; nothing where the database is away."""
    try:
        return await count_rows(Reader(sessions.session), run)
    except DatabaseError:
        return {}
