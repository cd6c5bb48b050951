"""What the private connection tells, made into what core is told: whole, once, and when ready."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from arbitrade.models import BalanceChange, ExecutionReport, VenueState
from arbitrade.protocols import AccountHandler, Clock
from arbitrade_kraken.account import wallets
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.account.connection import EXECUTIONS
from arbitrade_kraken.account.dead_man import DeadMansSwitch
from arbitrade_kraken.account.patience import Patience
from arbitrade_kraken.account.reconciler import Reconciler
from arbitrade_kraken.account.tracking import VenueOrder, VenueOrders, missing_from
from arbitrade_kraken.account.trading_budget import TradingBudget
from arbitrade_kraken.rest.call_budget import CallBudget
from arbitrade_kraken.together import together

log = structlog.stdlib.get_logger(__name__)

_RATE_COUNTERS = ("ratecount", "ratecounter", "rate_count")
"""How the venue calls its trading counter in `executions` is not documented."""
_OVERLAP = timedelta(minutes=1)
"""Fills are asked for from a little earlier than the last one heard of; none is booked twice."""
_LEDGER_IDS_KEPT = 5000
_NO_CONNECTION = "there is no private connection"


class AccountListener:
    """Listens to the private connection on behalf of a handler; see `PrivateListener`.

    Orders may go out while the connection stands, the engine is online, the dead man's switch is
    confirmed, and what happened while there was no connection has been looked up.  Each change of
    that is told once.

    Args:
        settings: Name, dead man's switch.
        arm: Arms the venue's dead man's switch; see `DeadMansSwitch`.
        orders: What is known of orders.
        reconciler: Finds out what happened unheard.
        trading: Trading counters, which the venue tells.
        calls: The REST call counter, whose tier it tells.
        patience: How questions are asked.
        clock: For when something was heard last.
    """

    def __init__(
        self,
        settings: KrakenAccountSettings,
        arm: Callable[[int], Awaitable[bool]],
        orders: VenueOrders,
        reconciler: Reconciler,
        trading: TradingBudget,
        calls: CallBudget,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._name = settings.account
        self._orders = orders
        self._reconciler = reconciler
        self._trading = trading
        self._calls = calls
        self._patience = patience
        self._clock = clock
        self._switch = DeadMansSwitch(
            settings.dead_man_s, settings.dead_man_every_s, arm, self._tell_ready, clock
        )
        self._handler: AccountHandler | None = None
        self._state = VenueState.UNKNOWN
        self._is_standing = False
        self._is_ready = False
        self._why_not = _NO_CONNECTION
        self._has_reconciled = False
        self._must_reconcile = asyncio.Event()
        self._missing: list[VenueOrder] = []
        self._missing_since: str | None = None
        self._heard_at: str | None = None
        self._ledger_ids: dict[str, None] = {}
        self.ledger_differences = 0
        """Rows of the ledger that their fill did not let expect."""

    @property
    def is_ready(self) -> bool:
        """True while orders may go out."""
        return self._is_ready

    def begin(self, handler: AccountHandler) -> None:
        """Tell this handler from now on."""
        self._handler = handler

    def end(self) -> None:
        """Tell nobody any more."""
        self._handler = None

    async def disarm(self) -> None:
        """Let the dead man's switch go, unless an order of ours still stands for it to cancel."""
        if not any(entry.is_ours and entry.order_id for entry in self._orders.live()):
            await self._switch.disarm()

    # ── what the private connection tells ────────────────────────────────────────────────────────

    def on_executions(self, message: Mapping[str, Any], *, is_snapshot: bool) -> None:
        """Hand on the events of orders, whole and once."""
        reports = []
        for row in message.get("data") or ():
            self._learn_counter(row)
            report = self._orders.read(row, is_snapshot=is_snapshot)
            if report is not None:
                reports.append(report)
        if is_snapshot:
            self._missing = missing_from(reports, self._orders)
            # Nothing on a first connection: what happened before it, others ask for.
            self._missing_since = self._since()
            self._has_reconciled = False
            self._must_reconcile.set()
        for report in reports:
            self._deliver(report, is_snapshot=is_snapshot)
        self._reconciler.heard()

    def on_balances(self, message: Mapping[str, Any], *, is_snapshot: bool) -> None:
        """Hand on balances and their changes; the trading wallet's only."""
        rows = message.get("data") or ()
        if is_snapshot:
            holds = self._orders.holds()
            balances = [wallets.read_balance(row, holds) for row in rows]
            if self._handler is not None:
                self._handler.on_balances(balances)
            return
        for row in rows:
            change = wallets.read_change(row)
            if change is None or change.ledger_id in self._ledger_ids:
                continue
            if change.ledger_id:
                self._ledger_ids[change.ledger_id] = None
                if len(self._ledger_ids) > _LEDGER_IDS_KEPT:
                    del self._ledger_ids[next(iter(self._ledger_ids))]
            self._compare(change)
            if self._handler is not None:
                self._handler.on_balance(change)

    def on_subscribed(self, channel: str, result: Mapping[str, Any]) -> None:
        """Learn the account's tier from the acknowledgement of `executions`."""
        most = result.get("maxratecount")
        if channel != EXECUTIONS or not isinstance(most, int):
            return
        tier = self._trading.learn(most)
        if tier is None:
            log.warning("kraken.tier_unknown", maxratecount=most)
        else:
            self._calls.tier = tier

    def on_status(self, state: VenueState, row: Mapping[str, Any]) -> None:
        """Follow the engine's state: orders and the dead man's switch depend on it."""
        self._state = state
        self._switch.on_status(state, row)
        self._tell_ready()

    def on_missed(self, reason: str) -> None:
        """Tell that what is known may be out of date."""
        if self._handler is not None:
            self._handler.on_gap(reason)

    def on_standing(self, is_standing: bool) -> None:
        """Take note whether both subscriptions are whole, and tell whether orders may go out."""
        self._is_standing = is_standing
        if is_standing and self._heard_at is None:
            self._heard_at = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC).isoformat()
        self._tell_ready()

    async def attend(self) -> None:
        """Keep the dead man's switch, and reconcile after every snapshot."""
        await together(self._switch.keep(), self._reconcile())

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    async def _reconcile(self) -> None:
        while True:
            await self._must_reconcile.wait()
            self._must_reconcile.clear()
            missing, since = self._missing, self._missing_since
            reports = await self._patience.answer(
                partial(self._reconciler.ended_meanwhile, missing, since)
            )
            for report in reports:
                self._deliver(report, is_snapshot=True)
            foreign = sum(not entry.is_ours for entry in self._orders.live())
            if foreign:
                # The dead man's switch and `cancel_all` don't spare them.
                log.warning("kraken.foreign_orders", account=self._name, orders=foreign)
            # A snapshot that came meanwhile has to be gone through first.
            self._has_reconciled = not self._must_reconcile.is_set()
            self._tell_ready()

    def _since(self) -> str | None:
        if self._heard_at is None:
            return None
        return (datetime.fromisoformat(self._heard_at) - _OVERLAP).isoformat()

    def _deliver(self, report: ExecutionReport, *, is_snapshot: bool) -> None:
        if report.timestamp is not None and not is_snapshot:
            self._heard_at = report.timestamp
        if report.status.is_final and report.symbol and report.client_id:
            self._trading.ended(report.symbol, report.client_id)
        if self._handler is not None:
            self._handler.on_execution(report, is_snapshot)

    def _compare(self, change: BalanceChange) -> None:
        """Count what is booked otherwise than the fill let expect; it is never hidden."""
        expected = self._orders.expected_change(change.reference, change.asset)
        if expected is not None and expected != change.amount - change.fee:
            self.ledger_differences += 1
            log.warning(
                "kraken.ledger_differs",
                account=self._name,
                exec_id=change.reference,
                asset=change.asset,
                expected=str(expected),
                booked=str(change.amount - change.fee),
            )

    def _learn_counter(self, row: Mapping[str, Any]) -> None:
        symbol = row.get("symbol")
        for name in _RATE_COUNTERS:
            count = row.get(name)
            if isinstance(symbol, str) and count is not None:
                with suppress(TypeError, ValueError):
                    self._trading.told(symbol, float(count))

    def _tell_ready(self) -> None:
        why_not = self._why_not_ready()
        is_ready = not why_not
        if (is_ready, why_not) == (self._is_ready, self._why_not):
            return
        self._is_ready, self._why_not = is_ready, why_not
        log.info("kraken.account_ready", account=self._name, is_ready=is_ready, reason=why_not)
        if self._handler is not None:
            self._handler.on_ready(is_ready, why_not)

    def _why_not_ready(self) -> str:
        """Return what keeps orders from going out; nothing when they may."""
        if not self._is_standing:
            return _NO_CONNECTION
        if self._state is not VenueState.ONLINE:
            return f"the venue's engine is {self._state.value}"
        if not self._switch.is_safe:
            return "the venue doesn't confirm the dead man's switch"
        return "" if self._has_reconciled else "orders are being looked up after a reconnect"
