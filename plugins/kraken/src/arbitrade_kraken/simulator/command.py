"""`arbitrade simulate`: the simulator as a process of its own."""

import asyncio
import os
import signal
import threading
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from arbitrade.errors import UsageError

if TYPE_CHECKING:
    from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
    from arbitrade_kraken.simulator.running import RunningSimulator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class _Duration(click.ParamType[float]):
    """`30s`, `10m`, `2h`; a bare number means seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the duration in seconds."""
        text = str(value).strip()
        for unit in ("ms", "s", "m", "h", "d"):
            if text.endswith(unit):
                text, factor = text[: -len(unit)], _UNITS[unit]
                break
        else:
            factor = 1.0
        try:
            seconds = float(text) * factor
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e9:
            self.fail(f"{value!r} is no duration; write 30s, 10m or 2h", param, ctx)
        return seconds


class _Balances(click.ParamType[dict[str, Decimal]]):
    """Amounts by asset, written `USD=1000,EUR=250.50`."""

    name = "balances"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Decimal]:
        """Return amounts by asset; one that was converted already stays as it is."""
        if isinstance(value, dict):
            return value
        amounts: dict[str, Decimal] = {}
        for part in str(value).split(","):
            asset, equals, text = (word.strip() for word in part.partition("="))
            try:
                amount = Decimal(text)
            except InvalidOperation:
                amount = Decimal(-1)
            if not (asset and equals and amount.is_finite() and amount >= 0) or asset in amounts:
                self.fail(f"{part.strip()!r} is no balance; write USD=1000,EUR=250.50", param, ctx)
            amounts[asset] = amount
        return amounts


@click.command(
    "simulate",
    epilog="""\b
Example, five minutes to a first fill:
  arbitrade simulate --port 8420 --pairs 20
\b
  # in another terminal: a book, as any Kraken client reads it
  curl 'http://127.0.0.1:8420/0/public/Depth?pair=BTC/USD&count=3'
  arbitrade record --url ws://127.0.0.1:8420/v2 --pairs BTC/USD,ETH/USD --for 10s
\b
  # ccxt, with the key and secret that the simulator printed
  kraken = ccxt.kraken({"apiKey": KEY, "secret": SECRET})
  kraken.urls["api"] = {"public": "http://127.0.0.1:8420", "private": "http://127.0.0.1:8420"}
  kraken.create_order("BTC/USD", "market", "buy", 0.01)
  kraken.fetch_my_trades("BTC/USD")
\b
  # break something: the next order is taken, but its answer says EService:Busy
  curl http://127.0.0.1:8420/control/faults -d '{"kind": "busy_after", "method": "add_order"}'
  # and see what really happened
  curl http://127.0.0.1:8420/control/oracle/main
\b
Other examples:
  arbitrade simulate --json --for 60s          a script reads the first line
  arbitrade simulate --symbols BTC/USD,ETH/USD,ETH/BTC --seed 7 --rate 50
  arbitrade simulate --account me --balances USD=1000,EUR=250.50
  arbitrade simulate --from session.jsonl.zst  a recorded market instead of a generated one""",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    help="How many of the venue's pairs, the busiest first.  [default: 50]",
)
@click.option("--symbols", metavar="A/B,…", help="These pairs instead.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another seed, another market."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, max=100_000),
    default=200.0,
    show_default=True,
    metavar="FRAMES_PER_S",
    help="Moves of the market a second.",
)
@click.option(
    "--from",
    "recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="RECORDING",
    help="Drive the market by a recording.",
)
@click.option("--account", default="main", show_default=True, help="Name of the funded account.")
@click.option(
    "--balances",
    type=_Balances(),
    metavar="ASSET=AMOUNT,…",
    help="What it begins with.  [default: plenty of what is listed]",
)
@click.option("--for", "seconds", type=_Duration(), help="End by itself after 30s, 10m, 2h, …")
@click.option(
    "--while-stdin",
    is_flag=True,
    help="End when standard input is closed: with the process that holds its other end.",
)
@click.option("--prompt", is_flag=True, help="Answer without the venue's delays.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the first line.")
def simulate_command(
    host: str,
    port: int,
    pairs: int | None,
    symbols: str | None,
    seed: int,
    rate: float,
    recording: Path | None,
    account: str,
    balances: dict[str, Decimal] | None,
    seconds: float | None,
    while_stdin: bool,
    prompt: bool,
    as_json: bool,
) -> None:
    """Run a Kraken of our own on loopback until Ctrl-C.

    It speaks REST and WebSocket v2, public and private, with the venue's list of pairs, a market
    that moves, a matching engine and an account full of play money.  Any Kraken client works
    against it when its addresses are changed.
    """
    from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings

    if pairs is not None and symbols is not None:
        raise UsageError("--pairs and --symbols: choose one of them")
    wire = WireSettings()
    settings = SimulatorSettings(
        host=host,
        port=port,
        pairs=50 if pairs is None else pairs,
        symbols=tuple(name.strip() for name in (symbols or "").split(",") if name.strip()),
        seed=seed,
        rate=rate,
        recording=recording,
        account=account,
        balances=balances,
        wire=wire.prompt() if prompt else wire,
    )
    asyncio.run(_simulate(settings, seconds, as_json, while_stdin))


