"""What an examination found: one line, how bad it is, and what to do."""

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    pass


class Health(StrEnum):
    """What a check came to."""

    GOOD = "good"
    NOTE = "note"
    BROKEN = "broken"


@attrs.frozen
class Finding:
    """One line of the report.

    Args:
        check: What was looked at.
        health: `NOTE` works, but not as well as it could.
        text: What there is, and the next step unless it is good.
    """

    check: str
    health: Health
    text: str
