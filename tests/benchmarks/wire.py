"""What the receive path costs: our `Wire` beside websockets' own asyncio connection.

    python tests/benchmarks/wire.py [--frames N] [--rounds N] [--json]

A server in a process of its own sends book-sized text frames over loopback, compression off.  Two
measurements, in rounds that alternate between the receive paths, all in this one process:

* *stream*: frames as fast as they go; CPU of this process a frame, frames a second;
* *apart*: one frame every half millisecond; time from the server's send to the handler.

Three receive paths: `wire` is what the plugin uses, `sans-io` the same with every frame left to
websockets' Sans-I/O parser, `connection` is `websockets.asyncio.client.connect` with `recv()`.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection

import attrs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.server import ServerProtocol

from arbitrade_kraken.transport import Wire, open_wire

BODY = (
    b'{"channel":"book","type":"update","data":[{"symbol":"SOL/EUR",'
    b'"bids":[{"price":172.29,"qty":1.25000000}],'
    b'"asks":[{"price":172.31,"qty":0.00000000},{"price":172.41,"qty":5.00000000}],'
    b'"checksum":4111740976,"timestamp":"%019d"}]}'
)
STAMP = slice(-23, -4)
MAX_SIZE = 64 * 1024 * 1024
GAP_S = 0.0005


@attrs.define
class Run:
    """What one receive path did in one round."""

    frames: int = 0
    cpu_us: float = 0.0
    frames_per_s: float = 0.0
    latencies_us: list[float] = attrs.field(factory=list)

    def percentile(self, percent: int) -> float:
        return sorted(self.latencies_us)[len(self.latencies_us) * percent // 100]


class SansIO(Wire):
    """Our protocol with every frame left to the library."""

    def _cut(self) -> None:
        view, end = self._view, self._end
        begin, self._begin = self._begin, end
        self._pass_on(view[begin:end])


async def receive_by_wire(url: str, on_message: Callable[[bytes], None]) -> None:
    await _by(Wire, url, on_message)


async def receive_by_sans_io(url: str, on_message: Callable[[bytes], None]) -> None:
    await _by(SansIO, url, on_message)


async def receive_by_connection(url: str, on_message: Callable[[bytes], None]) -> None:
    async with connect(url, compression=None, ping_interval=None, max_size=MAX_SIZE) as connection:
        recv = connection.recv
        try:
            while True:
                on_message(await recv(decode=False))
        except ConnectionClosed:
            return


PATHS = {
    "wire": receive_by_wire,
    "sans-io": receive_by_sans_io,
    "connection": receive_by_connection,
}


async def _by(cls: type[Wire], url: str, on_message: Callable[[bytes], None]) -> None:
    wire = await open_wire(
        url, on_message, lambda ending: None, max_size=MAX_SIZE, timeout_s=5, make_wire=cls
    )
    await wire.ended


async def measure(path: str, url: str, *, with_latency: bool) -> Run:
    run = Run()
    now = time.monotonic_ns
    begun: list[float] = []

    def count(frame: bytes) -> None:
        if not begun:
            begun.extend((time.process_time(), time.perf_counter()))
        run.frames += 1

    def stamp(frame: bytes) -> None:
        run.latencies_us.append((now() - int(frame[STAMP])) / 1e3)
        run.frames += 1

    gc.collect()
    await PATHS[path](url, stamp if with_latency else count)
    if begun:
        run.cpu_us = (time.process_time() - begun[0]) / run.frames * 1e6
        run.frames_per_s = run.frames / (time.perf_counter() - begun[1])
    return run


def encode(body: bytes) -> bytes:
    """Return one unmasked text frame of up to 65,535 bytes."""
    return b"\x81\x7e" + len(body).to_bytes(2) + body


async def serve(port_to: Connection, frames: int, apart: int) -> None:
    chunk = encode(BODY % 0) * 250

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        writer.write(b"".join(protocol.data_to_send()))
        if request.path == "/apart":
            for _ in range(apart):
                await asyncio.sleep(GAP_S)
                writer.write(encode(BODY % time.monotonic_ns()))
        else:
            for _ in range(frames // 250):
                writer.write(chunk)
                await writer.drain()
        writer.write(b"\x88\x02\x03\xe8")
        await reader.read(64)  # The answer to our goodbye.
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port_to.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run_server(port_to: Connection, frames: int, apart: int) -> None:
    asyncio.run(serve(port_to, frames, apart))


async def compare(port: int, rounds: int) -> dict[str, dict[str, float]]:
    streams: dict[str, list[Run]] = {path: [] for path in PATHS}
    aparts: dict[str, list[Run]] = {path: [] for path in PATHS}
    for turn in range(rounds):
        order = list(PATHS) if turn % 2 == 0 else list(PATHS)[::-1]
        for path in order:
            url = f"ws://127.0.0.1:{port}"
            streams[path].append(await measure(path, f"{url}/stream", with_latency=False))
            aparts[path].append(await measure(path, f"{url}/apart", with_latency=True))
    return {path: summary(streams[path], aparts[path]) for path in PATHS}


def summary(streams: Sequence[Run], aparts: Sequence[Run]) -> dict[str, float]:
    """Return medians over the rounds, latencies too: one disturbed round shall not decide."""
    return {
        "frames_per_s": round(statistics.median(run.frames_per_s for run in streams)),
        "cpu_us_per_frame": round(statistics.median(run.cpu_us for run in streams), 2),
        "latency_p50_us": round(statistics.median(run.percentile(50) for run in aparts), 1),
        "latency_p99_us": round(statistics.median(run.percentile(99) for run in aparts), 1),
    }


def machine() -> str:
    return (
        f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {platform.system()}, "
        f"CPython {platform.python_version()}, websockets {version('websockets')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare receive paths over loopback.")
    parser.add_argument("--frames", type=int, default=100_000, help="a stream, per round")
    parser.add_argument("--apart", type=int, default=1_000, help="single frames, per round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    port_from, port_to = context.Pipe(duplex=False)
    server = context.Process(
        target=run_server, args=(port_to, options.frames, options.apart), daemon=True
    )
    server.start()
    try:
        results = asyncio.run(compare(port_from.recv(), options.rounds))
    finally:
        server.terminate()
        server.join()
    command = "python " + shlex.join(sys.argv)
    if options.json:
        print(json.dumps({"machine": machine(), "command": command, "paths": results}))
        return
    print(f"machine: {machine()}\ncommand: {command}\n")
    print(f"{'':12}{'frames/s':>10}{'CPU µs/frame':>14}{'p50 µs':>9}{'p99 µs':>9}")
    for path, numbers in results.items():
        print(
            f"{path:12}{numbers['frames_per_s']:>10,.0f}{numbers['cpu_us_per_frame']:>14.2f}"
            f"{numbers['latency_p50_us']:>9.1f}{numbers['latency_p99_us']:>9.1f}"
        )


if __name__ == "__main__":
    main()
