"""What stands for the database in a command that runs without one."""

from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

import attrs

from arbitrade.errors import DatabaseError
from arbitrade.store.reading import Connections

if TYPE_CHECKING:
    import asyncpg


def no_database(command: str) -> Connections:
    """Return what refuses every connection, saying that `command` has no database."""
    return lambda: _Absent(command)


@attrs.frozen
class _Absent:
    command: str

    async def __aenter__(self) -> "asyncpg.Connection":
        self._refuse()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing: nothing was opened."""

    def _refuse(self) -> NoReturn:
        raise DatabaseError(
            f"{self.command}: runs without a database, so there is no history here; `arbitrade "
            "run` has one, and `arbitrade report` reads it"
        )
