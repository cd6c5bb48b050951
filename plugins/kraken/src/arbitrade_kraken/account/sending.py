"""Orders out: checked, counted, sent once, and their outcomes told for what they are."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import attrs
import structlog

from arbitrade.errors import MessageError, UsageError, VenueError
from arbitrade.models import (
    Accepted,
    OrderOutcome,
    OrderRequest,
    Rejected,
    Unknown,
)
from arbitrade.protocols import Clock
from arbitrade_kraken.account import messages
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.account.connection import NotSentError, PrivateConnection, UnansweredError
from arbitrade_kraken.account.messages import Value, VenueAnswer
from arbitrade_kraken.account.tracking import VenueOrders, may_rest
from arbitrade_kraken.account.trading_budget import TradingBudget
from arbitrade_kraken.rest.endpoints import KrakenApi
from arbitrade_kraken.venue_errors import (
    PairRestrictedError,
    RateLimitedError,
    TokenExpiredError,
    is_ambiguous,
    make_error,
)

log = structlog.stdlib.get_logger(__name__)


@attrs.define(eq=False)
class OrderSender:
    """Sends orders over the private connection; cancels over REST too when that is down.

    An order is never sent twice.  A cancel may be: cancelling what is gone does no harm.

    Args:
        settings: Timeouts, deadline.
        private: The connection.
        api: The other way.
        orders: Where orders are entered before they are sent.
        budget: Trading counters.
        clock: For deadlines.
    """

    settings: KrakenAccountSettings = attrs.field(repr=False)
    private: PrivateConnection
    api: KrakenApi = attrs.field(repr=False)
    orders: VenueOrders = attrs.field(repr=False)
    budget: TradingBudget = attrs.field(repr=False)
    clock: Clock = attrs.field(repr=False)
    allowed: frozenset[str] | None = attrs.field(default=None, repr=False)
    """Pairs of the account's country; None for all."""
    _restricted: set[str] = attrs.field(factory=set, init=False)

    async def add(self, order: OrderRequest) -> OrderOutcome:
        """Send one order, once; where no answer comes, its outcome is unknown."""
        refusal = self._refusal([order], order.symbol)
        if refusal is not None:
            return attrs.evolve(refusal, client_id=order.client_id)
        deadline = self._deadline([order])
        self._enter([order], deadline)
        try:
            answer = await self._ask("add_order", messages.add_params(order, deadline))
        except VenueError as error:
            return self._without_answer(order, error)
        return self._concluded(order, messages.outcome(order.client_id, answer))

    async def add_batch(self, batch: Sequence[OrderRequest]) -> Sequence[OrderOutcome]:
        """Send several orders of one pair at once.

        Raises:
            UsageError: Several pairs, too many orders, or the same client id twice.
        """
        if len({order.client_id for order in batch}) < len(batch):
            raise UsageError("a batch with the same client id twice; each order needs its own")
        if len(batch) < messages.BATCH_LEAST:
            return [await self.add(order) for order in batch]
        deadline = self._deadline(batch)
        params = messages.batch_add_params(batch, deadline)
        refusal = self._refusal(batch, batch[0].symbol)
        if refusal is not None:
            return [attrs.evolve(refusal, client_id=order.client_id) for order in batch]
        self._enter(batch, deadline)
        try:
            answer = await self._ask("batch_add", params)
        except VenueError as error:
            return [self._without_answer(order, error) for order in batch]
        outcomes = messages.batch_outcomes([order.client_id for order in batch], answer)
        return [
            self._concluded(order, outcome) for order, outcome in zip(batch, outcomes, strict=True)
        ]

    async def amend(
        self, client_id: str, quantity: str | None, limit_price: str | None
    ) -> OrderOutcome:
        """Change an open order in place."""
        deadline = self._now() + timedelta(seconds=self.settings.order_deadline_s)
        params = messages.amend_params(client_id, quantity, limit_price, deadline)
        entry = self.orders.by_client(client_id)
        if entry is not None and entry.symbol is not None:
            self.budget.amended(entry.symbol, client_id)
        try:
            answer = await self._ask("amend_order", params)
        except NotSentError as error:
            return Rejected(client_id, str(error), error)
        except UnansweredError as error:
            return Unknown(client_id, str(error))
        outcome = messages.outcome(client_id, answer)
        if isinstance(outcome, Accepted) and entry is not None and entry.order_id:
            outcome = attrs.evolve(outcome, order_id=entry.order_id)
        return outcome

    async def cancel(self, client_ids: Sequence[str]) -> Mapping[str, OrderOutcome]:
        """Cancel orders.

        One request each: the venue answers a request for several once for each of them, in any
        order, and a refusal doesn't say which one it is about.
        """
        ids = list(dict.fromkeys(client_ids))
        outcomes = await asyncio.gather(*(self._cancel(client_id) for client_id in ids))
        return dict(zip(ids, outcomes, strict=True))

    async def cancel_all(self) -> int | None:
        """Cancel everything of the account; return how many, None if the outcome is unknown."""
        try:
            answer = await self._ask("cancel_all", {})
            if answer.error is None:
                return messages.cancelled_count(answer)
            log.warning("kraken.cancel_all_refused", reason=answer.error)
        except (NotSentError, UnansweredError) as error:
            log.warning("kraken.cancel_all_over_rest", reason=str(error))
        try:
            return await self.api.cancel_all()
        except VenueError as error:
            log.warning("kraken.cancel_all_unknown", reason=str(error))
            return None

    async def cancel_all_after(self, timeout_s: int) -> bool:
        """Arm the dead man's switch, 0 disarms; tell whether the venue confirmed."""
        try:
            answer = await self._ask("cancel_all_orders_after", {"timeout": timeout_s})
            if answer.error is None:
                return True
            log.warning("kraken.dead_mans_switch_refused", reason=answer.error)
        except (NotSentError, UnansweredError):
            pass  # The other way has its own say.
        try:
            await self.api.cancel_all_after(timeout_s)
        except VenueError as error:
            log.warning("kraken.dead_mans_switch_unconfirmed", reason=str(error))
            return False
        return True

    # ── before sending ───────────────────────────────────────────────────────────────────────────

    def _refusal(self, batch: Sequence[OrderRequest], symbol: str) -> Rejected | None:
        """Return why nothing of it is sent; the client id is the caller's to fill in."""
        now = self._now()
        for order in batch:
            reason = messages.check_order(order, now, may_fok=self.settings.fok_over_websocket)
            if reason is None and self._is_taken(order.client_id):
                reason = "its client id belongs to an order that is open; each needs its own"
            if reason is not None:
                return messages.not_sent(order.client_id, reason)
        is_foreign = self.allowed is not None and symbol not in self.allowed
        if is_foreign or symbol in self._restricted:
            reason = f"this account may not trade {symbol}"
            error = PairRestrictedError(f"kraken: {reason}; leave the pair out")
            return Rejected("", reason, error)
        if not self.private.is_standing:
            reason = "there is no private connection with snapshots now"
            return Rejected("", reason, NotSentError(f"kraken: order not sent: {reason}"))
        resting = sum(may_rest(order) for order in batch)
        full = self.budget.refusal(symbol, len(batch), resting)
        if full is not None:
            return Rejected("", full, RateLimitedError(f"kraken: order not sent: {full}"))
        return None

    def _is_taken(self, client_id: str) -> bool:
        entry = self.orders.by_client(client_id)
        return entry is not None and entry.is_live

    def _enter(self, batch: Sequence[OrderRequest], deadline: datetime) -> None:
        """Count and register, before a byte is sent: an event may overtake the answer."""
        left_s = (deadline - self._now()).total_seconds()
        for order in batch:
            if not order.is_dry_run:
                self.orders.register(order, self._seconds() + left_s)
        resting = [order.client_id for order in batch if may_rest(order)]
        self.budget.added(batch[0].symbol, len(batch), resting)

    def _deadline(self, batch: Sequence[OrderRequest]) -> datetime:
        """Return the earliest deadline; orders without one get that of the settings."""
        usual = self._now() + timedelta(seconds=self.settings.order_deadline_s)
        return min((order.deadline for order in batch if order.deadline), default=usual)

    # ── after sending ────────────────────────────────────────────────────────────────────────────

    async def _ask(self, method: str, params: Mapping[str, Value]) -> VenueAnswer:
        return await self.private.request(method, params, self.settings.order_timeout_s)

    def _without_answer(self, order: OrderRequest, error: VenueError) -> OrderOutcome:
        if isinstance(error, NotSentError):
            return self._concluded(order, Rejected(order.client_id, str(error), error))
        log.warning("kraken.order_unknown", client_id=order.client_id, reason=str(error))
        return Unknown(order.client_id, str(error))

    def _concluded(self, order: OrderRequest, outcome: OrderOutcome) -> OrderOutcome:
        """Take over what an outcome says about the order and the counters."""
        match outcome:
            case Accepted():
                self.orders.accepted(order.client_id, outcome.order_id)
            case Rejected():
                self.orders.rejected(order.client_id)
                self.budget.ended(order.symbol, order.client_id)
                self._learn(order.symbol, outcome)
            case Unknown():
                log.warning(
                    "kraken.order_unknown", client_id=order.client_id, reason=outcome.reason
                )
        return outcome

    def _learn(self, symbol: str, rejected: Rejected) -> None:
        if isinstance(rejected.error, PairRestrictedError):
            self._restricted.add(symbol)
            log.warning("kraken.pair_restricted", pair=symbol, reason=rejected.reason)
        elif isinstance(rejected.error, RateLimitedError):
            if "domain" in rejected.reason.lower():
                self.budget.exceeded_everywhere()
            elif "rate limit" in rejected.reason.lower():
                self.budget.exceeded(symbol)

    async def _cancel(self, client_id: str) -> OrderOutcome:
        entry = self.orders.by_client(client_id)
        order_id = (entry.order_id if entry is not None else None) or ""
        try:
            answer = await self._ask("cancel_order", messages.cancel_params([client_id]))
        except UnansweredError as error:
            return Unknown(client_id, str(error))
        except NotSentError:
            outcome = await self._cancel_over_rest(client_id)
        else:
            outcome = messages.outcome(client_id, answer)
            if isinstance(outcome, Rejected) and isinstance(outcome.error, TokenExpiredError):
                outcome = await self._cancel_over_rest(client_id)
        if isinstance(outcome, Accepted):
            if entry is not None and entry.symbol is not None:
                self.budget.cancelled(entry.symbol, client_id)
            return Accepted(client_id, order_id)
        return outcome

    async def _cancel_over_rest(self, client_id: str) -> OrderOutcome:
        try:
            count = await self.api.cancel(client_id)
        except (VenueError, MessageError) as error:
            if is_ambiguous(error) or isinstance(error, MessageError):
                return Unknown(client_id, str(error))
            return Rejected(client_id, str(error), error)
        if count:
            return Accepted(client_id, "")
        text = "EOrder:Unknown order"
        return Rejected(client_id, text, make_error(f"cancel {client_id}", text))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now_ns() / 1e9, UTC)

    def _seconds(self) -> float:
        return self.clock.monotonic_ns() / 1e9
