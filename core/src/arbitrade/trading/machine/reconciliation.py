"""Agreeing with the venue: balances compared when connected, after gaps, and now and then.

Balances are asked for first; histories, which a venue makes us wait for, only when they differ or
something was missed.  What is left unexplained after a few tries stops trading.
"""

from collections.abc import Mapping
from decimal import Decimal

import structlog

from arbitrade.models import Alert, Severity
from arbitrade.records import BalanceCompared
from arbitrade.trading.machine.bookings import Bookings
from arbitrade.trading.machine.events import (
    AccountGap,
    AccountReadiness,
    BalancesTold,
    Reconciled,
)
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.sending import Sending
from arbitrade.trading.machine.state import MachineState

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)
_TRIES = 3
_RETRY_NS = 2_000_000_000
_NOW_AND_THEN_NS = 300_000_000_000
_SOON_NS = 250_000_000
_OVERLAP_NS = 60_000_000_000
"""What is asked for again: a row is booked once, and clocks differ."""


class Reconciliation:
    """Keeps our ledger and the venue's in agreement.

    Args:
        state: The ledger, orders, the time.
        ports: Alerts, halts, the journal.
        gateway: Whom to ask.
        bookings: Compares, and knows of orders of others.
        sending: Looks orders up.
        tolerance: What may differ unexplained, in the reference asset.
        reference_asset: In which it is reckoned.
        is_required: True where a venue has a ledger of its own to agree with.
    """

    def __init__(
        self,
        state: MachineState,
        ports: Ports,
        gateway: Gateway,
        bookings: Bookings,
        sending: Sending,
        *,
        tolerance: Decimal,
        reference_asset: str,
        is_required: bool,
    ) -> None:
        self._state = state
        self._ports = ports
        self._gateway = gateway
        self._bookings = bookings
        self._sending = sending
        self._tolerance = tolerance
        self._reference_asset = reference_asset
        self._is_required = is_required
        self._told: dict[str, Decimal] = {}
        """The venue's balances as last told."""
        self._tries = 0
        """How often a difference was looked into."""
        self._is_asking = False
        self._asked_ns = 0
        self._asked_at = 0
        """Transactions booked by then."""
        self._is_done = False
        self._must_ask_everything = False
        self._since_ns = 0
        """From when on histories are asked for."""
        self._heard_ns = 0
        """When the venue last told of an order by itself."""
        self._is_asking_soon = self._is_asking_again = self._is_asking_later = False
        self.differences: Mapping[str, Decimal] = {}
        """Where ledger and venue disagreed when last compared; the venue's minus ours, by asset."""

    @property
    def is_done(self) -> bool:
        """True when ledger and venue agreed to the last digit when last compared."""
        return self._is_done or not self._is_required

    def known_until(self, time_ns: int) -> None:
        """Take over from a journal until when the account is known.

        Balances are compared first: where all agree, and no order is open, nothing happened since
        that histories would have to be asked for, which a venue makes us wait for.
        """
        self._since_ns = time_ns

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def on_ready(self, event: AccountReadiness) -> None:
        """Take that orders may go out, or no more."""
        state = self._state
        state.is_connected = event.is_ready
        state.connection_problem = "" if event.is_ready else event.reason or "not connected"
        if event.is_ready and self._is_required:
            self._look_up_recovered()
            self.ask("the account is connected")

    def on_heard(self) -> None:
        """Take that the venue told of an order by itself."""
        self._heard_ns = self._state.now_ns

    def on_gap(self, event: AccountGap) -> None:
        """Take that something was missed."""
        if not self._must_ask_everything:
            # Until then nothing was missed: not a day's history for a moment's silence.
            self._since_ns = max(self._since_ns, self._heard_ns)
        self._must_ask_everything = True
        self.ask(event.reason)

    def on_balances(self, event: BalancesTold) -> None:
        """Take all balances at the venue."""
        self._told = {balance.asset: balance.total for balance in event.balances}
        self._bookings.note_held(event.balances)
        if not self._is_required or not self._state.ledger.is_open:
            self._bookings.on_balances(event.balances)

    def on_found(self) -> None:
        """Compare at once when the last order a crash cut off is known."""
        is_waiting = bool(self._state.to_recover) and not self._is_done
        if is_waiting and not any(True for _ in self._state.orders.unsettled()):
            self.ask("orders are known")

    def on_reconciled(self, event: Reconciled) -> None:
        """Take that everything asked for was told: compare, and say what follows."""
        state = self._state
        self._is_asking = False
        if event.problem:
            self._again(f"the venue can't be asked: {event.problem}")
            return
        if any(True for _ in state.orders.unsettled()):
            # Fills are on their way; balances can be compared when they are in.
            self._look_up_recovered()
            self._again("orders are under way")
            return
        differences = self.differences = self._bookings.compare(self._told)
        has_moved = state.transactions.count != self._asked_at
        if differences and (has_moved or self._tries < _TRIES):
            # What was booked since it was asked can't be in what was told: that proves nothing.
            # Nothing new is begun until it adds up, so sooner or later nothing moves.
            self._tries += not has_moved
            self._must_ask_everything = True
            state.balance_problem = f"{len(differences)} balances differ from the venue's"
            self._again(state.balance_problem)
            return
        state.balance_problem = ""
        if differences:
            self._on_difference(differences)
        else:
            self._note_equal()
        self._tries, self._must_ask_everything = 0, False
        self._is_done = not differences
        # Not now: what happened since it was asked may have been lost on its way to us.
        self._since_ns = self._asked_ns
        self._ask_in_a_while()
        self._ports.on_reconciled()

    def heed_foreign(self) -> None:
        """Ask what orders of others hold, once for all that happens to them in a moment."""
        if not self._bookings.take_foreign_news():
            return
        if not self._is_required or self._is_asking_soon:
            return
        self._is_asking_soon = True

        def ask() -> None:
            self._is_asking_soon = False
            self._bookings.tell_foreign()
            self.ask("an order that is not ours")

        self._state.timers.at(self._state.now_ns + _SOON_NS, ask)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def ask_before_deciding(self, reason: str) -> None:
        """Begin nothing until the venue has been asked: much may have happened unseen."""
        if self._is_required:
            self._state.balance_problem = reason
            self.ask(reason)

    def ask(self, reason: str) -> None:
        """Ask the venue for its balances, unless we are at it; for all rows since if they differ.

        A venue counts such questions, and histories several times.
        """
        state = self._state
        if not self._is_required or self._is_asking:
            return
        log.info("account.reconciling", reason=reason)
        self._is_asking = True
        self._asked_ns = state.now_ns
        self._asked_at = state.transactions.count
        since_ns = max(self._since_ns, state.opened_ns) - _OVERLAP_NS
        self._gateway.reconcile(since_ns if self._must_ask_everything else None)

    def _look_up_recovered(self) -> None:
        """Ask for the orders a crash cut off: what they did has to be known before anything."""
        for cycle in self._state.to_recover:
            for order in cycle.orders:
                if not order.is_settled:
                    self._sending.look_up(order)

    def _again(self, reason: str) -> None:
        """Ask once more in a while; once, however many reasons there are."""
        if self._is_asking_again:
            return
        self._is_asking_again = True

        def ask() -> None:
            self._is_asking_again = False
            self.ask(reason)

        self._state.timers.at(self._state.now_ns + _RETRY_NS, ask)

    def _ask_in_a_while(self) -> None:
        """Compare every few minutes: what nobody told is found, and no history gets long."""
        if self._is_asking_later:
            return
        self._is_asking_later = True

        def ask() -> None:
            self._is_asking_later = False
            self.ask("now and then")

        self._state.timers.at(self._state.now_ns + _NOW_AND_THEN_NS, ask)

    # ── what a comparison came to ────────────────────────────────────────────────────────────────

    def _note_equal(self) -> None:
        for asset, amount in sorted(self._told.items()):
            self._write(BalanceCompared(asset, amount, amount, "equal"))

    def _on_difference(self, differences: Mapping[str, Decimal]) -> None:
        """Stop: the venue's own ledger doesn't explain it.  Unless so much is tolerated."""
        ledger, total = self._state.ledger, ZERO
        for asset, amount in differences.items():
            worth = self._state.valuation.value(asset, abs(amount), self._reference_asset)
            total += self._tolerance + 1 if worth is None else worth
        told = ", ".join(f"{amount:+f} {asset}" for asset, amount in differences.items())
        verdict = "external" if total <= self._tolerance else "halt"
        for asset, amount in differences.items():
            ours = ledger.balance(asset)
            self._write(BalanceCompared(asset, ours + amount, ours, verdict))
            if verdict == "external":
                ledger.adopt(asset, amount, f"tolerated:{self._state.now_ns}")
        if verdict == "external":
            title = f"balances differed by {told}"
            self._ports.alert(
                Alert(Severity.WARNING, title, "Within the tolerance.", subject="trading")
            )
            return
        self._ports.halt(f"balances differ from the venue's by {told}")

    def _write(self, record: BalanceCompared) -> None:
        self._ports.write(record, self._state.run)
