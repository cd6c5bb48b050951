"""What every implementation of a role must do, as test classes to subclass.

```python
class TestBell(AlertSinkContract):
    @pytest.fixture
    def sink(self) -> AlertSink:
        return Bell()

    @pytest.fixture
    def delivered(self, capsys) -> Callable[[], list[str]]:
        return lambda: capsys.readouterr().err.splitlines()
```
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from functools import partial

import attrs
import pytest
from hypothesis import given, settings

from arbitrade.app import make_engine
from arbitrade.book import OrderBook
from arbitrade.clock import SystemClock
from arbitrade.errors import MessageError
from arbitrade.models import (
    Accepted,
    Alert,
    BookDelta,
    ExecutionReport,
    Instruments,
    InstrumentsChanged,
    Leg,
    MarketEvent,
    Opportunity,
    OrderRequest,
    OrderStatus,
    PlannedOrder,
    Rejected,
    Severity,
    Side,
    Subscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.plugins.roles import role_problems
from arbitrade.protocols import (
    Account,
    AlertSink,
    Decoder,
    Feed,
    Store,
    TradingVenue,
    Venue,
)
from arbitrade.testing.accounts import AccountRecorder, running_account
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.strategies import books


class AlertSinkContract:
    """What every alert sink must do.

    A subclass brings two fixtures: `sink`, which must let CRITICAL alerts through, and `delivered`,
    which returns what has arrived on the other side so far, one text for each message.
    """

    @pytest.fixture
    def sink(self) -> AlertSink:
        """Return the sink under test."""
        raise NotImplementedError("the subclass brings a fixture `sink`")

    @pytest.fixture
    def delivered(self) -> Callable[[], list[str]]:
        """Return a function that lists the messages that arrived since it was last called."""
        raise NotImplementedError("the subclass brings a fixture `delivered`")

    def test_sink_has_a_name_that_does_not_change(self, sink: AlertSink) -> None:
        """The name identifies the sink in messages and statistics."""
        assert sink.name
        assert sink.name == sink.name.strip()
        assert sink.name == sink.name

    async def test_severe_alert_has_arrived_when_send_returns(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Returning means delivered: whoever waits for `send` relies on it."""
        await sink.send(_critical("book of BTC/USD out of sync", "resubscribing"))
        assert any("book of BTC/USD out of sync" in message for message in delivered())

    async def test_alert_without_body_is_delivered(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Only the title is required."""
        await sink.send(_critical("only a title"))
        assert any("only a title" in message for message in delivered())

    async def test_text_beyond_ascii_survives(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Alerts quote figures and names as they are."""
        await sink.send(_critical("Verlust über 5 €", "≥ limit"))
        assert any("Verlust über 5 €" in message for message in delivered())

    async def test_very_long_alert_is_delivered_in_some_form(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """Length limits are the sink's business, not the sender's."""
        await sink.send(_critical("long story", "word " * 20_000))
        assert any("long story" in message for message in delivered())

    async def test_alerts_sent_at_the_same_time_all_arrive(
        self, sink: AlertSink, delivered: Callable[[], list[str]]
    ) -> None:
        """A sink keeps no state that concurrent sends could mix up."""
        titles = [f"alert number {number:02d}" for number in range(5)]
        await asyncio.gather(*(sink.send(_critical(title)) for title in titles))
        messages = delivered()
        assert all(any(title in message for message in messages) for title in titles)


class VenueContract:
    """What every venue must do without a connection: read its own frames, and write them.

    Recordings begin with frames that `encode_*` wrote, so whatever these lose is lost for replays.
    A subclass brings one fixture: `venue`.
    """

    @pytest.fixture
    def venue(self) -> Venue:
        """Return the venue under test."""
        raise NotImplementedError("the subclass brings a fixture `venue`")

    def test_venue_has_a_name_that_does_not_change(self, venue: Venue) -> None:
        """Settings choose it by this name."""
        assert venue.name
        assert venue.name == venue.name.strip()
        assert venue.name == venue.name

    def test_instruments_survive_their_frame(self, venue: Venue) -> None:
        """Every figure of a pair comes back, and so do pairs in their order."""
        known = make_instruments(
            make_instrument(
                "BTC/USD",
                price_precision=1,
                price_increment="0.1",
                minimum_quantity="0.00005",
                minimum_notional="0.5",
                cost_precision=5,
            ),
            make_instrument("ETH/BTC", price_precision=6, quantity_precision=7),
            make_instrument("SHIB/EUR", price_precision=8, quantity_precision=5),
            assets={"BTC": 10, "USD": 4, "ETH": 10, "SHIB": 5, "EUR": 4},
        )
        event = venue.make_decoder().decode(venue.encode_instruments(known))
        assert isinstance(event, InstrumentsChanged)
        assert event.is_snapshot
        assert list(event.pairs) == list(known.values())

    def test_file_of_instruments_may_be_such_a_frame(self, venue: Venue) -> None:
        """`detect --instruments` takes what a recording begins with."""
        known = make_instruments("BTC/USD", "ETH/BTC")
        change = venue.read_instruments(venue.encode_instruments(known))
        assert [pair.symbol for pair in change.pairs] == ["BTC/USD", "ETH/BTC"]

    def test_book_survives_its_snapshot_with_the_right_checksum(self, venue: Venue) -> None:
        """Levels, order and checksum come back as they were."""

        # Made anew for each subclass: Hypothesis keeps what it knows of a test by its function.
        @given(book=books())
        @settings(max_examples=50)
        def check(book: OrderBook) -> None:
            delta = _decoded_snapshot(venue, book)
            assert delta.is_snapshot
            assert list(delta.bids) == list(book.bids)
            assert list(delta.asks) == list(book.asks)
            assert delta.checksum is None or delta.checksum == venue.checksum(book)

        check()

    def test_empty_book_survives_its_snapshot(self, venue: Venue) -> None:
        """A pair may have no orders at all."""
        delta = _decoded_snapshot(venue, make_book("BTC/USD"))
        assert (list(delta.bids), list(delta.asks)) == ([], [])

    def test_timestamp_survives_its_snapshot(self, venue: Venue) -> None:
        """Episodes and lags are counted by it."""
        book = make_book(bids=[("100.00", "1")], asks=[("100.01", "2")])
        moment = "2026-11-22T10:00:00.123456Z"
        assert _decoded_snapshot(venue, book, moment).timestamp == moment

    def test_checksum_is_of_the_book_as_it_is_now(self, venue: Venue) -> None:
        """It follows a change and its undoing."""
        book = make_book(bids=[("100.00", "1")], asks=[("100.01", "2")])
        (bid,) = book.bids
        before = venue.checksum(book)
        book.apply([(bid[0], bid[1] + 1)], [])
        assert venue.checksum(book) != before
        book.apply([bid], [])
        assert venue.checksum(book) == before

    def test_subscription_survives_its_frame(self, venue: Venue) -> None:
        """The depth of a book comes from it."""
        depth = venue.snapshot_depth(1)
        decoder = _decoder(venue, make_instruments("BTC/USD"))
        event = decoder.decode(venue.encode_subscribed("BTC/USD", depth))
        assert isinstance(event, Subscribed)
        assert (event.symbol, event.depth) == ("BTC/USD", depth)

    @pytest.mark.parametrize("state", [VenueState.ONLINE, VenueState.MAINTENANCE])
    def test_state_survives_its_frame(self, venue: Venue, state: VenueState) -> None:
        """Nothing is decided while the venue is not online."""
        event = venue.make_decoder().decode(venue.encode_state(state))
        assert event == VenueStateChanged(state)

    def test_depth_holds_the_levels_asked_for(self, venue: Venue) -> None:
        """And is the smallest that does: asking with it changes nothing."""
        for levels in (1, 10, 11, 25, 26, 100):
            depth = venue.snapshot_depth(levels)
            assert depth >= levels
            assert venue.snapshot_depth(depth) == depth

    @pytest.mark.parametrize("frame", [b"", b"\xff", b"no frame", b"[", b'{"a":'])
    def test_frame_that_is_none_is_a_message_error(self, venue: Venue, frame: bytes) -> None:
        """Never another exception: whoever feeds the decoder handles this one."""
        with pytest.raises(MessageError):
            venue.make_decoder().decode(frame)

    def test_decoders_share_nothing(self, venue: Venue) -> None:
        """What one connection learnt does not leak into another's stream."""
        taught, fresh = _decoder(venue, make_instruments("BTC/USD")), venue.make_decoder()
        taught.decode(venue.encode_state(VenueState.ONLINE))
        assert taught is not fresh
        assert not any(fresh.counters.values())


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
            (open_order,) = await account.open_orders()
            assert (open_order.client_id, open_order.symbol) == (order.client_id, order.symbol)
            assert (open_order.quantity, open_order.side) == (order.quantity, order.side)
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
            assert await account.cancel_all() == 1
            assert list(await account.open_orders()) == []

    async def test_batch_has_an_outcome_for_each_order(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """In the order of the requests."""
        ids = ["contract-b1", "contract-b2", "contract-b3"]
        async with running_account(account):
            outcomes = await account.add_batch([resting(client_id) for client_id in ids])
            assert [outcome.client_id for outcome in outcomes] == ids
            assert all(isinstance(outcome, Accepted) for outcome in outcomes)
            cancelled = await account.cancel(ids)
            assert all(isinstance(cancelled[client_id], Accepted) for client_id in ids)

    async def test_order_is_amended_in_place(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """Same ids, new quantity."""
        order = resting("contract-amend")
        async with running_account(account):
            await account.add(order)
            twice = format(order.quantity * 2, "f")
            outcome = await account.amend(order.client_id, quantity=twice)
            assert isinstance(outcome, Accepted)
            (state,) = await account.open_orders()
            assert state.quantity == order.quantity * 2
            await account.cancel_all()

    async def test_dry_run_leaves_nothing(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """Checked, not placed."""
        async with running_account(account):
            order = attrs.evolve(resting("contract-dry"), is_dry_run=True)
            assert isinstance(await account.add(order), Accepted)
            assert list(await account.open_orders()) == []

    async def test_fee_rates_are_fractions(
        self, account: Account, resting: Callable[[str], OrderRequest]
    ) -> None:
        """Not percent, not basis points."""
        symbol = resting("contract-fees").symbol
        async with running_account(account):
            (rates,) = await account.fee_rates([symbol])
        assert rates.symbol == symbol
        assert Decimal(-1) < rates.maker <= rates.taker < Decimal("0.05")

    async def test_dead_mans_switch_is_confirmed(self, account: Account) -> None:
        """Armed and let go."""
        async with running_account(account):
            assert await account.cancel_all_after(60)
            assert await account.cancel_all_after(0)


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


class StoreContract:
    """What every store must do.

    A subclass brings two fixtures: `store`, and `kept`, which returns what can be read back once
    the store was closed: one mapping for each sighting, in order, with the keys of `detect --out`
    and numbers as `Decimal`.
    """

    @pytest.fixture
    def store(self) -> Store:
        """Return the store under test, empty."""
        raise NotImplementedError("the subclass brings a fixture `store`")

    @pytest.fixture
    def kept(self) -> Callable[[], list[Mapping[str, object]]]:
        """Return a function that reads back what was written."""
        raise NotImplementedError("the subclass brings a fixture `kept`")

    def test_sightings_are_kept_in_order_with_every_digit(
        self, store: Store, kept: Callable[[], list[Mapping[str, object]]]
    ) -> None:
        """Nothing goes through a float on its way."""
        edges = [Decimal("13.60123456789012345678"), Decimal("-0.1"), Decimal(0)]
        for line, edge in enumerate(edges, start=7):
            store.write(_sighting(edge), line)
        store.close()
        rows = kept()
        assert [row["edge_bps"] for row in rows] == edges
        assert [row["line"] for row in rows] == [7, 8, 9]
        assert rows[0]["assets"] == ["USD", "BTC", "ETH"]
        assert rows[0]["size"] == Decimal("15020.005")

    def test_blocked_sighting_carries_its_reason(
        self, store: Store, kept: Callable[[], list[Mapping[str, object]]]
    ) -> None:
        """Why something was not taken is half of what is worth knowing."""
        store.write(_sighting(Decimal(1), blocked="below the minimum of ETH/USD"), 1)
        store.close()
        assert kept()[0]["blocked"] == "below the minimum of ETH/USD"

    def test_store_without_sightings_is_empty(
        self, store: Store, kept: Callable[[], list[Mapping[str, object]]]
    ) -> None:
        """Finding nothing is a result."""
        store.close()
        assert kept() == []

    def test_store_may_be_closed_twice(self, store: Store) -> None:
        """Whoever cleans up need not know who did before."""
        store.close()
        store.close()


def _decoder(venue: Venue, instruments: Instruments) -> Decoder:
    decoder = venue.make_decoder()
    decoder.decode(venue.encode_instruments(instruments))
    return decoder


def _decoded_snapshot(
    venue: Venue, book: OrderBook, timestamp: str | None = "2026-11-22T10:00:00.000000Z"
) -> BookDelta:
    decoder = _decoder(venue, Instruments([book.instrument]))
    event = decoder.decode(venue.encode_snapshot(book, timestamp))
    assert isinstance(event, BookDelta)
    assert event.symbol == book.symbol
    return event


def _critical(title: str, body: str = "") -> Alert:
    return Alert(Severity.CRITICAL, title, body)


def _sighting(edge_bps: Decimal, blocked: str | None = None) -> Opportunity:
    symbols = ("BTC/USD", "ETH/BTC", "ETH/USD")
    sides = (Side.BUY, Side.BUY, Side.SELL)
    orders = [
        PlannedOrder(symbol, side, Decimal("0.30"), Decimal("50025.0"))
        for symbol, side in zip(symbols, sides, strict=True)
    ]
    return Opportunity(
        detector="triangular",
        key="triangular:USD>BTC>ETH",
        assets=("USD", "BTC", "ETH"),
        legs=tuple(Leg(symbol, side) for symbol, side in zip(symbols, sides, strict=True)),
        edge_bps=edge_bps,
        size=Decimal("15020.005"),
        profit=Decimal("42.302881"),
        orders=() if blocked else tuple(orders),
        lot_profit=Decimal(42),
        dust=(),
        blocked=blocked,
        timestamp="2026-11-22T10:00:00.000000Z",
    )


class LiveVenueContract:
    """What every venue's feed must do against something that answers, such as a simulator.

    A subclass brings one fixture: `live_venue`, whose feed reaches at least three pairs that trade.
    """

    @pytest.fixture
    async def live_venue(self) -> Venue:
        """Return the venue under test, with somebody to answer it."""
        raise NotImplementedError("the subclass brings a fixture `live_venue`")

    async def test_feed_brings_the_books_that_were_chosen_into_sync(
        self, live_venue: Venue
    ) -> None:
        """Instruments first, then each book by a snapshot, and every checksum is right."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
            await watch.until(lambda: watch.engine.tally().book_updates > 2 * len(watch.chosen))
        assert watch.engine.instruments is not None
        assert set(watch.engine.books) == set(watch.chosen)
        assert watch.engine.tally().wrong == 0

    async def test_resync_brings_a_fresh_snapshot_of_that_book_alone(
        self, live_venue: Venue
    ) -> None:
        """The other books go on as they are."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
            before = Counter(watch.snapshots)
            watch.feed.resync(watch.chosen[0])
            await watch.until(lambda: watch.snapshots[watch.chosen[0]] > before[watch.chosen[0]])
            await watch.until(watch.is_synced)
        fresh = Counter(watch.snapshots) - before
        assert dict(fresh) == {watch.chosen[0]: 1}

    async def test_what_is_sent_and_received_is_told_with_its_connection(
        self, live_venue: Venue
    ) -> None:
        """A recording of it replays: requests and frames come in the order they went."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
        assert watch.sent
        assert watch.connections == set(range(len(watch.connections)))

    async def test_statistics_count(self, live_venue: Venue) -> None:
        """An operator sees by them that it is alive."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
            assert all(isinstance(count, int) for count in watch.feed.statistics().values())
            assert watch.feed.statistics()


class _Watch:
    """A feed's handler over a real engine, that can be waited on."""

    def __init__(self, venue: Venue, pairs: int) -> None:
        self.engine = make_engine(venue, lambda _: (), lambda *_: None)
        self.chosen: tuple[str, ...] = ()
        self.snapshots: Counter[str] = Counter()
        self.connections: set[int] = set()
        self.sent: list[bytes] = []
        self._pairs = pairs
        self._decoder = venue.make_decoder()
        self._news = asyncio.Event()
        self.feed: Feed = venue.make_feed(self._choose, self)
        self.engine.on_out_of_sync = self.feed.resync

    def _choose(self, instruments: Instruments) -> Collection[str]:
        self.chosen = tuple(pair.symbol for pair in instruments.online()[: self._pairs])
        return self.chosen

    def is_synced(self) -> bool:
        return bool(self.chosen) and self.engine.books_in_sync == len(self.chosen)

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        self.connections.add(connection)
        event = self._decoder.decode(frame)
        if isinstance(event, BookDelta) and event.is_snapshot:
            self.snapshots[event.symbol] += 1
        self._news.set()
        return self.engine.on_frame(frame)

    def on_sent(self, connection: int, frame: bytes) -> None:
        self.sent.append(frame)

    def on_event(self, connection: int, event: MarketEvent) -> None:
        self.engine.on_event(event)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def _watching(venue: Venue, pairs: int = 3) -> AsyncIterator[_Watch]:
    watch = _Watch(venue, pairs)
    task = asyncio.create_task(watch.feed.run())
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
