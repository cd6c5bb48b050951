# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The compiled venue stage: book frames from bytes to integers, and the checksum from integers.

Compiled only.  Recognises the layout the venue writes, character by character, and says "not mine"
to everything else, which `arbitrade_kraken.market.decoder` then reads from its text.  A level
carries the CRC-32 of its own digits, computed while they are read; a book's checksum is folded from
those, so no text is ever made again.

Large because what is called for every character must be a C function of the same module: between
modules it would be a call through a capsule.
"""

import cython
from cython.cimports.cpython.mem import PyMem_Calloc, PyMem_Free
from cython.cimports.cpython.pycapsule import PyCapsule_New
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy

_CAPSULE = cython.declare(cython.p_const_char, b"arbitrade.venue_stage.1")

_HEAD = cython.declare(cython.p_const_char, b'{"channel":"book","type":"')
_UPDATE = cython.declare(cython.p_const_char, b'update","data":[{"symbol":"')
_SNAPSHOT = cython.declare(cython.p_const_char, b'snapshot","data":[{"symbol":"')
_BIDS = cython.declare(cython.p_const_char, b'","bids":[')
_ASKS = cython.declare(cython.p_const_char, b',"asks":[')
_PRICE = cython.declare(cython.p_const_char, b'{"price":')
_QUANTITY = cython.declare(cython.p_const_char, b',"qty":')
_CHECKSUM = cython.declare(cython.p_const_char, b',"checksum":')
_TIME = cython.declare(cython.p_const_char, b',"timestamp":"')

# Wide constants stand in typed variables: as literals they would be Python objects.
_MIX_1 = cython.declare(uint64_t, 0x9E3779B97F4A7C15)
_MIX_2 = cython.declare(uint64_t, 0xC2B2AE3D27D4EB4F)
_POLYNOMIAL = cython.declare(uint32_t, 0xEDB88320)
_ALL_ONES = cython.declare(uint32_t, 0xFFFFFFFF)
_MAX_CHECKSUM = cython.declare(uint64_t, 4294967295)

_BYTE = cython.declare(uint32_t[256])
"""CRC of one byte."""
_SHIFT = cython.declare(uint32_t[40960])
"""[n · 1024 + k · 256 + b]: what byte b in place k of a CRC becomes after n zero bytes."""


@cython.cfunc
def _make_tables() -> cython.void:
    crc: uint32_t
    at: cython.int
    _: cython.int
    place: cython.int
    zeros: cython.int
    for at in range(256):
        crc = at
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        _BYTE[at] = crc
    for place in range(4):
        for at in range(256):
            _SHIFT[place * 256 + at] = cython.cast(uint32_t, at) << (8 * place)
    for zeros in range(1, MAX_MARK_DIGITS):
        for at in range(1024):
            crc = _SHIFT[(zeros - 1) * 1024 + at]
            _SHIFT[zeros * 1024 + at] = (crc >> 8) ^ _BYTE[crc & 255]


_make_tables()


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _number(
    at: cython.p_const_char,
    decimals: cython.int,
    units: cython.pointer(int64_t),
    crc: cython.pointer(uint32_t),
    digits: cython.pointer(cython.int),
) -> cython.p_const_char:
    """Read a JSON number as units of 10^-decimals; return where it ends, NULL if it isn't usual.

    Adds the digits without leading zeros to the CRC.  Stops at the first byte that can't belong to
    it, so the byte behind the frame must not be a digit or a point.
    """
    value: uint64_t = 0
    digit: cython.uint
    count: cython.int = 0
    fraction: cython.int = -1
    state: uint32_t = crc[0]
    written: cython.int = digits[0]
    first: cython.p_const_char = at
    while True:
        digit = cython.cast(cython.uint, cython.cast(cython.uchar, at[0])) - 48
        if digit <= 9:
            value = value * 10 + digit
            count += 1
            if value:
                state = (state >> 8) ^ _BYTE[(state ^ cython.cast(cython.uchar, at[0])) & 255]
                written += 1
            if fraction >= 0:
                fraction += 1
            if count > MAX_DIGITS:
                return cython.NULL
        elif at[0] == 46 and fraction < 0:
            fraction = 0
        else:
            break
        at += 1
    if count == 0 or fraction == 0 or fraction > decimals or first[0] == 46:
        return cython.NULL
    if first[0] == 48 and at - first > 1 and first[1] != 46:
        return cython.NULL
    if fraction < 0:
        fraction = 0
    while fraction < decimals:
        value *= 10
        count += 1
        fraction += 1
        if count > MAX_DIGITS:
            return cython.NULL
        if value:
            state = (state >> 8) ^ _BYTE[(state ^ 48) & 255]
            written += 1
    if cython.cast(int64_t, value) < 0:
        return cython.NULL
    units[0] = value
    crc[0] = state
    digits[0] = written
    return at


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _levels(
    at: cython.p_const_char,
    end: cython.p_const_char,
    price_decimals: cython.int,
    quantity_decimals: cython.int,
    levels: cython.pointer(int64_t),
    count: cython.pointer(int64_t),
    room: cython.Py_ssize_t,
) -> cython.p_const_char:
    """Read levels up to the closing bracket; return what is behind it, NULL if it isn't usual."""
    crc: uint32_t
    digits: cython.int
    found: cython.Py_ssize_t = 0
    count[0] = 0
    if at[0] == 93:
        return at + 1
    while True:
        if found >= room or end - at < 20 or memcmp(at, _PRICE, 9) != 0:
            return cython.NULL
        crc = 0
        digits = 0
        at = _number(at + 9, price_decimals, levels, cython.address(crc), cython.address(digits))
        if at == cython.NULL or levels[0] == 0 or end - at < 9:
            return cython.NULL
        if memcmp(at, _QUANTITY, 7) != 0:
            return cython.NULL
        at = _number(
            at + 7, quantity_decimals, levels + 1, cython.address(crc), cython.address(digits)
        )
        if at == cython.NULL or at[0] != 125:
            return cython.NULL
        levels[2] = cython.cast(int64_t, crc) | (cython.cast(int64_t, digits) << 32)
        levels += LEVEL_WORDS
        found += 1
        at += 1
        if at[0] == 93:
            count[0] = found
            return at + 1
        if at[0] != 44:
            return cython.NULL
        at += 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _place(mask: uint64_t, low: uint64_t, high: uint64_t) -> uint64_t:
    return (((low * _MIX_1) ^ (high * _MIX_2)) >> 40) & mask


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _decode(
    context: cython.p_void,
    frame: cython.p_const_char,
    length: cython.Py_ssize_t,
    delta: cython.pointer(int64_t),
    room: cython.Py_ssize_t,
) -> cython.int:
    """Read a book frame in the venue's own layout; return 0 for every other frame.

    Other recorders put a blank behind colons and commas; those are taken out first.
    """
    names: cython.pointer(Names) = cython.cast(cython.pointer(Names), context)
    if length > 12 and frame[11] == 32:
        length = _squeezed(frame, length, names.squeezed)
        if length == 0:
            return 0
        frame = names.squeezed
    return _decode_plain(names, frame, length, delta, room)


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _squeezed(
    frame: cython.p_const_char, length: cython.Py_ssize_t, into: cython.p_char
) -> cython.Py_ssize_t:
    """Copy a frame without the blanks behind colons and commas; return its length, 0 if it can't.

    White space elsewhere may be what makes a frame no JSON, so such a frame is left alone.
    """
    at: cython.Py_ssize_t
    size: cython.Py_ssize_t = 0
    is_text: cython.bint = False
    byte: cython.char
    if length >= SQUEEZED_BYTES:
        return 0
    for at in range(length):
        byte = frame[at]
        if byte == 92:
            return 0
        if byte == 34:
            is_text = not is_text
        elif not is_text and byte == 32:
            if size == 0 or (into[size - 1] != 58 and into[size - 1] != 44):
                return 0
            continue
        into[size] = byte
        size += 1
    into[size] = 0
    return size


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _decode_plain(
    names: cython.pointer(Names),
    frame: cython.p_const_char,
    length: cython.Py_ssize_t,
    delta: cython.pointer(int64_t),
    room: cython.Py_ssize_t,
) -> cython.int:
    at: cython.p_const_char = frame
    end: cython.p_const_char = frame + length
    mark: cython.p_const_char
    low: uint64_t = 0
    high: uint64_t = 0
    place: uint64_t
    value: uint64_t = 0
    slot: int64_t
    size: cython.Py_ssize_t
    if length < 100 or memcmp(at, _HEAD, 26) != 0:
        return 0
    if memcmp(at + 26, _UPDATE, 27) == 0:
        delta[D_SNAPSHOT] = 0
        at += 53
    elif memcmp(at + 26, _SNAPSHOT, 29) == 0:
        delta[D_SNAPSHOT] = 1
        at += 55
    else:
        return 0
    mark = at
    while mark[0] != 34 and mark - at < SYMBOL_BYTES:
        mark += 1
    size = mark - at
    # Symbols are looked up padded with NUL bytes; one that brings its own is not ours.
    if mark[0] != 34 or end - mark < 40 or size == 0 or (mark - 1)[0] == 0:
        return 0
    memcpy(cython.address(low), at, 8)
    memcpy(cython.address(high), at + 8, 8)
    if size < 8:
        low &= (cython.cast(uint64_t, 1) << (8 * size)) - 1
        high = 0
    elif size < 16:
        high &= (cython.cast(uint64_t, 1) << (8 * (size - 8))) - 1
    place = _place(names.mask, low, high)
    while True:
        slot = names.slots[place]
        if slot < 0:
            return 0
        if names.keys[2 * place] == low and names.keys[2 * place + 1] == high:
            break
        place = (place + 1) & names.mask
    delta[D_SLOT] = slot
    if memcmp(mark, _BIDS, 10) != 0:
        return 0
    at = _levels(
        mark + 10,
        end,
        names.price_decimals[slot],
        names.quantity_decimals[slot],
        delta + D_LEVELS,
        delta + D_BIDS,
        room,
    )
    if at == cython.NULL or end - at < 9 or memcmp(at, _ASKS, 9) != 0:
        return 0
    at = _levels(
        at + 9,
        end,
        names.price_decimals[slot],
        names.quantity_decimals[slot],
        delta + D_LEVELS + LEVEL_WORDS * delta[D_BIDS],
        delta + D_ASKS,
        room,
    )
    if at == cython.NULL or end - at < 14 or memcmp(at, _CHECKSUM, 12) != 0:
        return 0
    at += 12
    mark = at
    while 48 <= at[0] <= 57 and at - mark < 11:
        value = value * 10 + (at[0] - 48)
        at += 1
    if at == mark or value > _MAX_CHECKSUM or (mark[0] == 48 and at - mark > 1):
        return 0
    delta[D_CHECKSUM] = value
    delta[D_TIME_AT] = delta[D_TIME_LENGTH] = 0
    if at[0] == 44:
        if end - at < 17 or memcmp(at, _TIME, 14) != 0:
            return 0
        at += 14
        mark = at
        while at < end and 32 <= at[0] < 127 and at[0] != 34 and at[0] != 92:
            at += 1
        if at >= end or at[0] != 34 or at == mark:
            return 0
        delta[D_TIME_AT] = cython.cast(cython.Py_ssize_t, mark)
        delta[D_TIME_LENGTH] = at - mark
        at += 1
    if end - at != 3 or at[0] != 125 or at[1] != 93 or at[2] != 125:
        return 0
    return 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _fold(levels: cython.pointer(int64_t), count: int64_t, crc: uint32_t) -> uint32_t:
    """Carry a CRC over the digits of the best ten levels: four look-ups a level."""
    at: int64_t
    mark: int64_t
    table: cython.pointer(uint32_t)
    if count > CHECKSUM_LEVELS:
        count = CHECKSUM_LEVELS
    for at in range(count):
        mark = levels[LEVEL_WORDS * at + 2]
        table = cython.address(_SHIFT[1024 * (mark >> 32)])
        crc = (
            table[crc & 255]
            ^ table[256 + ((crc >> 8) & 255)]
            ^ table[512 + ((crc >> 16) & 255)]
            ^ table[768 + (crc >> 24)]
            ^ cython.cast(uint32_t, mark)
        )
    return crc


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _verify(book: cython.pointer(int64_t), sides: cython.int) -> uint32_t:
    """Return the book's checksum; `sides` tells which moved since the last call.

    The asks come first in it, so their part is kept for as long as only bids move.
    """
    bids: cython.pointer(int64_t) = book + B_LEVELS
    if sides & ASK:
        book[B_SCRATCH] = _fold(bids + LEVEL_WORDS * book[B_CAPACITY], book[B_ASKS], _ALL_ONES)
    return _ALL_ONES ^ _fold(bids, book[B_BIDS], cython.cast(uint32_t, book[B_SCRATCH]))


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _mark(ticks: int64_t, lots: int64_t) -> int64_t:
    """Return what a level carries for the checksum: CRC and number of its digits."""
    crc: uint32_t = 0
    digits: cython.int = 0
    part: cython.int
    value: uint64_t
    power: uint64_t
    for part in range(2):
        value = cython.cast(uint64_t, ticks if part == 0 else lots)
        power = 1
        while value // power >= 10:
            power *= 10
        while power and value:
            crc = (crc >> 8) ^ _BYTE[(crc ^ (48 + (value // power) % 10)) & 255]
            digits += 1
            power //= 10
    return cython.cast(int64_t, crc) | (cython.cast(int64_t, digits) << 32)


@cython.cclass
class KrakenStage:
    """The stage for one set of pairs.

    Args:
        pairs: By slot: symbol, decimals of its prices, decimals of its quantities.  Symbols of more
            than 16 bytes and more decimals than an int64 has are left to the slow path.
    """

    _names: Names
    _stage: VenueStage

    def __cinit__(self, pairs: list):
        size: cython.Py_ssize_t = 16
        while size < 4 * len(pairs):
            size *= 2
        self._names.mask = size - 1
        self._names.keys = cython.cast(cython.pointer(uint64_t), PyMem_Calloc(2 * size, 8))
        self._names.slots = cython.cast(cython.pointer(int64_t), PyMem_Calloc(size, 8))
        self._names.price_decimals = cython.cast(
            cython.pointer(cython.int), PyMem_Calloc(len(pairs) + 1, cython.sizeof(cython.int))
        )
        self._names.quantity_decimals = cython.cast(
            cython.pointer(cython.int), PyMem_Calloc(len(pairs) + 1, cython.sizeof(cython.int))
        )
        self._names.squeezed = cython.cast(cython.p_char, PyMem_Calloc(SQUEEZED_BYTES, 1))
        if (
            self._names.squeezed == cython.NULL
            or self._names.keys == cython.NULL
            or self._names.slots == cython.NULL
            or self._names.price_decimals == cython.NULL
            or self._names.quantity_decimals == cython.NULL
        ):
            raise MemoryError
        at: cython.Py_ssize_t
        for at in range(size):
            self._names.slots[at] = -1
        for slot, (symbol, price_decimals, quantity_decimals) in enumerate(pairs):
            if (
                min(price_decimals, quantity_decimals) >= 0
                and max(price_decimals, quantity_decimals) < MAX_DIGITS
                # Anything else stands in JSON in more than one way.
                and symbol.isascii()
                and symbol.isprintable()
                and not set(symbol) & {'"', "\\"}
            ):
                self._add(slot, symbol.encode(), price_decimals, quantity_decimals)
        self._stage.context = cython.address(self._names)
        self._stage.decode = _decode
        self._stage.verify = _verify
        self._stage.mark = _mark

    def __dealloc__(self):
        PyMem_Free(self._names.squeezed)
        PyMem_Free(self._names.keys)
        PyMem_Free(self._names.slots)
        PyMem_Free(self._names.price_decimals)
        PyMem_Free(self._names.quantity_decimals)

    def capsule(self) -> object:
        """Return the stage for `arbitrade.hot`; lives no longer than this object."""
        return PyCapsule_New(cython.address(self._stage), _CAPSULE, cython.NULL)

    @cython.cfunc
    def _add(
        self,
        slot: int64_t,
        symbol: bytes,
        price_decimals: cython.int,
        quantity_decimals: cython.int,
    ) -> cython.int:
        if not 0 < len(symbol) <= SYMBOL_BYTES:
            return 0
        padded: bytes = symbol.ljust(SYMBOL_BYTES, b"\0")
        text: cython.p_const_char = padded
        low: uint64_t = 0
        high: uint64_t = 0
        memcpy(cython.address(low), text, 8)
        memcpy(cython.address(high), text + 8, 8)
        place: uint64_t = _place(self._names.mask, low, high)
        while self._names.slots[place] >= 0:
            place = (place + 1) & self._names.mask
        self._names.slots[place] = slot
        self._names.keys[2 * place] = low
        self._names.keys[2 * place + 1] = high
        self._names.price_decimals[slot] = price_decimals
        self._names.quantity_decimals[slot] = quantity_decimals
        return 1
