"""Core's sections with no room of their own: plugins, features, fees, recording, log, process."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

from arbitrade.config.fields import setting
from arbitrade.pricing import FeeConvention, FeeSchedule


@attrs.frozen
class PluginSettings:
    """Which plugins take part, and whom we trust to bring some."""

    enabled: tuple[str, ...] = setting(
        (), "Names of the plugins to use; empty means every installed one."
    )
    disabled: tuple[str, ...] = setting((), "Names of plugins to leave out; beats `enabled`.")
    allowed_distributions: tuple[str, ...] = setting(
        (),
        "Distributions whose plugins may be loaded; empty means any.  "
        "A plugin runs inside the bot with all its rights.",
        example=("arbitrade-kraken", "arbitrade-triangular"),
    )
    fault_budget: int = setting(
        5,
        "A plugin that raised, blocked or answered nonsense so often is put aside; blocking twice "
        "is enough.",
        unit="faults",
        minimum=1,
    )
    fault_window_s: int = setting(600, "Older faults don't count.", unit="s", minimum=1)
    time_budget_ms: int = setting(
        500,
        "A call of a plugin that takes longer is interrupted where that is possible; everything "
        "waits for it.",
        unit="ms",
        minimum=20,
    )
    cycle_budget_s: int = setting(
        120,
        "An executor that hasn't ended its cycle by then is stopped, and the cycle unwound; "
        "a basket may be held for longer.",
        unit="s",
        minimum=1,
    )


@attrs.frozen
class Features:
    """Switches for what is not finished enough to be on for everybody."""

    statarb: bool = setting(False, "Statistical arbitrage on baskets of pairs.")


_FEE_HINT = "write 0.0040 for 40 bps"


@attrs.frozen
class FeeSettings:
    """What the venue charges, where the account itself doesn't tell."""

    taker: Decimal = setting(
        Decimal("0.0040"),
        "Fee of an order that takes liquidity.",
        unit="fraction of the notional",
        minimum=Decimal("-0.01"),
        maximum=Decimal("0.2"),
        hint=_FEE_HINT,
    )
    maker: Decimal = setting(
        Decimal("0.0025"),
        "Fee of an order that rests in the book; negative for a rebate.",
        unit="fraction of the notional",
        minimum=Decimal("-0.01"),
        maximum=Decimal("0.2"),
        hint=_FEE_HINT,
    )
    overrides: Mapping[str, Decimal] = setting(
        {},
        "Taker fee of single pairs, by symbol.",
        unit="fraction of the notional",
        minimum=Decimal("-0.01"),
        maximum=Decimal("0.2"),
        hint=_FEE_HINT,
        example={"USDT/USD": Decimal("0.0020")},
    )
    charged_in: FeeConvention = setting(
        FeeConvention.QUOTE,
        "In which asset fees are taken; kraken_default: buys in quote, sells in base; proceeds: of "
        "what a leg brings.",
    )

    def schedule(self) -> FeeSchedule:
        """Return the fees as the arithmetic wants them."""
        return FeeSchedule(
            taker=self.taker,
            maker=self.maker,
            overrides=dict(self.overrides),
            charged_in=self.charged_in,
        )


@attrs.frozen
class RecordingSettings:
    """Where and how `arbitrade record` writes."""

    folder: str = setting("recordings", "Folder for recordings, made when missing.")
    rotate_mb: int = setting(
        256, "Begin a new part at this size, before compression.", unit="MB", minimum=1
    )
    rotate_s: int = setting(3600, "Begin a new part at this age.", unit="s", minimum=1)
    compression: Literal["none", "gzip", "zstd"] = setting("zstd", "Compression of each part.")


@attrs.frozen
class LogSettings:
    """What is told while running, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least severe level that is written."
    )
    format: Literal["console", "json"] = setting(
        "console", "For people, or one JSON object a line for machines."
    )


@attrs.frozen
class RuntimeSettings:
    """What the process runs on."""

    event_loop: Literal["auto", "asyncio", "uvloop", "winloop"] = setting(
        "auto",
        "Who waits for the sockets; `auto` takes uvloop or winloop where one is installed.",
    )
    folder: str = setting(
        "~/.arbitrade",
        "Where the bot keeps its journal, locks, control socket and embedded database.",
    )


@attrs.frozen
class SecretSettings:
    """Where secrets are looked for when neither the environment nor a file has them."""

    keyring: bool = setting(True, "Ask the operating system's keyring.")
    vault: str = setting(
        ".secrets.vault", "Encrypted file, relative to the folder of `settings.toml`."
    )
