"""Reads what happened beside trading: alerts, audit, plugins, limits, the journal itself."""

# ruff: noqa: S608  # only names of our own are put into statements

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from arbitrade.accounting.audit import AuditEntry, AuditFollower
from arbitrade.api.history import (
    MAXIMUM_ROWS,
    AlertView,
    AuditFault,
    AuditFilter,
    AuditVerdict,
    AuditView,
    Cursor,
    JournalGap,
    LimitsView,
    Page,
    PluginChange,
    RejectedRecord,
)
from arbitrade.store.reading import Order, Reader, Where, maker, value_of

_ALERT = """
    SELECT run::text AS run, account, number, at, severity, title, body, subject FROM alert
"""
_AUDIT = """
    SELECT run::text AS run, account, at, time_ns, entry, actor, action, subject, detail,
           previous_hash, hash FROM audit
"""
_PLUGIN = "SELECT run::text AS run, account, at, plugin, state, reason FROM plugin_change"
_LIMITS = "SELECT run::text AS run, account, version, at, actor, limits FROM limits_version"
_AT_A_TIME = 100
"""Entries of the audit followed before others get a turn; 2 ms."""


class Events:
    """What happened beside trading, as `EventHistory` says."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def alerts(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        minimum_severity: int = 0,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[AlertView]:
        """Return alerts at least as severe as this, a number of `Severity`."""
        where = _of(run, account)
        where.add("severity >= ?", int(minimum_severity))
        order = Order.numbered("at", "number")
        return await self._reader.page(maker(AlertView), _ALERT, order, where, limit, before)

    async def audit(
        self,
        where: AuditFilter = AuditFilter(),  # noqa: B008  # frozen
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[AuditView]:
        """Return audit entries by the time they were written."""
        chosen = _of(where.run, where.account)
        chosen.add("actor = ?", where.actor)
        chosen.add("action = ?", where.action)
        chosen.contains("(subject || ' ' || detail)", where.text)
        chosen.add("at >= ?", where.begin)
        chosen.add("at < ?", where.end)
        order = Order("at", "lpad(id::text, 19, '0')")
        return await self._reader.page(maker(AuditView), _AUDIT, order, chosen, limit, before)

    async def all_audit(self, account: str | None = None) -> AsyncIterator[AuditView]:
        """Yield audit entries in the order they were written, of one account or of all."""
        async for row in self._audit_rows(account):
            yield value_of(AuditView, row)

    async def verify_audit(self, account: str) -> AuditVerdict:
        """Follow an account's chain from its beginning."""
        follower, entries, last = AuditFollower(), 0, (0, "")
        faults: list[AuditFault] = []
        async for entry in self.audit_entries(account):
            entries, last = entries + 1, (entry.entry, entry.hash)
            faults += [AuditFault(one.run, one.entry, one.text) for one in follower.follow(entry)]
            if entries % _AT_A_TIME == 0:
                # Hashing is work for the processor: whoever shares the event loop gets a turn.
                await asyncio.sleep(0)
        return AuditVerdict(entries, *last, tuple(faults))

    async def plugin_changes(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[PluginChange]:
        """Return when plugins were enabled, disabled or put aside."""
        order, where = Order.numbered("at", "seq"), _of(run, account)
        return await self._reader.page(maker(PluginChange), _PLUGIN, order, where, limit, before)

    async def limits(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[LimitsView]:
        """Return the versions of the limits."""
        order, where = Order.numbered("at", "version"), _of(run, account)
        return await self._reader.page(maker(LimitsView), _LIMITS, order, where, limit, before)

    async def journal_gaps(self, account: str) -> list[JournalGap]:
        """Return the last stretches of the journal the database never got."""
        rows = await self._of_journal("journal_gap", "noticed_at DESC, first_seq DESC", account)
        return [value_of(JournalGap, row) for row in rows]

    async def rejected_records(self, account: str) -> list[RejectedRecord]:
        """Return the last records that were set aside."""
        rows = await self._of_journal("rejected_record", "rejected_at DESC, seq DESC", account)
        return [value_of(RejectedRecord, row) for row in rows]

    # ── for those who go on with the chain, or prove it ──────────────────────────────────────────

    async def audit_entries(self, account: str | None = None) -> AsyncIterator[AuditEntry]:
        """Yield entries as they went into their hashes, in the order they were written."""
        async for row in self._audit_rows(account):
            yield value_of(AuditEntry, row)

    async def last_audit(self, account: str) -> AuditEntry | None:
        """Return the end of an account's chain, which a new run goes on from."""
        row = await self._reader.row(
            f"{_AUDIT} WHERE account = $1 ORDER BY id DESC LIMIT 1", account
        )
        return None if row is None else value_of(AuditEntry, row)

    async def _audit_rows(self, account: str | None) -> AsyncIterator[Any]:
        where = _of(None, account)
        async for row in self._reader.stream(
            f"{_AUDIT} WHERE {where.sql} ORDER BY id", *where.values
        ):
            yield row

    async def _of_journal(self, table: str, order: str, account: str) -> list[Any]:
        return await self._reader.rows(
            f"SELECT * FROM {table} WHERE account = $1 ORDER BY {order} LIMIT {MAXIMUM_ROWS}",
            account,
        )


def _of(run: str | None, account: str | None) -> Where:
    where = Where()
    where.of(run, account)
    return where
