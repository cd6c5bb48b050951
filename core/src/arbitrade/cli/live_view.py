"""Shows a running bot on a terminal again and again, and keeps the log out of the picture."""

import io
import logging
import sys
import threading
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Self, TextIO, cast

from rich.console import Console
from rich.live import Live

from arbitrade.api import Bot, BotState
from arbitrade.cli.live_drawing import FUNNEL, render

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


EVERY_S = 0.5
"""Pace of the view."""

_LEAVE_S = 2.0


def plain_line(state: BotState) -> dict[str, object]:
    """Return the gist of a state as fields of a log event, for where there is no terminal."""
    line: dict[str, object] = {
        "trading_state": state.trading_state.value,
        "is_market_connected": state.is_market_connected,
        "is_account_ready": state.is_account_ready,
        "books": state.books,
        "books_in_sync": state.books_in_sync,
        **{name: state.funnel.get(name, 0) for name in FUNNEL},
        "cycles": dict(state.cycles),
        "open_cycles": len(state.open_cycles),
        "orders": state.orders,
        "executions": state.executions,
        "profit": f"{round(state.profit_reference, 4):f} {state.reference_asset}",
        "journal": state.journal,
        "journal_lag": state.journal_lag,
        "database": state.database,
    }
    if state.halt_reason:
        line["halt_reason"] = state.halt_reason
    if state.account_problem:
        line["account_problem"] = state.account_problem
    if state.ledger_differences:
        line["ledger_differences"] = {
            asset: f"{amount:f}" for asset, amount in state.ledger_differences.items()
        }
    for row in state.latencies:
        if row.p99_us is not None:
            line[f"{row.name}_p99_us"] = row.p99_us
    return line


class LiveView:
    """Shows a bot on the whole terminal until cancelled.  A `Service`.

    Nothing else may write to that terminal meanwhile; see `HeldBackLog`.

    Args:
        bot: What is shown.
        console: Where; by default the terminal behind standard output.
    """

    def __init__(self, bot: Bot, console: Console | None = None) -> None:
        self.name = "live view"
        self._bot = bot
        self._console = console or Console()

    async def run(self) -> None:
        """Show the state twice a second; at the end leave the last one on the normal screen."""
        painter = _Painter(self._console)
        painter.start()
        updates = cast("AsyncGenerator[BotState]", self._bot.updates(EVERY_S))
        try:
            async with aclosing(updates):
                async for state in updates:
                    painter.paint(state)
        finally:
            painter.stop()
            painter.join(_LEAVE_S)


class _Painter(threading.Thread):
    """Writes to the terminal, which may take its time or, after Ctrl-S, forever."""

    def __init__(self, console: Console) -> None:
        super().__init__(name="live view", daemon=True)
        self._console = console
        self._changed = threading.Condition()
        self._state: BotState | None = None
        self._is_ending = False

    def paint(self, state: BotState) -> None:
        """Show a state soon, unless a newer one comes first."""
        with self._changed:
            self._state = state
            self._changed.notify()

    def stop(self) -> None:
        """End after the last state."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()

    def run(self) -> None:
        """Paint until told to stop, or the terminal is gone."""
        last: BotState | None = None
        try:
            with screen(self._console) as live:
                while True:
                    state, is_ending = self._next(last)
                    if state is not last and state is not None:
                        show(live, state)
                        last = state
                    if is_ending:
                        break
            if last is not None:
                self._console.print(render(last, *self._console.size))
        except (OSError, ValueError):  # ValueError: standard output was closed
            return

    def _next(self, last: BotState | None) -> tuple[BotState | None, bool]:
        """Wait for something new, at the pace of the view."""
        with self._changed:
            if last is not None:
                self._changed.wait_for(lambda: self._is_ending, EVERY_S)
            self._changed.wait_for(lambda: self._is_ending or self._state is not last)
            return self._state, self._is_ending


def screen(console: Console) -> Live:
    """Return a view of the whole terminal, to be entered; what was there comes back after it."""
    return Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")


def show(live: Live, state: BotState) -> None:
    """Bring a view up to date, in the size the terminal has now."""
    live.update(render(state, *live.console.size), refresh=True)


class HeldBackLog(io.TextIOBase):
    """Keeps the last lines of the log while the terminal belongs to the view.

    Entered, it takes the place of standard output and error under every handler of the root logger;
    left, it gives them back and writes to them what it has kept.

    Args:
        limit: Lines kept; older ones are counted and forgotten.
    """

    def __init__(self, limit: int = 500) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=limit)
        self._unfinished = ""
        self._forgotten = 0
        self._replaced: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def __enter__(self) -> Self:
        """Begin to hold back."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                stream = handler.setStream(cast(TextIO, self))
                if stream in (sys.stdout, sys.stderr):
                    self._replaced.append((handler, stream))
                elif stream is not None:
                    handler.setStream(stream)
        return self

    def __exit__(self, *_: object) -> None:
        """Give back the streams, and write what was kept."""
        replaced, self._replaced = self._replaced, []
        for handler, stream in replaced:
            handler.setStream(stream)
        self.release(replaced[0][1] if replaced else sys.stderr)

    def write(self, text: str, /) -> int:
        """Keep a text until the view is gone; then it is written where it belongs."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            self._forgotten += len(self._lines) == self._lines.maxlen
            self._lines.append(line)
        return len(text)

    def isatty(self) -> bool:
        """Tell that colours are welcome when it ends up on a terminal."""
        return sys.stderr.isatty()

    def release(self, stream: TextIO) -> None:
        """Write what was kept, and begin anew."""
        if self._forgotten:
            stream.write(f"… {self._forgotten:,} earlier lines of the log were not kept\n")
        stream.writelines(f"{line}\n" for line in (*self._lines, self._unfinished) if line)
        self._lines.clear()
        self._unfinished, self._forgotten = "", 0


# ── the parts, from top to bottom ────────────────────────────────────────────────────────────────


# ── lines of text ────────────────────────────────────────────────────────────────────────────────
