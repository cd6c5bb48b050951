"""A slow, plain and exact answer to what `arbitrade detect` must report, for tests.

Everything is done again for every frame: books are dicts of `Decimal`, checksums are made from
text, cycles are searched among all pairs, and sizes are found by trying every breakpoint with
fractions.  It shares no code with the books, decoders and detectors it judges.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any

import attrs

from arbitrade.models import Instrument, InstrumentStatus, Side
from arbitrade.pricing import FeeSchedule

START_ASSETS = ("USD", "EUR", "GBP", "USDT", "USDC", "BTC", "ETH")
"""Where cycles start unless told otherwise, the first one a cycle contains."""

type ExpectedOrder = tuple[str, str, Fraction, Fraction]
"""Symbol, side, quantity in base, limit price in quote."""

type Rung = tuple[Fraction, Fraction]
"""A level as a conversion: what taking it whole needs and what it brings."""


@attrs.frozen
class ExpectedDetection:
    """One line of output, its numbers exact.

    Args:
        line: Place of the frame in the input, from 1.
        timestamp: The book message's.
        assets: Start asset first.
        legs: (symbol, side) in trading order.
        edge_bps: Net edge at the best prices.
        size: Optimal input, in the start asset.
        profit: What it returns above itself.
        orders: In whole lots, each spending what the one before brought; empty when a rule of the
            venue or the loss by rounding stands in the way.
    """

    line: int
    timestamp: str | None
    assets: tuple[str, ...]
    legs: tuple[tuple[str, str], ...]
    edge_bps: Fraction
    size: Fraction
    profit: Fraction
    orders: tuple[ExpectedOrder, ...]


@attrs.define
class OracleBook:
    """A book as a dict a side, price to quantity."""

    depth: int
    state: str = "waiting"
    bids: dict[Decimal, Decimal] = attrs.field(factory=dict)
    asks: dict[Decimal, Decimal] = attrs.field(factory=dict)

    def best_first(self, side: str) -> list[tuple[Decimal, Decimal]]:
        """Return the levels of `bids` or `asks`, sorted."""
        if side == "bids":
            return sorted(self.bids.items(), reverse=True)
        return sorted(self.asks.items())

    def apply(self, entry: Mapping[str, Any], *, is_snapshot: bool) -> None:
        """Apply one entry of a message, all levels first, then cut to the depth."""
        for name, levels in (("bids", self.bids), ("asks", self.asks)):
            if is_snapshot:
                levels.clear()
            for level in entry[name]:
                price, quantity = Decimal(level["price"]), Decimal(level["qty"])
                levels[price] = quantity
                if not quantity:
                    del levels[price]
            for price, _ in self.best_first(name)[self.depth :]:
                del levels[price]

    def is_healthy(self) -> bool:
        """True when in sync, two-sided and neither crossed nor locked."""
        return bool(
            self.state == "synced" and self.bids and self.asks and max(self.bids) < min(self.asks)
        )


@attrs.define
class Oracle:
    """Reads frames in order and says what must be reported for each.

    Args:
        fees: Taker rates and the fee convention.
        start_assets: In order of preference; cycles with none of them are not traded.
        minimum_edge_bps: Edges must be strictly above it.
        default_depth: Depth of books whose subscription was not acknowledged.
    """

    fees: FeeSchedule
    start_assets: Sequence[str] = START_ASSETS
    minimum_edge_bps: Decimal = Decimal(0)
    default_depth: int = 10
    instruments: dict[str, Instrument] = attrs.field(factory=dict)
    ledger_steps: dict[str, Fraction] = attrs.field(factory=dict)
    books: dict[str, OracleBook] = attrs.field(factory=dict)
    depths: dict[str, int] = attrs.field(factory=dict)
    engine: str = "online"
    right: int = 0
    wrong: int = 0
    skipped: int = 0

    def read(self, frames: Iterable[bytes]) -> Iterator[ExpectedDetection]:
        """Yield every detection of a whole recording of raw frames."""
        for line, frame in enumerate(frames, 1):
            yield from self.on_frame(frame, line)

    def on_frame(self, frame: bytes, line: int) -> list[ExpectedDetection]:
        """Take one frame; return what it must make a detector report."""
        message = json.loads(frame, parse_float=Decimal)
        channel = message.get("channel")
        if channel == "book":
            found = []
            for entry in message["data"]:
                if self._apply(entry, is_snapshot=message["type"] == "snapshot"):
                    found += self._detections(entry["symbol"], line, entry.get("timestamp"))
            return found
        if channel == "instrument":
            for row in message["data"]["assets"]:
                self.ledger_steps[row["id"]] = Fraction(1, 10 ** row["precision"])
            self._learn(message["data"]["pairs"], is_snapshot=message["type"] == "snapshot")
        elif channel == "status":
            self.engine = message["data"][0]["system"]
        elif message.get("success") and message["result"].get("channel") == "book":
            self._subscription(message["method"], message["result"])
        return []

    def orders(self, legs: Sequence[tuple[str, Side]], size: Fraction) -> tuple[ExpectedOrder, ...]:
        """Return the orders for `size` in whole lots, none when they can't be sent or don't pay.

        Asks no book whether it may be traded on.
        """
        orders: list[ExpectedOrder] = []
        available, first_spent = size, None
        for symbol, side in legs:
            pair, is_buy = self.instruments[symbol], side is Side.BUY
            fill = self._fill(symbol, side, available)
            if fill is None or _breaks_rule(pair, fill.quantity, fill.worst_price):
                return ()
            orders.append((symbol, side.value, fill.quantity, fill.worst_price))
            first_spent = fill.spent if first_spent is None else first_spent
            ledger = self.ledger_steps.get(pair.base if is_buy else pair.quote)
            available = fill.brought if ledger is None else fill.brought // ledger * ledger
        return tuple(orders) if first_spent is not None and available > first_spent else ()

    # ── state ────────────────────────────────────────────────────────────────────────────────────

    def _subscription(self, method: str, result: Mapping[str, Any]) -> None:
        symbol = result["symbol"]
        if method == "unsubscribe":
            # A lost book stays lost: what comes until its snapshot is still because of the fault.
            if symbol in self.books and self.books[symbol].state == "synced":
                self.books[symbol].state = "waiting"
        else:
            self.depths[symbol] = result["depth"]

    def _learn(self, rows: Iterable[Mapping[str, Any]], *, is_snapshot: bool) -> None:
        known = self.instruments
        self.instruments = {} if is_snapshot else dict(known)
        for row in rows:
            pair = _instrument(row)
            before = known.get(pair.symbol)
            self.instruments[pair.symbol] = pair
            if (
                before is not None
                and pair.symbol in self.books
                and _digits(before) != _digits(pair)
            ):
                self.books[pair.symbol].state = "lost"

        self.books = {name: book for name, book in self.books.items() if name in self.instruments}

    def _apply(self, entry: Mapping[str, Any], *, is_snapshot: bool) -> bool:
        """Apply an entry; return whether the book may be trusted after it."""
        symbol = entry["symbol"]
        if symbol not in self.instruments:
            return False
        depth = self.depths.get(symbol, self.default_depth)
        book = self.books.setdefault(symbol, OracleBook(depth))
        if not is_snapshot and book.state != "synced":
            self.skipped += book.state == "lost"
            return False
        if is_snapshot:
            book.depth = depth
        book.apply(entry, is_snapshot=is_snapshot)
        if _checksum(book, self.instruments[symbol]) != entry["checksum"]:
            self.wrong += 1
            book.state = "lost"
            return False
        self.right += 1
        book.state = "synced"
        return True

    # ── cycles ───────────────────────────────────────────────────────────────────────────────────

    def _detections(self, symbol: str, line: int, timestamp: str | None) -> list[ExpectedDetection]:
        if self.engine != "online":
            return []
        found = []
        for assets, legs in self._cycles_through(symbol):
            ladders = [self._rungs(pair, side) for pair, side in legs]
            gross = Fraction(1)
            for ladder in ladders:
                needs, brings = ladder[0]
                gross *= brings / needs
            edge_bps = (gross - 1) * 10_000
            if edge_bps <= Fraction(self.minimum_edge_bps):
                continue
            size, profit = best_size(ladders)
            named = tuple((pair, side.value) for pair, side in legs)
            orders = self.orders(legs, size)
            found.append(
                ExpectedDetection(line, timestamp, assets, named, edge_bps, size, profit, orders)
            )
        return found

    def _cycles_through(
        self, symbol: str
    ) -> Iterator[tuple[tuple[str, ...], tuple[tuple[str, Side], ...]]]:
        """Yield (assets, legs) of every directed cycle through a pair that may be traded now."""
        if not self._is_tradable(symbol):
            return
        ends = {self.instruments[symbol].base, self.instruments[symbol].quote}
        conversions = [
            (start, end, other, side)
            for other, pair in self.instruments.items()
            if ends & {pair.base, pair.quote} and self._is_tradable(other)
            for start, end, side in (
                (pair.quote, pair.base, Side.BUY),
                (pair.base, pair.quote, Side.SELL),
            )
        ]
        for a, b, _, side in (one for one in conversions if one[2] == symbol):
            for b_again, c, second, second_side in conversions:
                if b_again != b or c in (a, b):
                    continue
                for c_again, a_again, third, third_side in conversions:
                    if (c_again, a_again) == (c, a):
                        legs = ((symbol, side), (second, second_side), (third, third_side))
                        yield from self._from_start((a, b, c), legs)

    def _from_start(
        self, assets: tuple[str, ...], legs: tuple[tuple[str, Side], ...]
    ) -> Iterator[tuple[tuple[str, ...], tuple[tuple[str, Side], ...]]]:
        for start in self.start_assets:
            if start in assets:
                at = assets.index(start)
                yield assets[at:] + assets[:at], legs[at:] + legs[:at]
                return

    def _is_tradable(self, symbol: str) -> bool:
        pair, book = self.instruments.get(symbol), self.books.get(symbol)
        return pair is not None and book is not None and pair.is_online and book.is_healthy()

    def _fill(self, symbol: str, side: Side, available: Fraction) -> "_Fill | None":
        """Take whole lots, as many as `available` pays for; None when that is less than one."""
        spent_factor, brought_factor = self.fees.charged_in.factors(
            side, self.fees.taker_rate(symbol)
        )
        is_buy, step = side is Side.BUY, self._lot_step(self.instruments[symbol])
        levels = [
            (Fraction(price), Fraction(quantity))
            for price, quantity in self.books[symbol].best_first("asks" if is_buy else "bids")
        ]
        quantity, left = Fraction(0), available
        for price, held in levels:
            per_unit = (price if is_buy else 1) * spent_factor
            taken = min(held, left / per_unit)
            quantity += taken
            left -= taken * per_unit
        quantity = quantity // step * step
        fill = _Fill(quantity, levels[0][0], Fraction(0), Fraction(0))
        left = quantity
        for price, held in levels:
            if left > 0:
                taken = min(held, left)
                left -= taken
                fill.worst_price = price
                fill.spent += taken * (price if is_buy else 1) * spent_factor
                fill.brought += taken * (1 if is_buy else price) * brought_factor
        return fill if quantity else None

    def _lot_step(self, pair: Instrument) -> Fraction:
        """Return what quantities are multiples of: every lot, increment and step of the ledger."""
        steps = [Fraction(1, 10**pair.quantity_precision), Fraction(pair.quantity_increment)]
        if pair.base in self.ledger_steps:
            steps.append(self.ledger_steps[pair.base])
        parts = lcm(*(step.denominator for step in steps))
        return Fraction(lcm(*(int(step * parts) for step in steps)), parts)

    def _rungs(self, symbol: str, side: Side) -> list[Rung]:
        """Return the levels an order takes, as conversions after the fee."""
        spent, received = self.fees.charged_in.factors(side, self.fees.taker_rate(symbol))
        book = self.books[symbol]
        if side is Side.BUY:
            return [
                (Fraction(price) * Fraction(quantity) * spent, Fraction(quantity) * received)
                for price, quantity in book.best_first("asks")
            ]
        return [
            (Fraction(quantity) * spent, Fraction(price) * Fraction(quantity) * received)
            for price, quantity in book.best_first("bids")
        ]


def best_size(ladders: Sequence[Sequence[Rung]]) -> tuple[Fraction, Fraction]:
    """Return the smallest input with the highest profit, and that profit, by trying all.

    Profit is piecewise linear in the input, so its maximum is at zero or where a level ends.
    """
    candidates = {Fraction(0)}
    for at, ladder in enumerate(ladders):
        needs = Fraction(0)
        for rung in ladder:
            needs += rung[0]
            amount: Fraction | None = needs
            for before in reversed(ladders[:at]):
                amount = None if amount is None else _input_for(before, amount)
            if amount is not None:
                candidates.add(amount)
    best = (Fraction(0), Fraction(0))
    for candidate in sorted(candidates):
        amount = candidate
        for ladder in ladders:
            amount = None if amount is None else _output_of(ladder, amount)
        if amount is not None and amount - candidate > best[1]:
            best = (candidate, amount - candidate)
    return best


def _output_of(ladder: Sequence[Rung], amount: Fraction) -> Fraction | None:
    """Return what converting `amount` brings, None when the levels can't take it all."""
    brought = Fraction(0)
    for needs, brings in ladder:
        if amount <= needs:
            return brought + brings * amount / needs
        amount -= needs
        brought += brings
    return brought if amount == 0 else None


