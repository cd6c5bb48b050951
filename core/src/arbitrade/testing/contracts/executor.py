"""What every executor has to keep to."""

import pytest

from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.trials.executors import (
    is_of_baskets,
    make_desk,
    situations,
    wrong_end,
)
from arbitrade.plugins.trials.running import PATIENCE_S, stepped, within
from arbitrade.protocols import Executor


class ExecutorContract:
    """What every executor must do.

    A subclass brings one fixture: `executor`.

    ```python
    class TestPatient(ExecutorContract):
        @pytest.fixture
        def executor(self) -> Executor:
            return PatientExecutor(wait_s=0.05)
    ```

    It is given cycles of 100 USD through BTC and ETH, on books that bring 104 and don't move; if
    it takes no cycles, baskets of BTC against ETH, and to be reduced after a hundred `desk.hold`s.
    """

    @pytest.fixture
    def executor(self) -> Executor:
        """Return the executor under test."""
        raise NotImplementedError("the subclass brings a fixture `executor`")

    def test_executor_plays_the_role_under_a_name_that_does_not_change(
        self, executor: Executor
    ) -> None:
        """Settings choose it by this name, and `needs_inventory` says what is reserved for it."""
        assert role_problems(executor, Executor) == ()
        assert executor.name == executor.name.strip() != ""

    @pytest.mark.parametrize("situation", situations())
    def test_cycle_ends_with_nothing_under_way(self, executor: Executor, situation: str) -> None:
        """It awaits nothing but its desk, sends nothing that is no order, and says how it ended."""
        desk = situations(is_basket=is_of_baskets(executor))[situation]
        assert within(PATIENCE_S, lambda: wrong_end(executor, desk)) == []

    def test_same_cycle_is_carried_out_the_same_way_again(self, executor: Executor) -> None:
        """So that a replay does what the run did: no dice, no clock but the desk's."""
        told = []
        for _ in range(2):
            desk = make_desk(is_basket=is_of_baskets(executor))
            state = stepped(executor.execute(desk))
            told.append((state, [ticket.order for ticket in desk.orders], desk.notes))
        assert told[0] == told[1]
