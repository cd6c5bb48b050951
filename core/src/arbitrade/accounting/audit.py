"""The chain of audit entries: each holds the hash of the one before, so none can be changed unseen.

    hash = SHA-256( previous hash + canonical JSON of account, run, time, entry, actor, … )

Canonical JSON: the fields by name, no spaces, UTF-8.  An account has one chain over all its runs;
it begins with 64 zeros.  Changing, leaving out or moving an entry breaks the chain at that place.
Cutting off its end doesn't: keep the last hash somewhere else to see that.  Pure: no I/O.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256

import attrs
import orjson

from arbitrade.records import Audited, Written

GENESIS = "0" * 64
"""What an account's first entry has for a previous hash."""


@attrs.frozen
class AuditEntry:
    """An audit entry with where it comes from.

    Args:
        run: In which it was written.
        account: Whose.
        time_ns: Nanoseconds since the epoch by the run's clock.
        entry: Number in the chain.
        actor: Who: `engine`, `operator alice`, ….
        action: What: `halt`, `limits`, ….
        subject: To what.
        detail: How.
        previous_hash: Of the entry before.
        hash: Of this one.
    """

    run: str
    account: str
    time_ns: int
    entry: int
    actor: str
    action: str
    subject: str
    detail: str
    previous_hash: str
    hash: str

    @classmethod
    def of(cls, written: Written) -> "AuditEntry":
        """Return the entry in a record of the journal.

        Raises:
            TypeError: The record is no audit entry.
        """
        record = written.record
        if not isinstance(record, Audited):
            raise TypeError(f"{written.kind}: is no audit entry")
        fields = attrs.asdict(record)
        return cls(run=written.run, account=written.account, time_ns=written.time_ns, **fields)

    def expected_hash(self) -> str:
        """Return the hash it must have."""
        fields = attrs.asdict(self)
        previous = fields.pop("previous_hash")
        del fields["hash"]
        content = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        return sha256(previous.encode() + content).hexdigest()


@attrs.frozen
class AuditProblem:
    """Where a chain is broken, and how."""

    run: str
    entry: int
    text: str


class AuditChain:
    """The chain of an account, as a run goes on with it.

    Args:
        account: Whose.
        run: That writes from now on.
        entry: Number of the account's last entry, 0 for none.
        last_hash: Its hash.  A chain that begins anew although there are entries is not wrong in
            itself, but `verify` says so.
    """

    def __init__(self, account: str, run: str, *, entry: int = 0, last_hash: str = GENESIS) -> None:
        self._account = account
        self._run = run
        self.entry = entry
        self.last_hash = last_hash

    def next(
        self, time_ns: int, actor: str, action: str, subject: str = "", detail: str = ""
    ) -> Audited:
        """Return the next entry; it is to be written with this very run, account and time."""
        made = AuditEntry(
            run=self._run,
            account=self._account,
            time_ns=time_ns,
            entry=self.entry + 1,
            actor=actor,
            action=action,
            subject=subject,
            detail=detail,
            previous_hash=self.last_hash,
            hash="",
        )
        self.entry, self.last_hash = made.entry, made.expected_hash()
        return Audited(
            made.entry, actor, action, subject, detail, made.previous_hash, self.last_hash
        )

    def follow(self, record: Audited) -> None:
        """Go on behind an entry that was written earlier, found in the journal or the database."""
        self.entry, self.last_hash = record.entry, record.hash


def verify(entries: Iterable[AuditEntry]) -> list[AuditProblem]:
    """Return everything that is wrong with the chains of these entries; nothing if all hold.

    Args:
        entries: All there are of each account, in the order they were written.
    """
    follower = AuditFollower()
    return [problem for entry in entries for problem in follower.follow(entry)]


class AuditFollower:
    """Goes along chains, entry by entry, and says what is wrong with each."""

    def __init__(self) -> None:
        self._last: dict[str, AuditEntry] = {}

    def follow(self, entry: AuditEntry) -> tuple[AuditProblem, ...]:
        """Return what is wrong with the next entry that was written; 20 µs."""
        faults = tuple(_faults(entry, self._last.get(entry.account)))
        self._last[entry.account] = entry
        return tuple(AuditProblem(entry.run, entry.entry, text) for text in faults)


def _faults(one: AuditEntry, before: AuditEntry | None) -> Iterator[str]:
    if one.hash != one.expected_hash():
        yield "was changed: its hash is not that of its content"
    if before is None:
        if one.previous_hash != GENESIS or one.entry != 1:
            yield f"is the first of account {one.account}, but others came before it"
        return
    if one.previous_hash == GENESIS:
        yield f"begins a chain of its own; nothing ties it to entry {before.entry} before it"
    elif one.previous_hash != before.hash:
        yield f"does not follow entry {before.entry}: something between them was taken or put"
    elif one.entry != before.entry + 1:
        yield f"is numbered {one.entry}, but follows entry {before.entry}"
