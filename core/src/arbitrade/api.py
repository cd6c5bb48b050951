"""What services may see of a running command: read models, no way to change anything."""

from collections.abc import Mapping
from typing import Protocol

import attrs


@attrs.frozen
class Status:
    """How a running command is doing.

    Args:
        command: Which command runs, e.g. `record`.
        started_at: ISO 8601, UTC.
        is_ready: True when it does its job: connected and at least one book in sync.
        books_in_sync: Books that can be trusted now.
        books: Books subscribed.
        counters: Everything that is counted, by dotted name.
        plugins: Name and state (`enabled`, `disabled`, `failed: reason`) of each plugin.
    """

    command: str
    started_at: str
    is_ready: bool
    books_in_sync: int
    books: int
    counters: Mapping[str, int]
    plugins: Mapping[str, str]


class View(Protocol):
    """Access to the read models."""

    def status(self) -> Status:
        """Return the state of things now; cheap."""
