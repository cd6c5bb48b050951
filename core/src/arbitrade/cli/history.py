"""What the commands that look back share: history, read from the database of the settings."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.store.repositories import Repositories


def read_history[T](line: "CommandLine", work: "Callable[[Repositories], Awaitable[T]]") -> T:
    """Open the database the settings name, let `work` read, close it.

    Raises:
        DatabaseError: There is none yet, it can't be reached, or its tables are not up to date.
    """
    from arbitrade.cli.opening import with_database
    from arbitrade.store.repositories import Repositories

    return with_database(
        line.load(),
        line.registry.migrations(),
        lambda database: work(Repositories(database.connection)),
    )
