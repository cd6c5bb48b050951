"""Writes a batch of records in one transaction, together with how far the journal is.

All rows of a table go together.  Where the database refuses one, everything is undone and done
again record by record, so that only the records at fault are set aside.
"""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import attrs

from arbitrade import records
from arbitrade.errors import ArbitradeError
from arbitrade.journal import JournalEntry
from arbitrade.records import Written
from arbitrade.store import actions
from arbitrade.store.actions import Action, Row
from arbitrade.store.mapping import Step, steps_of
from arbitrade.store.position import JournalKey, lock_position, set_position

_CHUNK = 60
"""Rows encoded at once: one to two milliseconds."""
_SLICE_S = 0.002
"""Time after which the conversion of a batch lets others have their turn."""

REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.RaiseError,
    # What the driver raises for values that don't fit their column at all.
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""The record is at fault, not the connection; the same would happen again."""


@attrs.frozen
class Prepared:
    """A record as it will be written.

    Args:
        steps: Its rows; none if it can't be read.
        error: Why it can't be.
    """

    seq: int
    payload: bytes
    run: str
    kind: str
    steps: tuple[Step, ...]
    error: str = ""


@attrs.frozen
class Gap:
    """Records the journal doesn't have any more, though they were never written."""

    first: int
    last: int
    reason: str


@attrs.frozen
class RejectedRecord:
    """A record that was set aside, and why."""

    seq: int
    kind: str
    error: str


@attrs.frozen
class Outcome:
    """What writing a batch came to.

    Args:
        rejected: Records set aside.
        repeated: Records whose rows were there already, the same to the last digit.
        unknown: Records of kinds this version doesn't know.
    """

    rejected: tuple[RejectedRecord, ...] = ()
    repeated: int = 0
    unknown: int = 0


async def prepare(entries: Sequence[JournalEntry], key: JournalKey) -> list[Prepared]:
    """Return records as they will be written, giving way to others every two milliseconds."""
    prepared: list[Prepared] = []
    begun = time.perf_counter()
    for entry in entries:
        prepared.append(_prepare(entry, key))
        if time.perf_counter() - begun > _SLICE_S:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    return prepared


async def write_batch(
    connection: asyncpg.Connection,
    key: JournalKey,
    expected: int,
    batch: Sequence[Prepared],
    gaps: Sequence[Gap] = (),
) -> Outcome:
    """Write a batch and move the position behind it, or do nothing.

    Args:
        connection: Outside of a transaction.
        key: Whose journal.
        expected: Number of the last record written before.
        batch: In order, at least one.
        gaps: To be written down with it.

    Raises:
        PositionMovedError: Another record was the last one; nothing was written.
        Exception: Anything else the driver raises; whether it was written is not known.
    """
    async with connection.transaction():
        await lock_position(connection, key, expected)
        try:
            async with connection.transaction():
                await _write_together(connection, key, batch)
            outcome = Outcome((), 0, sum(1 for one in batch if _is_unknown(one)))
        except REFUSED:
            outcome = await _write_apart(connection, key, batch)
        for gap in gaps:
            await connection.execute(
                "INSERT INTO journal_gap (account, journal, first_seq, last_seq, reason) "
                "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                *(key.account, key.journal, gap.first, gap.last, gap.reason),
            )
        await set_position(connection, key, batch[-1].seq)
    return outcome


def _prepare(entry: JournalEntry, key: JournalKey) -> Prepared:
    run, kind = "", ""
    try:
        written = records.decode(entry.payload)
        run, kind = f"{written.run}", f"{written.kind}"
        _require_whole(written, key.account)
        steps = tuple(steps_of(written, entry.seq, key.journal))
    # Whatever a damaged or foreign record makes the converters raise: it is kept, with the reason.
    except Exception as error:
        return Prepared(entry.seq, entry.payload, run, kind, (), _reason(error))
    return Prepared(entry.seq, entry.payload, run, kind, steps)


