"""A bot that only says what it is told to, for whatever looks at bots and commands them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

import attrs

from arbitrade.api import Answer, BotState, Command, LatencyRow, OpenCycle, Status
from arbitrade.models import CycleState, Mode, TradingState

type Reply = Answer | Exception | Callable[[Command], Answer]


def make_open_cycle(**changes: Any) -> OpenCycle:
    """Return a cycle that has bought its first leg."""
    cycle = OpenCycle(
        cycle=17,
        key="USD>BTC>ETH>USD",
        state=CycleState.OPEN,
        legs=("buy BTC/USD", "buy ETH/BTC", "sell ETH/USD"),
        held={"USD": Decimal("-250.00"), "BTC": Decimal("0.00412")},
        expected_profit=Decimal("0.1834"),
        start_asset="USD",
        age_s=0.412,
    )
    return attrs.evolve(cycle, **changes)


def make_bot_state(**changes: Any) -> BotState:
    """Return the state of a bot that trades happily; each argument replaces a field."""
    state = BotState(
        run="0192f0c4-7a10-7cc2-9a54-0d6a1c1f9a77",
        account="main",
        venue="kraken",
        mode=Mode.PAPER,
        version="0.1.0",
        started_at="2026-03-02T08:15:30+00:00",
        uptime_s=4321.5,
        trading_state=TradingState.ACTIVE,
        halt_reason="",
        venue_state="online",
        is_market_connected=True,
        is_account_ready=True,
        account_problem="",
        books=412,
        books_in_sync=411,
        cycles_watched=1268,
        funnel={"seen": 1843, "approved": 14, "refused": 1802, "blocked": 27},
        refusals={
            "minimum_edge": 1650,
            "balance": 80,
            "book_age": 41,
            "cooldown": 22,
            "maximum_notional": 6,
            "shared_books": 3,
        },
        cycles={"completed": 11, "unwound": 2, "aborted_clean": 1, "flagged": 0},
        open_cycles=(make_open_cycle(),),
        orders=43,
        executions=61,
        profit={"USD": Decimal("4.1273"), "EUR": Decimal("-0.3310"), "USDT": Decimal("1.2")},
        profit_reference=Decimal("4.9686"),
        reference_asset="USD",
        balances={
            "USD": Decimal("10004.1273"),
            "EUR": Decimal("9999.6690"),
            "USDT": Decimal("10001.2"),
            "BTC": Decimal("0.1"),
            "ETH": Decimal(2),
        },
        ledger_differences={},
        latencies=(
            LatencyRow("tick_to_decision", 1_204_331, 4.2, 11.8, 39.5),
            LatencyRow("tick_to_order", 43, 212.0, 640.0, 910.4),
            LatencyRow("journal", 104, 310.0, 2_140.0, 4_020.0),
            LatencyRow("send_to_ack", 43, 21_400.0, 48_900.0, 61_230.0),
            LatencyRow("sizing", 0, None, None, None),
        ),
        hot_path="compiled",
        journal="ok",
        journal_lag=0,
        database="ok",
        limits={
            "minimum_edge_bps": "0",
            "maximum_notional": "1000",
            "maximum_daily_loss": "100",
        },
        decisions=1843,
        decision_hash="5c1e7f0a9b3d2c4418f6a7e0d1b2c3a4f5968778695a4b3c2d1e0f9a8b7c6d5e",
        alerts=(("warning", "kraken: connection 1 lost"),),
        counters={"engine.stale": 3, "feed.frames": 1_204_331},
        plugins={"kraken": "enabled", "triangular": "enabled", "statarb": "disabled"},
    )
    return attrs.evolve(state, **changes)


class FakeBot:
    """A `Bot` without a market: `halt`, `resume` and `limits` change what it says, others nothing.

    Args:
        state: What it says first; by default `make_bot_state()`.
    """

    def __init__(self, state: BotState | None = None) -> None:
        self._state = make_bot_state() if state is None else state
        self._changed = asyncio.Event()
        self.commands: list[Command] = []
        """What it was asked to do, in order."""
        self.replies: dict[str, Reply] = {}
        """What to answer to a command: an answer, an error to raise, or what makes an answer."""
        self.held_back = asyncio.Event()
        """Cleared by `hold`; commands are not answered before it is set."""
        self.held_back.set()
        self.subscriptions = 0
        """Of `updates`, those that are open."""

    def change(self, **changes: Any) -> None:
        """Replace fields of the state; subscribers get it at once."""
        self._state = attrs.evolve(self._state, **changes)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def hold(self) -> None:
        """Answer no command until `held_back` is set again."""
        self.held_back.clear()

    def state(self) -> BotState:
        """Return what it was last told to say."""
        return self._state

    def status(self) -> Status:
        """Return the part of the state that every command has."""
        state = self._state
        return Status(
            command="run",
            started_at=state.started_at,
            is_ready=state.is_market_connected,
            books_in_sync=state.books_in_sync,
            books=state.books,
            counters=state.counters,
            plugins=state.plugins,
        )

    async def command(self, command: Command) -> Answer:
        """Take note of a command, and do a little of what a bot would."""
        self.commands.append(command)
        await self.held_back.wait()
        reply = self.replies.get(command.name)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Answer):
            return reply
        return self._obey(command) if reply is None else reply(command)

    async def updates(self, every_s: float = 1.0) -> AsyncIterator[BotState]:
        """Yield the state now, at each change, and every so often."""
        self.subscriptions += 1
        try:
            while True:
                changed = self._changed
                yield self._state
                try:
                    async with asyncio.timeout(every_s):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            self.subscriptions -= 1

    def _obey(self, command: Command) -> Answer:
        if command.name == "halt":
            reason = command.arguments.get("reason", "")
            self.change(trading_state=TradingState.HALTED, halt_reason=reason)
            return Answer(True, f"halted: {reason}")
        if command.name == "resume":
            self.change(trading_state=TradingState.ACTIVE, halt_reason="")
            return Answer(True, "trading again")
        if command.name == "limits":
            limits: Mapping[str, str] = {**self._state.limits, **command.arguments}
            self.change(limits=limits)
            return Answer(
                True, f"{len(command.arguments)} limits changed", {"limits": dict(limits)}
            )
        return Answer(True, f"{command.name} done")
