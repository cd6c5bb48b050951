"""The read side of the database: `History`, by subject.

Each method is one question and one to a few statements, answered by indexes.  What it returns, in
which order and what it raises stands in `arbitrade.api.history`.
"""

from arbitrade.api.history import RunReport, RunView
from arbitrade.store.reading import Connections, Reader
from arbitrade.store.report import gather_report
from arbitrade.store.repositories.cycles import Cycles
from arbitrade.store.repositories.events import Events
from arbitrade.store.repositories.money import Money
from arbitrade.store.repositories.opportunities import Opportunities
from arbitrade.store.repositories.runs import Runs

__all__ = ["Repositories"]


class Repositories:
    """Everything that can be read; satisfies `History`.

    Args:
        connections: Opens a connection for one question; `Database.connection`, or whatever
            raises a `DatabaseError` where there is none.
    """

    def __init__(self, connections: Connections) -> None:
        reader = Reader(connections)
        self.runs = Runs(reader)
        self.cycles = Cycles(reader)
        self.opportunities = Opportunities(reader)
        self.money = Money(reader)
        self.events = Events(reader)

    async def report(
        self,
        run: RunView,
        *,
        with_cycles: bool = False,
        with_legs: bool = False,
        near_misses: int = 5,
    ) -> RunReport:
        """Return a run, told, as `arbitrade report` does."""
        return await gather_report(
            self, run, with_cycles=with_cycles, with_legs=with_legs, near_misses=near_misses
        )