def _require_whole(written: Written, ours: str) -> None:
    # Nobody has looked at these yet: they stand beside the record.
    beside: tuple[object, ...] = (written.run, written.kind)
    if not all(isinstance(value, str) for value in beside):
        raise ArbitradeError(f"run and kind have to be text, and are {beside}")
    if written.account != ours:
        raise ArbitradeError(f"a record of account {written.account!r} in the journal of {ours!r}")


async def _write_together(
    connection: asyncpg.Connection, key: JournalKey, batch: Sequence[Prepared]
) -> None:
    rows: dict[Action, list[Row]] = {}
    for one in batch:
        if one.error:
            rows.setdefault(actions.REJECTED, []).append(_rejection(key, one, one.error))
        for action, row in one.steps:
            rows.setdefault(action, []).append(row)
    if actions.REJECTED in rows:
        raise ValueError("a record that can't be read")  # counted on the way that looks at each
    for action in actions.ORDER_OF_ACTIONS:
        if action in rows:
            await _run(connection, action, rows[action])
    # Now, so that the commit can only fail with the connection.
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


async def _run(connection: asyncpg.Connection, action: Action, rows: Sequence[Row]) -> None:
    if action.combine is not None:
        rows = action.combine(rows)
    for begin in range(0, len(rows), _CHUNK):
        chunk = rows[begin : begin + _CHUNK]
        if action.is_copied:
            await connection.copy_records_to_table(
                action.table, records=chunk, columns=action.columns
            )
        else:
            await connection.executemany(action.sql, chunk)


async def _write_apart(
    connection: asyncpg.Connection, key: JournalKey, batch: Sequence[Prepared]
) -> Outcome:
    rejected: list[RejectedRecord] = []
    repeated = unknown = 0
    for one in batch:
        error = one.error or await _write_one(connection, one)
        if error == _REPEATED:
            repeated += 1
        elif error:
            rejected.append(RejectedRecord(one.seq, one.kind, error))
            await connection.execute(actions.REJECTED.sql, *_rejection(key, one, error))
        else:
            unknown += _is_unknown(one)
    return Outcome(tuple(rejected), repeated, unknown)


_REPEATED = "repeated"


async def _write_one(connection: asyncpg.Connection, one: Prepared) -> str:
    """Write a record; return what is wrong with it, nothing if nothing is."""
    try:
        async with connection.transaction():
            await connection.execute("SET CONSTRAINTS ALL DEFERRED")
            for action, row in one.steps:
                await connection.execute(action.sql, *row)
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.UniqueViolationError as error:
        return _REPEATED if await _is_there(connection, one) else _reason(error)
    except REFUSED as error:
        return _reason(error)
    return ""


async def _is_there(connection: asyncpg.Connection, one: Prepared) -> bool:
    """Tell whether all rows a record appends are in the database, the same to the last digit."""
    appended = [(action, row) for action, row in one.steps if action.columns]
    for action, row in appended:
        try:
            async with connection.transaction():
                found = await connection.fetchval(action.find_sql, *row[: len(action.columns)])
        except REFUSED:
            return False
        if not found:
            return False
    return bool(appended)


def _is_unknown(one: Prepared) -> bool:
    return bool(one.steps) and one.steps[0][0] is actions.UNKNOWN


def _rejection(key: JournalKey, one: Prepared, error: str) -> Row:
    names = (_storable(one.run), _storable(one.kind))
    return (key.account, key.journal, one.seq, *names, error, one.payload)


def _reason(error: Exception) -> str:
    detail = getattr(error, "detail", None)
    text = f"{error}" + (f" ({detail})" if detail else "")
    if isinstance(error, BaseExceptionGroup):
        text = "; ".join([text, *(_reason(one) for one in error.exceptions[:3])])  # type: ignore[arg-type]
    return _storable(f"{type(error).__name__}: {text}")


def _storable(text: str) -> str:
    """Return a text as a column takes it: no zero bytes, no halves of characters, no novel."""
    return text.replace("\0", "?").encode(errors="replace").decode()[:2000]
