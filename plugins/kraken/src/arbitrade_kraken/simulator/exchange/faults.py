"""The switchboard: what goes wrong on demand, each thing once, some times, or for a while."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

import attrs

from arbitrade.errors import UsageError
from arbitrade.protocols import Clock

EXCHANGE_FAULTS: Mapping[str, str] = {
    "refuse_order": "order methods answer `text` (default EService:Unavailable), nothing happens",
    "busy_after": "the order method is carried out, then answers `text` (default EService:Busy)",
    "partial_fill": "a taker gets only `value` (share 0 to 1, default 0.5) of its quantity, the "
    "rest is cancelled",
    "worse_fill": "fills are `value` ticks worse than the book (default 1), even beyond the limit",
    "fee_currency": "fees are taken in the other asset than asked for",
    "corrupt_checksum": "the next BookChanged of the symbol carries a wrong checksum",
    "stp_none": "self-trade prevention looks away: the own order is skipped, not cancelled",
}
"""What the exchange acts upon itself.  Methods are called as on the WebSocket, whoever asks:
`add_order`, `batch_add`, `amend_order`, `edit_order`, `cancel_order`, `batch_cancel`, `cancel_all`,
`cancel_all_orders_after`."""

WIRE_FAULTS: Mapping[str, str] = {
    "lost_ack": "the request is carried out, its answer never sent",
    "lost_request": "the request is swallowed: neither carried out nor answered",
    "slow_response": "answers come `value` milliseconds late",
    "delayed_executions": "executions and balances come `value` milliseconds late",
    "reordered_executions": "two messages of the private stream change places",
    "early_executions": "executions come before the ack",
    "duplicate_message": "a message is sent twice",
    "duplicate_snapshot_trades": "fills of the snapshot come again as updates",
    "sequence_gap": "a private message is left out, its sequence number too",
    "dropped_frame": "a book update is not sent",
    "disconnect": "the socket is closed without a word",
    "half_open": "the socket stays but nothing is read or written any more",
    "clock_skew": "every time told is off by `value` milliseconds",
    "rest_lag": "REST queries answer as of `value` milliseconds ago, without the newest orders",
    "http_error": "REST answers HTTP `value` (default 502) with no JSON; carried out if `text` is "
    "`after`",
    "token_expired": "tokens are refused",
    "unknown_fields": "messages carry fields nobody has documented",
    "bad_json": "a message is cut in the middle",
}
"""What the faces act upon; the exchange only keeps and counts them."""


@attrs.frozen
class Fault:
    """One thing that goes wrong.

    Args:
        fault_id: Given when injected.
        kind: A key of `EXCHANGE_FAULTS` or `WIRE_FAULTS`.
        symbol: Only for this pair; None for any.
        account: Only for this account; None for any.
        method: Only for this method (the wire's word, `add_order`, `AddOrder`, …); None for any.
        channel: Only for this channel; None for any.
        remaining: How often it still happens; None without limit.
        until_ns: It ends then; None for never.
        value: What the kind needs: milliseconds, ticks, a share.
        text: What the kind needs: a refusal.
    """

    fault_id: int
    kind: str
    symbol: str | None = None
    account: str | None = None
    method: str | None = None
    channel: str | None = None
    remaining: int | None = 1
    until_ns: int | None = None
    value: Decimal | None = None
    text: str | None = None


class Faults:
    """Keeps the faults asked for.  Cheap when there are none: see `is_quiet`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: list[Fault] = []
        self._counts: Counter[str] = Counter()
        self._next_id = 1

    @property
    def is_quiet(self) -> bool:
        """True when nothing is injected: no need to ask `take`."""
        return not self._active

    def inject(
        self,
        kind: str,
        *,
        symbol: str | None = None,
        account: str | None = None,
        method: str | None = None,
        channel: str | None = None,
        count: int | None = None,
        for_ms: int | None = None,
        value: Decimal | None = None,
        text: str | None = None,
    ) -> int:
        """Let `kind` happen and return the fault's id.

        Once without `count` and `for_ms`; `count` times; or for `for_ms` milliseconds of the
        exchange's clock, without limit if `for_ms` is 0; both limits together hold both.

        Raises:
            UsageError: No such kind, or a limit below what makes sense.
        """
        _check(kind, count, for_ms)
        until = self._clock.now_ns() + for_ms * 1_000_000 if for_ms else None
        fault = Fault(
            fault_id=self._next_id,
            kind=kind,
            symbol=symbol,
            account=account,
            method=method,
            channel=channel,
            remaining=1 if count is None and for_ms is None else count,
            until_ns=until,
            value=value,
            text=text,
        )
        self._next_id += 1
        self._active.append(fault)
        return fault.fault_id

    def take(
        self,
        kind: str,
        *,
        symbol: str | None = None,
        account: str | None = None,
        method: str | None = None,
        channel: str | None = None,
    ) -> Fault | None:
        """Return the oldest fault that fits, counting it down, or None.

        A fault that names a pair fits only calls that name the same one, and so on.
        """
        fault = self.peek(kind, symbol=symbol, account=account, method=method, channel=channel)
        if fault is None:
            return None
        self._counts[kind] += 1
        if fault.remaining is not None:
            place = self._active.index(fault)
            if fault.remaining > 1:
                self._active[place] = attrs.evolve(fault, remaining=fault.remaining - 1)
            else:
                del self._active[place]
        return fault

    def peek(
        self,
        kind: str,
        *,
        symbol: str | None = None,
        account: str | None = None,
        method: str | None = None,
        channel: str | None = None,
    ) -> Fault | None:
        """Return the fault that `take` would, without counting it down."""
        if not self._active:
            return None
        self._forget_old()
        for fault in self._active:
            if (
                fault.kind == kind
                and fault.symbol in (None, symbol)
                and fault.account in (None, account)
                and fault.method in (None, method)
                and fault.channel in (None, channel)
            ):
                return fault
        return None

    def active(self) -> Sequence[Fault]:
        """Return what is injected and not used up or over."""
        self._forget_old()
        return tuple(self._active)

    def counts(self) -> Mapping[str, int]:
        """Return how often each kind happened."""
        return dict(self._counts)

    def clear(self, fault_id: int | None = None) -> None:
        """Take one fault away by its id, or all of them."""
        self._active = [
            fault for fault in self._active if fault_id is not None and fault.fault_id != fault_id
        ]

    def _forget_old(self) -> None:
        now = self._clock.now_ns()
        if any(fault.until_ns is not None and fault.until_ns <= now for fault in self._active):
            self._active = [f for f in self._active if f.until_ns is None or f.until_ns > now]


def _check(kind: str, count: int | None, for_ms: int | None) -> None:
    if kind not in EXCHANGE_FAULTS and kind not in WIRE_FAULTS:
        known = ", ".join(sorted([*EXCHANGE_FAULTS, *WIRE_FAULTS]))
        raise UsageError(f"fault: {kind!r} is none we can inject; choose from {known}")
    if count is not None and count < 1:
        raise UsageError(f"fault {kind}: count {count} is not above 0; leave it out for once")
    if for_ms is not None and for_ms < 0:
        raise UsageError(f"fault {kind}: for_ms {for_ms} is below 0; use 0 for without end")
