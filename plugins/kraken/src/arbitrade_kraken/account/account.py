"""The account at Kraken: orders out, executions and balances in, and the truth about both."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import structlog

from arbitrade import SystemClock
from arbitrade.errors import AuthenticationError, ConfigError, VenueError, VenueUnavailableError
from arbitrade.models import (
    Balance,
    BalanceChange,
    ExecutionReport,
    FeeRates,
    OrderOutcome,
    OrderRequest,
    OrderState,
    VenueState,
)
from arbitrade.protocols import AccountHandler, Clock
from arbitrade_kraken.account import wallets
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.account.connection import EXECUTIONS, PrivateConnection
from arbitrade_kraken.account.dead_man import DeadMansSwitch
from arbitrade_kraken.account.permissions import check_permissions
from arbitrade_kraken.account.reconciler import Reconciler
from arbitrade_kraken.account.sending import OrderSender
from arbitrade_kraken.account.tracking import VenueOrder, VenueOrders, missing_from
from arbitrade_kraken.account.trading_budget import TradingBudget
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.rest.call_budget import CallBudget
from arbitrade_kraken.rest.client import Credentials, RestClient
from arbitrade_kraken.rest.endpoints import KrakenApi
from arbitrade_kraken.rest.nonces import NonceFile
from arbitrade_kraken.rest.signing import check_private_key
from arbitrade_kraken.together import together
from arbitrade_kraken.venue_errors import RequestError

log = structlog.stdlib.get_logger(__name__)

_RATE_COUNTERS = ("ratecount", "ratecounter", "rate_count")
"""How the venue calls its trading counter in `executions` is not documented."""
_OVERLAP = timedelta(minutes=1)
"""Fills are asked for from a little earlier than the last one heard of; none is booked twice."""
_GOODBYE_S = 3.0
_LEDGER_IDS_KEPT = 5000
_NO_CONNECTION = "there is no private connection"


def make_account(settings: KrakenAccountSettings, clock: Clock | None = None) -> "KrakenAccount":
    """Return the account the settings have credentials for.

    Args:
        settings: Section `kraken`.
        clock: For deadlines and durations; None for the system's.

    Raises:
        ConfigError: There are none.
    """
    missing = [
        f"kraken.{name}: not set, and orders need it; run `arbitrade secrets set kraken.{name}`"
        for name in ("api_key", "api_secret")
        if not getattr(settings, name)
    ]
    if missing or settings.api_key is None or settings.api_secret is None:
        raise ConfigError(missing)
    try:
        check_private_key(settings.api_secret.reveal())
    except AuthenticationError as error:
        raise ConfigError(str(error)) from None
    if settings.dead_man_s and settings.dead_man_every_s * 2 > settings.dead_man_s:
        raise ConfigError(
            f"kraken.dead_man_every_s: {settings.dead_man_every_s:g} s is more than half of "
            f"kraken.dead_man_s ({settings.dead_man_s} s): one lost answer would cancel everything"
        )
    return KrakenAccount(settings, clock)


class KrakenAccount:
    """One account; see `arbitrade.protocols.Account`.

    Args:
        settings: Section `kraken`, with credentials.
        clock: For deadlines and durations.  Nonces come from the system's clock whatever is
            given here: a number too large, once used, spoils the key for every other program.
        random: For the jitter of waits.
        sleep: How to wait between REST calls.
    """

    def __init__(
        self,
        settings: KrakenAccountSettings,
        clock: Clock | None = None,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock = clock or SystemClock()
        self._random = random = random or SystemRandom()
        self._sleep = sleep
        self._calls = CallBudget(settings.tier, self._now)
        self._rest = RestClient(
            settings.rest_url,
            _credentials(settings),
            budget=self._calls,
            timeout_s=settings.rest_timeout_s,
            patience_s=settings.rest_patience_s,
            clock=clock,
            random=random,
            sleep=sleep,
        )
        self.api = KrakenApi(self._rest)
        self._trading = TradingBudget(self._now, settings.tier)
        self._orders = VenueOrders()
        self._private = PrivateConnection(settings, self.api.token, self, clock, random)
        self._sender = OrderSender(
            settings, self._private, self.api, self._orders, self._trading, clock
        )
        self._reconciler = Reconciler(self.api, self._orders, clock, settings.resolve_settle_s)
        self._switch = DeadMansSwitch(
            settings.dead_man_s,
            settings.dead_man_every_s,
            self._sender.cancel_all_after,
            self._tell_ready,
            clock,
        )
        self._handler: AccountHandler | None = None
        self._state = VenueState.UNKNOWN
        self._is_ready = False
        self._why_not = _NO_CONNECTION
        self._has_reconciled = False
        self._must_reconcile = asyncio.Event()
        self._missing: list[VenueOrder] = []
        self._missing_since: str | None = None
        self._heard_at: str | None = None
        self._ledger_ids: dict[str, None] = {}
        self._ledger_differences = 0

    def __repr__(self) -> str:
        return f"<KrakenAccount {self.name} ready={self._is_ready}>"

    @property
    def name(self) -> str:
        """Which account, for logs and the database; never a key."""
        return self._settings.account

    def statistics(self) -> Mapping[str, int]:
        """Return what was coped with: reconnects, gaps, duplicates, silences, late answers.

        `ledger_differences` are rows of the ledger that their fill did not let expect.
        """
        return {**self._private.statistics(), "ledger_differences": self._ledger_differences}

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    async def run(self, handler: AccountHandler) -> None:
        """Keep the private connection, the token and the dead man's switch until cancelled.

        Raises:
            AuthenticationError: The key is refused, lacks a permission or has one too many.
            VenueUnavailableError: The venue refuses for good.
        """
        self._handler = handler
        try:
            await self._check_key()
            self._sender.allowed = await self._patiently(self.allowed_symbols)
            self._orders.precisions = await self._patiently(self.api.precisions)
            await self._private.run()
        finally:
            try:
                self._tell_ready()
                await self._let_go()
            finally:
                self._handler = None
                await self.close()

    async def close(self) -> None:
        """Let go of all REST sockets.  Another call opens new ones."""
        await self._rest.close()

    async def allowed_symbols(self) -> frozenset[str] | None:
        """Return the pairs that may be traded from the account's country, None for all."""
        if not self._settings.country:
            return None
        change = await self.api.instruments(self._settings.country)
        return frozenset(pair.symbol for pair in change.pairs)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    async def add(self, order: OrderRequest) -> OrderOutcome:
        """Send one order; returns when the venue answered or the outcome is unknown."""
        return await self._sender.add(order)

    async def add_batch(self, orders: Sequence[OrderRequest]) -> Sequence[OrderOutcome]:
        """Send 1 to 15 orders of one pair at once; outcomes in the order of the requests.

        Raises:
            UsageError: Several pairs, too many orders, or the same client id twice.
        """
        return await self._sender.add_batch(orders)

    async def amend(
        self, client_id: str, *, quantity: str | None = None, limit_price: str | None = None
    ) -> OrderOutcome:
        """Change an open order in place; the quantity is the new total."""
        return await self._sender.amend(client_id, quantity, limit_price)

    async def cancel(self, client_ids: Sequence[str]) -> Mapping[str, OrderOutcome]:
        """Cancel orders; one that is gone already is `Rejected`: ask how it ended."""
        return await self._sender.cancel(client_ids)

    async def cancel_all(self) -> int | None:
        """Cancel everything of the account; return how many, None if the outcome is unknown."""
        return await self._sender.cancel_all()

    async def cancel_all_after(self, timeout_s: int) -> bool:
        """Arm the venue's dead man's switch, 0 disarms; tell whether the venue confirmed."""
        return await self._sender.cancel_all_after(timeout_s)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def resolve(self, client_id: str) -> OrderState | None:
        """Ask the venue what became of an order; None when it never arrived.

        Takes until the order's deadline is over when nothing is found: before that, an order that
        is in no list may still turn up.

        Raises:
            VenueUnavailableError: The venue can't be asked now; still unknown.
        """
        state = await self._reconciler.resolve(client_id)
        entry = self._orders.by_client(client_id)
        if entry is not None and entry.symbol is not None and not entry.is_live:
            self._trading.ended(entry.symbol, client_id)
        return state

    async def open_orders(self) -> Sequence[OrderState]:
        """Return the orders that stand."""
        return await self.api.open_orders()

    async def balances(self) -> Sequence[Balance]:
        """Return all balances that can be traded, holds included."""
        return await self.api.balances()

    async def fee_rates(self, symbols: Collection[str]) -> Sequence[FeeRates]:
        """Return what the account pays on these pairs now."""
        return await self.api.fee_rates(symbols)

    async def fills_since(self, start: str) -> Sequence[ExecutionReport]:
        """Return the fills since an RFC 3339 time, oldest first, for reconciling."""
        return await self.api.fills(start, self._orders.client_ids())

    async def ledger_since(self, start: str) -> Sequence[BalanceChange]:
        """Return every change of a balance since an RFC 3339 time, oldest first."""
        return await self.api.ledger(start)

    async def server_time_ns(self) -> int:
        """Return the venue's time, nanoseconds since the epoch; it tells whole seconds only."""
        return int((await self.api.server_time()).timestamp()) * 1_000_000_000

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
        """Follow the engine's state."""
        self._state = state
        self._switch.on_status(state, row)
        self._tell_ready()

    def on_missed(self, reason: str) -> None:
        """Tell that what is known may be out of date."""
        if self._handler is not None:
            self._handler.on_gap(reason)

    def on_standing(self, is_standing: bool) -> None:
        """Follow the connection."""
        if is_standing and self._heard_at is None:
            self._heard_at = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC).isoformat()
        self._tell_ready()

    async def attend(self) -> None:
        """Keep the dead man's switch, and reconcile after every snapshot."""
        await together(self._switch.keep(), self._reconcile())

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    async def _check_key(self) -> None:
        try:
            key = await self._patiently(self.api.key_info)
        except RequestError as error:
            # What can't be checked is not allowed: the key might move funds out.
            raise AuthenticationError(
                f"kraken: the venue does not tell what the API key may do ({error}), so it could be"
                " one that withdraws; not trading with it.  Look at the key on Kraken's site under "
                "Security, API, and make a new one"
            ) from None
        check_permissions(key)
        log.info("kraken.permissions_checked", account=self.name, called=key.name)

    async def _reconcile(self) -> None:
        while True:
            await self._must_reconcile.wait()
            self._must_reconcile.clear()
            missing, since = self._missing, self._missing_since
            reports = await self._patiently(
                partial(self._reconciler.ended_meanwhile, missing, since)
            )
            for report in reports:
                self._deliver(report, is_snapshot=True)
            foreign = sum(not entry.is_ours for entry in self._orders.live())
            if foreign:
                # The dead man's switch and `cancel_all` don't spare them.
                log.warning("kraken.foreign_orders", account=self.name, orders=foreign)
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
            self._ledger_differences += 1
            log.warning(
                "kraken.ledger_differs",
                account=self.name,
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
        log.info("kraken.account_ready", account=self.name, is_ready=is_ready, reason=why_not)
        if self._handler is not None:
            self._handler.on_ready(is_ready, why_not)

    def _why_not_ready(self) -> str:
        """Return what keeps orders from going out; nothing when they may."""
        if not self._private.is_standing:
            return _NO_CONNECTION
        if self._state is not VenueState.ONLINE:
            return f"the venue's engine is {self._state.value}"
        if not self._switch.is_safe:
            return "the venue doesn't confirm the dead man's switch"
        return "" if self._has_reconciled else "orders are being looked up after a reconnect"

    async def _let_go(self) -> None:
        """Without open orders of ours there is nothing left for the dead man's switch to do."""
        if any(entry.is_ours and entry.order_id for entry in self._orders.live()):
            return
        with suppress(VenueError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._switch.disarm()

    async def _patiently[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the venue answers; any other error ends it."""
        settings = self._settings
        backoff = Backoff(settings.reconnect_s, settings.reconnect_max_s, self._random, quick=0)
        while True:
            try:
                return await ask()
            except VenueUnavailableError as error:
                log.warning("kraken.not_answered", account=self.name, reason=str(error))
            await self._sleep(backoff.next(self._now()))

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _credentials(settings: KrakenAccountSettings) -> Credentials | None:
    if settings.api_key is None or settings.api_secret is None:
        return None
    folder = Path(settings.nonce_folder).expanduser()
    nonces = NonceFile.for_key(folder, settings.api_key.reveal())
    return Credentials(settings.api_key, settings.api_secret, nonces)
