"""The books one connection carries, and how far each of them is.

Pure: no I/O and no clock; time is passed in (seconds, monotonic), requests come out.  The life of a
book, each step with the answer it waits for:

    PENDING ──subscribe──▶ SUBSCRIBING ──ack──▶ AWAITING ──snapshot──▶ LIVE
       ▲                                                                │ out of sync, unwanted
       └──────────────ack────── LEAVING ◀──unsubscribe── PARTING ◀──────┘
"""

import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from math import inf

import attrs

from arbitrade.models import RequestRefused, Subscribed, Unsubscribed
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.market import requests


class Step(enum.Enum):
    """Where a book is on its way."""

    PENDING = "to be subscribed"
    SUBSCRIBING = "subscribe sent"
    AWAITING = "waiting for its snapshot"
    LIVE = "live"
    PARTING = "to be unsubscribed"
    LEAVING = "unsubscribe sent"
    REFUSED = "refused by the venue"


class AnswerEffect(enum.Enum):
    """What an answer did; the owner counts and logs."""

    TAKEN = "answers"
    UNKNOWN = "answers_to_nothing"
    REFUSED = "books_refused"
    REFUSED_FOR_NOW = "refused_for_now"


@attrs.define
class _Book:
    symbol: str
    backoff: Backoff
    step: Step = Step.PENDING
    due: float = -inf
    """When to act: send what the step calls for, or give up on its answer."""
    request_id: int = 0
    has_snapshot: bool = False
    is_spoiled: bool = False
    """Another snapshot was asked for before this subscription even stood."""
    is_wanted: bool = True
    lost_at: float | None = None
    """When it went out of sync; None unless it is being recovered."""
    retries: int = 0
    """Times in a row the venue left this book without an answer, or refused it for now."""


