"""`arbitrade export`: trades and ledger as CSV, for accounting."""

import csv
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from arbitrade.cli.history import read_history

if TYPE_CHECKING:
    from arbitrade.api.history import ExecutionView, PostingView
    from arbitrade.cli.context import CommandLine
    from arbitrade.store.repositories import Repositories

TRADES = (
    "time",
    "account",
    "pair",
    "side",
    "quantity",
    "base",
    "price",
    "cost",
    "quote",
    "fee",
    "fee_asset",
    "liquidity",
    "exec_id",
    "order_id",
    "client_id",
    "run",
    "cycle",
    "leg",
    "booked_at",
)
"""Columns of the trades, one line a fill."""
LEDGER = (
    "time",
    "account",
    "transaction",
    "line",
    "reason",
    "ledger_account",
    "asset",
    "amount",
    "proof",
    "run",
    "cycle",
)
"""Columns of the ledger, one line a posting."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

type Line = Sequence[str]


class _TimeType(click.ParamType[datetime]):
    """A time in UTC: a day, or a day with a time of day."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, aware."""
        if isinstance(value, datetime):
            return value
        try:
            time = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-01-31 or 2026-01-31T12:00Z", param, ctx)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


_TIME = _TimeType()


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--force", is_flag=True, help="Overwrite the file."),
        click.option("--account", help="Of this account only.  [default: all]"),
        click.option("--to", "end", type=_TIME, help="Before this time, in UTC."),
        click.option("--from", "begin", type=_TIME, help="From this time on, in UTC."),
        click.option("--out", required=True, metavar="FILE|-", help="Where to; - is the terminal."),
        click.pass_obj,
    ):
        command = option(command)
    return command


@click.group(
    epilog="""\b
Examples:
  arbitrade export trades --out trades.csv --from 2026-01-01 --to 2027-01-01
  arbitrade export ledger --out - --account main | head"""
)
def export() -> None:
    """Write CSV for accounting: RFC 4180, UTF-8, times in UTC, amounts exact.

    A text that a spreadsheet would take for a formula gets an apostrophe in front; amounts are
    numbers and don't.
    """


@export.command(
    epilog="""\b
Examples:
  arbitrade export trades --out trades.csv
  arbitrade export trades --out 2026.csv --from 2026-01-01 --to 2027-01-01 --account main"""
)
@_options
def trades(
    line: "CommandLine",
    out: str,
    begin: datetime | None,
    end: datetime | None,
    account: str | None,
    force: bool,
) -> None:
    """Write every fill, one line each, oldest first.

    Columns: time (the venue's, else when it was booked), account, pair, side, quantity in base,
    price and cost in quote, fee and its asset (several joined by a space), liquidity (maker or
    taker), exec_id, order_id, client_id, run, cycle, leg, booked_at.  --from and --to count by
    booked_at.
    """

    async def read(found: "Repositories") -> AsyncIterator[Line]:
        async for one in found.cycles.all_executions(account, begin=begin, end=end):
            yield _trade(one)

    _write(line, out, force, TRADES, read)


@export.command(
    epilog="""\b
Examples:
  arbitrade export ledger --out ledger.csv
  arbitrade export ledger --out - --from 2026-11-01 --account main"""
)
@_options
def ledger(
    line: "CommandLine",
    out: str,
    begin: datetime | None,
    end: datetime | None,
    account: str | None,
    force: bool,
) -> None:
    """Write every posting of the double-entry ledger, one line each, oldest first.

    Columns: time, account, transaction, line, reason, ledger_account (wallet is what the venue
    holds), asset, amount, proof, run, cycle.  Per transaction and asset the amounts sum to zero.
    """

    async def read(found: "Repositories") -> AsyncIterator[Line]:
        async for one in found.money.postings(account, begin=begin, end=end):
            yield _posting(one)

    _write(line, out, force, LEDGER, read)


def _trade(one: "ExecutionView") -> Line:
    base, _, quote = (one.symbol or "").partition("/")
    liquidity = {True: "maker", False: "taker", None: ""}[one.is_maker]
    return (
        *(_time(one.venue_at or one.booked_at), _text(one.account), _text(one.symbol)),
        *(one.side or "", f"{one.quantity:f}", _text(base), f"{one.price:f}", f"{one.cost:f}"),
        *(_text(quote), " ".join(f"{fee.amount:f}" for fee in one.fees)),
        *(_text(" ".join(fee.asset for fee in one.fees)), liquidity, _text(one.exec_id)),
        *(_text(one.order_id), _text(one.client_id), one.run, _number(one.cycle), str(one.leg)),
        _time(one.booked_at),
    )


def _posting(one: "PostingView") -> Line:
    return (
        *(_time(one.at), _text(one.account), _text(one.transaction), str(one.line), one.reason),
        *(one.ledger_account, _text(one.asset), f"{one.amount:f}", _text(one.proof), one.run),
        _number(one.cycle),
    )


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(text: str | None) -> str:
    if text is None:
        return ""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _write(
    line: "CommandLine",
    out: str,
    force: bool,
    header: Line,
    read: "Callable[[Repositories], AsyncIterator[Line]]",
) -> None:
    async def copy(found: "Repositories") -> int:
        count = 0
        with _opened(out, force) as file:
            table = csv.writer(file, lineterminator="\r\n")
            table.writerow(header)
            async for row in read(found):
                table.writerow(row)
                count += 1
        return count

    _check(out, force)
    count = read_history(line, copy)
    click.echo(f"{count:,} lines{'' if out == '-' else f' in {out}'}", err=True)


def _check(out: str, force: bool) -> None:
    from arbitrade.errors import UsageError

    if out != "-" and not force and Path(out).exists():
        raise UsageError(f"--out: {out} exists; add --force to overwrite it, or name another file")


@contextmanager
def _opened(out: str, force: bool) -> Iterator[TextIO]:
    """Open what is written to; a file appears under its name when it is whole."""
    from arbitrade.errors import ArbitradeError

    if out == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        yield sys.stdout
        return
    path = Path(out)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with fresh.open("w", encoding="utf-8", newline="") as file:
            yield file
        _check(out, force)
        fresh.replace(path)
    except OSError as error:
        raise ArbitradeError(
            f"{out}: can't be written ({error.strerror}); choose another"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
