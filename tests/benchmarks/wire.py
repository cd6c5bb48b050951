"""From the socket to the decision: what the wire costs, and what the engine adds behind it.

    uv run python tests/benchmarks/wire.py [--frames N] [--rounds N] [--seconds S] [--loads …]

A server in a process of its own sends book frames of a synthetic market over loopback, compression
off, to this process: through each transport of the plugin, on each event loop, once to a handler
that does nothing and once to the engine, which keeps 700 books, verifies every checksum and scores
every touched cycle.  Four loads:

* *as fast as it goes*: frames joined ahead, 64 a write, so that the client is the limit;
* *built as sent*: the server stamps and builds each frame when it sends it, 64 a write, and the
  client reads the stamp, as any measurement of latency does; server and client share the limit;
* *5,000 a second*, one frame a write;
* *20,000 a second* in bursts of 20.

The engine takes messages from the receive buffer, as in the feed, where the transport offers that;
as fast as it goes also message by message, by the callback that the empty handler is called by.
Latency runs from the stamp to the end of the handler, for messages taken from a buffer to when the
last of them was handled.  The receive path of the websockets library
alone, `connect` and `recv()`, runs along to compare with.  Rounds alternate between all cases.
Frames a second are medians over them, latencies those of the round with the lowest p99, because
whatever else the machine does only adds to them; every run of the engine must end with all
checksums right.
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from multiprocessing.connection import Connection
from typing import Literal

import attrs
from measuring import command_line, frozen_garbage, kinds, machine, make_engine, today
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.server import ServerProtocol

from arbitrade.engine.compiled import CompiledEngine
from arbitrade.engine.engine import Engine
from arbitrade.process.loops import LoopName, loop_factory
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade_kraken.wire.choosing import choose_transport
from arbitrade_kraken.wire.opening import OnBuffer

MAX_SIZE = 64 * 1024 * 1024
CHUNK = 64
STAMP = b'"timestamp":"'
STAMP_AT = slice(-23, -4)
STAMPS = re.compile(rb'"timestamp":"(\d{19})"')
GOODBYE = b"\x88\x02\x03\xe8"

type Load = Literal["fast", "built", "single", "burst"]
PACED: dict[str, tuple[int, int]] = {"single": (5_000, 1), "burst": (20_000, 20)}
"""Frames a second and frames a write."""
BY_MESSAGE = ", by message"
type OnMessage = Callable[[bytes], object]


@attrs.frozen
class Case:
    """One way from the socket to a handler."""

    transport: str
    loop: LoopName
    handler: str


@attrs.define
class Run:
    """What one case did under one load in one round."""

    frames_per_s: float
    cpu_us: float
    latencies_us: list[float]

    def percentile(self, share: float) -> float:
        ordered = self.latencies_us
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


# ── the market ───────────────────────────────────────────────────────────────────────────────────


def make_feed(frames: int) -> tuple[list[bytes], list[bytes]]:
    """Return the opening, which goes straight to the engine, and the frames that are sent."""
    made = list(SyntheticMarket(MarketSettings(seed=7, pairs=700, frames=frames)).frames())
    # Heartbeats have no timestamp to stamp.
    return made[:-frames], [frame for frame in made[-frames:] if STAMP in frame]


# ── the server ───────────────────────────────────────────────────────────────────────────────────


def run_server(port_to: Connection, frames: int) -> None:
    """Serve one client after the other; the path of its request names the load and the number."""
    _, sent = make_feed(frames)
    heads = [frame[: frame.rindex(STAMP) + len(STAMP)] for frame in sent]
    chunks = [
        b"".join(encode(frame) for frame in sent[at : at + CHUNK])
        for at in range(0, len(sent), CHUNK)
    ]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port_to.send(listening.getsockname()[1])
        while True:
            talker, _ = listening.accept()
            with talker:
                talker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _, load, number = upgrade(talker).split("/")
                talker.recv(64)  # The client is ready.
                if load == "fast":
                    for chunk in chunks:
                        talker.sendall(chunk)
                else:
                    send_stamped(talker, heads[: int(number)], *PACED.get(load, (0, CHUNK)))
                talker.sendall(GOODBYE)
                talker.recv(64)  # The client's goodbye; it waits for us to hang up.


def upgrade(talker: socket.socket) -> str:
    protocol = ServerProtocol()
    while not (requests := protocol.events_received()):
        protocol.receive_data(talker.recv(4096))
    (request,) = requests
    assert isinstance(request, Request)
    protocol.send_response(protocol.accept(request))
    talker.sendall(b"".join(protocol.data_to_send()))
    return request.path


def send_stamped(talker: socket.socket, heads: Sequence[bytes], per_s: int, at_once: int) -> None:
    """Send frames with the time of sending in place of theirs; 0 a second is without a pause."""
    now = time.monotonic_ns
    begun = now()
    for at in range(0, len(heads), at_once):
        if per_s:
            due = begun + at * 1_000_000_000 // per_s
            while (wait_ns := due - now()) > 0:
                if wait_ns > 200_000:
                    time.sleep((wait_ns - 150_000) / 1e9)
        stamp = b'%019d"}]}' % now()
        talker.sendall(b"".join([encode(head + stamp) for head in heads[at : at + at_once]]))


def encode(body: bytes) -> bytes:
    """Return one unmasked text frame of up to 65,535 bytes."""
    size = len(body)
    head = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2)
    return head + body


# ── the client ───────────────────────────────────────────────────────────────────────────────────


async def receive(
    transport: str,
    url: str,
    on_message: OnMessage,
    ready: Callable[[], None],
    on_buffer: OnBuffer | None = None,
) -> None:
    """Take messages until the server says goodbye."""
    if transport == "connection":
        await receive_by_connection(url, on_message, ready)
        return
    opens = choose_transport("picows" if transport == "picows" else "websockets")
    wire = await opens(
        url,
        on_message,  # type: ignore[arg-type]  # what it returns is nobody's business
        lambda ending: None,
        max_size=MAX_SIZE,
        timeout_s=5,
        on_buffer=on_buffer,
    )
    ready()
    wire.send(b"go")
    await wire.ended
    if wire.failure is not None:
        raise wire.failure


async def receive_by_connection(url: str, on_message: OnMessage, ready: Callable[[], None]) -> None:
    async with connect(url, compression=None, ping_interval=None, max_size=MAX_SIZE) as connection:
        recv = connection.recv
        ready()
        await connection.send("go")
        try:
            while True:
                on_message(await recv(decode=False))
        except ConnectionClosed:
            return


def measure(case: Case, load: Load, port: int, frames: int, opening: Sequence[bytes]) -> Run:
    """Run one case under one load."""
    engine = opened_engine(case.handler, opening)
    handle: OnMessage = _nothing if engine is None else engine.on_frame
    before = 0 if engine is None else engine.tally().right
    latencies: list[int] = []
    handler = handle if load == "fast" else _stamping(handle, latencies)
    begun: list[float] = []
    url = f"ws://127.0.0.1:{port}/{load}/{frames}"

    def ready() -> None:
        begun.extend((time.process_time(), time.perf_counter()))

    with (
        frozen_garbage(),
        asyncio.Runner(loop_factory=loop_factory(case.loop)) as runner,
    ):
        by_message = case.handler.endswith(BY_MESSAGE) or not isinstance(engine, CompiledEngine)
        on_buffer = None if by_message else engine.on_buffer
        if on_buffer is not None and load != "fast":
            on_buffer = _stamping_buffer(on_buffer, latencies)
        runner.run(receive(case.transport, url, handler, ready, on_buffer))
        cpu_s, wall_s = time.process_time() - begun[0], time.perf_counter() - begun[1]
    if engine is not None and (engine.tally().right - before, engine.tally().wrong) != (frames, 0):
        raise SystemExit(f"{case}: {engine.tally()}, but {frames} frames were sent")
    latencies.sort()
    return Run(frames / wall_s, cpu_s / frames * 1e6, [ns / 1e3 for ns in latencies])


def opened_engine(handler: str, opening: Sequence[bytes]) -> Engine | None:
    if handler == "empty":
        return None
    engine = make_engine(handler.removesuffix(BY_MESSAGE))
    for frame in opening:
        engine.on_frame(frame)
    return engine


def _nothing(frame: bytes) -> None:
    """Handle nothing."""


def _stamping(handle: OnMessage, latencies: list[int]) -> OnMessage:
    now, add = time.monotonic_ns, latencies.append

    def stamped(frame: bytes) -> None:
        handle(frame)
        add(now() - int(frame[STAMP_AT]))

    return stamped


def _stamping_buffer(take: OnBuffer, latencies: list[int]) -> OnBuffer:
    now, add, stamps = time.monotonic_ns, latencies.append, STAMPS.findall

    def stamped(buffer: bytearray, begin: int, end: int) -> tuple[int, int]:
        rest, taken = take(buffer, begin, end)
        done = now()
        for stamp in stamps(buffer, begin, rest):
            add(done - int(stamp))
        return rest, taken

    return stamped


# ── the comparison ───────────────────────────────────────────────────────────────────────────────


def cases(engine: str) -> Iterator[Case]:
    transports = ["websockets", *(["picows"] if find_spec("picows") else []), "connection"]
    loops: list[LoopName] = ["asyncio", *(["uvloop"] if find_spec("uvloop") else [])]  # type: ignore[list-item]
    for transport, loop, handler in product(transports, loops, ("empty", engine)):
        yield Case(transport, loop, handler)
        if handler == "compiled" and transport != "connection":
            yield Case(transport, loop, handler + BY_MESSAGE)


def compare(
    port: int, engine: str, frames: int, rounds: int, seconds: float, loads: Sequence[str]
) -> dict[Case, dict[str, list[Run]]]:
    opening, sent = make_feed(frames)
    frames = len(sent)
    numbers: dict[Load, int] = {
        "fast": frames,
        "built": frames,
        **{load: min(frames, int(rate * seconds)) for load, (rate, _) in PACED.items()},  # type: ignore[dict-item]
    }
    numbers = {load: number for load, number in numbers.items() if load in loads}
    everything = list(cases(engine))
    runs: dict[Case, dict[str, list[Run]]] = {
        case: {load: [] for load in numbers} for case in everything
    }
    for turn, (load, number) in product(range(rounds), numbers.items()):
        for case in everything if turn % 2 == 0 else everything[::-1]:
            if case.handler.endswith(BY_MESSAGE) and load != "fast":
                continue
            runs[case][load].append(measure(case, load, port, number, opening))
    return runs


def median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(value(run) for run in runs)


def quietest(runs: Sequence[Run]) -> Run:
    """Return the round with the lowest p99."""
    return min(runs, key=lambda run: run.percentile(0.99))


def summary(runs: dict[Case, dict[str, list[Run]]]) -> list[dict[str, object]]:
    """Return medians over the rounds, and the latencies of the quietest."""
    rows: list[dict[str, object]] = []
    for case, by_load in runs.items():
        row: dict[str, object] = attrs.asdict(case)
        for load, some in by_load.items():
            if not some:
                continue
            row[load] = {
                "frames_per_s": round(median(some, lambda run: run.frames_per_s)),
                "cpu_us": round(median(some, lambda run: run.cpu_us), 3),
                **{
                    name: round(quietest(some).percentile(share), 1)
                    for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
                    if load != "fast"
                },
            }
        rows.append(row)
    return rows


def throughput_table(runs: dict[Case, dict[str, list[Run]]], engine: str) -> Iterator[str]:
    yield (
        "| transport | loop | as fast as it goes, empty | with engine | ratio | CPU µs a frame, "
        "empty | with engine | engine by message | ratio | built as sent, empty | with engine "
        "| ratio |"
    )
    yield "|---|---|" + "---:|" * 10
    for case in runs:
        if case.handler != "empty":
            continue
        empty, real = runs[case], runs[attrs.evolve(case, handler=engine)]
        by_message = runs.get(attrs.evolve(case, handler=engine + BY_MESSAGE), real)
        cells = [case.transport, case.loop, *_compared(empty["fast"], real["fast"])]
        cells += [f"{median(some['fast'], lambda run: run.cpu_us):.2f}" for some in (empty, real)]
        cells += _compared(empty["fast"], by_message["fast"])[1:]
        cells += _compared(empty["built"], real["built"])
        yield f"| {' | '.join(cells)} |"


def _compared(empty: Sequence[Run], real: Sequence[Run]) -> list[str]:
    """Return frames a second of both, and the median of the rounds' ratios.

    Within a round, so that a slow minute hits both.
    """
    pair = [median(some, lambda run: run.frames_per_s) for some in (empty, real)]
    ratios = [b.frames_per_s / a.frames_per_s for a, b in zip(empty, real, strict=True)]
    return [*(f"{value:,.0f}" for value in pair), f"{statistics.median(ratios):.2f}"]


def latency_table(runs: dict[Case, dict[str, list[Run]]]) -> Iterator[str]:
    yield (
        "| transport | loop | handler | "
        + " | ".join(
            f"{name}: p50 | p99 | p99.9 | CPU µs" for name in ("5,000/s", "20,000/s in 20s")
        )
        + " |"
    )
    yield "|---|---|---|" + "---:|" * 8
    for case, by_load in runs.items():
        if case.handler.endswith(BY_MESSAGE):
            continue
        cells = [case.transport, case.loop, case.handler]
        for load in PACED:
            some = by_load[load]
            quiet = quietest(some)
            cells += [f"{quiet.percentile(share):,.0f}" for share in (0.5, 0.99, 0.999)]
            cells.append(f"{quiet.cpu_us:.1f}")
        yield f"| {' | '.join(cells)} |"


def versions() -> str:
    names = ("websockets", "picows", "uvloop")
    return ", ".join(f"{name} {version(name)}" for name in names if find_spec(name))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the way from the socket to the decision.")
    parser.add_argument("--frames", type=int, default=100_000, help="of the market, per round")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each paced load, per round")
    parser.add_argument("--rounds", type=int, default=5)
    every = ("fast", "built", *PACED)
    parser.add_argument("--loads", nargs="+", choices=every, default=every)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engine = kinds()[0]
    context = multiprocessing.get_context("spawn")
    port_from, port_to = context.Pipe(duplex=False)
    server = context.Process(target=run_server, args=(port_to, options.frames), daemon=True)
    server.start()
    port_to.close()  # So that a server that fails is noticed.
    try:
        sizes = options.frames, options.rounds, options.seconds, options.loads
        runs = compare(port_from.recv(), engine, *sizes)
    finally:
        server.terminate()
        server.join()
    about = {
        "machine": f"{machine()}, {versions()}",
        "command": command_line("wire.py", None),
        "date": today(),
    }
    if options.json:
        print(json.dumps({**about, "cases": summary(runs)}))
        return
    for name, value in about.items():
        print(f"{name}: {value}")
    if {"fast", "built"} <= set(options.loads):
        print("", *throughput_table(runs, engine), sep="\n")
    if set(PACED) <= set(options.loads):
        print("", *latency_table(runs), sep="\n")


if __name__ == "__main__":
    main()
