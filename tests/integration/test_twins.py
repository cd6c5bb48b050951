"""The compiled engine is the interpreted one, only sooner: bit for bit, whatever comes in."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from random import Random

import attrs
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arbitrade import Changed, Instruments, OrderBook
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.engine import DetectorFactory, Engine
from arbitrade.errors import MessageError
from arbitrade.hot import LOOP, unavailable
from arbitrade.models import Leg, MarketEvent, Opportunity, Side
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols import Detector
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade.testing.twins import Twins
from arbitrade.testing.wild import WildMarket
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

STAGES = (LOOP, "arbitrade_kraken._hot", "arbitrade_triangular._hot")
OTHER = "ETH/USD"
_MISSING = [reason for name in STAGES if (reason := unavailable(name))]

pytestmark = pytest.mark.skipif(bool(_MISSING), reason="; ".join(_MISSING) or "compiled")

seeds = st.integers(0, 2**32)
quick = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Wild markets change precisions all the time, and each change is logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


class Parity:
    """A detector without a compiled stage that believes what it is told and nothing else.

    It keeps best prices by the `changed` of each call, so a call that is missing or wrong shows.
    """

    def __init__(self, name: str = "parity", modulus: int = 5) -> None:
        self.name = name
        self.modulus = modulus
        self.best: dict[str, dict[Changed, int | None]] = {}

    def on_instruments(self, instruments: Instruments) -> None:
        self.best.clear()

    def on_fees(self, fees: FeeSchedule) -> None: ...

    def on_void(self, symbol: str) -> None:
        self.best.pop(symbol, None)

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        best = self.best.setdefault(book.symbol, {})
        if changed & Changed.BID:
            best[Changed.BID] = book.best_bid
        if changed & Changed.ASK:
            best[Changed.ASK] = book.best_ask
        told = (best.get(Changed.BID) or 0) + (best.get(Changed.ASK) or 0)
        if told % self.modulus or OTHER not in self.best:
            return ()
        # Not empty, and yet nothing in it every other time.
        return self._found(book, told) if told % 2 else iter(())

    def _found(self, book: OrderBook, told: int) -> Iterator[Opportunity]:
        pair = book.instrument
        yield Opportunity(
            detector=self.name,
            key=f"{book.symbol} {told % 3}",
            assets=(pair.quote, pair.base),
            legs=(Leg(book.symbol, Side.BUY), Leg(book.symbol, Side.SELL)),
            edge_bps=Decimal(told % 1_000),
            size=Decimal(len(book.asks)),
            profit=Decimal(len(book.bids)),
            orders=(),
            lot_profit=Decimal(0),
            dust=(),
            blocked="a test",
            timestamp=book.timestamp,
        )


def triangular(instruments: Instruments, fee: str = "0.0005") -> TriangularDetector:
    return TriangularDetector(instruments, FeeSchedule(Decimal(fee)), TriangularSettings())


DETECTORS: dict[str, DetectorFactory] = {
    "triangular": lambda pairs: (triangular(pairs),),
    "nobody": lambda pairs: (),
    "only an interpreted one": lambda pairs: (Parity(),),
    "an interpreted one first": lambda pairs: (Parity(), triangular(pairs)),
    "an interpreted one last": lambda pairs: (triangular(pairs), Parity()),
    "two that could be compiled": lambda pairs: (
        triangular(pairs),
        Parity(),
        triangular(pairs, "0"),
    ),
}


def feed(
    twins: Twins,
    market: WildMarket,
    count: int,
    between: Callable[[int], None] = lambda number: None,
) -> None:
    """Feed a market's steps to both engines; the market answers calls for a fresh book."""
    assert twins.is_compiled
    for number, step in enumerate(market.steps(count)):
        twins.take(step)
        for symbol in twins.lost:
            market.ask_anew(symbol)
        twins.lost.clear()
        between(number)
        if not number % 25:
            twins.check()
    twins.check()
    twins.each(lambda engine: engine.episodes.close())


@pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)
@given(seed=seeds, wildness=st.sampled_from((0.02, 0.3, 0.8)))
@quick
def test_any_market_is_the_same_to_both(make: DetectorFactory, seed: int, wildness: float) -> None:
    feed(Twins(KrakenVenue(), make), WildMarket(seed, wildness), 300)


@given(seed=seeds, depth=st.sampled_from((None, 1, 10, 25)), deep=st.sampled_from((10, 1_000)))
@quick
def test_books_of_any_depth_are_the_same_to_both(seed: int, depth: int | None, deep: int) -> None:
    twins = Twins(KrakenVenue(), DETECTORS["triangular"], depth=depth)
    feed(twins, WildMarket(seed, 0.3, (1, 2, deep)), 200)


