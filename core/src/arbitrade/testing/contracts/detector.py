"""What every detector has to keep to."""

from collections.abc import Callable

import pytest

from arbitrade.book import OrderBook
from arbitrade.models import Instruments
from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.trials import detectors as trial
from arbitrade.plugins.trials.detectors import MakeBooks, MakeDetector
from arbitrade.plugins.trials.running import PATIENCE_S, within
from arbitrade.protocols import Detector


class DetectorContract:
    """What every detector must do.

    A subclass brings one fixture: `make_detector`, a function that returns a fresh detector for
    some instruments.

    ```python
    class TestWide(DetectorContract):
        @pytest.fixture
        def make_detector(self) -> Callable[[Instruments], Detector]:
            return lambda instruments: WideSpread(FeeSchedule(Decimal(0)), Decimal(0))
    ```

    It is shown three books, BTC/USD, ETH/BTC and ETH/USD, whose cycle pays 4 % before fees and
    whose spreads are wide, and has to find something in them.  One that is about other books brings
    them by a second fixture: `make_books`, a function that returns them in sync, anew each time.
    """

    @pytest.fixture
    def make_detector(self) -> MakeDetector:
        """Return a function that makes the detector under test."""
        raise NotImplementedError("the subclass brings a fixture `make_detector`")

    @pytest.fixture
    def make_books(self) -> MakeBooks:
        """Return a function that makes the books to show."""
        return trial.sample_books

    def test_detector_plays_the_role_under_a_name_that_does_not_change(
        self, make_detector: MakeDetector, make_books: MakeBooks
    ) -> None:
        """What it reports carries the name."""
        one, other = (make_detector(_instruments(make_books())) for _ in range(2))
        assert role_problems(one, Detector) == ()
        assert one.name == other.name == one.name.strip() != ""

    def test_what_is_there_is_reported(
        self, make_detector: MakeDetector, make_books: MakeBooks
    ) -> None:
        """Otherwise the other tests would hold of anything."""
        assert _within(lambda: trial.reports_nothing(make_detector, make_books)) == []

    def test_figures_are_exact_and_legs_join(
        self, make_detector: MakeDetector, make_books: MakeBooks
    ) -> None:
        """No float, no NaN, nothing negative; and nothing that was reported changes afterwards."""
        assert _within(lambda: trial.wrong_values(make_detector, make_books)) == []

    def test_void_book_is_forgotten(
        self, make_detector: MakeDetector, make_books: MakeBooks
    ) -> None:
        """What nobody can trust must not be traded on."""
        assert _within(lambda: trial.forgotten_voids(make_detector, make_books)) == []

    def test_pair_that_is_no_longer_listed_is_forgotten(
        self, make_detector: MakeDetector, make_books: MakeBooks
    ) -> None:
        """And so is everything that was seen before instruments changed."""
        assert _within(lambda: trial.forgotten_instruments(make_detector, make_books)) == []

    def test_book_is_taken_in_though_nobody_looks_at_what_came_back(
        self, make_detector: MakeDetector, make_books: MakeBooks
    ) -> None:
        """After a wrong checksum nobody iterates over a lazy answer."""
        assert _within(lambda: trial.lost_when_not_consumed(make_detector, make_books)) == []


def _instruments(books: list[OrderBook]) -> Instruments:
    return Instruments([book.instrument for book in books])


def _within(act: Callable[[], list[str]]) -> list[str]:
    return within(PATIENCE_S, act)
