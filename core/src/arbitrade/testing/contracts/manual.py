"""What an account has to keep to that offers more than a bot needs."""

from collections.abc import Callable

import pytest

from arbitrade.models import Accepted, OrderRequest
from arbitrade.protocols import ManualAccount
from arbitrade.testing.accounts import running_account


class ManualAccountContract:
    """What a `ManualAccount` must do beside `AccountContract`, at the same venue.

    A subclass brings two fixtures: `manual_account`, with money, not running yet; and `resting`,
    which makes an order, given our id for it, that stands in the book without filling.
    """

    @pytest.fixture
    def manual_account(self) -> ManualAccount:
        """Return the account under test."""
        raise NotImplementedError("the subclass brings a fixture `manual_account`")

    @pytest.fixture
    def resting(self) -> Callable[[str], OrderRequest]:
        """Return a function that makes an order that doesn't fill."""
        raise NotImplementedError("the subclass brings a fixture `resting`")

    def test_account_plays_the_role(self, manual_account: ManualAccount) -> None:
        """By this a script tells whether it can ask for more."""
        assert isinstance(manual_account, ManualAccount)

    async def test_open_orders_are_all_that_stand(
        self, manual_account: ManualAccount, resting: Callable[[str], OrderRequest]
    ) -> None:
        """Until they are cancelled, all at once."""
        order = resting("contract-open")
        async with running_account(manual_account):
            assert isinstance(await manual_account.add(order), Accepted)
            (stands,) = await manual_account.open_orders()
            assert (stands.client_id, stands.symbol) == (order.client_id, order.symbol)
            assert (stands.quantity, stands.side) == (order.quantity, order.side)
            assert await manual_account.cancel_all() == 1
            assert list(await manual_account.open_orders()) == []

    async def test_batch_has_an_outcome_for_each_order(
        self, manual_account: ManualAccount, resting: Callable[[str], OrderRequest]
    ) -> None:
        """In the order of the requests."""
        ids = ["contract-b1", "contract-b2", "contract-b3"]
        async with running_account(manual_account):
            outcomes = await manual_account.add_batch([resting(client_id) for client_id in ids])
            assert [outcome.client_id for outcome in outcomes] == ids
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            cancelled = await manual_account.cancel(ids)
            assert all(isinstance(cancelled[client_id], Accepted) for client_id in ids)

    async def test_order_is_amended_in_place(
        self, manual_account: ManualAccount, resting: Callable[[str], OrderRequest]
    ) -> None:
        """Same ids, new quantity."""
        order = resting("contract-amend")
        async with running_account(manual_account):
            await manual_account.add(order)
            twice = format(order.quantity * 2, "f")
            outcome = await manual_account.amend(order.client_id, quantity=twice)
            assert isinstance(outcome, Accepted)
            (state,) = await manual_account.open_orders()
            assert state.quantity == order.quantity * 2
            await manual_account.cancel_all()

    async def test_dead_mans_switch_is_confirmed(self, manual_account: ManualAccount) -> None:
        """Armed and let go."""
        async with running_account(manual_account):
            assert await manual_account.cancel_all_after(60)
            assert await manual_account.cancel_all_after(0)
