"""The simulator as a venue that stands in for Kraken: a process of its own, with a core of its own.

It ends with its context, and by itself when this process dies, however that happens.
"""

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import aiohttp
import attrs
import orjson
import structlog

from arbitrade import Secret
from arbitrade.errors import UsageError, VenueUnavailableError
from arbitrade.protocols import Flow, RunningSimulation

log = structlog.stdlib.get_logger(__name__)

_START_S = 30.0
_ANSWER_S = 5.0
_END_S = 5.0
_WRONG_USAGE = 2
_FAULT_ARGUMENTS = ("symbol", "account", "method", "channel", "count", "for_ms", "value", "text")


@attrs.frozen
class KrakenSimulation:
    """Runs `arbitrade simulate`; see `arbitrade.protocols.Simulation`."""

    name: str = "kraken"

    @asynccontextmanager
    async def running(
        self,
        *,
        seed: int,
        pairs: int,
        rate: float,
        recording: Path | None = None,
        balances: Mapping[str, Decimal] | None = None,
        account: str,
    ) -> AsyncIterator[RunningSimulation]:
        """Run a simulated Kraken while the context is open.

        Raises:
            UsageError: An argument that makes no sense.
            VenueUnavailableError: It doesn't start, or doesn't answer.
        """
        arguments = [
            *("--seed", str(seed), "--pairs", str(pairs), "--rate", str(rate)),
            *("--account", account),
            *(() if recording is None else ("--from", str(recording))),
            *(() if balances is None else ("--balances", _written(balances))),
        ]
        with TemporaryDirectory(prefix="arbitrade-simulation-") as folder:
            async with (
                _child(arguments, Path(folder)) as about,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_ANSWER_S)) as session,
            ):
                yield _Running(about, account, folder, session)


class _Running:
    """A simulator in another process, asked over its control API."""

    def __init__(
        self, about: Mapping[str, str], account: str, folder: str, session: aiohttp.ClientSession
    ) -> None:
        self._control = about["control"]
        self._account = account
        self._session = session
        self.overrides: Mapping[str, Mapping[str, object]] = {
            "kraken": {
                "ws_url": about["ws"],
                "ws_auth_url": about["ws_auth"],
                "rest_url": about["rest"],
                "api_key": Secret(about["key"]),
                "api_secret": Secret(about["secret"]),
                "account": account,
                # The key of a seed is always the same, and nothing of it is worth remembering.
                "nonce_folder": folder,
            }
        }

    async def balances(self) -> Mapping[str, Decimal]:
        """Return what the exchange's ledger says of every asset the account ever had."""
        return {asset: flow.closing for asset, flow in (await self.flows()).items()}

    async def flows(self) -> Mapping[str, Flow]:
        """Return how each balance came about."""
        answer = await self._ask("GET", f"/flows/{quote(self._account, safe='')}")
        names = [field.name for field in attrs.fields(Flow)]
        return {
            asset: Flow(*(Decimal(sums[name]) for name in names)) for asset, sums in answer.items()
        }

    async def fault(self, kind: str, **arguments: object) -> None:
        """Inject a fault; docs/simulator.md has the kinds and what narrows them.

        Raises:
            UsageError: No such fault, or no such argument.
        """
        unknown = sorted(arguments.keys() - set(_FAULT_ARGUMENTS))
        if unknown:
            raise UsageError(
                f"fault {kind}: takes no {', '.join(unknown)}; give any of "
                f"{', '.join(_FAULT_ARGUMENTS)}"
            )
        await self._ask("POST", "/faults", {"kind": kind, **arguments})

    async def discrepancies(self) -> Sequence[str]:
        """Return what doesn't add up in the exchange's own books."""
        found: list[str] = (await self._ask("GET", "/discrepancies"))["discrepancies"]
        return found

    async def _ask(self, verb: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        url = self._control + path
        data = None if body is None else orjson.dumps(body, default=str)
        try:
            if self._session.closed:
                raise aiohttp.ClientConnectionError("its context is over")
            async with self._session.request(verb, url, data=data) as response:
                status, content = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise VenueUnavailableError(
                f"simulation: {url} does not answer ({type(error).__name__}: {error}); "
                "it has ended, so start another"
            ) from error
        answer = orjson.loads(content)
        if status != 200:
            raise UsageError(f"simulation: {answer.get('error', content)}")
        return answer


# ── the process ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _child(arguments: Sequence[str], folder: Path) -> AsyncIterator[Mapping[str, str]]:
    """Run the simulator; give what its first line says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arbitrade", "--config", str(folder), "simulate"),
        *("--json", "--while-stdin", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        **_apart(),
    )
    last_words: deque[str] = deque(maxlen=20)
    listening = asyncio.create_task(_listen(process, last_words))
    try:
        yield await _first_line(process, listening, last_words)
    finally:
        await _end(process)
        await listening
        log.debug("simulation.ended", code=process.returncode, said=list(last_words))


async def _first_line(
    process: asyncio.subprocess.Process, listening: "asyncio.Task[None]", last_words: deque[str]
) -> Mapping[str, str]:
    assert process.stdout is not None
    line = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            line = await process.stdout.readline()
            if not line:
                await listening
                await process.wait()
    try:
        about: Mapping[str, str] = orjson.loads(line)
    except ValueError:
        said = " ".join(last_words).removeprefix("Error: ") or f"no word within {_START_S:g} s"
        if process.returncode == _WRONG_USAGE:
            raise UsageError(f"simulation: {said}") from None
        raise VenueUnavailableError(
            f"simulation: does not start: {said}; try `arbitrade simulate` by itself"
        ) from None
    return about


async def _listen(process: asyncio.subprocess.Process, last_words: deque[str]) -> None:
    """Keep the newest lines of what it says, so that it never waits for a reader."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        last_words.append(line.decode(errors="replace").rstrip())


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let it end in good order, and see to it that it has."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        log.warning("simulation.killed", after_s=_END_S)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _apart() -> dict[str, Any]:
    """Return what keeps Ctrl-C on our terminal from ending the venue before we are done with it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _environment() -> dict[str, str]:
    """Return our environment without settings: it needs none, and no secret is its business."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ARBITRADE_")}
    return kept | {"ARBITRADE_PLUGINS__ALLOWED_DISTRIBUTIONS": '["arbitrade-kraken"]'}


def _written(balances: Mapping[str, Decimal]) -> str:
    return ",".join(f"{asset}={amount:f}" for asset, amount in balances.items())
