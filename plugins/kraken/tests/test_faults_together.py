"""All faults of market data, mixed at random: whatever happened, the books end up the venue's."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from arbitrade.testing.patience import PATIENCE_S

STEPS = 400


class Mischief:
    """Does one bad thing after another to a scripted Kraken."""

    def __init__(self, kraken: Any, encode: Callable[..., bytes], random: Random) -> None:
        self.kraken = kraken
        self.encode = encode
        self.random = random
        self.deeds: tuple[Callable[[Any, Any], None], ...] = (
            *(self.tell,) * 12,
            self.keep_back,
            self.garble,
            self.tear_off,
            self.fragment,
            self.cross,
            self.reset,
            self.say_goodbye,
            self.talk_nonsense,
            self.snapshot,
            self.rescale,
            self.halt,
        )

    def step(self) -> None:
        pair = self.random.choice(list(self.kraken.market.values()))
        carrying = [v for v in self.kraken.visitors if pair.symbol in v.books and v.is_usable]
        if carrying:
            self.random.choice(self.deeds)(carrying[-1], pair)

    def tell(self, visitor: Any, pair: Any) -> None:
        visitor.send(*(pair.random_update(self.random) for _ in range(self.random.randint(1, 9))))

    def keep_back(self, visitor: Any, pair: Any) -> None:
        pair.random_update(self.random)

    def garble(self, visitor: Any, pair: Any) -> None:
        visitor.send(pair.update([("ask", min(pair.asks), 777)], checksum=4_294_967_295))

    def tear_off(self, visitor: Any, pair: Any) -> None:
        frame = self.encode(pair.random_update(self.random))
        visitor.send_raw(frame[: self.random.randint(1, len(frame) - 1)])
        visitor.reset()

    def fragment(self, visitor: Any, pair: Any) -> None:
        visitor.send_fragmented(pair.random_update(self.random), self.random.randint(2, 5))

    def cross(self, visitor: Any, pair: Any) -> None:
        bid = min(pair.asks) + 1
        visitor.send(pair.update([("bid", bid, 5)]), pair.update([("bid", bid, 0)]))

    def reset(self, visitor: Any, pair: Any) -> None:
        visitor.reset()

    def say_goodbye(self, visitor: Any, pair: Any) -> None:
        visitor.close(self.random.choice((1000, 1001, 1012)))

    def talk_nonsense(self, visitor: Any, pair: Any) -> None:
        visitor.send(b'{"channel":"book","data":[{"symbol":7}]}')

    def snapshot(self, visitor: Any, pair: Any) -> None:
        visitor.send(pair.snapshot())

    def rescale(self, visitor: Any, pair: Any) -> None:
        """Change the decimals of a pair, told on the connection of the instruments."""
        factor = {4: 10, 3: 10}.get(pair.quantity_precision, 0)
        if factor:
            pair.quantity_precision += 1
            pair.bids = {ticks: lots * factor for ticks, lots in pair.bids.items()}
            pair.asks = {ticks: lots * factor for ticks, lots in pair.asks.items()}
        self.tell_instruments(pair)

    def halt(self, visitor: Any, pair: Any) -> None:
        pair.status = "online" if pair.status != "online" else "cancel_only"
        self.tell_instruments(pair)

    def tell_instruments(self, pair: Any) -> None:
        for visitor in self.kraken.visitors:
            asked = [m.get("params", {}).get("channel") for m in visitor.requests]
            if "instrument" in asked and visitor.is_usable:
                visitor.send(self.kraken.instruments("update", [pair.symbol]))


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_went_wrong_the_books_end_up_right_and_no_decision_was_on_a_bad_one(
    kraken: Any, trader: Any, running: Any, encode: Callable[..., bytes], seed: int
) -> None:
    random = Random(seed)
    mischief = Mischief(kraken, encode, random)
    for pair in kraken.market.values():
        pair.quantity_precision = 3
    budget = {"connection_attempts_per_10_minutes": 100_000}
    async with running(trader, connections=2, **budget) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*kraken.market))
        for _ in range(STEPS):
            mischief.step()
            if random.random() < 0.5:
                await asyncio.sleep(0)
            if random.random() < 0.1:
                await kraken.pulse.until(lambda: trader.is_synced(*kraken.market))

        def is_right() -> bool:
            return trader.is_synced(*kraken.market) and all(
                map(trader.equals, kraken.market.values())
            )

        # A frame that was kept back shows with the next one of its pair.
        async with asyncio.timeout(PATIENCE_S):
            while not is_right():
                await kraken.pulse.until(lambda: trader.is_synced(*kraken.market))
                for symbol, pair in kraken.market.items():
                    for visitor in kraken.visitors:
                        if symbol in visitor.books and visitor.is_usable:
                            visitor.send(pair.update([("bid", max(pair.bids), 1 + pair.clock)]))
                await kraken.pulse.until(is_quiet(trader))
        assert trader.decisions
        assert all(trader.good_at_decision)
        statistics = feed.statistics()

    assert statistics["reconnects"] >= 1
    assert statistics["resyncs"] >= 1
    assert trader.engine.tally().wrong >= 1


def is_quiet(trader: Any) -> Callable[[], bool]:
    """Return a condition: a heartbeat came on either connection since now, so all before it did."""
    before = len(trader.frames)

    def heard() -> bool:
        recent = trader.frames[before:]
        return {number for number, frame in recent if b"heartbeat" in frame} == {0, 1}

    return heard
