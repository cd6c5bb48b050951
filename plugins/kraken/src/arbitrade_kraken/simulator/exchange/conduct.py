"""What nobody has established about the venue, as settings with conservative defaults."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

import attrs


@attrs.frozen(kw_only=True)
class Reasons:
    """Texts of `reason`; only the first is established on the wire."""

    user: str = "User requested"
    rest: str = "Immediate or cancel"
    all_or_nothing: str = "OrderFill or kill"
    self_trade: str = "Self trade prevention"
    protection: str = "Market price protection"
    exhausted: str = "Insufficient liquidity"
    dead_man: str = "Cancel all orders after timeout"
    expiry: str = "Order expired"
    replaced: str = "Order replaced"
    below_filled: str = "Order quantity amended below filled"
    rescaled: str = "Pair precision changed"


@attrs.frozen(kw_only=True)
class ExchangeSettings:
    """What nobody has established about the venue, or what a test wants otherwise.

    Args:
        seed: Of ids, keys and the order of entries in messages.
        allow_fok_over_ws: FOK on the WebSocket; documented for REST only.
        default_fee_in_base: What a sell without preference pays in: False for quote as recorded,
            True for the documented base.
        honour_fee_preference: False charges in quote whatever was asked for.
        protection: Market orders don't trade further than this fraction from the best price.
        domain_limit: Account-wide trading counter, None for none; its size is not published.
        matches_limit_only: Whether a `limit_only` pair matches; the support page says no.
        cancels_when_full: Whether a cancel is carried out while the trading counter is full.
        fee_rounding: How reported fees are rounded, a mode of `decimal`.
        ledger_rounding: How ledger rows are rounded; `ROUND_DOWN` truncates.
        duplicate_client_id: Text of that refusal.
        gone_order: Text of the refusal to cancel what is gone; also seen `EOrder:Invalid order`.
        below_minimum: Text below `qty_min`; also seen
            `EGeneral:Invalid arguments:volume minimum not met`.
        off_tick: Text of a price off the tick.
        unavailable: Text while engine or pair are in maintenance, not yet or no longer listed.
        restricted: Assets an account may not trade, by its country's code.
        removals_first: Whether a book message names levels that go before those that come, as in
            every recorded message; nothing promises it.
        reasons: Why orders end.
    """

    seed: int = 1
    allow_fok_over_ws: bool = False
    default_fee_in_base: bool = False
    honour_fee_preference: bool = True
    protection: Decimal = Decimal("0.05")
    domain_limit: Decimal | None = None
    matches_limit_only: bool = False
    cancels_when_full: bool = False
    fee_rounding: str = ROUND_HALF_UP
    ledger_rounding: str = ROUND_HALF_UP
    duplicate_client_id: str = "EOrder:Duplicate client order id"
    gone_order: str = "EOrder:Unknown order"
    below_minimum: str = "EOrder:Order minimum not met"
    off_tick: str = "EOrder:Tick size check failed"
    unavailable: str = "EService:Unavailable"
    restricted: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    removals_first: bool = True
    reasons: Reasons = Reasons()
