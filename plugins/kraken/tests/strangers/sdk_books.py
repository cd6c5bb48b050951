"""python-kraken-sdk's own order books, with its own checksums, over thousands of updates."""

import asyncio
import json
import sys
from collections import Counter
from decimal import Decimal

from common import Simulator, report, until
from kraken.spot import SpotClient, SpotOrderBookClient


class Books(SpotOrderBookClient):
    """The library's client, counting what it hears and how its checks end."""

    def __init__(self, depth: int) -> None:
        super().__init__(depth=depth)
        self.heard: Counter[str] = Counter()
        self.checked = 0
        self.mismatches: list[str] = []

    async def on_book_update(self, pair: str, message: dict[str, object]) -> None:
        if "error" in message:
            self.mismatches.append(pair)
            return
        self.heard[pair] += 1
        self.checked += message["type"] == "update"


async def main(given: dict[str, object]) -> None:
    simulator = Simulator(given)
    # The order book client takes no address; its class attributes are the documented way.
    SpotClient.URL = simulator.rest
    SpotOrderBookClient.WS_URL = simulator.ws.removesuffix("/v2")
    depth = int(str(given["depth"]))
    symbols = simulator.pairs()[: int(str(given["pairs"]))]
    client = Books(depth)
    await client.start()
    await client.add_book(pairs=symbols)
    await until(lambda: len(client.heard) == len(symbols))

    wrong: list[str] = []
    compared = 0
    for _ in range(int(str(given["rounds"]))):
        await asyncio.to_thread(simulator.step, int(str(given["steps"])))
        for symbol in symbols:
            true = await asyncio.to_thread(simulator.book, symbol, depth)
            if not await until(lambda symbol=symbol, true=true: _is(client, symbol, true)):
                wrong.append(symbol)
            compared += sum(map(len, true.values()))
    await client.close()
    report(
        pairs=len(symbols),
        updates=client.checked,
        mismatches=client.mismatches,
        levels_compared=compared,
        wrong=wrong,
    )


def _is(client: Books, symbol: str, true: dict[str, list[tuple[Decimal, Decimal]]]) -> bool:
    book = client.get(symbol)
    if book is None:
        return False
    mine = {
        name: [(Decimal(price), Decimal(size)) for price, (size, _) in book[side].items()]
        for name, side in (("bids", "bid"), ("asks", "ask"))
    }
    return mine == true


asyncio.run(main(json.load(sys.stdin)))