async def _simulate(
    settings: "SimulatorSettings", seconds: float | None, as_json: bool, while_stdin: bool
) -> None:
    from arbitrade_kraken.simulator.running import running_simulator

    stop = asyncio.Event()
    _stop_on_signals(stop)
    loop = asyncio.get_running_loop()
    if while_stdin:
        _stop_with_stdin(stop, loop)
    async with running_simulator(settings) as simulator:
        began = loop.time()
        click.echo(_as_json(simulator) if as_json else _as_text(simulator))
        await simulator.server.until(stop, seconds)
        elapsed, server = loop.time() - began, simulator.server
        report = (
            f"simulated {server.steps:,} moves of the market and sent {server.frames:,} frames "
            f"in {elapsed:,.1f} s"
        )
    click.echo(report, err=True)


def _as_json(simulator: "RunningSimulator") -> str:
    at = simulator.addresses
    line = {
        "rest": at.rest,
        "ws": at.ws,
        "ws_auth": at.ws_auth,
        "control": at.control,
        "key": simulator.key.key,
        "secret": simulator.key.secret,
    }
    return orjson.dumps(line).decode()


def _as_text(simulator: "RunningSimulator") -> str:
    at, exchange = simulator.addresses, simulator.exchange
    pairs = [pair.symbol for pair in exchange.pairs()]
    shown = ", ".join(pairs[:6]) + (", …" if len(pairs) > 6 else "")
    holdings = exchange.inquiry.holdings(simulator.key.account)
    money = ", ".join(f"{_short(item.total)} {name}" for name, item in holdings.items())
    return f"""A Kraken of our own listens; nothing here is real, and no money moves.

  REST               {at.rest}
  WebSocket public   {at.ws}
  WebSocket private  {at.ws_auth}
  control            {at.control}

  API key            {simulator.key.key}
  secret             {simulator.key.secret}

  {len(pairs)} pairs: {shown}
  account {simulator.key.account}: {money}

`arbitrade simulate --help` shows how to point a client at it.  Ctrl-C ends it."""


def _short(amount: Decimal) -> str:
    return f"{amount.normalize():,f}"


def _stop_on_signals(stop: asyncio.Event) -> None:
    """End in good order on Ctrl-C and SIGTERM, also where the event loop can't wait for signals."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


def _stop_with_stdin(stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    """End when the other end of standard input is closed, even by a process that was killed.

    In a thread and by plain reads: there an event loop can't wait for pipes on Windows, and a lock
    of `sys.stdin` held by a thread would break the interpreter's end.
    """

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 4096):
                pass
        with suppress(RuntimeError):  # The loop is closed: it ended some other way.
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="while-stdin", daemon=True).start()
