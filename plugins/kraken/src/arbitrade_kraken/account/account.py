"""The account at Kraken: orders out, executions and balances in, and the truth about both."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random, SystemRandom

import structlog

from arbitrade import SystemClock
from arbitrade.errors import AuthenticationError, ConfigError, VenueError
from arbitrade.models import (
    Balance,
    BalanceChange,
    ExecutionReport,
    FeeRates,
    OrderOutcome,
    OrderRequest,
    OrderState,
)
from arbitrade.protocols import AccountHandler, Clock
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.account.connection import PrivateConnection
from arbitrade_kraken.account.listener import AccountListener
from arbitrade_kraken.account.patience import Patience
from arbitrade_kraken.account.permissions import check_permissions
from arbitrade_kraken.account.reconciler import Reconciler
from arbitrade_kraken.account.sending import OrderSender
from arbitrade_kraken.account.tracking import VenueOrders
from arbitrade_kraken.account.trading_budget import TradingBudget
from arbitrade_kraken.rest.call_budget import CallBudget
from arbitrade_kraken.rest.client import Credentials, RestClient
from arbitrade_kraken.rest.endpoints import KrakenApi
from arbitrade_kraken.rest.nonces import NonceFile
from arbitrade_kraken.rest.signing import check_private_key
from arbitrade_kraken.venue_errors import RequestError

log = structlog.stdlib.get_logger(__name__)

_GOODBYE_S = 3.0
"""How long disarming the dead man's switch may hold up the end."""


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
        random = random or SystemRandom()
        self._patience = Patience(settings, self._now, random, sleep)
        calls = CallBudget(settings.tier, self._now)
        self._rest = RestClient(
            settings.rest_url,
            _credentials(settings),
            budget=calls,
            timeout_s=settings.rest_timeout_s,
            patience_s=settings.rest_patience_s,
            clock=clock,
            random=random,
            sleep=sleep,
        )
        self.api = KrakenApi(self._rest)
        self._trading = TradingBudget(self._now, settings.tier)
        self._orders = VenueOrders()
        self._reconciler = Reconciler(self.api, self._orders, clock, settings.resolve_settle_s)
        self._listener = AccountListener(
            settings,
            self.cancel_all_after,
            self._orders,
            self._reconciler,
            self._trading,
            calls,
            self._patience,
            clock,
        )
        self._private = PrivateConnection(settings, self.api.token, self._listener, clock, random)
        self._sender = OrderSender(
            settings, self._private, self.api, self._orders, self._trading, clock
        )

    def __repr__(self) -> str:
        return f"<KrakenAccount {self.name} ready={self._listener.is_ready}>"

    @property
    def name(self) -> str:
        """Which account, for logs and the database; never a key."""
        return self._settings.account

    def statistics(self) -> Mapping[str, int]:
        """Return what was coped with: reconnects, gaps, duplicates, silences, late answers.

        `ledger_differences` are rows of the ledger that their fill did not let expect.
        """
        return {
            **self._private.statistics(),
            "ledger_differences": self._listener.ledger_differences,
        }

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    async def run(self, handler: AccountHandler) -> None:
        """Keep the private connection, the token and the dead man's switch until cancelled.

        Raises:
            AuthenticationError: The key is refused, lacks a permission or has one too many.
            VenueUnavailableError: The venue refuses for good.
        """
        self._listener.begin(handler)
        try:
            await self._check_key()
            self._sender.allowed = await self._patience.answer(self.allowed_symbols)
            self._orders.precisions = await self._patience.answer(self.api.precisions)
            await self._private.run()
        finally:
            # Whatever ended it, the switch must not fire on an account without open orders, and
            # no socket may stay behind.
            try:
                await self._let_go()
            finally:
                self._listener.end()
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

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    async def _check_key(self) -> None:
        try:
            key = await self._patience.answer(self.api.key_info)
        except RequestError as error:
            # What can't be checked is not allowed: the key might move funds out.
            raise AuthenticationError(
                f"kraken: the venue does not tell what the API key may do ({error}), so it could be"
                " one that withdraws; not trading with it.  Look at the key on Kraken's site under "
                "Security, API, and make a new one"
            ) from None
        check_permissions(key)
        log.info("kraken.permissions_checked", account=self.name, called=key.name)

    async def _let_go(self) -> None:
        with suppress(VenueError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._listener.disarm()

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _credentials(settings: KrakenAccountSettings) -> Credentials | None:
    if settings.api_key is None or settings.api_secret is None:
        return None
    folder = Path(settings.nonce_folder).expanduser()
    nonces = NonceFile.for_key(folder, settings.api_key.reveal())
    return Credentials(settings.api_key, settings.api_secret, nonces)
