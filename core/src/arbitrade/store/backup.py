"""Backups of the whole database, in PostgreSQL's own archive format.

A backup appears under its name when it is whole; a restore happens in one transaction, or not at
all.  The archive ends with a checksum: `pg_restore`, which reads over it, takes an archive that was
cut short for a whole one with less in it.
"""

import asyncio
import hashlib
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs

from arbitrade.errors import DatabaseError, UsageError
from arbitrade.store.clients import ClientTarget, client_program
from arbitrade.store.database import Database
from arbitrade.store.failures import database_errors
from arbitrade.store.status import table_status

_BACKUP, _RESTORE = "arbitrade-backup", "arbitrade-restore"
_PIECE = 256 << 10
_SEAL = b"\narbitrade backup, sha-256 of all before this line:\n"
_PLAIN = ("--no-owner", "--no-privileges")
_MARK = re.compile(rb" TABLE \S+ schema_migration ")

# Everything in the schema but what belongs to an extension.
_CLEAR = """
SET client_min_messages = warning;
DO $clear$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('DROP TABLE IF EXISTS %s CASCADE', c.oid::regclass)
        FROM pg_class c
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relnamespace = current_schema()::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    LOOP EXECUTE command; END LOOP;
    FOR command IN
        SELECT CASE c.relkind
            WHEN 'v' THEN format('DROP VIEW IF EXISTS %s CASCADE', c.oid::regclass)
            WHEN 'm' THEN format('DROP MATERIALIZED VIEW IF EXISTS %s CASCADE', c.oid::regclass)
            ELSE format('DROP SEQUENCE IF EXISTS %s CASCADE', c.oid::regclass) END
        FROM pg_class c
        WHERE c.relkind IN ('v', 'm', 'S') AND c.relnamespace = current_schema()::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    LOOP EXECUTE command; END LOOP;
    FOR command IN
        SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)
        FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP EXECUTE command; END LOOP;
    FOR command IN
        SELECT format('DROP TYPE IF EXISTS %s CASCADE', t.oid::regtype)
        FROM pg_type t
        WHERE t.typtype IN ('d', 'e', 'r') AND t.typnamespace = current_schema()::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    LOOP EXECUTE command; END LOOP;
END $clear$;
"""
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND application_name LIKE 'arbitrade%' AND application_name <> 'arbitrade-shell'
"""


@attrs.frozen
class BackupReport:
    """What a backup or restore came to.

    Args:
        file: The archive.
        bytes: Its size.
    """

    file: str
    bytes: int


async def back_up(database: Database, file: Path, *, overwrite: bool = False) -> BackupReport:
    """Write the database, as it is at this moment, into a file only we can read.

    Trading may go on meanwhile.

    Args:
        database: What is written.
        file: Where; appears when it is whole.
        overwrite: Replace the file if it exists.

    Raises:
        UsageError: The file exists.
        DatabaseError: It can't be written, or `pg_dump` failed.
    """
    _check_free(file, overwrite)
    target = ClientTarget.of(database.secret_dsn, _BACKUP)
    partial = file.with_name(f"{file.name}.partial")
    schema = await _schema(database)
    arguments = ("--format=custom", f"--schema={schema}", *_PLAIN, "--no-password")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            async with _started("pg_dump", target, *arguments, stdout=out.fileno()) as dump:
                said = await _said(dump)
        if dump.returncode:
            raise DatabaseError(f"{database.dsn}: can't be backed up: {said}")
        await asyncio.to_thread(_seal, partial)
        partial.replace(file)
    except OSError as error:
        raise DatabaseError(
            f"{file}: can't be written ({error.strerror or error}); make room or name another file"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return _report(file)


async def restore(database: Database, file: Path, *, force: bool = False) -> BackupReport:
    """Put a backup in place of everything in the database, in one transaction.

    Args:
        database: Where to.
        file: An archive that `back_up` wrote.
        force: Even if there are rows in it, which are lost.

    Raises:
        UsageError: There are rows in the database, or the file is no backup.
        DatabaseError: A bot uses the database, or the restore failed; nothing was changed.
    """
    await _check_archive(file)
    await _check_unused(database)
    if not force:
        await _check_empty(database)
    reading = ClientTarget("", dict(os.environ))
    writing = ClientTarget.of(database.secret_dsn, _RESTORE)
    # The schema's name once more, or the archive would make that, too, which is there.
    schema = await _schema(database)
    extract = (f"--schema={schema}", *_PLAIN, "--exit-on-error", "--file=-", str(file))
    quiet = ("--no-psqlrc", "--quiet", "--no-password")
    apply = (*quiet, "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-")
    async with (
        _started("psql", writing, *apply, stdin=PIPE, stdout=DEVNULL) as sink,
        _started("pg_restore", reading, *extract, stdout=PIPE) as source,
    ):
        complaint = asyncio.ensure_future(_said(source))
        answer = asyncio.ensure_future(_said(sink))
        await _pump(source, sink)
        said = await complaint
        if source.returncode:
            # Before its input ends, which is when it would commit.
            sink.kill()
            await answer
            raise DatabaseError(f"{file}: can't be read to its end, nothing was changed: {said}")
        assert sink.stdin is not None
        sink.stdin.close()
        said = await answer
    if sink.returncode:
        raise DatabaseError(f"{database.dsn}: can't be restored, nothing was changed: {said}")
    return _report(file)


async def _schema(database: Database) -> str:
    with database_errors(database.dsn):
        return str(await database.pool.fetchval("SELECT current_schema()"))


def _check_free(file: Path, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise UsageError(f"{file}: exists; name another file, or give --force to replace it")


def _report(file: Path) -> BackupReport:
    return BackupReport(str(file), file.stat().st_size)


def _seal(file: Path) -> None:
    """Append the checksum, and make sure that everything is on the disk."""
    with file.open("r+b") as archive:
        digest = hashlib.file_digest(archive, "sha256").digest()
        archive.seek(0, os.SEEK_END)
        archive.write(_SEAL + digest)
        archive.flush()
        os.fsync(archive.fileno())


def _is_whole(file: Path) -> bool:
    """Tell whether an archive is as it was sealed."""
    length = len(_SEAL) + hashlib.sha256().digest_size
    size = file.stat().st_size - length
    digest = hashlib.sha256()
    with file.open("rb") as archive:
        while (left := size - archive.tell()) > 0 and (piece := archive.read(min(left, _PIECE))):
            digest.update(piece)
        return size > 0 and archive.read() == _SEAL + digest.digest()


async def _check_archive(file: Path) -> None:
    try:
        is_whole = await asyncio.to_thread(_is_whole, file)
    except OSError as error:
        raise UsageError(
            f"{file}: can't be read ({error.strerror}); name one that `arbitrade db backup` wrote"
        ) from error
    if not is_whole:
        raise UsageError(
            f"{file}: is no backup that `arbitrade db backup` wrote, or was cut short or changed; "
            "take another one"
        )
    here = ClientTarget("", dict(os.environ))
    async with _started("pg_restore", here, "--list", str(file), stdout=PIPE) as listing:
        out, said = await listing.communicate()
    if listing.returncode or not _MARK.search(out):
        reason = said.decode(errors="replace").strip() or "no table schema_migration in it"
        raise UsageError(f"{file}: is no backup of Arbitrade ({reason})")


async def _check_unused(database: Database) -> None:
    with database_errors(database.dsn):
        others = await database.pool.fetchval(_OTHERS)
    if others:
        raise DatabaseError(
            f"{database.dsn}: is in use by {others} session(s) of Arbitrade; stop the bot, then "
            "restore"
        )


async def _check_empty(database: Database) -> None:
    with database_errors(database.dsn):
        async with database.pool.acquire() as connection:
            tables = await table_status(connection)
    filled = [one for one in tables if one.rows and one.name != "schema_migration"]
    if filled:
        raise UsageError(
            f"{database.dsn}: is not empty ({filled[0].name} has {filled[0].rows:,} rows); back it "
            "up, then give --force to replace everything in it"
        )


@asynccontextmanager
async def _started(
    program: str,
    target: ClientTarget,
    *arguments: str,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
) -> AsyncIterator[Process]:
    """Run a program while the context is open; killed if it outlives it."""
    where = (f"--dbname={target.address}",) if target.address else ()
    process = await asyncio.create_subprocess_exec(
        str(client_program(program)),
        *where,
        *arguments,
        env=target.environment,
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _said(process: Process) -> str:
    """Wait for the end of a program and return what it complained about."""
    assert process.stderr is not None
    said = await process.stderr.read()
    await process.wait()
    return said.decode(errors="replace").strip() or f"exit code {process.returncode}"


async def _pump(source: Process, sink: Process) -> None:
    """Hand on what `source` writes, after what clears the way; its end is not handed on."""
    assert source.stdout is not None
    assert sink.stdin is not None
    with suppress(ConnectionError):  # it gave up, and will say why
        sink.stdin.write(_CLEAR.encode())
        while piece := await source.stdout.read(_PIECE):
            sink.stdin.write(piece)
            await sink.stdin.drain()
        return
    source.kill()
