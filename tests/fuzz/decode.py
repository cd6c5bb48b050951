"""Feeds the hot path what nobody would send, for a while; compiled and interpreted have to agree.

    uv run python tests/fuzz/decode.py --seconds 60 --seed 1

Every round has a seed of its own, which it prints when it fails; `--seed N --rounds 1` repeats it.
Each frame is an object of its own, so that under AddressSanitizer (see `stages.py`, with
PYTHONMALLOC=malloc) a read behind it shows.
"""

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from random import Random

import structlog

from arbitrade.hot import LOOP, load
from arbitrade.models import Instruments, VenueState
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.mutation import mutated
from arbitrade.testing.twins import Twins
from arbitrade.testing.wild import SYMBOLS, WildMarket
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

_LINE, _END = 5, 6
_EXTREMES = (0, 1, 2, 9, 10, 11, 2**31, 2**32, 10**17, 10**18 - 1, 2**62, 2**63 - 1)
_BEYOND = (-1, -(2**63), 2**63, 2**64, 10**30)


def engines(rng: Random) -> int:
    """Have two engines take a wild market's frames, half of them mutated."""
    twins = Twins(KrakenVenue(), _triangular)
    assert twins.is_compiled, "nothing is compiled"
    market, count = WildMarket(rng.getrandbits(32), rng.choice((0.05, 0.3, 0.9))), 0
    share = rng.choice((0.0, 0.1, 0.5))
    for count, step in enumerate(market.steps(150), 1):
        if isinstance(step, bytes) and rng.random() < share and count > 2:
            step = mutated(step, rng)
        twins.take(step)
        for symbol in twins.lost:
            market.ask_anew(symbol)
        twins.lost.clear()
        if not count % 10:
            twins.check()
    twins.check()
    return count


def lines(rng: Random) -> int:
    """Have the loop take blocks of broken lines, wherever they begin; and each line alone."""
    loop = _loop()
    frames = [mutated(frame, rng) for frame in WildMarket(rng.getrandbits(32)).frames(60)]
    wrapped = [
        b'{"t":%d,"src":"public","conn":%d,"dir":"rx","m":%s}'
        % (rng.choice((5, 10**18, 10**19, at)), rng.choice((0, 3, 10**9, 10**10)), frame)
        for at, frame in enumerate(frames)
    ]
    broken = [mutated(line, rng) for line in wrapped]
    alone = [part + end for part in frames + wrapped + broken for end in (b"\n", b"")]
    block = rng.choice((b"\n", b"\n\n", b"")).join(frames + broken + wrapped)
    count = 0
    for buffer in (*alone, block):
        at = rng.randrange(len(buffer) + 1) if rng.random() < 0.2 else 0
        code = None
        while code != _END:
            code = loop.feed(buffer, at)
            assert at <= loop.line_begin <= loop.line_end <= len(buffer)
            assert code == _END or loop.line_end > at
            at = loop.line_end
            count += 1
    for begin in (-1, len(block) + 1, -(2**62)):
        _refused(IndexError, lambda begin=begin: loop.feed(block, begin))
    return count


def numbers(rng: Random) -> int:
    """Hand the loop messages of extreme numbers, and read every book back."""
    loop = _loop()
    count = 150
    for _ in range(count):
        slot = rng.choice((*range(len(SYMBOLS)), len(SYMBOLS), -1, 10**6))
        sides = [
            [
                (rng.choice(_EXTREMES), rng.choice(_EXTREMES))
                for _ in range(rng.choice((0, 1, 5, 10, 64, 65, 100, 2_048, 2_049)))
            ]
            for _ in ("bids", "asks")
        ]
        if rng.random() < 0.2 and sides[0]:
            sides[0][-1] = (rng.choice(_BEYOND), 1)
        stamp = rng.choice((None, b"", b"x" * 48, b"x" * 49, b"x" * 10_000))
        checksum = rng.choice((-1, 0, 2**32, 2**63 - 1, rng.getrandbits(32)))
        try:
            loop.take(slot, rng.random() < 0.5, *sides, checksum, stamp)
        except OverflowError:
            assert any(number > 2**63 - 1 or number < -(2**63) for number in sides[0][-1])
        for place in range(len(SYMBOLS)):
            bids, asks = loop.levels(place, False), loop.levels(place, True)
            assert bids == sorted(bids, reverse=True), bids
            assert asks == sorted(asks), asks
            assert len({ticks for ticks, _ in bids}) == len(bids) <= loop.get(place, 4)
        if rng.random() < 0.1:
            loop.open(rng.randrange(len(SYMBOLS)), rng.choice((1, 10, 1_000)))
            loop.reserve(len(SYMBOLS) + rng.randrange(3))
        if rng.random() < 0.1:
            best = [(10**18 - at, 2**63 - 1) for at in range(10)]
            place = rng.randrange(len(SYMBOLS))
            loop.open(place, 10)
            loop.load(place, best, [(ticks + 20, lots) for ticks, lots in reversed(best)])
            assert loop.levels(place, False) == best
            assert isinstance(loop.checksum(place), int)
    return count


