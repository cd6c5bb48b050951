"""`arbitrade db`: look at the database, bring it up to date, back it up, talk to it."""

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.config import Settings
    from arbitrade.store.backup import BackupReport
    from arbitrade.store.database import Database
    from arbitrade.store.status import DatabaseStatus

_FILE = click.Path(dir_okay=False, path_type=Path)
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object instead of lines."
)


@click.group(
    epilog="""\b
Examples:
  arbitrade db status
  arbitrade db migrate
  arbitrade db backup bot.dump
  arbitrade db shell -- -c "SELECT * FROM run" """
)
def db() -> None:
    """Look after the database.

    That is the server of database.dsn or of PG_HOST, PG_PORT, PG_USER, PG_PASSWORD and PG_DATABASE.
    Without any of them it is a PostgreSQL of our own, which is started when it is needed and
    stopped when nobody uses it any more.
    """


@db.command(
    epilog="""\b
Examples:
  arbitrade db status
  arbitrade db status --json | jq '.tables[] | select(.rows > 0)'
  PG_HOST=db.example PG_USER=bot arbitrade db status"""
)
@_json_option
@click.pass_obj
def status(line: "CommandLine", as_json: bool) -> None:
    """Show server, size, applied migrations and rows of each table.

    Exit code 1 if migrations are pending or don't belong to this database.  Changes nothing; a
    database of our own that was never used is not made.
    """
    from arbitrade.config.converter import converter
    from arbitrade.errors import SchemaError
    from arbitrade.store.status import database_status

    settings = line.load()
    _check_made(settings)

    async def look(database: "Database") -> "DatabaseStatus":
        return await database_status(database, line.registry.migrations())

    found = _with_database(settings, look)
    click.echo(converter.dumps(found) if as_json else "\n".join(_lines(found)))
    for series in found.series:
        if series.problem is not None:
            raise SchemaError(series.problem)
    behind = sum(series.pending for series in found.series)
    if behind:
        raise SchemaError(f"{found.dsn}: {behind} migration(s) pending; run `arbitrade db migrate`")


@db.command(
    epilog="""\b
Examples:
  arbitrade db migrate
  arbitrade db migrate --json"""
)
@_json_option
@click.pass_obj
def migrate(line: "CommandLine", as_json: bool) -> None:
    """Bring the tables up to what this version wants.

    Applies what is missing, each file whole or not at all.  Any number of these may run at once.
    """
    from arbitrade.config.converter import converter

    settings = line.load()
    applied = _with_database(
        settings, lambda database: database.migrate(line.registry.migrations())
    )
    if as_json:
        click.echo(converter.dumps({"applied": applied}))
        return
    for one in applied:
        click.echo(f"{one.namespace} {one.version:04d}_{one.name}  {one.duration_ms:,} ms")
    if not applied:
        click.echo("Nothing to do; the tables are up to date.")


@db.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  arbitrade db shell
  arbitrade db shell -- -c "SELECT count(*) FROM opportunity"
  arbitrade db shell -- --csv -f report.sql""",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def shell(line: "CommandLine", arguments: tuple[str, ...]) -> int:
    """Open psql on the database; ARGUMENTS go to psql.

    The password is never among the arguments.  Ends with psql's exit code.
    """
    from arbitrade.store.clients import ClientTarget, client_program

    psql = client_program("psql")

    async def talk(database: "Database") -> int:
        import asyncio

        target = ClientTarget.of(database.secret_dsn, "arbitrade-shell")
        with _interrupts_are_theirs():
            process = await asyncio.create_subprocess_exec(
                str(psql), f"--dbname={target.address}", *arguments, env=target.environment
            )
            return await process.wait()

    return _with_database(line.load(), talk)


@db.command(
    epilog="""\b
Examples:
  arbitrade db backup bot.dump
  arbitrade db backup "/backups/arbitrade-$(date +%F).dump" --json"""
)
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@_json_option
@click.pass_obj
def backup(line: "CommandLine", file: Path, force: bool, as_json: bool) -> None:
    """Write the whole database into FILE.

    As it is at one moment, while the bot may run.  FILE appears when it is whole, readable by you
    only; pg_restore can read it as well.
    """
    from arbitrade.store.backup import back_up

    settings = line.load()
    _check_made(settings)
    report = _with_database(settings, lambda database: back_up(database, file, overwrite=force))
    _tell(report, "backed up to", as_json)


@db.command(
    epilog="""\b
Examples:
  arbitrade db restore bot.dump
  arbitrade db restore bot.dump --force && arbitrade db migrate"""
)
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace what is in the database.  Back it up first.")
@_json_option
@click.pass_obj
def restore(line: "CommandLine", file: Path, force: bool, as_json: bool) -> None:
    """Put the backup FILE in place of the database.

    Whole or not at all.  Refused while the bot runs, and without --force if there are rows in the
    database.
    """
    from arbitrade.store.backup import restore as put_back

    report = _with_database(line.load(), lambda database: put_back(database, file, force=force))
    _tell(report, "restored from", as_json)


def _with_database[T](settings: "Settings", work: "Callable[[Database], Awaitable[T]]") -> T:
    """Do something with the database, which is open meanwhile."""
    from arbitrade.process import loops
    from arbitrade.process.logs import configure
    from arbitrade.store.database import open_database

    configure(settings.log)

    async def run() -> T:
        async with await open_database(settings) as database:
            return await work(database)

    return loops.run(run(), settings.runtime.event_loop)


def _check_made(settings: "Settings") -> None:
    """Refuse to go on if that would only make an empty database of our own."""
    from arbitrade.errors import DatabaseError
    from arbitrade.store.target import unmade_folder

    folder = unmade_folder(settings)
    if folder is not None:
        raise DatabaseError(
            f"{folder}: no database yet; `arbitrade run`, `demo` and `db migrate` make it"
        )


@contextmanager
def _interrupts_are_theirs() -> Iterator[None]:
    """Leave Ctrl-C to the program in the foreground, which cancels a query by it."""
    before = None
    with suppress(ValueError):  # not in the main thread
        # Not SIG_IGN, which the program would inherit.
        before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _tell(report: "BackupReport", done: str, as_json: bool) -> None:
    from arbitrade.config.converter import converter

    if as_json:
        click.echo(converter.dumps(report))
    else:
        click.echo(f"The database was {done} {report.file} ({_size(report.bytes)}).")


def _lines(found: "DatabaseStatus") -> Iterator[str]:
    where = f"embedded, in {found.folder}" if found.is_embedded else "a server"
    yield f"database   {found.dsn} ({where})"
    yield f"server     PostgreSQL {found.server_version}"
    yield f"size       {_size(found.bytes)}"
    for series in found.series:
        state = f"{series.pending} pending" if series.pending else "up to date"
        yield f"schema     {series.namespace}: {series.applied} applied, {series.problem or state}"
    yield f"tables     {len(found.tables)}, of which with rows:"
    for table in found.tables:
        if table.rows:
            about = "about " if table.is_estimate else ""
            since = f", since {table.oldest_partition}" if table.oldest_partition else ""
            yield f"  {table.name:<24} {about}{table.rows:,} rows, {_size(table.bytes)}{since}"


def _size(count: int) -> str:
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
