"""Whether a private channel's messages are all there.  Pure."""

import enum

import attrs


class Arrival(enum.Enum):
    """How a message fits to those before it."""

    NEXT = "next"
    GAP = "gap"
    """Some before it are missing."""
    LATE = "late"
    """One of those that were missing."""
    AGAIN = "again"
    """It was here before."""


@attrs.define
class MessageSequence:
    """Counts the messages of one subscription; the venue starts each at 1 with the snapshot."""

    _last: int = attrs.field(default=0, init=False)
    _missing: set[int] = attrs.field(factory=set, init=False)

    def arrived(self, number: int, *, is_snapshot: bool) -> Arrival:
        """Take the number of a message; a snapshot starts over."""
        if is_snapshot:
            self._last, self._missing = number, set()
            return Arrival.NEXT
        if number <= self._last:
            if number not in self._missing:
                return Arrival.AGAIN
            self._missing.discard(number)
            return Arrival.LATE
        gap = range(self._last + 1, number)
        self._last = number
        # What comes late is remembered, but not without bounds.
        self._missing.update(gap[:1000])
        return Arrival.GAP if gap else Arrival.NEXT
