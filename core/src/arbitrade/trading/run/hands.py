"""What differs between live, paper and replay, chosen once; all else of a run is the same code."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

import attrs

from arbitrade.book import OrderBook
from arbitrade.config import PaperSettings
from arbitrade.errors import UsageError
from arbitrade.journal import Journal
from arbitrade.models import Instruments, Mode
from arbitrade.protocols import Account, Clock, TradingVenue, Venue
from arbitrade.trading.gateways.latencies import parse_latency
from arbitrade.trading.gateways.live import LiveGateway
from arbitrade.trading.gateways.nowhere import NowhereGateway
from arbitrade.trading.gateways.paper import PaperLatencies, PaperVenue
from arbitrade.trading.machine.events import TradingEvent
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.state import MachineState


@attrs.frozen
class Inside:
    """What of the machine a gateway may stand on.

    Args:
        state: Its time, timers and fees.
        books: As they are.
        instruments: As they are.
        tell: Hands an event to the machine that follows from what was recorded already.
    """

    state: MachineState
    books: Callable[[], Mapping[str, OrderBook]]
    instruments: Callable[[], Instruments]
    tell: Callable[[TradingEvent], None]


@attrs.frozen
class Outside:
    """What of the process a gateway to a real venue stands on.

    Args:
        journal: Tells when an intent is durable.
        tell: Takes events, which are recorded.
        now_ns: The run's time as it flows.
        began_ns: When the frame or event at hand came, by `time.perf_counter_ns`.
        is_frame: Whether it is a frame of the market.
        on_refused: Called with the reason when the venue refuses our key.
    """

    journal: Journal
    tell: Callable[[TradingEvent], None]
    now_ns: Callable[[], int]
    began_ns: Callable[[], int]
    is_frame: Callable[[], bool]
    on_refused: Callable[[str], None]


class Hands(Protocol):
    """The pair of hands a run trades with."""

    @property
    def mode(self) -> Mode:
        """As whom the run presents itself."""

    @property
    def venue_account(self) -> Account | None:
        """The account at the venue that has to be kept connected; None without one."""

    @property
    def must_reconcile(self) -> bool:
        """True where a venue has a ledger of its own to agree with, and tells fills once more."""

    @property
    def is_real(self) -> bool:
        """True where real money moves: needs the database, required rules, and a way to it."""

    @property
    def opening(self) -> Mapping[str, Decimal]:
        """What an account that was never traded begins with; empty where the venue tells."""

    def make_gateway(self, inside: Inside, outside: Outside | None) -> Gateway:
        """Return the way out; `outside` is None in a replay."""


def choose_hands(mode: Mode, *, live: Callable[[], Hands], paper: Callable[[], Hands]) -> Hands:
    """Return the hands of a mode.  The one place that asks which it is."""
    return live() if mode is Mode.LIVE else paper()


@attrs.frozen
class LiveHands:
    """Orders go to the venue's account."""

    venue_account: Account
    mode: Mode = Mode.LIVE
    must_reconcile: bool = True
    is_real: bool = True
    opening: Mapping[str, Decimal] = attrs.field(factory=dict)

    def make_gateway(self, inside: Inside, outside: Outside | None) -> Gateway:
        """Return the way to the venue."""
        assert outside is not None
        return LiveGateway(
            self.venue_account,
            outside.journal,
            outside.tell,
            outside.now_ns,
            outside.began_ns,
            outside.is_frame,
            outside.on_refused,
        )


@attrs.frozen
class PaperHands:
    """Orders are filled by walking the books, in a run as in its replay."""

    settings: PaperSettings
    venue_account: None = None
    mode: Mode = Mode.PAPER
    must_reconcile: bool = False
    is_real: bool = False

    @property
    def opening(self) -> Mapping[str, Decimal]:
        """The play money of the settings."""
        return dict(self.settings.balances)

    def make_gateway(self, inside: Inside, outside: Outside | None) -> Gateway:
        """Return the simulated venue."""
        paper, state = self.settings, inside.state
        return PaperVenue(
            state.timers,
            lambda: state.now_ns,
            inside.tell,
            books=inside.books,
            instruments=inside.instruments,
            fees=lambda: state.fees,
            latencies=PaperLatencies(
                parse_latency(paper.decision_ms, "paper.decision_ms"),
                parse_latency(paper.send_ms, "paper.send_ms"),
                parse_latency(paper.ack_ms, "paper.ack_ms"),
            ),
            seed=paper.seed,
        )


@attrs.frozen
class RecordedHands:
    """What came of orders at a real venue is on the recording."""

    venue_account: None = None
    mode: Mode = Mode.LIVE
    must_reconcile: bool = True
    is_real: bool = True
    opening: Mapping[str, Decimal] = attrs.field(factory=dict)

    def make_gateway(self, inside: Inside, outside: Outside | None) -> Gateway:
        """Return a way that leads nowhere."""
        return NowhereGateway()


def account_at(venue: Venue, clock: Clock) -> Account:
    """Return the account at a venue.

    Raises:
        UsageError: The venue takes no orders.
        ConfigError: There are no credentials for it.
    """
    if not isinstance(venue, TradingVenue):
        raise UsageError(f"venue {venue.name}: takes no orders; use --mode paper")
    return venue.make_account(clock)
