# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The compiled loop: decode, apply, screen, verify, frame after frame, without an object made.

Compiled only; `arbitrade.hot` decides whether it is used.  Decoding and verifying are the venue's
functions, screening is the detector's; they come as capsules and share the memory laid out in
docs/hot-path.md.  The twin that says what everything means is `arbitrade.engine.engine.Engine`.

Large because it is one loop: whatever it calls has to be in the same module to be inlined.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.mem import PyMem_Calloc, PyMem_Free, PyMem_Realloc
from cython.cimports.cpython.pycapsule import PyCapsule_GetPointer
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.string import memchr, memcmp, memcpy, memmove, memset

VENUE_CAPSULE = cython.declare(cython.p_const_char, b"arbitrade.venue_stage.1")
SCREEN_CAPSULE = cython.declare(cython.p_const_char, b"arbitrade.screen_stage.1")

_RAW = cython.declare(cython.p_const_char, b'{"channel"')
_TIME = cython.declare(cython.p_const_char, b'{"t":')
_SOURCE = cython.declare(cython.p_const_char, b',"src":"public","conn":')
_RECEIVED = cython.declare(cython.p_const_char, b',"dir":"rx","m":')


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _apply(
    levels: cython.pointer(int64_t),
    count: cython.int,
    depth: cython.int,
    changes: cython.pointer(int64_t),
    number: cython.int,
    sign: cython.int,
) -> cython.int:
    """Set or remove levels in message order, then cut; return how many there are.

    Levels are sorted from the best; there is room for every level of the message beyond the depth.
    """
    at: cython.int
    _: cython.int
    key: int64_t
    for _ in range(number):
        key = changes[0] * sign
        at = 0
        while at < count and levels[LEVEL_WORDS * at] * sign < key:
            at += 1
        if changes[1] == 0:
            if at < count and levels[LEVEL_WORDS * at] == changes[0]:
                count -= 1
                memmove(
                    levels + LEVEL_WORDS * at,
                    levels + LEVEL_WORDS * (at + 1),
                    (count - at) * LEVEL_WORDS * 8,
                )
        else:
            if at == count or levels[LEVEL_WORDS * at] != changes[0]:
                memmove(
                    levels + LEVEL_WORDS * (at + 1),
                    levels + LEVEL_WORDS * at,
                    (count - at) * LEVEL_WORDS * 8,
                )
                count += 1
            levels[LEVEL_WORDS * at] = changes[0]
            levels[LEVEL_WORDS * at + 1] = changes[1]
            levels[LEVEL_WORDS * at + 2] = changes[2]
        changes += LEVEL_WORDS
    return depth if count > depth else count