@given(seed=seeds, limits=st.tuples(*[st.sampled_from((None, 0.0, 0.5, 3.0))] * 2))
@quick
def test_limits_of_age_and_crossing_are_the_same_to_both(
    seed: int, limits: tuple[float | None, float | None]
) -> None:
    """The clock jumps, so that messages are late and books crossed for long."""
    lag_s, crossed_s = limits
    rng = Random(seed)
    make = DETECTORS[rng.choice(list(DETECTORS))]
    twins = Twins(KrakenVenue(), make, max_lag_s=lag_s, max_crossed_s=crossed_s)
    begin_ns = twins.clock.time_ns

    def between(number: int) -> None:
        twins.clock.time_ns = begin_ns + number * rng.randrange(0, 3 * 10**9)

    feed(twins, WildMarket(seed, 0.5), 300, between)


@given(seed=seeds, size=st.integers(1, 20), stale=st.sampled_from((b"", b"7" * 40, b"\x81\x7e")))
@quick
def test_messages_of_one_buffer_are_the_same_to_both(seed: int, size: int, stale: bytes) -> None:
    twins = Twins(KrakenVenue(), DETECTORS["an interpreted one last"])
    frames = list(WildMarket(seed, 0.2).frames(200))
    for begin in range(0, len(frames), size):
        twins.on_messages(frames[begin : begin + size], stale)
        twins.check()


@given(seed=seeds)
@quick
def test_detectors_swapped_while_it_runs_are_the_same_to_both(seed: int) -> None:
    rng = Random(seed)
    twins = Twins(KrakenVenue(), DETECTORS["triangular"])

    def between(number: int) -> None:
        if rng.random() > 0.05 or twins.interpreted.instruments is None:
            return
        kind, keeps = rng.choice(list(DETECTORS)), rng.random() < 0.5

        def chosen(engine: Engine) -> Sequence[Detector]:
            assert engine.instruments is not None
            fresh = DETECTORS[kind](engine.instruments)
            return (*engine.detectors[:2], *fresh) if keeps else fresh

        twins.swap_detectors(chosen)

    feed(twins, WildMarket(seed, 0.2), 300, between)


@given(seed=seeds)
@quick
def test_fees_told_while_it_runs_are_the_same_to_both(seed: int) -> None:
    rng = Random(seed)
    twins = Twins(KrakenVenue(), DETECTORS[rng.choice(list(DETECTORS))])

    def between(number: int) -> None:
        if rng.random() < 0.05:
            fees = FeeSchedule(Decimal(rng.randrange(0, 20)) / 10_000)
            twins.each(lambda engine: engine.on_fees(fees))

    feed(twins, WildMarket(seed, 0.2), 300, between)


@given(seed=seeds)
@quick
def test_fees_told_to_a_detector_find_what_one_made_with_them_would(seed: int) -> None:
    rng = Random(seed)
    told, made = (Finds() for _ in range(2))
    for number, step in enumerate(WildMarket(seed, 0.1).steps(300)):
        told.take(step)
        made.take(step)
        if number and rng.random() < 0.05:
            fee = str(Decimal(rng.randrange(0, 20)) / 10_000)
            told.engine.on_fees(FeeSchedule(Decimal(fee)))
            made.engine.swap_detectors([triangular(made.known(), fee)])
    assert told.found == made.found


class Finds:
    """An engine with the triangular detector, and everything it reported."""

    def __init__(self) -> None:
        self.found: list[Opportunity] = []
        self.engine = make_engine(
            KrakenVenue(), DETECTORS["triangular"], lambda found, _: self.found.extend(found)
        )

    def take(self, step: bytes | MarketEvent) -> None:
        with suppress(MessageError):
            if isinstance(step, bytes):
                self.engine.on_frame(step)
            else:
                self.engine.on_event(step)

    def known(self) -> Instruments:
        assert self.engine.instruments is not None
        return self.engine.instruments


@pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)
@pytest.mark.parametrize("depth", [10, 100])
def test_rough_market_is_the_same_to_both(make: DetectorFactory, depth: int) -> None:
    rough = attrs.evolve(
        MarketSettings(pairs=20, frames=1_200, edge_every=80, depth=depth).rough(), seed=depth
    )
    twins = Twins(KrakenVenue(), make)
    assert twins.is_compiled
    for number, frame in enumerate(SyntheticMarket(rough).frames()):
        twins.on_frame(frame)
        if not number % 100:
            twins.check()
    twins.check()
    tally = twins.compiled.tally()
    assert min(tally.wrong, tally.skipped, tally.resyncs) > 0
    assert bool(twins.detections) is (make is not DETECTORS["nobody"])


@pytest.mark.parametrize("system", ["maintenance", "online", "cancel_only"])
def test_state_told_before_any_instruments_is_the_same_to_both(system: str) -> None:
    """A venue in maintenance greets with it, and lists its pairs later."""
    twins = Twins(KrakenVenue(), DETECTORS["triangular"])
    state = b'{"channel":"status","type":"update","data":[{"system":"%s"}]}'
    twins.on_frame(state % system.encode())
    twins.swap_detectors(lambda engine: ())
    for number, frame in enumerate(WildMarket(5, 0.0).frames(100)):
        if number:
            twins.on_frame(frame)
    twins.check()
    twins.on_frame(state % b"online")
    twins.check()
    assert any(book.tradable for book in twins.compiled.books.values())
