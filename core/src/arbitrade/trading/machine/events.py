"""What the shell tells the machine beside the market: answers, fills, timers, commands.

Each event is recorded as a control line, `{"event": kind, ...}`, before it is handled.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import orjson

from arbitrade.errors import MessageError
from arbitrade.models import Balance, BalanceChange, ExecutionReport, FeeRates, OrderState
from arbitrade.plain_json import from_json, to_json


@attrs.frozen
class RunBegan:
    """A run begins: everything a replay needs to build the same machine.

    Args:
        settings: Without secrets, as JSON.
        features: What else decides: plugins enabled, versions.
    """

    kind: ClassVar[str] = "run_began"
    run_id: str
    account: str
    mode: str
    venue: str
    version: str
    settings: str
    recovered: tuple[str, ...]
    """Journal records the run went on from."""
    features: Mapping[str, str]


@attrs.frozen
class RunEnding:
    """The run ends in good order: the last event of a recording.

    Recordings made before there was such an event end with a command to reduce, for the reason
    `stopping`.
    """

    kind: ClassVar[str] = "run_ending"
    reason: str


@attrs.frozen
class OrderAnswer:
    """What sending an order came to: `accepted`, `rejected`, `unknown`, `not_sent`."""

    kind: ClassVar[str] = "order_answer"
    client_id: str
    outcome: str
    order_id: str = ""
    reason: str = ""
    is_connection: bool = False
    """Refused because nothing could be sent now; later it may go."""
    sent_ns: int | None = None


@attrs.frozen
class Execution:
    """An event in an order's life."""

    kind: ClassVar[str] = "execution"
    report: ExecutionReport
    is_snapshot: bool = False


@attrs.frozen
class BalanceMoved:
    """A row of the venue's ledger."""

    kind: ClassVar[str] = "balance"
    change: BalanceChange


@attrs.frozen
class BalancesTold:
    """All balances at the venue."""

    kind: ClassVar[str] = "balances"
    balances: tuple[Balance, ...]


@attrs.frozen
class AccountGap:
    """Something was missed on the private side."""

    kind: ClassVar[str] = "account_gap"
    reason: str


@attrs.frozen
class AccountReadiness:
    """Orders may go out, or no more."""

    kind: ClassVar[str] = "account_ready"
    is_ready: bool
    reason: str = ""


@attrs.frozen
class OrderFound:
    """The answer to a look-up; `state` None: it never arrived and never will."""

    kind: ClassVar[str] = "order_found"
    client_id: str
    state: OrderState | None


@attrs.frozen
class LookUpFailed:
    """The venue couldn't be asked."""

    kind: ClassVar[str] = "look_up_failed"
    client_id: str
    reason: str


@attrs.frozen
class FeesTold:
    """What the account pays."""

    kind: ClassVar[str] = "fees"
    rates: tuple[FeeRates, ...]


@attrs.frozen
class Reconciled:
    """Fills, ledger rows and balances the machine asked for were all told."""

    kind: ClassVar[str] = "reconciled"
    problem: str = ""


@attrs.frozen
class TimeCame:
    """Nothing happened but time; timers that are due run."""

    kind: ClassVar[str] = "time"


@attrs.frozen
class JournalTold:
    """The journal or the database behind it: what is wrong; empty when nothing is."""

    kind: ClassVar[str] = "journal"
    problem: str


@attrs.frozen
class ClockTold:
    """How far the wall clock is from the run's, and the venue's from it; microseconds."""

    kind: ClassVar[str] = "clock"
    skew_us: int


@attrs.frozen
class LagTold:
    """The event loop was held up; microseconds."""

    kind: ClassVar[str] = "lag"
    lag_us: int


@attrs.frozen
class Commanded:
    """An operator, or the shell on behalf of one, wants something."""

    kind: ClassVar[str] = "command"
    name: str
    actor: str
    arguments: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class PluginSwapped:
    """A plugin's detectors and rules come or go; they do when this is handled."""

    kind: ClassVar[str] = "plugin"
    plugin: str
    state: str
    reason: str = ""


@attrs.frozen
class Decided:
    """A decision as the run made it; no event, but written among them for replays to compare."""

    kind: ClassVar[str] = "decision"
    number: int
    hash: str
    what: str
    fields: Mapping[str, Any]


type TradingEvent = (
    RunBegan
    | RunEnding
    | OrderAnswer
    | Execution
    | BalanceMoved
    | BalancesTold
    | AccountGap
    | AccountReadiness
    | OrderFound
    | LookUpFailed
    | FeesTold
    | Reconciled
    | TimeCame
    | JournalTold
    | ClockTold
    | LagTold
    | Commanded
    | PluginSwapped
    | Decided
)

KINDS: Mapping[str, type[Any]] = {
    cls.kind: cls
    for cls in (
        RunBegan,
        RunEnding,
        OrderAnswer,
        Execution,
        BalanceMoved,
        BalancesTold,
        AccountGap,
        AccountReadiness,
        OrderFound,
        LookUpFailed,
        FeesTold,
        Reconciled,
        TimeCame,
        JournalTold,
        ClockTold,
        LagTold,
        Commanded,
        PluginSwapped,
        Decided,
    )
}


def write_event(event: TradingEvent) -> bytes:
    """Return the frame of a control line that `read_event` reads back as `event`."""
    return orjson.dumps({"event": event.kind, **to_json(event)})


def read_event(fields: Mapping[str, Any]) -> TradingEvent | None:
    """Return the event of a control line's object, None for one this version does not know.

    Raises:
        MessageError: The fields of a known kind don't fit.
    """
    kind = fields.get("event")
    cls = KINDS.get(str(kind))
    if cls is None:
        return None
    try:
        event: TradingEvent = from_json(fields, cls)
    except Exception as error:
        # cattrs raises groups of anything; whatever it is, the line is no such event.
        raise MessageError(f"control line {kind!r} can't be read ({error})") from error
    return event
