"""How many frames a second the simulator sends, and how much of a core that takes.

    uv run python tests/benchmarks/simulator.py [--pairs 500] [--rate 3300] [--seconds 15]

The simulator is a process of its own, as in use; a client here subscribes to every book and counts.
About one move in twenty changes nothing that is in sight.

Target: 3,000 frames a second over 500 pairs on less than one core.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
import orjson

TARGET = 3_000
"""Frames a second."""


async def main() -> int:
    """Measure, print, and return 0 if the target is met."""
    options = _options()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arbitrade", "simulate", "--json", "--prompt",
        "--pairs", str(options.pairs), "--rate", str(options.rate), "--for", "600s",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        addresses = json.loads(await process.stdout.readline())
        async with aiohttp.ClientSession() as session:
            result = await _measure(session, addresses, options)
    finally:
        process.terminate()
        await process.wait()
    print(
        f"{result['frames_per_s']:,.0f} frames/s over {options.pairs} pairs "
        f"({result['steps_per_s']:,.0f} moves/s asked for {options.rate}), "
        f"{result['core']:.0%} of a core, {result['us_per_frame']:.0f} µs a frame, "
        f"{result['waiting']:,} frames waiting"
    )
    return 0 if result["frames_per_s"] >= TARGET and result["core"] < 1 else 1


async def _measure(
    session: aiohttp.ClientSession, addresses: Any, options: argparse.Namespace
) -> dict[str, float]:
    async with session.ws_connect(addresses["ws"], max_msg_size=1 << 26) as socket:
        about = await _about(session, addresses)
        request = {
            "method": "subscribe",
            "params": {"channel": "book", "symbol": about["pairs"], "depth": options.depth},
        }
        await socket.send_bytes(orjson.dumps(request))
        await _count(socket, 3.0)  # acknowledgements, snapshots, warming up
        before, began = await _about(session, addresses), time.perf_counter()
        frames = await _count(socket, options.seconds)
        after, elapsed = await _about(session, addresses), time.perf_counter() - began
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return {
        "frames_per_s": frames / options.seconds,
        "steps_per_s": (after["steps"] - before["steps"]) / elapsed,
        "core": cpu_s / elapsed,
        "us_per_frame": cpu_s / max(1, frames) * 1e6,
        "waiting": after["waiting"],
    }


async def _about(session: aiohttp.ClientSession, addresses: Any) -> Any:
    async with session.get(addresses["control"]) as response:
        return await response.json()


async def _count(socket: aiohttp.ClientWebSocketResponse, seconds: float) -> int:
    frames, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        message = await socket.receive()
        frames += b'"channel":"book"' in message.data.encode()[:40]
    return frames


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--rate", type=int, default=3300)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
