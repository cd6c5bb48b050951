"""How a distribution's compiled stages join the engine."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from arbitrade.book import OrderBook
from arbitrade.models import (
    Instrument,
    Opportunity,
)
from arbitrade.protocols.market import Detector


class CompiledStage(Protocol):
    """A stage of the compiled hot path: C functions over memory as docs/hot-path.md says."""

    def capsule(self) -> object:
        """Return the PyCapsule with the stage's functions; valid as long as this object lives."""


@runtime_checkable
class CompiledVenue(Protocol):
    """A venue that decodes and verifies compiled."""

    def compiled_stage(self, pairs: Sequence[Instrument | None]) -> CompiledStage | None:
        """Return the stage for these pairs by slot, None where nothing is compiled."""


@runtime_checkable
class CompiledDetector(Detector, Protocol):
    """A detector that screens compiled."""

    def compiled_screen(
        self, slots: Mapping[str, int], books: Mapping[str, OrderBook]
    ) -> CompiledStage | None:
        """Return the stage for pairs at these slots, None where nothing is compiled.

        From then on core may not call `on_book` any more for verified messages; `books` is where
        the detector finds the books it sizes.  Asked again after each `on_instruments` and
        `on_fees`.
        """

    def live_opportunities(self, book: OrderBook) -> Iterable[Opportunity]:
        """Return what `on_book` would: everything that is there now through this book's pair."""
