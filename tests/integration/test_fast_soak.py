"""Hours of market in seconds, with everything going wrong now and then.

The short form runs with the other tests.  The long one is asked for by the environment:

    ARBITRADE_SOAK_HOURS=24 ARBITRADE_SOAK_SEEDS=8 pytest tests/integration/test_fast_soak.py
"""

import gc
import os
import subprocess
import sys
from decimal import Decimal as D
from pathlib import Path
from random import Random
from types import FunctionType, ModuleType

import attrs
import pytest
from fast_bot import FastBot, FastGateway, Manners, make_settings

from arbitrade.accounting import ledger
from arbitrade.journal import FsyncPolicy, Journal, read_journal
from arbitrade.records import CycleClosed, decode
from arbitrade.testing.patience import PATIENCE_S
from arbitrade.trading.machine import orders
from arbitrade.trading.machine.events import Commanded
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.fast.events import FastFaults
from arbitrade_kraken.simulator.fast.venue import FastVenue

HOURS = float(os.environ.get("ARBITRADE_SOAK_HOURS", "0.1"))
SEEDS = range(1, 1 + int(os.environ.get("ARBITRADE_SOAK_SEEDS", "3")))
IS_LONG = "ARBITRADE_SOAK_HOURS" in os.environ
BUSY = {
    "maximum_orders_per_minute": "0",
    "maximum_failures": "0",
    "maximum_daily_loss": "0",
    "maximum_drawdown": "0",
    "cooldown_s": "1",
}
"""No pauses: more happens in an hour."""
TIMEOUT_S = 600 if not IS_LONG else 3 * 3600


def stormy(
    seed: int, faults: FastFaults | None = None, *, keep: bool = False, pairs: int = 20
) -> FastBot:
    market = GeneratedMarketSettings(seed=seed, edge_every=60, edge_lifetime=100)
    simulated = SimulatorSettings(pairs=pairs, seed=seed, rate=20, market=market)
    venue = FastVenue.make(simulated, FastFaults.storm() if faults is None else faults)
    risk = {**BUSY, "maximum_cycles": "4"}
    return FastBot(
        venue, make_settings(risk=risk), seed=seed, manners=Manners(ask_fails=0.1), keep=keep
    )


class Life:
    """What else happens at a venue: it stops, halts pairs; people move money, change limits."""

    def __init__(self, bot: FastBot, seed: int) -> None:
        self.bot = bot
        self.random = Random(f"{seed} life")
        self.happened = 0
        bot.after(self.pause(), self.go)

    def pause(self) -> int:
        return int(self.random.uniform(2, 60) * 1e9)

    def go(self) -> None:
        bot, random = self.bot, self.random
        self.happened += 1
        random.choice([self.stop_engine, self.halt_pair, self.move_money, self.change_limits])()
        bot.after(self.pause(), self.go)

    def stop_engine(self) -> None:
        exchange = self.bot.venue.exchange
        exchange.hand.set_engine(self.random.choice(["maintenance", "cancel_only", "post_only"]))
        self.later(8, lambda: exchange.hand.set_engine("online"))

    def halt_pair(self) -> None:
        exchange = self.bot.venue.exchange
        symbol = self.random.choice([pair.symbol for pair in exchange.pairs()])
        exchange.hand.set_pair(symbol, status="cancel_only")
        self.later(20, lambda: exchange.hand.set_pair(symbol, status="online"))

    def move_money(self) -> None:
        exchange, asset = self.bot.venue.exchange, self.random.choice(["USD", "EUR", "USDT"])
        amount = D(self.random.randint(1, 99_999)) / 100
        try:
            if self.random.random() < 0.5:
                exchange.hand.deposit("main", asset, amount)
            else:
                exchange.hand.withdraw("main", asset, amount, D("0.25"))
        except VenueRefusal:
            pass  # More than there is.

    def change_limits(self) -> None:
        change = {
            "maximum_notional": str(self.random.choice([200, 500, 1_000])),
            "maximum_in_flight": str(self.random.choice([800, 2_000, 5_000])),
            "maximum_cycles": str(self.random.choice([1, 2, 4])),
            "share_books": self.random.choice(["true", "false"]),
        }
        self.bot.tell(Commanded("limits", "somebody", change))

    def later(self, seconds: float, call: object) -> None:
        self.bot.after(int(self.random.uniform(0.1, seconds) * 1e9), call)  # type: ignore[arg-type]


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("seed", SEEDS)
def test_everything_adds_up_whatever_happens(seed):
    bot = stormy(seed)
    life = Life(bot, seed)
    for _ in range(5):
        bot.run(HOURS * 3600 / 5)
        assert not bot.halts
        assert bot.venue.oracle.discrepancies() == ()
    bot.venue.exchange.hand.set_engine("online")
    bot.wind_down(600)
    bot.check()
    assert life.happened > HOURS * 60
    cycles = bot.watch.cycles
    assert sum(cycles.values()) == bot.counts["record.cycle_opened"] > HOURS * 300
    assert cycles["completed"] > cycles.total() / 4
    assert cycles["unwound"] > 0
    assert cycles["aborted_clean"] > 0
    # Held back is only what may not be brought back: the loss would be beyond the cap.
    assert cycles["flagged"] <= cycles.total() / 100
    assert bot.watch.peak_open > 1
    for name in ("Unknown", "order_found", "look_up_failed", "account_gap"):
        assert bot.counts[name] > 0, name


