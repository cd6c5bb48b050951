"""What happens when: everything a `FastVenue` has under way, in one queue."""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from random import Random

import attrs

from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.fast.events import Answered, FastEvent, Range

type DueAct = Callable[[], None]
type Parcel = FastEvent | Answered

_US_NS = 1_000


def _as_it_is(parcel: Parcel) -> FastEvent | None:
    return None if isinstance(parcel, Answered) else parcel


@attrs.define(eq=False)
class Lane:
    """A connection to the client: in order, and with all that was under way lost when it breaks.

    Args:
        latency_us: How long something is on its way.
        accept: Asked when something arrives; returns what the client gets, None for nothing.
    """

    latency_us: Range
    accept: Callable[[Parcel], FastEvent | None] = _as_it_is
    is_up: bool = True
    epoch: int = 0
    """How often the connection was lost: what was sent before never arrives."""
    latest_ns: int = 0
    """When the last thing that was sent arrives."""

    def is_whole(self, epoch: int) -> bool:
        """Tell whether the connection still stands on which something was sent."""
        return self.is_up and epoch == self.epoch

    def cut(self) -> None:
        """Lose the connection, and with it all that was under way."""
        self.is_up = False
        self.epoch += 1

    def restore(self) -> None:
        """Have the connection again, empty."""
        self.is_up = True


class FastQueue:
    """Runs what is due, in order; things due at the same time in the order they were put in.

    Args:
        clock: Stands; moved only by `run`.
        rng: Of latencies.
    """

    def __init__(self, clock: MovableClock, rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._number = 0
        self._heap: list[tuple[int, int, DueAct | None, Parcel | None, Lane | None, int]] = []

    @property
    def now_ns(self) -> int:
        """The time at the venue and at its client, nanoseconds since the epoch."""
        return self._clock.now_ns()

    def at(self, due_ns: int, act: DueAct) -> None:
        """Do something then, or now if that is over."""
        self._push(due_ns, act, None, None, 0)

    def after(self, delay_us: Range, act: DueAct) -> None:
        """Do something after a delay."""
        self.at(self.now_ns + self.delay_ns(delay_us), act)

    def tell(self, event: FastEvent) -> None:
        """Hand something to the client at once, on no connection."""
        self._push(self.now_ns, None, event, None, 0)

    def send(self, lane: Lane, parcel: Parcel, extra_ns: int = 0) -> None:
        """Send something to the client; with `extra_ns` what comes later may overtake it."""
        if not lane.is_up:
            return
        due_ns = max(lane.latest_ns + 1, self.now_ns + self.delay_ns(lane.latency_us))
        if not extra_ns:
            lane.latest_ns = due_ns
        self._push(due_ns + extra_ns, None, parcel, lane, lane.epoch)

    def delay_ns(self, bounds_us: Range) -> int:
        """Return a delay between two bounds."""
        shortest, longest = bounds_us
        return (shortest + int(self._rng.random() * (longest - shortest))) * _US_NS

    def run(self, until_ns: int) -> Iterator[tuple[int, FastEvent]]:
        """Yield what arrives at the client, each at its time, and end with the clock at the end."""
        heap, clock = self._heap, self._clock
        while heap and heap[0][0] <= until_ns:
            due_ns, _, act, parcel, lane, epoch = heappop(heap)
            if due_ns > (now_ns := clock.now_ns()):
                clock.forward(due_ns - now_ns)
            if act is not None:
                act()
                continue
            if parcel is None or (lane is not None and not lane.is_whole(epoch)):
                continue
            event = _as_it_is(parcel) if lane is None else lane.accept(parcel)
            if event is not None:
                yield due_ns, event
        if until_ns > clock.now_ns():
            clock.forward(until_ns - clock.now_ns())

    def _push(
        self, due_ns: int, act: DueAct | None, parcel: Parcel | None, lane: Lane | None, epoch: int
    ) -> None:
        self._number += 1
        heappush(self._heap, (max(due_ns, self.now_ns), self._number, act, parcel, lane, epoch))


def around(mean_s: float) -> Range:
    """Return bounds around a mean, in microseconds."""
    return int(mean_s * 500_000), int(mean_s * 1_500_000)
