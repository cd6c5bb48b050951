"""Every amount has two sides, every fill is booked once, the venue's rows have the last word."""

from collections.abc import Sequence
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.accounting.ledger import Ledger
from arbitrade.errors import ArbitradeError
from arbitrade.models import BalanceChange, ExecutionReport, Fee, OrderStatus, Side
from arbitrade.records import Posting, TransactionBooked
from arbitrade.testing.factories import make_instrument

D = Decimal
PAIR = make_instrument("BTC/USD")
PRECISION = {"USD": 4, "BTC": 8}
ACCOUNTS = ("wallet", "opening", "trading", "fees", "external", "rounding")


def make_ledger() -> tuple[Ledger, list[TransactionBooked]]:
    told: list[TransactionBooked] = []
    return Ledger(PRECISION.get, told.append), told


def fill(
    exec_id: str = "T1",
    quantity: str = "0.5",
    cost: str = "50",
    fee: str = "0.2",
    side: Side = Side.BUY,
    fee_asset: str = "USD",
) -> ExecutionReport:
    return ExecutionReport(
        order_id="O1",
        client_id="c",
        exec_id=exec_id,
        kind="trade",
        status=OrderStatus.PARTIALLY_FILLED,
        symbol="BTC/USD",
        side=side,
        last_quantity=D(quantity),
        last_price=D(cost) / D(quantity),
        cost=D(cost),
        fees=(Fee(fee_asset, D(fee)),),
        cumulative_quantity=None,
        cumulative_cost=None,
        is_maker=False,
        reason=None,
        timestamp=None,
    )


def row(
    ledger_id: str,
    asset: str,
    amount: str,
    fee: str = "0",
    reference: str = "T1",
    kind: str = "trade",
) -> BalanceChange:
    return BalanceChange(ledger_id, reference, kind, asset, D(amount), D(fee), D(0), None)


def explained(ledger: Ledger, asset: str) -> Decimal:
    """Return what all accounts of an asset sum to: nothing."""
    return sum((ledger.account(name, asset) for name in ACCOUNTS), D(0))


def test_opening_is_one_transaction_so_that_a_crash_leaves_all_of_it_or_nothing():
    ledger, told = make_ledger()
    assert not ledger.is_open
    ledger.open({"USD": D(100), "BTC": D(2), "EUR": D(0)}, "run-1")
    assert ledger.is_open
    assert [row.transaction for row in told] == ["opening:run-1"]
    assert ledger.balances() == {"USD": 100, "BTC": 2, "EUR": 0}


@pytest.mark.parametrize(
    ("side", "fee_asset", "usd", "btc"),
    [
        (Side.BUY, "USD", "-50.2", "0.5"),
        (Side.SELL, "USD", "49.8", "-0.5"),
        (Side.BUY, "BTC", "-50", "0.3"),
    ],
)
def test_fill_moves_both_assets_and_its_fee(side, fee_asset, usd, btc):
    ledger, _ = make_ledger()
    flows = ledger.book_fill(fill(side=side, fee_asset=fee_asset), PAIR, 7)
    assert flows == {"USD": D(usd), "BTC": D(btc)}
    assert (ledger.balance("USD"), ledger.balance("BTC")) == (D(usd), D(btc))
    assert ledger.account("fees", fee_asset) == D("0.2")


def test_fill_is_booked_once_by_its_execution_id():
    ledger, told = make_ledger()
    assert ledger.book_fill(fill(), PAIR, 1) is not None
    assert ledger.book_fill(fill(), PAIR, 1) is None
    assert (len(told), ledger.is_booked("T1")) == (1, True)
    assert ledger.flows_of("T1") == {"USD": D("-50.2"), "BTC": D("0.5")}
    assert ledger.flows_of("T2") == {}


def test_event_without_an_execution_id_is_no_fill():
    ledger, told = make_ledger()
    assert ledger.book_fill(attrs.evolve(fill(), exec_id=None), PAIR, 1) is None
    assert told == []


def test_rows_that_agree_change_nothing_and_are_known():
    ledger, told = make_ledger()
    ledger.book_fill(fill(), PAIR, 1)
    assert ledger.book_row(row("L1", "USD", "-50", "0.2")) == {}
    assert ledger.book_row(row("L1", "USD", "-50", "0.2")) is None
    assert len(told) == 1


def test_row_that_was_rounded_otherwise_settles_the_difference_with_itself_as_proof():
    ledger, told = make_ledger()
    ledger.book_fill(fill(), PAIR, 3)
    assert ledger.book_row(row("L1", "USD", "-50", "0.2001")) == {"USD": D("-0.0001")}
    assert ledger.balance("USD") == D("-50.2001")
    assert (told[-1].reason, told[-1].proof, told[-1].cycle) == ("rounding", "L1", 3)


