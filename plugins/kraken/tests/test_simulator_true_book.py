"""The order of entries in book messages, and the true book that the control API tells."""

import json
import urllib.request
from asyncio import to_thread
from decimal import Decimal

import pytest

from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import BookChanged, ExchangeEvent
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.making import build_exchange
from arbitrade_kraken.simulator.running import running_simulator

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC")


def late_removals(*, removals_first: bool) -> tuple[int, int]:
    """Return how many sides had levels that go and that come, and where one came before it went."""
    rules = ExchangeSettings(removals_first=removals_first)
    settings = SimulatorSettings(symbols=SYMBOLS, exchange=rules)
    exchange = build_exchange(settings, MovableClock(1_700_000_000_000_000_000))
    sides: list[list[int]] = []

    def on_event(event: ExchangeEvent) -> None:
        if isinstance(event, BookChanged):
            sides.extend([lots for _, lots in side] for side in (event.bids, event.asks))

    exchange.listen(on_event)
    for symbol in SYMBOLS:
        exchange.watch(symbol, 10)
    for _ in range(3000):
        exchange.step()
    mixed = [side for side in sides if any(side) and not all(side)]
    # A price named twice may go and come again at the end.
    late = [side for side in mixed if 0 in side[sum(not lots for lots in side) :]]
    return len(mixed), len(late)


def test_levels_that_go_are_named_before_levels_that_come():
    mixed, late = late_removals(removals_first=True)

    assert mixed > 500
    assert late == 0


def test_entries_come_in_no_order_at_all_if_that_is_wanted():
    mixed, late = late_removals(removals_first=False)

    assert late > mixed // 4


async def test_control_tells_the_whole_book_as_it_is():
    settings = SimulatorSettings(symbols=SYMBOLS, rate=0, wire=WireSettings().prompt())
    async with running_simulator(settings) as simulator:
        url = f"{simulator.control}/book/ETH/BTC"
        told = json.loads(await to_thread(lambda: urllib.request.urlopen(url).read()))
        book, pair = simulator.exchange.whole_book("ETH/BTC"), simulator.exchange.pair("ETH/BTC")

    for name, levels in (("bids", book.bids), ("asks", book.asks)):
        assert [[Decimal(price), Decimal(size)] for price, size in told[name]] == [
            [
                Decimal(ticks).scaleb(-pair.price_decimals),
                Decimal(lots).scaleb(-pair.lot_decimals),
            ]
            for ticks, lots in levels
        ]
    assert told["checksum"] == book.checksum


async def test_control_refuses_the_book_of_a_pair_that_is_not_listed():
    async with running_simulator(SimulatorSettings(symbols=SYMBOLS, rate=0)) as simulator:
        url = f"{simulator.control}/book/NO/SUCH"
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            await to_thread(lambda: urllib.request.urlopen(url))
        refused.value.close()
