"""What the commands that look back share: the database, opened and checked."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.store.database import Database
    from arbitrade.store.repositories import Repositories


def read_history[T](line: "CommandLine", work: "Callable[[Repositories], Awaitable[T]]") -> T:
    """Open the database the settings name, let `work` read, close it.

    Raises:
        DatabaseError: There is none yet, it can't be reached, or its tables are not up to date.
    """
    from arbitrade.store.repositories import Repositories

    return with_database(line, lambda database: work(Repositories(database.connection)))


def with_database[T](line: "CommandLine", work: "Callable[[Database], Awaitable[T]]") -> T:
    """Open the database the settings name, let `work` use it, close it.

    Raises:
        DatabaseError: There is none yet, it can't be reached, or its tables are not up to date.
    """
    from arbitrade.errors import DatabaseError
    from arbitrade.process import loops
    from arbitrade.process.logs import configure
    from arbitrade.store.database import open_database
    from arbitrade.store.target import unmade_folder

    settings = line.load()
    folder = unmade_folder(settings)
    if folder is not None:
        raise DatabaseError(
            f"{folder}: no database yet; `arbitrade run`, `demo` and `db migrate` make it"
        )
    configure(settings.log)

    async def run() -> T:
        async with await open_database(settings) as database:
            await database.check_schema(line.registry.migrations())
            return await work(database)

    return loops.run(run(), settings.runtime.event_loop)
