"""Opens the database for a command, checks its tables, and closes it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arbitrade.config import Settings
    from arbitrade.models.migrations import MigrationSeries
    from arbitrade.store.database import Database


def with_database[T](
    settings: "Settings",
    series: "Sequence[MigrationSeries]",
    work: "Callable[[Database], Awaitable[T]]",
) -> T:
    """Open the database the settings name, let `work` use it, close it.

    Args:
        settings: Everything configured.
        series: The tables it has to have.
        work: What is to be done with it.

    Raises:
        DatabaseError: There is none yet, it can't be reached, or its tables are not up to date.
    """
    from arbitrade.errors import DatabaseError
    from arbitrade.process import loops
    from arbitrade.process.logs import configure
    from arbitrade.store.database import open_database
    from arbitrade.store.target import unmade_folder

    folder = unmade_folder(settings)
    if folder is not None:
        raise DatabaseError(
            f"{folder}: no database yet; `arbitrade run`, `demo` and `db migrate` make it"
        )
    configure(settings.log)

    async def run() -> T:
        async with await open_database(settings) as database:
            await database.check_schema(series)
            return await work(database)

    return loops.run(run(), settings.runtime.event_loop)
