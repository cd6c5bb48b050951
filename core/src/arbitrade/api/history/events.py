"""What is read back of what happened beside trading."""

from collections.abc import Mapping
from datetime import datetime

import attrs


@attrs.frozen
class AlertView:
    """An alert; severity as in `Severity`."""

    run: str
    account: str
    number: int
    at: datetime
    severity: int
    title: str
    body: str
    subject: str


@attrs.frozen
class AuditView:
    """An entry of an account's audit chain.

    Args:
        entry: Number in the chain, from 1.
        actor: Who: `engine`, `operator alice`, ….
        action: What: `halt`, `limits`, ….
        subject: To what.
        detail: How, as text or JSON.
        previous_hash: SHA-256 of the entry before, in hexadecimal; 64 zeros at the beginning.
        hash: Of this one.
    """

    run: str
    account: str
    at: datetime
    entry: int
    actor: str
    action: str
    subject: str
    detail: str
    previous_hash: str
    hash: str


@attrs.frozen
class AuditFilter:
    """Which audit entries; what is None asks nothing, all the rest must hold.

    Args:
        run: Of this run.
        account: Of this account.
        actor: By this one.
        action: This one.
        text: In whose subject or detail this text is, in any case.
        begin: At this time or later.
        end: Before this time.
    """

    run: str | None = None
    account: str | None = None
    actor: str | None = None
    action: str | None = None
    text: str | None = None
    begin: datetime | None = None
    end: datetime | None = None


@attrs.frozen
class AuditFault:
    """Where a chain is broken, and how."""

    run: str
    entry: int
    text: str


@attrs.frozen
class AuditVerdict:
    """What came of following an account's audit chain from its beginning.

    Args:
        entries: How many there are.
        last_entry: Number of the last; 0 for none.
        last_hash: Its hash; keep it elsewhere to see whether the end is ever cut off.
        faults: Where the chain is broken; empty if it holds.
    """

    entries: int
    last_entry: int
    last_hash: str
    faults: tuple[AuditFault, ...]


@attrs.frozen
class PluginChange:
    """A plugin that was enabled, disabled or put aside."""

    run: str
    account: str
    at: datetime
    plugin: str
    state: str
    reason: str


@attrs.frozen
class LimitsView:
    """The limits of risk from a version on, as text by the setting's path."""

    run: str
    account: str
    version: int
    at: datetime
    actor: str
    limits: Mapping[str, str]


@attrs.frozen
class JournalGap:
    """Records of a journal, from the first to the last number, that never got into the database."""

    account: str
    journal: str
    first_seq: int
    last_seq: int
    noticed_at: datetime
    reason: str


@attrs.frozen
class RejectedRecord:
    """A record that broke a rule of the tables and was set aside; `run` is as it says itself."""

    account: str
    journal: str
    seq: int
    run: str
    kind: str
    error: str
    rejected_at: datetime
