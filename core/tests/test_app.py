"""Plugins enabled and disabled while the engine runs."""

from collections.abc import Iterable

from arbitrade import Changed, Instruments, Opportunity, OrderBook, hookimpl
from arbitrade.config import Settings
from arbitrade.engine.assembly import assemble
from arbitrade.models import InstrumentsChanged
from arbitrade.plugins import PluginRegistry
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.venue import EventVenue


class Looker:
    """Counts what it is shown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[str] = []

    def on_instruments(self, instruments: Instruments) -> None:
        self.seen.append("instruments")

    def on_fees(self, fees: FeeSchedule) -> None:
        self.seen.append(f"fees {fees.taker}")

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        self.seen.append(book.symbol)
        return ()

    def on_void(self, symbol: str) -> None:
        self.seen.append(f"void {symbol}")


class Plugin:
    """A plugin with one detector, made anew whenever it is wired."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[Looker] = []

    @hookimpl
    def arbitrade_register_detectors(self) -> list[Looker]:
        self.made.append(Looker(self.name))
        return [self.made[-1]]


def test_a_plugin_toggled_at_run_time_is_swapped_between_two_events() -> None:
    left, right = Plugin("left"), Plugin("right")
    registry = PluginRegistry.of({"left": left, "right": right})
    venue = EventVenue()
    engine = assemble(Settings(), registry, venue, lambda *_: None)
    pair = make_instrument("BTC/USD")
    engine.on_frame(venue.frame(InstrumentsChanged(True, (pair,), ())))
    book = OrderBook(pair, 10)
    book.load([(100, 1)], [(101, 1)])
    frame = venue.encode_snapshot(book, None)
    engine.on_frame(frame)
    assert left.made[0].seen == right.made[0].seen == ["BTC/USD"]

    registry.disable("right")
    engine.on_frame(frame)
    # The one that stays is shown every book anew, then the next message.
    assert left.made[0].seen == ["BTC/USD"] * 3
    assert right.made[0].seen == ["BTC/USD"]

    registry.enable("right")
    engine.on_frame(frame)
    assert right.made[0].seen == ["BTC/USD"]
    assert right.made[1].seen == ["BTC/USD"] * 2
    assert [detector.name for detector in engine.detectors] == ["left", "right"]


def test_a_plugin_toggled_before_the_instruments_are_known_is_asked_when_they_are() -> None:
    left = Plugin("left")
    registry = PluginRegistry.of({"left": left})
    venue = EventVenue()
    engine = assemble(Settings(), registry, venue, lambda *_: None)
    registry.disable("left")
    registry.enable("left")
    engine.on_frame(venue.frame(InstrumentsChanged(True, (make_instrument(),), ())))
    assert [detector.name for detector in engine.detectors] == ["left"]