class Subscriptions:
    """State of the book subscriptions of one connection.

    Args:
        depth: Levels a side.
        symbols_per_request: Most symbols in one request.
        answer_timeout_s: Longest wait for an acknowledgement or a snapshot.
        make_backoff: Makes the backoff of one book's resynchronisations.
        next_id: Returns a request id that was not used before.
    """

    def __init__(
        self,
        depth: int,
        symbols_per_request: int,
        answer_timeout_s: float,
        make_backoff: Callable[[], Backoff],
        next_id: Callable[[], int],
    ) -> None:
        self._depth = depth
        self._batch = symbols_per_request
        self._timeout_s = answer_timeout_s
        self._make_backoff = make_backoff
        self._next_id = next_id
        self._books: dict[str, _Book] = {}
        self._busy: dict[str, _Book] = {}
        self._sent: dict[int, tuple[str, ...]] = {}
        self.snapshots_due = 0
        """Books a snapshot would change anything for; looked at for every frame."""
        self.unanswered = 0
        """Times an acknowledgement or a snapshot did not come in time."""
        self.recoveries_s: tuple[int, float, float] = (0, 0.0, 0.0)
        """How often a restarted book got its snapshot, and after how long: (number, sum, most)."""

    def __len__(self) -> int:
        return len(self._books)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the books on this connection, refused ones included."""
        return tuple(self._books)

    @property
    def is_idle(self) -> bool:
        """True when there is nothing to subscribe, carry or unsubscribe."""
        return all(book.step is Step.REFUSED for book in self._books.values())

    def step(self, symbol: str) -> Step | None:
        """Return how far a book is, None when it is not on this connection."""
        book = self._books.get(symbol)
        return book.step if book is not None else None

    # ── what is wanted ───────────────────────────────────────────────────────────────────────────

    def want(self, symbols: Iterable[str]) -> None:
        """Carry these books from now on; the next requests subscribe those that are new."""
        for symbol in symbols:
            book = self._books.get(symbol)
            if book is None:
                book = self._books[symbol] = _Book(symbol, self._make_backoff())
                self._busy[symbol] = book
            book.is_wanted = True

    def drop(self, symbols: Collection[str], now: float) -> None:
        """Let books go; one that is being subscribed is unsubscribed once it stands."""
        for symbol in symbols:
            book = self._books.get(symbol)
            if book is None:
                continue
            book.is_wanted = False
            if book.step in (Step.PENDING, Step.REFUSED):
                self._remove(book)
            elif book.step in (Step.LIVE, Step.AWAITING):
                self._go(book, Step.PARTING, now)

    def restart(self, symbol: str, now: float) -> bool:
        """Get a fresh snapshot of one book; first at once, then with backoff.

        Returns:
            False when one is under way already, or the book isn't ours.
        """
        book = self._books.get(symbol)
        if book is None:
            return False
        if book.lost_at is None:
            book.lost_at = now
        if book.step is Step.SUBSCRIBING:
            book.is_spoiled = True
        begin = _RESTART.get(book.step)
        if begin is None:
            return False
        self._go(book, begin, now + book.backoff.next(now))
        return True

    def reset(self) -> None:
        """Start over on a new connection: everything wanted is to be subscribed, refused or not."""
        self._busy.clear()
        self._sent.clear()
        for book in list(self._books.values()):
            if not book.is_wanted:
                self._remove(book)
                continue
            book.retries, book.lost_at = 0, None
            self._go(book, Step.PENDING, -inf)

    # ── what the venue says ──────────────────────────────────────────────────────────────────────

    def on_answer(
        self, event: Subscribed | Unsubscribed | RequestRefused, now: float
    ) -> AnswerEffect:
        """Take an acknowledgement or a refusal; it counts for the request it answers only."""
        if isinstance(event, RequestRefused):
            return self._on_refused(event, now)
        book = self._books.get(event.symbol)
        expected = Step.SUBSCRIBING if isinstance(event, Subscribed) else Step.LEAVING
        if book is None or book.step is not expected:
            return AnswerEffect.UNKNOWN
        if event.request_id is not None and event.request_id != book.request_id:
            return AnswerEffect.UNKNOWN
        if expected is Step.LEAVING:
            self._left(book, now)
        elif not book.is_wanted:
            self._go(book, Step.PARTING, now)
        elif book.is_spoiled:
            self._go(book, Step.PARTING, now + book.backoff.next(now))
        elif book.has_snapshot:
            self._recovered(book, now)
        else:
            self._go(book, Step.AWAITING, now + self._timeout_s)
        return AnswerEffect.TAKEN

    def on_snapshot(self, symbol: str, now: float) -> None:
        """Take note that a snapshot came, and was good: nobody asked for a restart meanwhile."""
        book = self._books.get(symbol)
        if book is None:
            return
        if book.step is Step.AWAITING:
            self._recovered(book, now)
        elif book.step is Step.SUBSCRIBING:
            book.has_snapshot = True

    def _on_refused(self, refusal: RequestRefused, now: float) -> AnswerEffect:
        # A refusal may name the pair in a field, in its text, or not at all.
        symbols = self._sent.get(refusal.request_id or 0, ())
        meant = refusal.symbol
        if meant not in self._books:
            # The text names the pair where the frame doesn't.
            named = [symbol for symbol in symbols if refusal.reason.endswith(symbol)]
            meant = named[0] if named else symbols[0] if len(symbols) == 1 else None
        book = self._books.get(meant) if meant is not None else None
        if book is None and _is_for_now(refusal.reason):
            for symbol in symbols:
                self._retry_later(symbol, refusal.request_id, now)
            return AnswerEffect.REFUSED_FOR_NOW if symbols else AnswerEffect.UNKNOWN
        if book is None or refusal.request_id not in (None, book.request_id):
            # Somebody in a batch was refused and we can't tell who: who gets no answer is asked for
            # again alone, see `due_requests`.
            return AnswerEffect.UNKNOWN
        if book.step is Step.LEAVING:
            self._left(book, now)  # It was not subscribed any more: that is what we wanted.
            return AnswerEffect.TAKEN
        if book.step is not Step.SUBSCRIBING:
            return AnswerEffect.UNKNOWN
        if _is_for_now(refusal.reason):
            self._retry_later(book.symbol, book.request_id, now)
            return AnswerEffect.REFUSED_FOR_NOW
        if "already" in refusal.reason.lower():
            self._go(book, Step.AWAITING, now + self._timeout_s)
            return AnswerEffect.TAKEN
        if book.is_wanted:
            self._go(book, Step.REFUSED, inf)
        else:
            self._remove(book)
        return AnswerEffect.REFUSED

    def _retry_later(self, symbol: str, request_id: int | None, now: float) -> None:
        book = self._books.get(symbol)
        if book is None or book.request_id != request_id:
            return
        again = {Step.SUBSCRIBING: Step.PENDING, Step.LEAVING: Step.PARTING}.get(book.step)
        if again is not None:
            self._go(book, again, now + book.backoff.next(now))

    def _recovered(self, book: _Book, now: float) -> None:
        book.retries = 0
        if book.lost_at is not None:
            number, total, most = self.recoveries_s
            took = now - book.lost_at
            self.recoveries_s = (number + 1, total + took, max(most, took))
            book.lost_at = None
        self._go(book, Step.LIVE, inf)

    def _left(self, book: _Book, now: float) -> None:
        if book.is_wanted:
            self._go(book, Step.PENDING, now)
        else:
            self._remove(book)

    # ── what we ask ──────────────────────────────────────────────────────────────────────────────

    def due_requests(self, now: float, most: int) -> list[bytes]:
        """Return at most `most` requests that have to go out now, many symbols in each."""
        self._expire(now)
        asked: list[bytes] = []
        for step, answer in _ASKED:
            due = [b for b in self._busy.values() if b.step is step and b.due <= now]
            for books in self._batches(due):
                if len(asked) >= most:
                    return asked
                asked.append(self._ask(books, answer, now))
        return asked

    def next_due(self) -> float:
        """Return when to look again if nothing happens before; infinity when all is quiet."""
        return min((book.due for book in self._busy.values()), default=inf)

    @property
    def is_stuck(self) -> bool:
        """True when the venue answers nothing, though it may still send heartbeats."""
        books = self._books.values()
        return any(book.retries >= _PATIENCE for book in self._busy.values()) and not any(
            book.step is Step.LIVE for book in books
        )

    def _expire(self, now: float) -> None:
        """Start over with books whose answer didn't come."""
        late = [b for b in self._busy.values() if b.step in _WAITING and b.due <= now]
        for book in late:
            # Whether it stands is unknown, so it is taken down before it is asked for again, and
            # asked for again even if nobody confirmed that.
            book.retries += 1
            after = Step.PARTING
            if book.step is Step.LEAVING and book.is_wanted:
                after = Step.PENDING
            self._go(book, after, now + book.backoff.next(now))
        self.unanswered += len(late)

    def _batches(self, books: Sequence[_Book]) -> Iterator[Sequence[_Book]]:
        fresh = [book for book in books if not book.retries]
        for at in range(0, len(fresh), self._batch):
            yield fresh[at : at + self._batch]
        for book in books:
            if book.retries:
                yield (book,)

    def _ask(self, books: Sequence[_Book], answer: Step, now: float) -> bytes:
        request_id = self._next_id()
        symbols = tuple(book.symbol for book in books)
        self._sent[request_id] = symbols
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        for book in books:
            book.request_id = request_id
            book.has_snapshot = book.is_spoiled = False
            self._go(book, answer, now + self._timeout_s)
        encode = (
            requests.subscribe_books if answer is Step.SUBSCRIBING else requests.unsubscribe_books
        )
        return encode(symbols, self._depth, request_id)

    def _go(self, book: _Book, step: Step, due: float) -> None:
        self.snapshots_due += (step in _BEFORE_SNAPSHOT) - (book.step in _BEFORE_SNAPSHOT)
        book.step, book.due = step, due
        if step in (Step.LIVE, Step.REFUSED):
            self._busy.pop(book.symbol, None)
        else:
            self._busy[book.symbol] = book

    def _remove(self, book: _Book) -> None:
        self.snapshots_due -= book.step in _BEFORE_SNAPSHOT
        del self._books[book.symbol]
        self._busy.pop(book.symbol, None)


_ASKED = ((Step.PARTING, Step.LEAVING), (Step.PENDING, Step.SUBSCRIBING))
_RESTART = {
    Step.LIVE: Step.PARTING,
    Step.AWAITING: Step.PARTING,
    Step.REFUSED: Step.PENDING,
}
_WAITING = frozenset({Step.SUBSCRIBING, Step.AWAITING, Step.LEAVING})
_BEFORE_SNAPSHOT = frozenset({Step.SUBSCRIBING, Step.AWAITING})
_FOR_NOW = ("msg rate", "rate limit", "busy", "unavailable", "internal error")
_PATIENCE = 3
_REMEMBERED = 1000
"""Requests whose symbols are kept, to tell what a late refusal is about."""


def _is_for_now(reason: str) -> bool:
    """True for refusals that are about the moment, not about the pair."""
    lowered = reason.lower()
    return any(text in lowered for text in _FOR_NOW)
