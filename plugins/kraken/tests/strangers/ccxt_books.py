"""ccxt's order books over WebSocket, compared with the true ones level by level."""

import asyncio
import json
import sys
import zlib

import ccxt.pro
from common import Simulator, report, until


class Watched(ccxt.pro.kraken):
    """The library's client; after each message the checksum is taken of the book it keeps.

    Its own option for that can't be used: it hands numbers to a function that wants texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.updates = 0
        self.mismatches: list[str] = []
        self.decimals: dict[str, tuple[int, int]] = {}

    def handle_order_book(self, client: object, message: dict[str, object]) -> None:
        super().handle_order_book(client, message)
        (row,) = message["data"]
        symbol = row["symbol"]
        book, (prices, sizes) = self.orderbooks[symbol], self.decimals[symbol]
        digits = "".join(
            _digits(level[0], prices) + _digits(level[1], sizes)
            for side in ("asks", "bids")
            for level in book[side][:10]
        )
        self.updates += message["type"] == "update"
        if zlib.crc32(digits.encode()) != row["checksum"]:
            self.mismatches.append(symbol)


def _digits(number: float, decimals: int) -> str:
    return f"{number:.{decimals}f}".replace(".", "").lstrip("0")


async def main(given: dict[str, object]) -> None:
    simulator = Simulator(given)
    depth = int(str(given["depth"]))
    exchange = Watched()
    exchange.urls["api"] = {
        "public": simulator.rest,
        "private": simulator.rest,
        "ws": {"publicV2": simulator.ws, "privateV2": simulator.ws_auth},
    }
    markets = await exchange.load_markets()
    exchange.decimals = {
        symbol: (int(market["info"]["pair_decimals"]), int(market["info"]["lot_decimals"]))
        for symbol, market in markets.items()
    }
    symbols = simulator.pairs()[: int(str(given["pairs"]))]
    watching = asyncio.create_task(watch(exchange, symbols, depth))
    await until(lambda: len(exchange.orderbooks) == len(symbols) or watching.done(), [watching])

    wrong: list[str] = []
    compared = 0
    for _ in range(int(str(given["rounds"]))):
        await asyncio.to_thread(simulator.step, int(str(given["steps"])))
        for symbol in symbols:
            book = await asyncio.to_thread(simulator.book, symbol, depth)
            true = {
                side: [[float(price), float(size)] for price, size in levels]
                for side, levels in book.items()
            }

            def same(symbol: str = symbol, true: dict[str, list[list[float]]] = true) -> bool:
                mine = exchange.orderbooks[symbol]
                return all([list(row[:2]) for row in mine[side]] == true[side] for side in true)

            if not await until(same, [watching]):
                wrong.append(symbol)
            compared += sum(map(len, true.values()))
    watching.cancel()
    await asyncio.wait((watching,))
    await exchange.close()
    report(
        markets=len(markets),
        pairs=len(symbols),
        updates=exchange.updates,
        mismatches=exchange.mismatches,
        levels_compared=compared,
        wrong=wrong,
    )


async def watch(exchange: Watched, symbols: list[str], depth: int) -> None:
    while True:
        await exchange.watch_order_book_for_symbols(symbols, depth)


asyncio.run(main(json.load(sys.stdin)))
