"""What every venue that takes orders, and every account, has to keep to."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial

import attrs
import pytest

from arbitrade.clock import SystemClock
from arbitrade.models import (
    Accepted,
    ExecutionReport,
    OrderRequest,
    OrderStatus,
    Rejected,
    Side,
)
from arbitrade.plugins.roles import role_problems
from arbitrade.protocols import (
    Account,
    TradingVenue,
)
from arbitrade.testing.accounts import AccountRecorder, running_account


class TradingVenueContract:
    """What a venue that takes orders must do beside `VenueContract`; nothing is connected.

    A subclass brings one fixture: `trading_venue`, whose settings have credentials.
    """

    @pytest.fixture
    def trading_venue(self) -> TradingVenue:
        """Return the venue under test."""
        raise NotImplementedError("the subclass brings a fixture `trading_venue`")

    def test_venue_plays_the_role(self, trading_venue: TradingVenue) -> None:
        """By this core tells whether orders can go there."""
        assert isinstance(trading_venue, TradingVenue)

    async def test_account_is_made_with_any_clock(self, trading_venue: TradingVenue) -> None:
        """With the system's, or with one that was handed in; either way it is the same account."""
        usual, own = trading_venue.make_account(), trading_venue.make_account(SystemClock())
        assert usual is not own
        assert usual.name == own.name != ""
        assert role_problems(own, Account) == ()