def test_row_before_its_fill_moves_nothing_until_the_fill_is_there():
    ledger, _ = make_ledger()
    assert ledger.book_row(row("L1", "USD", "-50", "0.2001")) == {}
    assert ledger.balance("USD") == 0
    assert ledger.book_fill(fill(), PAIR, 1) == {"USD": D("-50.2001"), "BTC": D("0.5")}
    assert ledger.balance("USD") == D("-50.2001")


def test_other_rows_are_external_with_their_fee_apart():
    ledger, told = make_ledger()
    change = row("L1", "USD", "-100", "1.5", "R1", "withdrawal")
    assert ledger.book_row(change) == {"USD": D("-101.5")}
    assert ledger.book_row(change) is None
    assert (ledger.balance("USD"), ledger.account("external", "USD")) == (D("-101.5"), 100)
    assert (told[0].proof, explained(ledger, "USD")) == ("L1", 0)


def test_differences_name_what_either_side_has():
    ledger, _ = make_ledger()
    ledger.open({"USD": D(10), "BTC": D(1)}, "r")
    assert ledger.differences({"USD": D(10), "EUR": D(3)}) == {"BTC": -1, "EUR": 3}
    ledger.adopt("EUR", D(3), "operator")
    assert ledger.differences({"USD": D(10), "EUR": D(3)}) == {"BTC": -1}


def test_transaction_that_does_not_sum_to_zero_is_refused():
    ledger, _ = make_ledger()
    bad = TransactionBooked("fill:T1", "fill", 0, "", (Posting("wallet", "USD", D(1)),))
    with pytest.raises(ArbitradeError, match="fill:T1 does not sum to zero"):
        ledger.replay(bad)


@st.composite
def stories(draw: st.DrawFn, *, may_split: bool = False) -> list[ExecutionReport | BalanceChange]:
    """Draw fills and the venue's rows about them: one for each asset, or two where it may split."""
    story: list[ExecutionReport | BalanceChange] = []
    for number in range(draw(st.integers(1, 3))):
        name = f"T{number}"
        cost = draw(st.decimals("1", "90", places=7))
        side = draw(st.sampled_from(Side))
        story.append(fill(name, "0.12345678", str(cost), str(cost / 250), side))
        off = draw(st.sampled_from(["0", "0.0001", "-0.0001"]))
        sign = -1 if side is Side.BUY else 1
        net = sign * round(cost, 4) - round(cost / 250, 4) + D(off)
        if not (may_split and draw(st.booleans())):
            story.append(row(f"L{number}a", "USD", str(net), reference=name))
        else:
            story.append(row(f"L{number}a", "USD", str(net + 1), reference=name))
            story.append(row(f"L{number}c", "USD", "-1", reference=name))
        base = f"{-sign * D('0.12345678')}"
        story.append(row(f"L{number}b", "BTC", base, reference=name))
    story.append(row("E1", "USD", "25", "0.5", "R1", "deposit"))
    return story


def tell(ledger: Ledger, story: Sequence[ExecutionReport | BalanceChange]) -> None:
    for one in story:
        if isinstance(one, BalanceChange):
            ledger.book_row(one)
        else:
            ledger.book_fill(one, PAIR, 1)


def truth(story: Sequence[ExecutionReport | BalanceChange]) -> dict[str, Decimal]:
    """Return what the venue's rows sum to."""
    sums = {"USD": D(100), "BTC": D(2)}
    for one in story:
        if isinstance(one, BalanceChange):
            sums[one.asset] += one.amount - one.fee
    return sums


@given(stories(may_split=True), st.data())
def test_in_any_order_and_told_twice_the_ledger_ends_at_the_venues_rows(story, data):
    ledger, told = make_ledger()
    ledger.open({"USD": D(100), "BTC": D(2)}, "r")
    tell(ledger, data.draw(st.permutations([*story, *story])))
    assert ledger.balances() == truth(story)
    assert (explained(ledger, "USD"), explained(ledger, "BTC")) == (0, 0)
    assert len({row.transaction for row in told}) == len(told)


@given(stories(), st.data())
def test_ledger_that_goes_on_from_a_journal_ends_there_as_well(story, data):
    first, told = make_ledger()
    first.open({"USD": D(100), "BTC": D(2)}, "r")
    order = data.draw(st.permutations(story))
    cut = data.draw(st.integers(0, len(order)))
    tell(first, order[:cut])
    kept = data.draw(st.integers(0, len(told)))
    second, _ = make_ledger()
    # Some are in the balances already and only known, the others are replayed.
    balances: dict[str, Decimal] = {}
    for transaction in told[:kept]:
        for posting in transaction.postings:
            if posting.account == "wallet":
                before = balances.get(posting.asset, D(0))
                balances[posting.asset] = before + posting.amount
        second.remember(transaction)
    second.restore(balances)
    for transaction in told[kept:]:
        second.replay(transaction)
    assert second.balances() == first.balances()
    # After a crash the venue tells fills once more, and its rows.
    tell(second, [one for one in story if not isinstance(one, BalanceChange)])
    tell(second, [one for one in story if isinstance(one, BalanceChange)])
    assert second.balances() == truth(story)
