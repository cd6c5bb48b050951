"""The chain of audit entries: nothing in it can be changed, taken out or put in unseen."""

from collections.abc import Sequence

import asyncpg
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade import records
from arbitrade.accounting.audit import GENESIS, AuditChain, AuditEntry, verify
from arbitrade.store.database import Database

TEXTS = st.text(max_size=20)
ACTIONS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), min_size=2, max_size=8)


def chain_of(
    actions: Sequence[tuple[str, str, str, str]], account: str = "main"
) -> list[AuditEntry]:
    chain = AuditChain(account, "run-1")
    return [
        written(chain.next(n, *action), "run-1", account, n) for n, action in enumerate(actions)
    ]


def written(record: records.Audited, run: str, account: str, time_ns: int) -> AuditEntry:
    return AuditEntry.of(records.decode(records.encode(record, run, account, time_ns)))


FOUR = [(name, "halt", "", "") for name in "abcd"]


@given(ACTIONS)
def test_a_chain_as_it_was_written_holds(actions: list[tuple[str, str, str, str]]) -> None:
    entries = chain_of(actions)
    assert verify(entries) == []
    assert entries[0].previous_hash == GENESIS
    assert [entry.entry for entry in entries] == list(range(1, len(entries) + 1))


@given(ACTIONS, st.data())
def test_any_changed_field_breaks_the_chain(
    actions: list[tuple[str, str, str, str]], data: st.DataObject
) -> None:
    entries = chain_of(actions)
    at = data.draw(st.integers(0, len(entries) - 1))
    name = data.draw(st.sampled_from([field.name for field in attrs.fields(AuditEntry)]))
    before = getattr(entries[at], name)
    after = data.draw(st.integers(1, 99) if isinstance(before, int) else st.text(min_size=1))
    if after == before:
        return
    entries[at] = attrs.evolve(entries[at], **{name: after})
    assert verify(entries)


@given(ACTIONS, st.data())
def test_any_entry_left_out_but_the_last_breaks_the_chain(
    actions: list[tuple[str, str, str, str]], data: st.DataObject
) -> None:
    entries = chain_of(actions)
    del entries[data.draw(st.integers(0, len(entries) - 2))]
    assert verify(entries)


def test_two_entries_that_changed_places_break_the_chain() -> None:
    entries = chain_of(FOUR)
    entries[1], entries[2] = entries[2], entries[1]
    assert [problem.entry for problem in verify(entries)] == [3, 2, 4]


def test_an_entry_made_up_with_a_right_hash_does_not_fit_in() -> None:
    entries = chain_of(FOUR)
    forged = attrs.evolve(entries[1], actor="nobody")
    entries[1] = attrs.evolve(forged, hash=forged.expected_hash())
    (problem,) = verify(entries)
    assert (problem.entry, "does not follow entry 2" in problem.text) == (3, True)


def test_the_next_run_goes_on_with_the_chain_of_the_account() -> None:
    first = chain_of(FOUR)
    chain = AuditChain("main", "run-2", entry=first[-1].entry, last_hash=first[-1].hash)
    entries = [*first, written(chain.next(9, "engine", "start"), "run-2", "main", 9)]
    assert (entries[-1].entry, verify(entries)) == (5, [])


def test_following_what_is_found_in_the_journal_goes_on_there() -> None:
    first = AuditChain("main", "run-1")
    record = first.next(1, "engine", "start")
    other = AuditChain("main", "run-1")
    other.follow(record)
    assert other.next(2, "a", "b") == first.next(2, "a", "b")


def test_a_chain_that_begins_anew_is_told() -> None:
    again = attrs.evolve(chain_of(FOUR)[0], run="run-2")
    again = attrs.evolve(again, hash=again.expected_hash())
    (problem,) = verify([*chain_of(FOUR), again])
    assert "nothing ties it to entry 4" in problem.text


def test_accounts_have_chains_of_their_own() -> None:
    main, second = chain_of(FOUR), chain_of(FOUR, "second")
    mixed = [entry for pair in zip(main, second, strict=True) for entry in pair]
    assert verify(mixed) == []


def test_another_record_is_no_entry() -> None:
    payload = records.encode(records.PluginChanged("bell", "enabled", ""), "run-1", "main", 1)
    with pytest.raises(TypeError, match="plugin"):
        AuditEntry.of(records.decode(payload))


# ── in the database ──────────────────────────────────────────────────────────────────────────────

RUN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def kept(database: Database) -> Database:
    await database.pool.execute(
        "INSERT INTO run (id, account, mode, venue, started_at, version, settings_digest) "
        "VALUES ($1, 'main', 'paper', 'kraken', now(), '0', repeat('0', 64))",
        RUN,
    )
    await add(database, 1, GENESIS, "a" * 64)
    return database


async def add(database: Database, entry: int, previous: str, own: str) -> None:
    await database.pool.execute(
        "INSERT INTO audit (run, account, entry, at, time_ns, actor, action, subject, detail, "
        "previous_hash, hash) VALUES ($1, 'main', $2, now(), 1, 'a', 'b', '', '', $3, $4)",
        *(RUN, entry, previous, own),
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "SET session_replication_role = replica; DELETE FROM audit",
    ],
)
async def test_the_database_refuses_to_change_or_delete(kept: Database, statement: str) -> None:
    async with kept.session() as connection:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            await connection.execute(statement)
    assert await kept.pool.fetchval("SELECT actor FROM audit") == "a"


async def test_the_database_refuses_a_fork_of_the_chain(kept: Database) -> None:
    await add(kept, 2, "a" * 64, "b" * 64)
    with pytest.raises(asyncpg.UniqueViolationError, match="audit_no_fork"):
        await add(kept, 3, "a" * 64, "c" * 64)
