"""What a machine needs of the world."""

from collections.abc import Callable, Mapping

import attrs

from arbitrade.book import OrderBook
from arbitrade.models import (
    Alert,
    Instruments,
)
from arbitrade.records import (
    Record,
)


@attrs.frozen
class Ports:
    """What the machine tells the world; none of it may call back before it returns.

    Args:
        write: Appends a record of a run to the journal, returns its number.
        alert: Raises an alert.
        halt: Engages the kill switch.
        instruments: As they are now.
        books: By symbol, as they are now.
    """

    write: Callable[[Record, str], int]
    alert: Callable[[Alert], None]
    halt: Callable[[str], None]
    instruments: Callable[[], Instruments]
    books: Callable[[], Mapping[str, OrderBook]]
