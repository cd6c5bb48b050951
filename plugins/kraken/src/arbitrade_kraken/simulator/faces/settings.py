"""How the simulator's faces behave; what the market and the rules are is the exchange's."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Self

import attrs

from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings

PLENTY: Mapping[str, Decimal] = {
    "USD": Decimal(100_000),
    "EUR": Decimal(100_000),
    "GBP": Decimal(50_000),
    "USDT": Decimal(50_000),
    "USDC": Decimal(50_000),
    "BTC": Decimal(2),
    "ETH": Decimal(50),
    "SOL": Decimal(500),
}
"""What an account begins with when nothing is said."""


@attrs.frozen(kw_only=True)
class WireSettings:
    """Manners of the wire.  Milliseconds are (shortest, longest).

    Args:
        snapshot_ms: From the acknowledgement of a book to its snapshot.
        processing_ms: What a private request takes before it reaches the engine.
        network_ms: On top of every answer and private message, one way.
        heartbeat_s: Between two heartbeats; 0 for none.
        idle_s: A socket without a subscription closes after this long without a request.
        attempts: Connection attempts in ten minutes that an address has; 0 for any number.
        ban_s: How long an address is banned that had more.
        requests_per_s: Requests a second that a public socket has; 0 for any number.
        disconnect_every_s: Mean time between two random disconnects of some socket; 0 for never.
        executions_first: Executions are sent before the acknowledgement of their order.
        reorder_unacknowledged: Amends and cancels sent without waiting for the answer to the one
            before may be carried out in any order.
        token_s: Life of an unused WebSocket token.
        unknown_fields: Public frames carry a field nobody has documented.
        batch_cancel_count: `result` for `{"count": n}` as documented, `top_level` for
            `orders_cancelled` beside it as recorded.
        disarmed_trigger: What `triggerTime` says when the switch is off; None leaves it out.
        rate_counter_field: Where `ratecounter` puts the counter; its name is not established.
        already_subscribed: Refusal of a second subscription; its text is not established.
        not_subscribed: Refusal of an unsubscription from nothing; its text is not established.
        failed_result: `missing` or `null`: what `result` is in a failed REST answer.
        minimum_fee_names: `recorded` for `minfee`, `documented` for `min_fee` in TradeVolume.
        api_key_names: `recorded` for `api_key_name`, `documented` for `apiKeyName`.
        status_missing: Share of AssetPairs rows without a status, as in mid 2026.
        open_orders_lag_ms: How long a new order is missing from OpenOrders.
        public_calls_per_s: Public REST calls a second that an address has; 0 for any number.
    """

    snapshot_ms: tuple[int, int] = (40, 250)
    processing_ms: tuple[int, int] = (1, 10)
    network_ms: tuple[int, int] = (0, 0)
    heartbeat_s: float = 1.0
    idle_s: float = 60.0
    attempts: int = 150
    ban_s: float = 600.0
    requests_per_s: int = 100
    disconnect_every_s: float = 0.0
    executions_first: bool = False
    reorder_unacknowledged: bool = True
    token_s: int = 900
    unknown_fields: bool = False
    batch_cancel_count: str = "result"
    disarmed_trigger: str | None = "0"
    rate_counter_field: str = "ratecount"
    already_subscribed: str = "Already subscribed"
    not_subscribed: str = "Subscription not found"
    failed_result: str = "missing"
    minimum_fee_names: str = "recorded"
    api_key_names: str = "recorded"
    status_missing: float = 0.0
    open_orders_lag_ms: int = 0
    public_calls_per_s: int = 0

    def prompt(self) -> Self:
        """Return these settings without any delay, for tests."""
        return attrs.evolve(
            self, snapshot_ms=(0, 0), processing_ms=(0, 0), network_ms=(0, 0), attempts=0
        )


@attrs.frozen(kw_only=True)
class SimulatorSettings:
    """A simulator: which market, how fast, and who may trade.

    Args:
        port: 0 for a free one.
        pairs: How many of the venue's pairs, the busiest first; 0 for all.
        symbols: These instead.
        seed: Of everything that happens by chance.
        rate: Moves of the market a second; 0 stands still until `step` is called.
        recording: Drive the market by this instead of the generator.
        balances: What the funded account begins with; None for `PLENTY` of what is listed.
        account: Its name.
        market: Of the generator; None for its defaults with this seed.
        exchange: Rules; None for their defaults with this seed.
    """

    host: str = "127.0.0.1"
    port: int = 0
    pairs: int = 50
    symbols: tuple[str, ...] = ()
    seed: int = 1
    rate: float = 200.0
    recording: Path | None = None
    account: str = "main"
    balances: Mapping[str, Decimal] | None = None
    wire: WireSettings = attrs.field(factory=WireSettings)
    market: GeneratedMarketSettings | None = None
    exchange: ExchangeSettings | None = None
