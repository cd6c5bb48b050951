"""The venue's CRC-32 of a book (its guide "Book checksum (v2)", May 2026)."""

from zlib import crc32

from arbitrade.book import OrderBook


def book_checksum(book: OrderBook) -> int:
    """Return the CRC-32 of the best ten asks, then the best ten bids, as the venue computes it.

    Each level adds price and quantity, both with exactly the pair's decimals, the point and leading
    zeros taken out: the digits of its ticks and of its lots.  Unsigned 32 bit.  About 0.5 µs.
    """
    return crc32(book.bids.digits(), crc32(book.asks.digits()))
