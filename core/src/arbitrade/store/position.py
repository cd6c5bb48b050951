"""How far a journal has been written to the database."""

import os
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import attrs

from arbitrade.errors import JournalError

_FILE = "journal.id"


@attrs.frozen
class JournalKey:
    """Whose journal, and which.

    Args:
        account: Whose money it is about; records of other accounts are refused.
        journal: Identity of its folder, see `identify`.
    """

    account: str
    journal: UUID


class PositionMovedError(Exception):
    """The database is at another record than expected; somebody wrote, or it was restored."""

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq


def identify(folder: Path) -> UUID:
    """Return the identity of a journal's folder, which it gets when first asked.

    A new folder begins again with record 1; without an identity of its own its records would be
    taken for those that are in the database already.

    Raises:
        JournalError: The folder can't be read or written, or the file holds no identity.
    """
    path = folder / _FILE
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}.new")
            fresh.write_text(f"{uuid4()}\n", encoding="ascii")
            with fresh.open("rb+") as file:
                os.fsync(file.fileno())
            if path.exists():
                fresh.unlink()
            else:
                fresh.replace(path)
        return UUID(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise JournalError(
            f"{path}: can't be read or made ({error.strerror or error}); check the folder's owner "
            "and the disk"
        ) from error
    except ValueError as error:
        raise JournalError(
            f"{path}: holds no identity of a journal; restore it.  If that can't be done, delete "
            "it: everything still in the journal is then compared with the database once more"
        ) from error


async def read_position(connection: asyncpg.Connection, key: JournalKey) -> int:
    """Return the number of the last record of a journal that is in the database, 0 for none.

    `Journal.open` wants it, plus one, as `at_least`.
    """
    seq: int | None = await connection.fetchval(
        "SELECT seq FROM journal_position WHERE account = $1 AND journal = $2",
        key.account,
        key.journal,
    )
    return seq or 0


async def begin_position(connection: asyncpg.Connection, key: JournalKey) -> int:
    """Return the same, after making the row that says so."""
    await connection.execute(
        "INSERT INTO journal_position (account, journal, seq) VALUES ($1, $2, 0) "
        "ON CONFLICT DO NOTHING",
        key.account,
        key.journal,
    )
    return await read_position(connection, key)


async def lock_position(connection: asyncpg.Connection, key: JournalKey, expected: int) -> None:
    """Let nobody else write this journal until the end of the transaction.

    Raises:
        PositionMovedError: The position is another one.
    """
    seq: int | None = await connection.fetchval(
        "SELECT seq FROM journal_position WHERE account = $1 AND journal = $2 FOR UPDATE",
        key.account,
        key.journal,
    )
    if seq != expected:
        raise PositionMovedError(seq or 0)


async def set_position(connection: asyncpg.Connection, key: JournalKey, seq: int) -> None:
    """Say how far it is; in the transaction that wrote the records."""
    await connection.execute(
        "UPDATE journal_position SET seq = $3, written_at = now() "
        "WHERE account = $1 AND journal = $2",
        key.account,
        key.journal,
        seq,
    )
