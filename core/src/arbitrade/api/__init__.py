"""What services and the operator's commands may see of a bot, and do to it.

The dashboard, the control socket and the commands that talk to a running bot all stand on this: one
set of read models, one way to change something.  Every command is audited with who gave it.

`state` and `commands`, of a running bot, and `tables`, for what plugins keep themselves, are handed
on here; `arbitrade.api.history` has what is read back from the database, and `History` to ask it.
"""

from arbitrade.api.commands import Answer, Bot, Command
from arbitrade.api.state import BotState, LatencyRow, OpenCycle, Status, View
from arbitrade.api.tables import Row, TableConnection, Tables, TablesByPlugin

__all__ = [
    "Answer",
    "Bot",
    "BotState",
    "Command",
    "LatencyRow",
    "OpenCycle",
    "Row",
    "Status",
    "TableConnection",
    "Tables",
    "TablesByPlugin",
    "View",
]
