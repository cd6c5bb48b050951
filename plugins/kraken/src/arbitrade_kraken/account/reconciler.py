"""What became of orders: asked of the venue, where the stream was silent or broken."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import attrs

from arbitrade.models import ExecutionReport, OrderState
from arbitrade.protocols import Clock
from arbitrade_kraken.account.tracking import VenueOrder, VenueOrders, as_report
from arbitrade_kraken.rest.endpoints import KrakenApi


@attrs.define(eq=False)
class Reconciler:
    """Finds orders again.

    Args:
        api: Who is asked.
        orders: What we know.
        clock: For durations.
        settle_s: How long after its deadline an order may still turn up in the venue's lists.
    """

    api: KrakenApi
    orders: VenueOrders
    clock: Clock
    settle_s: float
    _heard: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def heard(self) -> None:
        """Something came over the stream; whoever waits looks again."""
        self._heard.set()

    async def resolve(self, client_id: str) -> OrderState | None:
        """Ask what became of an order; None when it never arrived.

        The venue's lists run behind: an order that is in none of them is looked for again once its
        deadline is over, after which it can't be matched any more.

        Raises:
            VenueUnavailableError: The venue can't be asked now.
        """
        state = await self._look(client_id)
        entry = self.orders.by_client(client_id)
        now = self._now()
        until = self.settle_s + max(now, entry.deadline_s if entry is not None else now)
        while state is None and (left_s := until - self._now()) > 0:
            if await self._told_id(client_id, left_s):
                break
        if state is None:
            state = await self._look(client_id)
        if state is not None:
            self.orders.resolved(state)
        else:
            self.orders.rejected(client_id)
        return state

    async def ended_meanwhile(
        self, missing: Sequence[VenueOrder], since: str | None
    ) -> list[ExecutionReport]:
        """Return what happened to orders that a fresh snapshot doesn't mention any more.

        Fills first, as far as the stream didn't bring them, then how each order ended.

        Args:
            missing: Orders with an id of the venue.
            since: The last time heard of on the stream, RFC 3339; None for a first connection.
        """
        if not missing:
            return []
        filled = {entry.order_id: entry.filled for entry in missing}
        states = await self.api.query_orders([entry.order_id or "" for entry in missing])
        reports: list[ExecutionReport] = []
        if since is not None and any(
            state.filled_quantity > filled.get(state.order_id, 0) for state in states
        ):
            fills = await self.api.fills(since, self.orders.client_ids())
            reports += [
                fill
                for fill in fills
                if fill.order_id in filled and self.orders.is_new_fill(fill.exec_id or "")
            ]
        for state in states:
            self.orders.resolved(state)
            if state.status.is_final:
                reports.append(as_report(state))
        return reports

    async def _look(self, client_id: str) -> OrderState | None:
        entry = self.orders.by_client(client_id)
        if entry is not None and entry.order_id:
            # Exact, and never behind.
            for state in await self.api.query_orders([entry.order_id]):
                if state.order_id == entry.order_id:
                    return attrs.evolve(state, client_id=client_id)
        for ask in (self.api.open_orders, self.api.closed_orders):
            for state in await ask(client_id):
                if state.client_id == client_id:
                    return state
        return None

    async def _told_id(self, client_id: str, timeout_s: float) -> bool:
        """Wait for the stream to say something; tell whether the order's id is known now."""
        self._heard.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        entry = self.orders.by_client(client_id)
        return entry is not None and entry.order_id is not None

    def _now(self) -> float:
        return self.clock.monotonic_ns() / 1e9