def messages(rng: Random) -> int:
    """Have two engines take broken frames out of one receive buffer, old digits behind them."""
    twins, count = Twins(KrakenVenue(), _triangular), 0
    market = WildMarket(rng.getrandbits(32), rng.choice((0.05, 0.5)))
    frames: list[bytes] = []
    for frame in market.frames(150):
        count += 1
        frames.append(mutated(frame, rng) if count > 2 and rng.random() < 0.2 else frame)
        if rng.random() < 0.4:
            twins.on_messages(frames, rng.choice((b"", b"1" * 30, b"}]}" * 9, b"\x81\x7e")))
            twins.check()
            frames.clear()
    return count


def states(rng: Random) -> int:
    """Turn pairs and venue on and off, and swap detectors, between frames."""
    twins = Twins(KrakenVenue(), _triangular)
    count = 0
    for step in WildMarket(rng.getrandbits(32), 0.1).steps(120):
        count += 1
        twins.take(step)
        if rng.random() < 0.1 and twins.interpreted.instruments is not None:
            twins.swap_detectors(
                lambda engine: (
                    _triangular(engine.instruments or Instruments()) if rng_of(engine) else ()
                )
            )
        if rng.random() < 0.1:
            state = rng.choice(list(VenueState))
            text = b'{"channel":"status","data":[{"system":"%s"}]}' % state.value.encode()
            twins.on_frame(text)
        twins.check()
    return count


def rng_of(engine: object) -> bool:
    """Decide alike for both engines."""
    return getattr(engine, "position", 0) % 3 > 0


def main() -> int:
    """Fuzz until the time is up; return 0, or 1 with the seed that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="stop after this long")
    parser.add_argument("--rounds", type=int, default=10**9, help="stop after so many rounds")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    kinds = (engines, lines, numbers, messages, states)
    counts = dict.fromkeys([kind.__name__ for kind in kinds], 0)
    begin, rounds = time.monotonic(), 0
    loop = load(LOOP)
    print(f"fuzzing {loop.__file__ if loop is not None else 'nothing compiled'}", flush=True)
    while rounds < chosen.rounds and time.monotonic() - begin < chosen.seconds:
        seed = chosen.seed + rounds
        for kind in kinds:
            try:
                counts[kind.__name__] += kind(Random(f"{kind.__name__} {seed}"))
            except Exception:  # whatever it is, the seed has to be told
                traceback.print_exc()
                print(f"{kind.__name__} failed; again: --seed {seed} --rounds 1", file=sys.stderr)
                return 1
        rounds += 1
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"{rounds} rounds in {time.monotonic() - begin:.0f} s: {told}")
    return 0


def _triangular(pairs: Instruments) -> tuple[TriangularDetector]:
    return (TriangularDetector(pairs, FeeSchedule(Decimal("0.0005")), TriangularSettings()),)


def _loop():  # type: ignore[no-untyped-def]  # compiled, and known to nobody's types
    module = load(LOOP)
    assert module is not None
    venue = KrakenVenue()
    pairs = [make_instrument(symbol) for symbol in SYMBOLS]
    loop = module.Loop(venue.compiled_stage(pairs))
    loop.reserve(len(SYMBOLS))
    for slot in range(len(SYMBOLS)):
        loop.open(slot, 10)
    return loop


def _refused(error: type[Exception], act: Callable[[], object]) -> None:
    try:
        act()
    except error:
        return
    raise AssertionError("it was not refused")


if __name__ == "__main__":
    sys.exit(main())
