"""Pages of rows that come latest first, and where the next one begins."""

from datetime import UTC, datetime

import attrs

from arbitrade.errors import UsageError

MAXIMUM_ROWS = 1000
"""Most rows one page may have."""


@attrs.frozen
class Cursor:
    """The place in a list at which a page ended; the next page begins behind it.

    Rows that are written meanwhile are newer and stand before it, so no row is shown twice or left
    out.  As text, which fits into an address: `2026-11-30T12:04:07.318000Z~3f9c…/000…431`.

    Args:
        at: Time of the page's last row.
        tie: Tells rows of the same time apart.
    """

    at: datetime
    tie: str

    def __str__(self) -> str:
        """Return it as text."""
        at = self.at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{at}Z~{self.tie}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Return the cursor that `str` made this text of.

        Raises:
            UsageError: It did not.
        """
        at, separator, tie = text.partition("~")
        try:
            time = datetime.fromisoformat(at)
        except ValueError:
            time = None
        if time is None or time.tzinfo is None or not separator:
            raise UsageError(
                f"cursor {text!r}: is not one that a page ended with; begin again without it"
            )
        return cls(time, tie)


@attrs.frozen
class Page[T]:
    """Rows of a list, the latest first.

    Args:
        rows: At most as many as were asked for.
        next: To be handed in as `before` for the rows behind these; None on the last page.
    """

    rows: tuple[T, ...]
    next: Cursor | None