class AccountContract:
    """What every account must do, at a venue that is there to be traded with.

    A subclass brings three fixtures: `account`, with money, not running yet; `resting`, which makes
    an order, given our id for it, that stands in the book without filling; and `taking`, which
    makes one that fills at once and entirely.
    """

    @pytest.fixture
    def account(self) -> Account:
        """Return the account under test."""
        raise NotImplementedError("the subclass brings a fixture `account`")

    @pytest.fixture
    def resting(self) -> Callable[[str], OrderRequest]:
        """Return a function that makes an order that doesn't fill."""
        raise NotImplementedError("the subclass brings a fixture `resting`")

    @pytest.fixture
    def taking(self) -> Callable[[str], OrderRequest]:
        """Return a function that makes an order that fills at once."""
        raise NotImplementedError("the subclass brings a fixture `taking`")

    async def test_account_is_ready_with_balances_told(self, account: Account) -> None:
        """Nobody has to ask for them first."""
        async with running_account(account) as told:
            assert any(balance.total > 0 for balance in told.balances[-1])
            assert {b.asset for b in await account.balances()} >= {
                b.asset for b in told.balances[-1] if b.total > 0
            }
        assert told.readiness == [True, False]
        assert account.name == account.name

    async def test_order_stands_until_it_is_cancelled(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """And what became of it can be asked for at any time."""
        order = resting("contract-resting")
        async with running_account(account) as told:
            assert isinstance(await account.add(order), Accepted)
            stands = await account.resolve(order.client_id)
            assert stands is not None
            assert not stands.status.is_final
            assert (stands.client_id, stands.symbol) == (order.client_id, order.symbol)
            assert (stands.quantity, stands.side) == (order.quantity, order.side)
            outcome = (await account.cancel([order.client_id]))[order.client_id]
            assert isinstance(outcome, Accepted)
            await told.until(lambda: told.has_ended(order.client_id))
            state = await account.resolve(order.client_id)
            assert state is not None
            assert state.status is OrderStatus.CANCELED
            assert state.filled_quantity == 0
            again = (await account.cancel([order.client_id]))[order.client_id]
            assert isinstance(again, Rejected)

    async def test_fill_is_told_once_with_everything_that_is_booked(
        self, account: Account, taking: Callable[[str], OrderRequest]
    ) -> None:
        """The stream, the order when asked for, and the history agree."""
        order = taking("contract-taking")
        async with running_account(account) as told:
            assert isinstance(await account.add(order), Accepted)
            await told.until(lambda: told.has_ended(order.client_id) and len(told.changes) >= 2)
            reports = told.reports_of(order.client_id)
            fills = [report for report in reports if report.exec_id is not None]
            assert reports[-1].status is OrderStatus.FILLED
            assert sum(fill.last_quantity for fill in fills) == order.quantity
            assert len({fill.exec_id for fill in fills}) == len(fills)
            assert all(fill.symbol == order.symbol and fill.side is order.side for fill in reports)
            state = await account.resolve(order.client_id)
            assert state is not None
            assert state.filled_quantity == order.quantity
            history = await account.fills_since("2000-01-01T00:00:00Z")
            assert {fill.exec_id for fill in history} == {fill.exec_id for fill in fills}
            assert {fill.client_id for fill in history} == {order.client_id}
            base, _, quote = order.symbol.partition("/")
            assert {change.asset for change in told.changes} == {base, quote}

    async def test_fills_add_up_to_the_change_of_each_balance(
        self, account: Account, taking: Callable[[str], OrderRequest]
    ) -> None:
        """To the last digit; and the history tells the same numbers under the same ids."""
        async with running_account(account) as told:
            before = {balance.asset: balance.total for balance in await account.balances()}
            fills = await _filled(account, told, [taking(f"contract-sum-{n}") for n in range(3)])
            after = {balance.asset: balance.total for balance in await account.balances()}
            history = await account.fills_since("2000-01-01T00:00:00Z")
        changes = _changes_of(fills.values())
        assert {asset for asset in before if after[asset] != before[asset]} <= set(changes)
        for asset, change in changes.items():
            assert after[asset] - before.get(asset, Decimal(0)) == change, asset
        assert {fill.exec_id: _booked(fill) for fill in history} == {
            exec_id: _booked(fill) for exec_id, fill in fills.items()
        }

    async def test_ledger_says_what_the_stream_said(
        self, account: Account, taking: Callable[[str], OrderRequest]
    ) -> None:
        """Row by row; those of a trade carry the fill's id."""
        async with running_account(account) as told:
            fills = await _filled(account, told, [taking("contract-ledger")])
            ledger = await account.ledger_since("2000-01-01T00:00:00Z")
        rows = {change.ledger_id: change for change in ledger}
        assert all(rows[change.ledger_id] == change for change in told.changes)
        assert {change.reference for change in told.changes} == set(fills)

    async def test_venue_tells_its_time(self, account: Account) -> None:
        """Nanoseconds since the epoch, that never go back."""
        async with running_account(account):
            first, second = await account.server_time_ns(), await account.server_time_ns()
        assert 1_500_000_000_000_000_000 < first <= second < 4_000_000_000_000_000_000

    async def test_order_that_was_never_sent_is_none(self, account: Account) -> None:
        """Not an error: after a crash nobody knows whether it went out."""
        async with running_account(account):
            assert await account.resolve("contract-never") is None

    async def test_client_id_of_an_open_order_is_refused(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """By it orders are found again, so two must never share one."""
        async with running_account(account):
            assert isinstance(await account.add(resting("contract-twice")), Accepted)
            assert isinstance(await account.add(resting("contract-twice")), Rejected)
            state = await account.resolve("contract-twice")
            assert state is not None
            assert not state.status.is_final
            await account.cancel(["contract-twice"])

    async def test_dry_run_leaves_nothing(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """An order that is only to be checked holds no balance and stands nowhere."""
        async with running_account(account):
            order = attrs.evolve(resting("contract-dry"), is_dry_run=True)
            assert isinstance(await account.add(order), Accepted)
            assert await account.resolve(order.client_id) is None

    async def test_fee_rates_are_fractions(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """Not percent, not basis points."""
        symbol = resting("contract-fees").symbol
        async with running_account(account):
            (rates,) = await account.fee_rates([symbol])
        assert rates.symbol == symbol
        assert Decimal(-1) < rates.maker <= rates.taker < Decimal("0.05")


async def _filled(
    account: Account, told: AccountRecorder, orders: Iterable[OrderRequest]
) -> dict[str, ExecutionReport]:
    """Send orders one after the other; return their fills by id once their rows have come too."""
    for order in orders:
        assert isinstance(await account.add(order), Accepted)
        await told.until(partial(told.has_ended, order.client_id))
    fills = {report.exec_id: report for report in told.reports if report.exec_id is not None}
    await told.until(lambda: len(told.changes) >= 2 * len(fills))
    return fills


def _changes_of(fills: Iterable[ExecutionReport]) -> dict[str, Decimal]:
    """Return what fills change: a buy +quantity −cost, a sell −quantity +cost, both less fees."""
    changes: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        base, _, quote = (fill.symbol or "").partition("/")
        sign = 1 if fill.side is Side.BUY else -1
        changes[base] += sign * fill.last_quantity
        changes[quote] -= sign * fill.cost
        for fee in fill.fees:
            changes[fee.asset] -= fee.amount
    return changes


def _booked(fill: ExecutionReport) -> tuple[object, ...]:
    return (
        *(fill.order_id, fill.client_id, fill.symbol, fill.side, fill.timestamp),
        *(fill.last_quantity, fill.last_price, fill.cost, fill.fees, fill.is_maker),
    )
