"""A market without manners: everything a venue could send and hardly ever does, from a seed.

`arbitrade.synthetic` makes what a venue is like; this one is for proving that two engines agree
whatever comes, so it shares nothing with the other, neither its books nor its spelling.  Its frames
are in the manner of Kraken's: amounts of up to 25 digits, any layout JSON allows, wrong checksums
of every kind, levels named twice, crossed and empty books, acknowledgements of other depths,
instruments that change or vanish, and frames with a few bytes changed.

Large because each of these ways to go wrong is a few lines of its own, and one seed draws them all.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from random import Random

import attrs

from arbitrade.models import (
    BookUnreadable,
    ConnectionLost,
    InstrumentsChanged,
    Level,
    MarketEvent,
    Unsubscribed,
)
from arbitrade.testing.mutation import mutated

ASSETS = {"USD": 1.0, "BTC": 50_000.0, "ETH": 3_000.0, "SOL": 150.0, "DOGE": 0.1}
SYMBOLS = ("BTC/USD", "ETH/BTC", "ETH/USD", "SOL/USD", "SOL/BTC", "SOL/ETH", "DOGE/USD")
DEPTHS = (10, 25, 100)

_STAMPS = (
    "null",
    '""',
    '"2026-09-14T08:21:37+02:00"',
    '"2026-09-14T08:21:37.123456789Z"',
    '"' + "9" * 60 + '"',
    '"\\u00e9"',
    '"2026-09-14T08:21:37\\u005a"',
    "5",
    "false",
    "[]",
)


@attrs.define(eq=False)
class WildBook:
    """The truth about one pair: plain dicts, lots by ticks."""

    symbol: str
    price_precision: int
    quantity_precision: int
    mid: int
    lots: int
    depth: int = 10
    status: str = "online"
    is_known: bool = False
    bids: dict[int, int] = attrs.field(factory=dict)
    asks: dict[int, int] = attrs.field(factory=dict)

    def sides(self) -> tuple[list[Level], list[Level]]:
        """Return (bids, asks), best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())

    def change(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Apply a message: all of it, then cut to the depth."""
        for side, changes, sign in ((self.bids, bids, -1), (self.asks, asks, 1)):
            for ticks, lots in changes:
                side.pop(ticks, None)
                if lots:
                    side[ticks] = lots
            for ticks in sorted(side, key=lambda one: sign * one)[self.depth :]:
                del side[ticks]

    def checksum(self) -> int:
        """Return the CRC-32 of the digits of the best ten asks, then bids."""
        bids, asks = self.sides()
        return zlib.crc32("".join(f"{t}{n}" for t, n in asks[:10] + bids[:10]).encode())


class WildMarket:
    """Frames and events of such a market; the same seed gives the same ones.

    Args:
        seed: Any integer.
        wildness: Share of frames that are out of order in one way or another, 0 to 1.
        depths: Depths books are subscribed at.
    """

    def __init__(self, seed: int, wildness: float = 0.3, depths: Sequence[int] = DEPTHS) -> None:
        self._rng = Random(seed)
        self._wildness = wildness
        self._depths = depths
        self._clock = 0
        self.books = {symbol: self._listed(symbol) for symbol in SYMBOLS}

    def steps(self, count: int) -> Iterator[bytes | MarketEvent]:
        """Yield the opening, then so many frames, events that are no frame among them."""
        yield b'{"channel":"status","type":"update","data":[{"system":"online"}]}'
        yield self.instruments()
        for book in self.books.values():
            yield self._snapshot(book)
        for _ in range(count):
            yield self._next()

    def frames(self, count: int) -> Iterator[bytes]:
        """Yield the frames of `steps` only."""
        return (step for step in self.steps(count) if isinstance(step, bytes))

    def instruments(self, symbols: Sequence[str] | None = None, kind: str = "snapshot") -> bytes:
        """Return an `instrument` frame of these pairs, of all by default."""
        rows = [self._row(self.books[symbol]) for symbol in symbols or self.books]
        data = {"assets": [], "pairs": rows}
        return json.dumps({"channel": "instrument", "type": kind, "data": data}).encode()

    def ask_anew(self, symbol: str) -> None:
        """Have the next message of a book be a snapshot."""
        if self._rng.random() < 0.7:
            self.books[symbol].is_known = False

    # ── what comes next ──────────────────────────────────────────────────────────────────────────

    def _next(self) -> bytes | MarketEvent:
        rng = self._rng
        book = self.books[rng.choice(SYMBOLS)]
        if not book.is_known or rng.random() < 0.03:
            return self._snapshot(book)
        if rng.random() >= self._wildness:
            return self._update(book)
        kind = rng.randrange(24)
        if kind < 11:
            return self._odd_update(book, kind)
        if kind < 14:
            return mutated(self._update(book), rng)
        if kind == 14:
            return self._batch()
        if kind < 17:
            return self._crossing(book)
        if kind == 17:
            return self._many(book)
        if kind == 18:
            return self._subscribed(book)
        if kind == 19:
            return self._listed_anew(book)
        if kind == 20:
            system = rng.choice(("online", "online", "maintenance", "cancel_only", "what"))
            row = {"system": system}
            return json.dumps({"channel": "status", "type": "update", "data": [row]}).encode()
        if kind == 21:
            return rng.choice((b'{"channel":"heartbeat"}', b"", b"{}", b"[" * 3_000, b"\xff\xfe"))
        if kind == 22:
            return self._event(book)
        return b'{"channel": "book"' + b" " * rng.randrange(70_000) + b"}"

    def _event(self, book: WildBook) -> MarketEvent:
        kind = self._rng.randrange(4)
        if kind == 0:
            for one in self.books.values():
                one.is_known = False
            return ConnectionLost()
        if kind == 1:
            return BookUnreadable(book.symbol, "a test")
        if kind == 2:
            return InstrumentsChanged(False, (), ())
        book.is_known = False
        return self._rng.choice((ConnectionLost((book.symbol,)), Unsubscribed(book.symbol)))

    def _subscribed(self, book: WildBook) -> bytes:
        """Acknowledge a subscription, mostly of another depth; a snapshot follows."""
        rng = self._rng
        depth = rng.choice((*self._depths, *self._depths, 3, 0, -7, 10**12, 10**30, "10"))
        method = rng.choice(("subscribe", "subscribe", "subscribe", "unsubscribe"))
        result = {"channel": "book", "symbol": book.symbol, "depth": depth}
        if method == "subscribe" and isinstance(depth, int) and 0 < depth <= 10_000:
            book.depth = depth
            book.is_known = False
        return json.dumps({"method": method, "success": True, "result": result}).encode()

    def _listed_anew(self, book: WildBook) -> bytes:
        """Change instruments: nothing, a status, the decimals; or leave a pair out for good."""
        rng = self._rng
        kind = rng.randrange(5)
        if kind == 0:
            return self.instruments()
        if kind == 1:
            return self.instruments((book.symbol,), "update")
        if kind == 2:
            book.status = rng.choice(("online", "online", "post_only", "maintenance"))
        elif kind == 3:
            fresh = self._listed(book.symbol)
            fresh.depth = book.depth
            self.books[book.symbol] = fresh
        else:
            self.books[book.symbol].is_known = False
            others = [symbol for symbol in self.books if symbol != book.symbol]
            return self.instruments(others)
        return self.instruments((book.symbol,), "update")

    # ── book messages ────────────────────────────────────────────────────────────────────────────

    def _snapshot(self, book: WildBook) -> bytes:
        rng = self._rng
        book.bids.clear()
        book.asks.clear()
        deep = book.depth if rng.random() < 0.8 else rng.randrange(book.depth + 1)
        base = self._around(book)
        step = self._step(book)
        bids = [(base - (at + 1) * step, self._lots(book)) for at in range(deep)]
        asks = [(base + (at + 1) * step, self._lots(book)) for at in range(deep)]
        bids = [(ticks, lots) for ticks, lots in bids if ticks > 0]
        book.change(bids, asks)
        book.is_known = True
        return self._frame(book, bids, asks, kind="snapshot")

    def _update(self, book: WildBook) -> bytes:
        bids, asks = self._changes(book, self._rng.choice((1, 1, 1, 2, 2, 3, 5)))
        book.change(bids, asks)
        return self._frame(book, bids, asks)

    def _many(self, book: WildBook) -> bytes:
        bids, asks = self._changes(book, self._rng.choice((12, 60, 64, 65, 130, 300)))
        book.change(bids, asks)
        return self._frame(book, bids, asks)

    def _crossing(self, book: WildBook) -> bytes:
        """Cross or lock a book, or empty a side; the way back is an ordinary update."""
        rng, (bids, asks) = self._rng, book.sides()
        told: tuple[list[Level], list[Level]] = ([], [])
        if rng.random() < 0.4:
            at = rng.randrange(2)
            told[at].extend((ticks, 0) for ticks, _ in (bids, asks)[at])
        elif bids and asks:
            if rng.random() < 0.5:
                told[0].append((asks[0][0] + rng.randrange(2), self._lots(book)))
            else:
                told[1].append((max(1, bids[0][0] - rng.randrange(2)), self._lots(book)))
        book.change(*told)
        return self._frame(book, *told)

    def _batch(self) -> bytes:
        entries = []
        for _ in range(self._rng.randrange(4)):
            book = self.books[self._rng.choice(SYMBOLS)]
            bids, asks = self._changes(book, 2)
            if book.is_known:
                book.change(bids, asks)
            entries.append(self._entry(book, bids, asks))
        text = ",".join(entries)
        return f'{{"channel":"book","type":"update","data":[{text}]}}'.encode()

    def _odd_update(self, book: WildBook, kind: int) -> bytes:
        rng = self._rng
        bids, asks = self._changes(book, 2)
        book.change(bids, asks)
        plain = self._frame(book, bids, asks)
        right = book.checksum()
        if kind == 0:
            return self._frame(book, bids, asks, checksum=str(rng.getrandbits(32)))
        if kind == 1:
            wrong = (right + 2**32, right - 2**32, -1, -right, right + 2**64, 10**40)
            return self._frame(book, bids, asks, checksum=str(rng.choice(wrong)))
        if kind == 2:
            odd = (f"0{right}", f"{right}.0", f'"{right}"', "null", "true", f"{right}e0", "[]")
            return self._frame(book, bids, asks, checksum=rng.choice(odd))
        if kind == 3:
            return self._frame(book, bids, asks, stamp=rng.choice(_STAMPS))
        if kind == 4:
            return self._frame(book, bids, asks, spelling=rng.choice(("zeros", "exponent")))
        if kind == 5:
            return _spaced(plain, b" ")
        if kind == 6:
            return _spaced(plain, rng.choice((b"  ", b"\t", b"\n", b" \r\n")))
        if kind == 7:
            return plain.replace(b",", rng.choice((b", ", b" ,", b",\t", b",\r\n")))
        if kind == 8:
            return plain + rng.choice((b" ", b"\r", b"\r\n", b"\0", b"}", b"{}"))
        if kind == 9:
            return plain[: rng.randrange(len(plain))]
        told = [*bids, *asks]
        if not told:
            return plain
        ticks, lots = rng.choice(told)
        return self._frame(book, [(ticks, 0), (ticks, lots + 1), *bids], asks)

    def _changes(self, book: WildBook, number: int) -> tuple[list[Level], list[Level]]:
        """Draw changes near the best prices that don't cross the book."""
        rng = self._rng
        step = self._step(book)
        told: tuple[list[Level], list[Level]] = ([], [])
        for _ in range(number):
            bids, asks = book.sides()
            is_bid = rng.random() < 0.5
            own, other = (bids, asks) if is_bid else (asks, bids)
            sign = -1 if is_bid else 1
            best = own[0][0] if own else (other[0][0] + sign * step if other else book.mid)
            if own and rng.random() < 0.35:
                told[not is_bid].append((rng.choice(own)[0], 0))
                continue
            ticks = best + sign * rng.randint(-1, 14) * step // 2
            if ticks > 0 and (not other or sign * (ticks - other[0][0]) > 0):
                told[not is_bid].append((ticks, self._lots(book)))
        return told

    # ── text ─────────────────────────────────────────────────────────────────────────────────────

    def _frame(
        self,
        book: WildBook,
        bids: Sequence[Level],
        asks: Sequence[Level],
        *,
        kind: str = "update",
        checksum: str | None = None,
        stamp: str | None = None,
        spelling: str = "",
    ) -> bytes:
        entry = self._entry(book, bids, asks, checksum=checksum, stamp=stamp, spelling=spelling)
        return f'{{"channel":"book","type":"{kind}","data":[{entry}]}}'.encode()

    def _entry(
        self,
        book: WildBook,
        bids: Sequence[Level],
        asks: Sequence[Level],
        *,
        checksum: str | None = None,
        stamp: str | None = None,
        spelling: str = "",
    ) -> str:
        self._clock += self._rng.randrange(1, 900_000)
        if stamp is None:
            seconds, micros = divmod(self._clock, 1_000_000)
            stamp = f'"2026-09-14T08:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micros:06d}Z"'
        written = "".join((f'"checksum":{checksum or book.checksum()}', f',"timestamp":{stamp}'))
        if self._rng.random() < 0.02:
            written = written.partition(",")[0]
        return (
            f'{{"symbol":"{book.symbol}","bids":[{_levels(book, bids, spelling)}],'
            f'"asks":[{_levels(book, asks, spelling)}],{written}}}'
        )

    # ── sizes ────────────────────────────────────────────────────────────────────────────────────

    def _listed(self, symbol: str) -> WildBook:
        rng = self._rng
        base, quote = symbol.split("/")
        price = ASSETS[base] / ASSETS[quote]
        digits = rng.choice((4, 5, 6, 6, 15, 16, 17, 18, 19, 21))
        precision = min(20, max(0, digits - len(str(int(price)))))
        return WildBook(
            symbol,
            precision,
            rng.choice((0, 2, 8, 8, 8, 10, 17, 18, 19)),
            max(50, int(price * 10**6) * 10**precision // 10**6),
            10 ** rng.choice((3, 9, 10, 14, 15, 16, 17, 18, 19, 25)),
        )

    def _around(self, book: WildBook) -> int:
        """Return a mid that moves by some tenths of a percent, so that cycles come and go."""
        return max(30, book.mid + book.mid * self._rng.randint(-40, 40) // 10_000)

    @staticmethod
    def _step(book: WildBook) -> int:
        return max(1, book.mid // 20_000)

    def _lots(self, book: WildBook) -> int:
        return self._rng.randint(1, book.lots) // self._rng.choice((1, 1, 1, 10**3, 10**6)) or 1

    def _row(self, book: WildBook) -> dict[str, object]:
        base, quote = book.symbol.split("/")
        return {
            "symbol": book.symbol,
            "base": base,
            "quote": quote,
            "status": book.status,
            "qty_precision": book.quantity_precision,
            "qty_increment": 10.0**-book.quantity_precision,
            "price_precision": book.price_precision,
            "price_increment": 10.0**-book.price_precision,
            "cost_precision": 8,
            "cost_min": 0,
            "qty_min": 0,
        }


def _levels(book: WildBook, levels: Sequence[Level], spelling: str) -> str:
    return ",".join(
        f'{{"price":{_spelled(ticks, book.price_precision, spelling)},'
        f'"qty":{_spelled(lots, book.quantity_precision, spelling)}}}'
        for ticks, lots in levels
    )


def _spelled(units: int, precision: int, spelling: str) -> str:
    digits = str(units).zfill(precision + 1)
    plain = f"{digits[:-precision]}.{digits[-precision:]}" if precision else digits
    if spelling == "zeros" and precision:
        return plain.rstrip("0").rstrip(".")
    if spelling == "exponent":
        return f"{units}e-{precision}" if units else "0e0"
    return plain


def _spaced(frame: bytes, blank: bytes) -> bytes:
    """Return a frame with white space behind its colons and commas."""
    for token in (b'":', b'",', b"},", b"],"):
        frame = frame.replace(token, token + blank)
    return frame.replace(b',"', b"," + blank + b'"')
