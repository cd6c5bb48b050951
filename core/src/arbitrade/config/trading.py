"""Sections `execution`, `paper`, `journal` and `live` of the settings."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

from arbitrade.config.fields import setting


@attrs.frozen
class ExecutionSettings:
    """What happens to an opportunity that risk has approved."""

    executor: str = setting(
        "sequential",
        "Who carries it out: `sequential` leg by leg, `parallel` all legs at once where balances "
        "allow, `observe` only writes it down.",
    )
    leg_order: Literal["as_found", "least_liquid_first"] = setting(
        "as_found",
        "Which leg a parallel cycle sends first; the others follow at once.",
    )
    slippage_bps: Decimal = setting(
        Decimal(2),
        "How far a limit price may be beyond the worst price of the walk through depth.",
        unit="basis points",
        minimum=0,
        maximum=1_000,
    )
    deadline_ms: int = setting(
        2_000,
        "The venue must not match an order later than this after it was decided.",
        unit="ms",
        minimum=500,
        maximum=60_000,
    )
    settle_timeout_s: float = setting(
        5.0,
        "An order not settled after so long is looked up at the venue.",
        unit="s",
        minimum=Decimal("0.1"),
    )
    minimum_edge_to_go_on_bps: Decimal = setting(
        Decimal(0),
        "After a partial fill the rest of the cycle is finished if it still returns more than "
        "this, otherwise the cheapest way out is taken.",
        unit="basis points",
        minimum=-10_000,
    )
    unwind_attempts: int = setting(
        5, "Orders sent to get out of one asset before the rest is held and flagged.", minimum=1
    )
    flatten_loss_cap: Decimal = setting(
        Decimal(100),
        "Most that `arbitrade flatten` may cost against mid prices, unless told otherwise.",
        unit="reference asset",
        minimum=0,
    )
    balance_tolerance: Decimal = setting(
        Decimal(0),
        "Unexplained difference between ledger and venue that is booked as external instead of "
        "halting.",
        unit="reference asset",
        minimum=0,
    )
    shutdown_grace_s: float = setting(
        20.0,
        "How long cycles under way may take to finish or unwind when the bot is stopped.",
        unit="s",
        minimum=0,
    )


@attrs.frozen
class PaperSettings:
    """Simulated fills: what there is to trade with, and how long things take."""

    balances: Mapping[str, Decimal] = setting(
        {
            "USD": Decimal(10_000),
            "EUR": Decimal(10_000),
            "USDT": Decimal(10_000),
            "BTC": Decimal("0.1"),
            "ETH": Decimal(2),
        },
        "What a paper account begins with.",
        minimum=0,
    )
    send_ms: str = setting(
        "20",
        "From sending to the venue's book: milliseconds, or `uniform(a,b)`, `normal(mean,sd)`, "
        "`lognormal(median,sigma)`.",
        unit="ms",
    )
    ack_ms: str = setting("20", "From the book back to us, written the same way.", unit="ms")
    decision_ms: str = setting(
        "0", "From the message to sending, on top of what it really takes.", unit="ms"
    )
    seed: int = setting(1, "Of the latencies.")


@attrs.frozen
class JournalSettings:
    """The local log every intent is written to before it is sent."""

    fsync: Literal["always", "never"] = setting(
        "always",
        "`always`: an order waits until its intent is on disk; `never`: until the operating system "
        "has it, which survives our crash but not the machine's.",
    )
    segment_mb: int = setting(64, "Size of a file of the journal.", unit="MB", minimum=1)
    limit_mb: int = setting(
        2_048,
        "What may wait for the database; beyond it no cycle begins.",
        unit="MB",
        minimum=8,
    )
    slow_ms: int = setting(
        250,
        "Intents waiting longer than this keep new cycles from beginning.",
        unit="ms",
        minimum=1,
    )
    database_grace_s: float = setting(
        60.0,
        "Without the database for so long no cycle begins; 0 for no limit.",
        unit="s",
        minimum=0,
    )
    record: bool = setting(
        True, "Record market, answers and timers of a run, so that it can be replayed bit for bit."
    )


@attrs.frozen
class LiveSettings:
    """Trading with real money: the steps on the way to full size."""

    rehearsal_cycles: int = setting(
        3, "Cycles whose orders the venue only checks, before the first real one.", minimum=0
    )
    minimum_size_cycles: int = setting(
        10, "Cycles at the smallest size allowed, after that.", minimum=0
    )
    ramp_daily_cap: Decimal = setting(
        Decimal(200),
        "Most that may be put in on one day until the ramp-up is over.",
        unit="reference asset",
        minimum=0,
    )
    required_rules: tuple[str, ...] = setting(
        (
            "account_ready",
            "balance",
            "circuit_breaker",
            "clock_skew",
            "daily_loss",
            "drawdown",
            "instrument_status",
            "journal",
            "maximum_notional",
            "minimum_edge",
            "trading_state",
        ),
        "Risk rules without which live trading is not armed.",
    )