def _input_for(ladder: Sequence[Rung], amount: Fraction) -> Fraction | None:
    """Return what has to be converted to get `amount`, None when the levels don't hold it."""
    return _output_of([(brings, needs) for needs, brings in ladder], amount)


@attrs.define
class _Fill:
    quantity: Fraction
    worst_price: Fraction
    spent: Fraction
    brought: Fraction


def _breaks_rule(pair: Instrument, quantity: Fraction, price: Fraction) -> bool:
    return bool(
        quantity < Fraction(pair.minimum_quantity)
        or quantity * price < Fraction(pair.minimum_notional)
        or price % Fraction(pair.price_increment)
    )


def _checksum(book: OracleBook, pair: Instrument) -> int:
    text = ""
    for side in ("asks", "bids"):
        for price, quantity in book.best_first(side)[:10]:
            for value, precision in zip((price, quantity), _digits(pair), strict=True):
                text += f"{value:.{precision}f}".replace(".", "").lstrip("0")
    return zlib.crc32(text.encode())


def _digits(pair: Instrument) -> tuple[int, int]:
    return pair.price_precision, pair.quantity_precision


def _instrument(row: Mapping[str, Any]) -> Instrument:
    return Instrument(
        symbol=row["symbol"],
        base=row["base"],
        quote=row["quote"],
        status=InstrumentStatus.parse(row["status"]),
        price_precision=row["price_precision"],
        quantity_precision=row["qty_precision"],
        price_increment=Decimal(row["price_increment"]),
        quantity_increment=Decimal(row["qty_increment"]),
        minimum_quantity=Decimal(row["qty_min"]),
        minimum_notional=Decimal(row["cost_min"]),
    )
