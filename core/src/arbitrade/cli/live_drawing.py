"""What a bot looks like on a terminal: one screen, calm, the same for `run`, `demo` and `status`.

`render` is a pure function of the state and the room there is.  Colours only repeat what words say.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from arbitrade.api import BotState, LatencyRow, OpenCycle
from arbitrade.models import TradingState

if TYPE_CHECKING:
    pass


type _Cell = tuple[str, str] | Text
"""A name at the left edge of a column with a number at the right one, or a text."""


NARROWEST, LOWEST = 60, 16
"""Columns and lines below which the view is cut off rather than squeezed."""

_LABEL, _GAP, _MOST_REFUSALS = 11, 3, 5


_WIDE = 110
"""Columns from which latencies stand beside the opportunities instead of below."""


_GOOD, _NOTE, _BAD, _DIM, _STRONG = "green", "yellow", "bold red", "dim", "bold"


FUNNEL = ("seen", "approved", "refused", "blocked")


_ENDS = ("completed", "unwound", "aborted_clean", "flagged")


_SEVERITIES = {"critical": _BAD, "error": "red", "warning": _NOTE}


def render(state: BotState, width: int, height: int = 24) -> Group:
    """Return the view of a state, in at most so many columns and lines.

    What there is too much of is cut to what fits, and says how much is left out.
    """
    width, height = max(width, NARROWEST), max(height, LOWEST)
    top = [*_head(state, width), *_facts(state, width), Text(), *_middle(state, width)]
    room = height - len(top) - 3  # an empty line, and one each for cycles under way and alerts
    latencies: list[Text] = []
    if width < _WIDE and room > 2:
        latencies = [Text(), *_latency_lines(state.latencies, width, room - 2)]
        room -= len(latencies)
    under_way = _under_way(state.open_cycles, width, max(room + 1, 1))
    alerts = _alerts(state.alerts, width, max(room + 2 - len(under_way), 1))
    return Group(*_cut([*top, *latencies, Text(), *under_way, *alerts], width, height))


def _head(state: BotState, width: int) -> list[Text]:
    word, style = _condition(state)
    left = Text.assemble(
        (f" {word} ", f"bold white on {style}"),
        (f" {state.venue}/{state.account}", _STRONG),
        (f" · {state.mode.value}", ""),
    )
    right = Text(f"up {_duration(state.uptime_s)} ", _DIM)
    lines = [_apart(left, right, width)]
    if state.trading_state is not TradingState.ACTIVE:
        lines.append(Text(f" {_one_line(state.halt_reason) or 'no reason was given'}", _BAD))
        lines.append(Text(f" {_way_out(state)}", ""))
    lines.append(Text("─" * width, _DIM))
    return lines


def _condition(state: BotState) -> tuple[str, str]:
    """Return what the bot does in one word, and its colour."""
    if state.trading_state is TradingState.HALTED:
        return "HALTED", "red"
    if state.trading_state is TradingState.REDUCING:
        return "REDUCING", "dark_orange3"
    if not state.is_market_connected:
        return "CONNECTING", "blue"
    if not state.is_account_ready:
        return "NOT READY", "dark_orange3"
    return "TRADING", "green4"


def _way_out(state: BotState) -> str:
    if state.trading_state is TradingState.REDUCING:
        return "No new cycles; those under way are finished or unwound."
    account = "" if state.account == "main" else f" --account {state.account}"
    return f"To trade again: arbitrade resume{account} --reason TEXT"


def _facts(state: BotState, width: int) -> list[Text]:
    lines = [
        _fact("Market", *_market(state)),
        _fact("Account", *_account(state)),
        _fact("Storage", *_storage(state)),
    ]
    if state.ledger_differences:
        text = " · ".join(
            f"{asset} {amount:+f}" for asset, amount in sorted(state.ledger_differences.items())
        )
        lines.append(_fact("Ledger", (f"differs from the venue: {text}", _BAD)))
    ends = {**dict.fromkeys(_ENDS, 0), **state.cycles}
    lines += [
        _fact("Cycles", *_ended(ends)),
        _fact("Orders", (f"{state.orders:,} sent · {state.executions:,} executions", "")),
        _fact("Profit", *_profit(state, width - _LABEL)),
    ]
    return lines


def _market(state: BotState) -> list[tuple[str, str]]:
    if not state.is_market_connected:
        return [("connecting", _NOTE), (f" · {state.books_in_sync:,} of {state.books:,} books", "")]
    is_online = state.venue_state == "online"
    few = state.books_in_sync < 0.9 * state.books
    return [
        (state.venue_state or "unknown", _GOOD if is_online else _BAD),
        (" · ", ""),
        (f"{state.books_in_sync:,} of {state.books:,} books in sync", _NOTE if few else ""),
        (f" · {state.cycles_watched:,} cycles watched", ""),
    ]


def _account(state: BotState) -> list[tuple[str, str]]:
    if state.is_account_ready:
        return [("ready", _GOOD)]
    return [(f"not ready: {_one_line(state.account_problem) or 'no reason was given'}", _BAD)]


def _storage(state: BotState) -> list[tuple[str, str]]:
    waiting = f" ({state.journal_lag:,} waiting)" if state.journal_lag else ""
    database_style = {"ok": _GOOD, "connecting": _NOTE}.get(state.database, _BAD)
    return [
        ("journal ", ""),
        (_one_line(state.journal), _GOOD if state.journal == "ok" else _BAD),
        (waiting, _NOTE),
        (" · database ", ""),
        (_one_line(state.database), database_style),
    ]


def _ended(ends: Mapping[str, int]) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    for name, count in ends.items():
        style = _NOTE if name == "flagged" and count else ""
        parts += [(" · " if parts else "", ""), (f"{count:,} {_words(name)}", style)]
    return parts


def _profit(state: BotState, width: int) -> list[tuple[str, str]]:
    # At mid prices; its last digits are those of a division.
    total = round(state.profit_reference, 4)
    parts: list[tuple[str, str]] = [
        (f"{_amount(total)} {state.reference_asset}", f"bold {_colour(total)}".strip())
    ]
    room = width - len(parts[0][0])
    by_size = sorted(state.profit.items(), key=lambda item: (-abs(item[1]), item[0]))
    shown = [f"{asset} {_amount(amount)}" for asset, amount in by_size if amount]
    text = ""
    for number, part in enumerate(shown):
        more = f" · +{len(shown) - number} more"
        if len(text) + len(part) + len(more) + 3 > room:
            text += more
            break
        text += f" · {part}" if text else part
    return [*parts, (f"   {text}", "")] if text else parts


def _middle(state: BotState, width: int) -> list[Text]:
    columns: list[Sequence[_Cell]] = [_opportunities(state), _refusals(state)]
    if width < _WIDE:
        return _beside(columns, [(width - _GAP) * 2 // 5, (width - _GAP) * 3 // 5])
    narrow = (width - 2 * _GAP) // 4
    rest = width - 2 * narrow - 2 * _GAP
    columns.append(_latency_lines(state.latencies, rest, _MOST_REFUSALS))
    return _beside(columns, [narrow, narrow, rest])


def _opportunities(state: BotState) -> list[_Cell]:
    funnel = {**dict.fromkeys(FUNNEL, 0), **state.funnel}
    rows: list[_Cell] = [Text(" Opportunities", _STRONG)]
    return rows + [(f" {_words(name)}", f"{count:,}") for name, count in funnel.items()][:5]


def _refusals(state: BotState) -> list[_Cell]:
    rows: list[_Cell] = [Text("Refused by", _STRONG)]
    if not state.refusals:
        return [*rows, Text("nothing refused yet", _DIM)]
    ordered = sorted(state.refusals.items(), key=lambda item: (-item[1], item[0]))
    return rows + [(_words(rule), f"{count:,}") for rule, count in ordered[:_MOST_REFUSALS]]


def _latency_lines(latencies: Sequence[LatencyRow], width: int, most: int) -> list[Text]:
    numbers = (9, 9, 9, 12)
    name_width = width - sum(numbers)
    head = ("Latency, µs", "p50", "p99", "p99.9", "count")
    lines = [_row(head, name_width, numbers, _STRONG)]
    timed = [row for row in latencies if row.count]
    for row in timed[:most]:
        cells = (
            _words(row.name),
            *(_microseconds(value) for value in (row.p50_us, row.p99_us, row.p999_us)),
            f"{row.count:,}",
        )
        lines.append(_row(cells, name_width, numbers, ""))
    return lines if timed else [*lines, Text(" nothing timed yet", _DIM)]


def _under_way(cycles: Sequence[OpenCycle], width: int, most: int) -> list[Text]:
    if not cycles:
        return [_fact("Under way", ("no cycle", _DIM))]
    shown, lines = cycles[:most], []
    for number, cycle in enumerate(shown):
        held = " ".join(f"{amount:+f} {asset}" for asset, amount in cycle.held.items() if amount)
        style = _NOTE if cycle.state.value == "unwinding" else ""
        left = _fact(
            "" if number else "Under way",
            (f"#{cycle.cycle} ", _DIM),
            (" → ".join(cycle.legs), style),
        )
        right = Text(f"{cycle.state.value} {cycle.age_s:,.1f} s ", style)
        if cycle is shown[-1] and len(cycles) > most:
            right.append(f"+{len(cycles) - most:,} more ", _STRONG)
        lines.append(_apart(left, right, width))
        if width >= _WIDE and held:
            lines[-1] = _apart(left + Text(f"   holds {held}", _DIM), right, width)
    return lines


def _alerts(alerts: Sequence[tuple[str, str]], width: int, most: int) -> list[Text]:
    if not alerts:
        return [_fact("Alerts", ("none", _DIM))]
    return [
        _fact(
            "" if number else "Alerts",
            (f"{severity:<9}", _SEVERITIES.get(severity, "")),
            (_one_line(title), ""),
        )
        for number, (severity, title) in enumerate(alerts[:most])
    ]


def _fact(label: str, *parts: tuple[str, str]) -> Text:
    return Text.assemble((f" {label:<{_LABEL - 1}}", _STRONG), *parts)


def _apart(left: Text, right: Text, width: int) -> Text:
    """Put one text at the left edge, one at the right; the left one gives way."""
    left = left.copy()
    left.truncate(max(width - right.cell_len - 1, 1), overflow="ellipsis")
    return Text.assemble(left, " " * (width - left.cell_len - right.cell_len), right)


def _beside(columns: Sequence[Sequence[_Cell]], widths: Sequence[int]) -> list[Text]:
    """Put columns side by side."""
    lines = []
    for index in range(max(map(len, columns))):
        line = Text()
        for column, width in zip(columns, widths, strict=True):
            cell = column[index] if index < len(column) else Text()
            if isinstance(cell, tuple):
                cell = _apart(Text(cell[0]), Text(cell[1]), width)
            line.append_text(_padded(cell, width)).append(" " * _GAP)
        line.rstrip()
        lines.append(line)
    return lines


def _row(cells: Sequence[str], first: int, widths: Sequence[int], style: str) -> Text:
    numbers = "".join(f"{cell:>{width}}" for cell, width in zip(cells[1:], widths, strict=True))
    return _padded(Text(f" {cells[0]}", style), first) + Text(numbers, style)


def _padded(text: Text, width: int) -> Text:
    text = text.copy()
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _cut(lines: Iterable[Text], width: int, height: int) -> list[Text]:
    cut = []
    for line in list(lines)[:height]:
        if not line.plain.isprintable():  # foreign words must not move the cursor
            line.plain = "".join(c if c.isprintable() else " " for c in line.plain)
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
        cut.append(line)
    return cut


def _words(name: str) -> str:
    return name.replace("_", " ")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _amount(amount: Decimal) -> str:
    return f"{amount.normalize():+,f}" if amount else "0"


def _colour(amount: Decimal) -> str:
    return "" if not amount else _GOOD if amount > 0 else "red"


def _microseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