@pytest.mark.timeout(TIMEOUT_S)
def test_what_is_remembered_does_not_grow(monkeypatch):
    """With bounds so small that the first stretch fills them, the others take no more."""
    monkeypatch.setattr(ledger, "_KEPT", 600)
    monkeypatch.setattr(orders, "_KEPT", 50)
    bot = stormy(7, attrs.evolve(FastFaults.storm(), private_gap_s=30.0))
    held = []
    for _ in range(3):
        bot.run(HOURS * 6_500)
        held.append(deep_size(bot.trader))
    assert len(bot.state.ledger._trades) == 600, "the bound was reached"
    assert held[2] < held[1] * 1.1, held
    assert len(bot.state.timers._heap) < 50
    bot.wind_down(600)
    bot.check()


def deep_size(root: object) -> int:
    """Return the bytes of everything that can be reached from here; not the exchange's."""
    beyond = (type, ModuleType, FunctionType, FastBot, FastGateway, FastVenue)
    found: dict[int, object] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in found or isinstance(one, beyond):
            continue
        found[id(one)] = one
        waiting += gc.get_referents(one)
    return sum(map(sys.getsizeof, found.values()))


def test_journal_of_a_storm_tells_every_cycle_and_every_record(tmp_path):
    journal = Journal(
        tmp_path / "journal",
        fsync=FsyncPolicy.NEVER,
        segment_bytes=1 << 20,
        limit_bytes=1 << 30,
    )
    journal.open()
    bot = stormy(9, keep=True)
    bot.journal = journal
    bot.run(120)
    bot.wind_down()
    bot.check()
    journal.close()
    read = [decode(entry.payload).record for entry in read_journal(tmp_path / "journal")]
    assert read == [record for _, record in bot.records]
    assert len([record for record in read if isinstance(record, CycleClosed)]) > 5


SCRIPT = """
import sys
sys.path[:0] = {path!r}
import logging
logging.disable()
from test_fast_soak import stormy
bot = stormy(4, pairs=12)
bot.run(60)
bot.wind_down()
bot.check()
print(bot.rig.decisions.hash, bot.digest.hexdigest(), bot.watch.cycles.total())
"""


def test_same_seed_decides_the_same_in_another_process():
    """Nothing depends on the order of a set or on a hash of text."""
    folder = str(Path(__file__).parent)
    said = set()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT.format(path=[folder])],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, zone in (("0", "UTC"), ("1", "Asia/Kolkata"))
    ]
    for process in running:
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        said.add(out.strip().splitlines()[-1])
    assert len(said) == 1
    assert int(said.pop().split()[-1]) > 5
