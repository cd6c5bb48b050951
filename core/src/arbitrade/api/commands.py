"""What an operator may have done by a running bot, and what comes of it."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

import attrs

from arbitrade.api.state import BotState, View


@attrs.frozen
class Command:
    """Something an operator wants done.

    Args:
        name: `halt`, `resume`, `flatten`, `limits`, `plugin`, `stop`.
        actor: Who wants it: the operating system's user, a dashboard user.
        arguments: Text by name: `reason`; for `flatten` `loss_cap`; for `limits` each limit's new
            value; for `plugin` `name` and `state` (`enabled`, `disabled`).
    """

    name: str
    actor: str
    arguments: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Answer:
    """What came of a command.

    Args:
        is_done: False when it was refused; then nothing was changed.
        message: One sentence for the operator: what was done, or why not and what to do.
        details: More, as JSON values.
    """

    is_done: bool
    message: str
    details: Mapping[str, object] = attrs.field(factory=dict)


@runtime_checkable
class Bot(View, Protocol):
    """A running bot: a view of more, and a way to command it."""

    def state(self) -> BotState:
        """Return everything about it now; some tens of microseconds."""

    async def command(self, command: Command) -> Answer:
        """Carry out a command and return when it is done or refused; audited either way."""

    def updates(self, every_s: float = 1.0) -> AsyncIterator[BotState]:
        """Yield the state again and again; a slow reader gets the newest, not a backlog."""