@cython.no_gc_clear  # the stages' memory is used for as long as this object is
@cython.cclass
class Loop:
    """Books by slot, and the loop over frames.

    Large because it is one loop: each method is a step of it, inlined where it is called.

    After a step that came to something, `slot` and `changed` tell which book and what moved; after
    `feed`, `line_begin` and `line_end` where in the buffer the line is.  `OPEN` is a snapshot of a
    pair that has no book yet: of `slot`, with up to `held` levels a side.  It was not taken, and is
    to be fed again; `carried_ns` is what it has cost until then.
    """

    _books: cython.pointer(cython.pointer(int64_t))
    _slots: cython.Py_ssize_t
    _delta: cython.pointer(int64_t)
    _delta_room: cython.Py_ssize_t
    _venue: VenueStage
    _screen: ScreenStage
    _venue_owner: object
    _screen_owner: object
    handle = cython.declare(object, visibility="public")
    _fine: cython.pointer(int64_t)
    _coarse: cython.pointer(int64_t)
    slot = cython.declare(int64_t, visibility="readonly")
    changed = cython.declare(cython.int, visibility="readonly")
    held = cython.declare(cython.int, visibility="readonly")
    carried_ns = cython.declare(int64_t, visibility="public")
    line_begin = cython.declare(cython.Py_ssize_t, visibility="readonly")
    line_end = cython.declare(cython.Py_ssize_t, visibility="readonly")
    lines = cython.declare(int64_t, visibility="public")
    frames = cython.declare(int64_t, visibility="public")
    time_ns = cython.declare(int64_t, visibility="public")
    right = cython.declare(int64_t, visibility="public")
    updates = cython.declare(int64_t, visibility="public")
    skipped = cython.declare(int64_t, visibility="public")
    early = cython.declare(int64_t, visibility="public")
    resyncs = cython.declare(int64_t, visibility="public")

    def __cinit__(self, venue: object, delta_levels: cython.Py_ssize_t = 2048):
        self.use_venue(venue)
        self._screen.context = cython.NULL
        self._screen.screen = cython.NULL
        self._delta_room = delta_levels
        self._delta = cython.cast(
            cython.pointer(int64_t), PyMem_Calloc(D_LEVELS + 2 * LEVEL_WORDS * delta_levels, 8)
        )
        self._fine = cython.cast(cython.pointer(int64_t), PyMem_Calloc(FINE, 8))
        self._coarse = cython.cast(cython.pointer(int64_t), PyMem_Calloc(COARSE, 8))
        if self._delta == cython.NULL or self._fine == cython.NULL or self._coarse == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        slot: cython.Py_ssize_t
        for slot in range(self._slots):
            PyMem_Free(self._books[slot])
        PyMem_Free(self._books)
        PyMem_Free(self._delta)
        PyMem_Free(self._fine)
        PyMem_Free(self._coarse)

    # ── wiring ───────────────────────────────────────────────────────────────────────────────────

    def use_venue(self, stage: object) -> None:
        """Decode and verify with this stage from now on; it is kept alive."""
        found: cython.pointer(VenueStage) = cython.cast(
            cython.pointer(VenueStage), PyCapsule_GetPointer(stage.capsule(), VENUE_CAPSULE)
        )
        self._venue = found[0]
        self._venue_owner = stage

    def use_screen(self, stage: object) -> None:
        """Screen with this stage from now on, it is kept alive; None screens nothing."""
        if stage is None:
            self._screen.context = cython.NULL
            self._screen.screen = cython.NULL
        else:
            found: cython.pointer(ScreenStage) = cython.cast(
                cython.pointer(ScreenStage), PyCapsule_GetPointer(stage.capsule(), SCREEN_CAPSULE)
            )
            self._screen = found[0]
        self._screen_owner = stage

    def reserve(self, slots: cython.Py_ssize_t) -> None:
        """Have room for books in slots 0 to `slots` − 1."""
        if slots <= self._slots:
            return
        books: cython.pointer(cython.pointer(int64_t)) = cython.cast(
            cython.pointer(cython.pointer(int64_t)),
            PyMem_Realloc(self._books, slots * cython.sizeof(cython.p_void)),
        )
        if books == cython.NULL:
            raise MemoryError
        memset(books + self._slots, 0, (slots - self._slots) * cython.sizeof(cython.p_void))
        self._books = books
        self._slots = slots

    def open(self, slot: cython.Py_ssize_t, depth: cython.Py_ssize_t) -> None:
        """Make the book of a slot, empty and waiting, in place of one that was there."""
        self._check(slot)
        capacity: cython.Py_ssize_t = depth + ROOM
        book: cython.pointer(int64_t) = cython.cast(
            cython.pointer(int64_t), PyMem_Calloc(B_LEVELS + 2 * LEVEL_WORDS * capacity, 8)
        )
        if book == cython.NULL:
            raise MemoryError
        PyMem_Free(self._books[slot])
        self._books[slot] = book
        book[B_CAPACITY] = capacity
        book[B_DEPTH] = depth
        book[B_TIME_LENGTH] = -1
        self._venue.verify(book, BID | ASK)

    def drop(self, slot: cython.Py_ssize_t) -> None:
        """Forget the book of a slot; its frames are the slow path's from now on."""
        self._check(slot)
        PyMem_Free(self._books[slot])
        self._books[slot] = cython.NULL

    # ── a book from Python ───────────────────────────────────────────────────────────────────────

    def get(self, slot: cython.Py_ssize_t, word: cython.int) -> int:
        """Return a word of a book's head."""
        return self._book(slot)[word & 15]

    def put(self, slot: cython.Py_ssize_t, word: cython.int, value: int64_t) -> None:
        """Set a word of a book's head."""
        self._book(slot)[word & 15] = value

    def levels(
        self,
        slot: cython.Py_ssize_t,
        asks: cython.bint,
        begin: cython.Py_ssize_t = 0,
        count: cython.Py_ssize_t = LEVELS_ALL,
    ) -> list:
        """Return (ticks, lots) of one side, best first: `count` from place `begin` on, or all."""
        book: cython.pointer(int64_t) = self._book(slot)
        side: cython.pointer(int64_t) = book + B_LEVELS
        end: cython.Py_ssize_t = book[B_BIDS]
        at: cython.Py_ssize_t
        if asks:
            side += LEVEL_WORDS * book[B_CAPACITY]
            end = book[B_ASKS]
        if begin < 0 or count < 0:
            raise IndexError(f"no {count} levels from place {begin}")
        if count < end - begin:
            end = begin + count
        return [(side[LEVEL_WORDS * at], side[LEVEL_WORDS * at + 1]) for at in range(begin, end)]

    def load(self, slot: cython.Py_ssize_t, bids: list, asks: list) -> None:
        """Make a book's levels these: (ticks, lots) from the best, no more than its depth."""
        book: cython.pointer(int64_t) = self._book(slot)
        if len(bids) > book[B_DEPTH] or len(asks) > book[B_DEPTH]:
            raise ValueError("more levels than the book's depth")
        side: cython.pointer(int64_t)
        at: cython.Py_ssize_t
        for is_asks in (False, True):
            side = book + B_LEVELS
            levels = bids
            if is_asks:
                side += LEVEL_WORDS * book[B_CAPACITY]
                levels = asks
            at = 0
            for ticks, lots in levels:
                side[at] = ticks
                side[at + 1] = lots
                side[at + 2] = self._venue.mark(side[at], side[at + 1])
                at += LEVEL_WORDS
        book[B_BIDS] = len(bids)
        book[B_ASKS] = len(asks)
        # The venue may keep parts of its checksum with the book; they are of the old levels.
        self._venue.verify(book, BID | ASK)

    def checksum(self, slot: cython.Py_ssize_t) -> int:
        """Return the venue's checksum of a book as it is now."""
        return self._venue.verify(self._book(slot), BID | ASK)

    def timestamp(self, slot: cython.Py_ssize_t) -> str | None:
        """Return the venue's time of a book's last message."""
        book: cython.pointer(int64_t) = self._book(slot)
        if book[B_TIME_LENGTH] < 0:
            return None
        text: cython.p_char = cython.cast(cython.p_char, book + B_TIME)
        return text[: book[B_TIME_LENGTH]].decode("utf-8")

    def stamp(self, slot: cython.Py_ssize_t, timestamp: str | None) -> None:
        """Set the time of a book's last message.

        Raises:
            ValueError: It is longer than any; nothing was changed.
        """
        book: cython.pointer(int64_t) = self._book(slot)
        if timestamp is None:
            book[B_TIME_LENGTH] = -1
            return
        raw: bytes = timestamp.encode()
        if len(raw) > TIME_BYTES:
            raise ValueError(f"a timestamp of {len(raw)} bytes")
        memcpy(book + B_TIME, cython.cast(cython.p_char, raw), len(raw))
        book[B_TIME_LENGTH] = len(raw)

    # ── the hot path ─────────────────────────────────────────────────────────────────────────────

    def receive(self, frame: bytes) -> object:
        """Take one frame; return None, or what `handle` makes of it and what it came to.

        The whole of a message that leads nowhere, without a line of Python.
        """
        code: cython.int = self._timed_step(frame, len(frame))
        return None if code == NOTHING else self.handle(code, frame)

    def on_frame(self, frame: bytes) -> cython.int:
        """Take one frame; return what it came to."""
        return self._timed_step(frame, len(frame))

    def take(
        self,
        slot: cython.Py_ssize_t,
        is_snapshot: cython.bint,
        bids: object,
        asks: object,
        checksum: int64_t,
        timestamp: bytes | None,
    ) -> cython.int:
        """Take one book message that Python decoded; return what it came to, as `on_frame` does.

        `SLOW` or `OPEN` means that it doesn't fit and nothing was changed.  A checksum below 0 is
        none.

        Raises:
            OverflowError: A number has more than 63 bits; nothing was changed.
        """
        delta: cython.pointer(int64_t) = self._delta
        level: cython.pointer(int64_t) = delta + D_LEVELS
        if len(bids) > self._delta_room or len(asks) > self._delta_room:
            return SLOW
        for side in (bids, asks):
            for ticks, lots in side:
                level[0] = ticks
                level[1] = lots
                if level[0] <= 0 or level[1] < 0:
                    return SLOW
                level[2] = self._venue.mark(level[0], level[1])
                level += LEVEL_WORDS
        delta[D_SLOT] = slot
        delta[D_SNAPSHOT] = is_snapshot
        delta[D_BIDS] = len(bids)
        delta[D_ASKS] = len(asks)
        delta[D_CHECKSUM] = checksum
        delta[D_TIME_LENGTH] = 0
        if timestamp is not None:
            delta[D_TIME_AT] = cython.cast(
                cython.Py_ssize_t, cython.cast(cython.p_const_char, timestamp)
            )
            delta[D_TIME_LENGTH] = len(timestamp)
        return self._admit(delta)

    def feed_messages(
        self, buffer: bytearray, begin: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        """Take WebSocket text messages out of a receive buffer until one comes to something.

        Whole, unmasked and unfragmented ones of up to 64 KiB only (RFC 6455 §5.2), all that a venue
        sends in a normal second.  `END` at any other, or one that is not there whole: it begins at
        `line_end`.  So does one that is `SLOW` or `OPEN`; any other is behind us.
        """
        start: cython.p_const_char = PyByteArray_AS_STRING(buffer)
        at: cython.Py_ssize_t = begin
        text: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        code: cython.int
        started: int64_t = now_ns()
        ended: int64_t
        if not 0 <= begin <= end <= len(buffer):
            raise IndexError(f"no bytes {begin} to {end} in a buffer of {len(buffer)}")
        self.line_begin = self.line_end = begin
        while end - at >= 4 and cython.cast(cython.uchar, start[at]) == WHOLE_TEXT:
            stop = cython.cast(cython.uchar, start[at + 1])
            text = at + 2
            if stop == 126:
                stop = (cython.cast(cython.uchar, start[at + 2]) << 8) | cython.cast(
                    cython.uchar, start[at + 3]
                )
                text = at + 4
            elif stop > 126:
                break
            stop += text
            if stop > end:
                break
            code = self._step(start + text, stop - text)
            if code == SLOW:
                return SLOW
            ended = now_ns()
            if code == OPEN:
                self.carried_ns = ended - started
                return OPEN
            self._count(ended - started)
            started = ended
            self.frames += 1
            at = self.line_end = stop
            if code != NOTHING:
                return code
        return END

    def feed(self, buffer: bytes, begin: cython.Py_ssize_t) -> cython.int:
        """Take the lines of a recording until one comes to something, or `END`.

        `LINE` is a line only Python understands.  A last one without its line break is not taken;
        it begins at `line_end`.
        """
        start: cython.p_const_char = buffer
        end: cython.p_const_char = start + len(buffer)
        line: cython.p_const_char
        stop: cython.p_const_char
        frame: cython.p_const_char
        last: cython.p_const_char
        code: cython.int
        # PERF: one reading of the clock a frame, which is a fifth of what a frame costs; so the
        # time of a frame includes finding its line.
        started: int64_t = now_ns()
        ended: int64_t
        if not 0 <= begin <= len(buffer):
            raise IndexError(f"no byte {begin} in a buffer of {len(buffer)}")
        line = start + begin
        self.line_begin = self.line_end = begin
        while line < end:
            stop = cython.cast(cython.p_const_char, memchr(line, 10, end - line))
            if stop == cython.NULL:
                break
            self.line_begin = line - start
            self.line_end = stop + 1 - start
            self.lines += 1
            frame, last = line, stop
            if stop - line < 10 or memcmp(line, _RAW, 10) != 0:
                frame = self._enveloped(line, stop)
                if frame == cython.NULL:
                    return LINE
                last = stop - 1
            code = self._step(frame, last - frame)
            if code == SLOW:
                return SLOW
            ended = now_ns()
            if code == OPEN:
                self.carried_ns = ended - started
                return OPEN
            self._count(ended - started)
            started = ended
            self.frames += 1
            if code != NOTHING:
                return code
            line = stop + 1
        return END

    @cython.cfunc
    @cython.exceptval(check=False)
    @cython.nogil
    def _enveloped(
        self, line: cython.p_const_char, stop: cython.p_const_char
    ) -> cython.p_const_char:
        """Return the frame in an envelope as our own writer writes it, NULL for any other line."""
        at: cython.p_const_char = line + 5
        digits: cython.int = 0
        time_ns: int64_t = 0
        if stop - line < 60 or memcmp(line, _TIME, 5) != 0 or (stop - 1)[0] != 125:
            return cython.NULL
        while 48 <= at[0] <= 57 and digits < 18:
            time_ns = time_ns * 10 + (at[0] - 48)
            digits += 1
            at += 1
        if digits == 0 or time_ns < self.time_ns or (line[5] == 48 and digits > 1):
            return cython.NULL
        if stop - at < 23 or memcmp(at, _SOURCE, 23) != 0:
            return cython.NULL
        at += 23
        if at[0] == 48 and 48 <= at[1] <= 57:
            return cython.NULL
        digits = 0
        while 48 <= at[0] <= 57 and digits < 10:
            digits += 1
            at += 1
        if digits == 0 or stop - at < 16 or memcmp(at, _RECEIVED, 16) != 0:
            return cython.NULL
        self.time_ns = time_ns
        return at + 16

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    @cython.nogil
    def _count(self, spent: int64_t) -> cython.void:
        spent += self.carried_ns
        self.carried_ns = 0
        if spent < FINE:
            self._fine[spent if spent > 0 else 0] += 1
        else:
            spent >>= COARSE_SHIFT
            self._coarse[spent if spent < COARSE else COARSE - 1] += 1

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    @cython.nogil
    def _timed_step(self, frame: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        started: int64_t = now_ns()
        code: cython.int = self._step(frame, length)
        if code == OPEN:
            self.carried_ns = now_ns() - started
        elif code != SLOW:
            self._count(now_ns() - started)
        return code

    @cython.cfunc
    @cython.exceptval(check=False)
    @cython.nogil
    def _step(self, frame: cython.p_const_char, length: cython.Py_ssize_t) -> cython.int:
        delta: cython.pointer(int64_t) = self._delta
        if not self._venue.decode(self._venue.context, frame, length, delta, self._delta_room):
            return SLOW
        return self._admit(delta)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    @cython.nogil
    def _admit(self, delta: cython.pointer(int64_t)) -> cython.int:
        """Take a message that its book can take now; pass it over, or leave it to Python."""
        slot: int64_t = delta[D_SLOT]
        if slot < 0 or slot >= self._slots:
            return SLOW
        book: cython.pointer(int64_t) = self._books[slot]
        bids: cython.int = cython.cast(cython.int, delta[D_BIDS])
        asks: cython.int = cython.cast(cython.int, delta[D_ASKS])
        if book == cython.NULL:
            if not delta[D_SNAPSHOT]:
                return SLOW
            self.slot = slot
            self.held = bids if bids > asks else asks
            return OPEN
        if book[B_STATE] == ELSEWHERE:
            return SLOW
        if delta[D_SNAPSHOT]:
            if bids > book[B_DEPTH] or asks > book[B_DEPTH]:
                return SLOW
        elif book[B_STATE] != SYNCED:
            if book[B_STATE] == OUT_OF_SYNC:
                self.skipped += 1
            else:
                self.early += 1
            return NOTHING
        elif bids > ROOM or asks > ROOM:
            return SLOW
        if delta[D_TIME_LENGTH] > TIME_BYTES:
            return SLOW
        return self._take(slot, book, delta, bids, asks)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    @cython.nogil
    def _take(
        self,
        slot: int64_t,
        book: cython.pointer(int64_t),
        delta: cython.pointer(int64_t),
        bids: cython.int,
        asks: cython.int,
    ) -> cython.int:
        """Apply, gate, screen, verify.  Scoring comes first; nothing leaves unverified."""
        bid_levels: cython.pointer(int64_t) = book + B_LEVELS
        ask_levels: cython.pointer(int64_t) = bid_levels + LEVEL_WORDS * book[B_CAPACITY]
        depth: cython.int = cython.cast(cython.int, book[B_DEPTH])
        old_bid: int64_t = bid_levels[0] if book[B_BIDS] else 0
        old_ask: int64_t = ask_levels[0] if book[B_ASKS] else 0
        sides: cython.int = 0
        changed: cython.int = 0
        is_snapshot: cython.bint = delta[D_SNAPSHOT] != 0
        if is_snapshot:
            book[B_BIDS] = book[B_ASKS] = 0
            sides = changed = BID | ASK
        if bids:
            book[B_BIDS] = _apply(
                bid_levels,
                cython.cast(cython.int, book[B_BIDS]),
                depth,
                delta + D_LEVELS,
                bids,
                -1,
            )
            sides |= BID
        if asks:
            book[B_ASKS] = _apply(
                ask_levels,
                cython.cast(cython.int, book[B_ASKS]),
                depth,
                delta + D_LEVELS + LEVEL_WORDS * bids,
                asks,
                1,
            )
            sides |= ASK
        bid: int64_t = bid_levels[0] if book[B_BIDS] else 0
        ask: int64_t = ask_levels[0] if book[B_ASKS] else 0
        if bid != old_bid:
            changed |= BID
        if ask != old_ask:
            changed |= ASK
        self.slot = slot
        live: cython.int = 0
        was_tradable: cython.bint = book[B_TRADABLE] != 0
        is_tradable: cython.bint = was_tradable
        is_crossed: cython.bint = False
        if changed or not was_tradable:
            is_crossed = bid != 0 and ask != 0 and bid >= ask
            is_tradable = bid != 0 and ask != 0 and not is_crossed and book[B_GATE] != 0
            if is_tradable and not was_tradable:
                changed = BID | ASK
        self.changed = changed
        if is_tradable:
            book[B_TRADABLE] = 1
            if self._screen.screen != cython.NULL:
                live = self._screen.screen(self._screen.context, slot, bid, ask, changed)
        if delta[D_TIME_LENGTH] > 0:
            memcpy(
                book + B_TIME,
                cython.cast(cython.p_char, cython.cast(cython.Py_ssize_t, delta[D_TIME_AT])),
                delta[D_TIME_LENGTH],
            )
            book[B_TIME_LENGTH] = delta[D_TIME_LENGTH]
        else:
            book[B_TIME_LENGTH] = -1
        # Also without a checksum to compare with: the venue keeps parts of it with the book.
        crc: int64_t = self._venue.verify(book, sides)
        if delta[D_CHECKSUM] >= 0:
            if crc != delta[D_CHECKSUM]:
                return MISMATCH
            self.right += 1
        self.updates += 1
        if is_snapshot and book[B_STATE] != SYNCED:
            if book[B_STATE] == OUT_OF_SYNC:
                self.resyncs += 1
            book[B_STATE] = SYNCED
        if not is_tradable:
            if was_tradable or is_crossed:
                return VOID
            return NOTHING
        if live or book[B_WATCHED]:
            return REPORT
        return NOTHING

    # ── what there is to see ─────────────────────────────────────────────────────────────────────

    def durations(self) -> tuple:
        """Return {nanoseconds: count} of short steps and {1.024 µs buckets: count} of long ones."""
        at: cython.Py_ssize_t
        fine = {at: self._fine[at] for at in range(FINE) if self._fine[at]}
        coarse = {at: self._coarse[at] for at in range(COARSE) if self._coarse[at]}
        return fine, coarse

    @cython.cfunc
    def _check(self, slot: cython.Py_ssize_t) -> cython.int:
        if not 0 <= slot < self._slots:
            raise IndexError(f"no slot {slot}")
        return 0

    @cython.cfunc
    def _book(self, slot: cython.Py_ssize_t) -> cython.pointer(int64_t):
        if not 0 <= slot < self._slots or self._books[slot] == cython.NULL:
            raise IndexError(f"no book in slot {slot}")
        return self._books[slot]


def timer_overhead_ns(samples: int = 2001) -> int:
    """Return what two successive readings of the loop's timer cost, the median of `samples`."""
    first: int64_t
    steps = []
    for _ in range(samples):
        first = now_ns()
        steps.append(now_ns() - first)
    return sorted(steps)[samples // 2]
