"""The view of a bot, as text.

What it should look like is in `views/`; after a change that is meant, renew it with
`ARBITRADE_RENEW_VIEWS=1 pytest core/tests/test_live_view.py` and look at the difference.
"""

import asyncio
import io
import logging
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from arbitrade.api import BotState
from arbitrade.cli.live_drawing import render
from arbitrade.cli.live_view import HeldBackLog, LiveView, plain_line
from arbitrade.models import CycleState, Mode, TradingState
from arbitrade.protocols import Service
from arbitrade.testing.bot import FakeBot, make_bot_state, make_open_cycle
from arbitrade.testing.patience import PATIENCE_S

VIEWS = Path(__file__).parent / "views"

STARTING = make_bot_state(
    uptime_s=3.2,
    is_market_connected=False,
    is_account_ready=False,
    account_problem="no connection yet",
    books_in_sync=0,
    funnel={},
    refusals={},
    cycles={},
    open_cycles=(),
    orders=0,
    executions=0,
    profit={},
    profit_reference=Decimal(0),
    latencies=(),
    database="connecting",
    alerts=(),
)
HALTED = make_bot_state(
    trading_state=TradingState.HALTED,
    halt_reason="alice: odd prices on SOL",
    open_cycles=(),
    alerts=(("critical", "trading halted"), ("warning", "kraken: connection 1 lost")),
)
DATABASE_DOWN = make_bot_state(
    mode=Mode.LIVE,
    trading_state=TradingState.REDUCING,
    halt_reason="database away for 60 s",
    database="away for 72 s: connection refused",
    journal_lag=2310,
    open_cycles=tuple(make_open_cycle(cycle=n, state=CycleState.UNWINDING) for n in range(17, 26)),
    alerts=tuple(("error", f"alert {n}") for n in range(10)),
)
LEDGER_DIFFERENCE = make_bot_state(
    trading_state=TradingState.HALTED,
    halt_reason="ledger and venue differ",
    ledger_differences={"USD": Decimal("-0.01"), "BTC": Decimal("0.00000001")},
)
NOT_READY = make_bot_state(
    account="second",
    is_account_ready=False,
    account_problem="the dead man's switch is not armed",
    cycles={"flagged": 1},
)
STATES = {
    "starting": STARTING,
    "trading": make_bot_state(),
    "halted": HALTED,
    "database_down": DATABASE_DOWN,
    "ledger_difference": LEDGER_DIFFERENCE,
    "not_ready": NOT_READY,
}


def text_of(state: BotState, width: int, height: int) -> str:
    """Return the view as plain text."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, legacy_windows=False)
    console.print(render(state, width, height))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
@pytest.mark.parametrize("name", STATES)
def test_view_looks_as_agreed(name: str, width: int, height: int) -> None:
    path = VIEWS / f"{name}-{width}x{height}.txt"
    text = text_of(STATES[name], width, height)
    if os.environ.get("ARBITRADE_RENEW_VIEWS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STATES)
def test_every_state_says_in_words_what_the_operator_has_to_know(name: str) -> None:
    text, state = text_of(STATES[name], 80, 24), STATES[name]
    if state.trading_state is TradingState.HALTED:
        assert "HALTED" in text
        assert state.halt_reason in text
        assert "arbitrade resume" in text
    for asset in state.ledger_differences:
        assert f"{asset} {state.ledger_differences[asset]:+f}" in text
    if state.account_problem:
        assert state.account_problem in text
    assert state.database.split(":", maxsplit=1)[0] in text


@given(
    st.sampled_from(sorted(STATES)),
    st.integers(1, 250),
    st.integers(1, 80),
    st.integers(0, 60),
    st.integers(0, 60),
    st.text(max_size=300),
)
def test_view_never_grows_beyond_the_terminal_whatever_it_shows(
    name: str, width: int, height: int, cycles: int, alerts: int, text: str
) -> None:
    state = make_bot_state(
        open_cycles=tuple(make_open_cycle(cycle=n, legs=(text, text)) for n in range(cycles)),
        alerts=tuple(("warning", text) for _ in range(alerts)),
        trading_state=STATES[name].trading_state,
        halt_reason=text,
        account_problem=text,
        is_account_ready=False,
        database=text,
        refusals={f"rule_{n}{text}": n for n in range(alerts)},
        profit={f"A{n}": Decimal(n) for n in range(cycles)},
    )
    view = render(state, width, height)
    lines = list(view.renderables)
    assert len(lines) <= max(height, 16)
    for line in lines:
        assert line.cell_len <= max(width, 60)  # type: ignore[union-attr]
        assert line.plain.isprintable()  # type: ignore[union-attr]


def test_markup_in_foreign_words_is_only_text() -> None:
    state = make_bot_state(alerts=(("warning", "[red]not red[/red] [/]"),))
    assert "[red]not red[/red] [/]" in text_of(state, 80, 24)


def test_plain_line_has_the_gist_and_plain_values_only() -> None:
    line = plain_line(LEDGER_DIFFERENCE)
    assert line["trading_state"] == "halted"
    assert line["halt_reason"] == "ledger and venue differ"
    assert line["ledger_differences"] == {"USD": "-0.01", "BTC": "0.00000001"}
    assert line["profit"] == "4.9686 USD"
    assert line["tick_to_order_p99_us"] == 640.0
    assert "sizing_p99_us" not in line
    assert "halt_reason" not in plain_line(make_bot_state())


async def test_live_view_shows_changes_and_leaves_the_last_one() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, height=24, force_terminal=True, legacy_windows=False)
    bot = FakeBot()
    view: Service = LiveView(bot, console)
    task = asyncio.create_task(view.run())
    async with asyncio.timeout(PATIENCE_S):
        while "TRADING" not in stream.getvalue():
            await asyncio.sleep(0.01)
        bot.change(trading_state=TradingState.HALTED, halt_reason="enough")
        while "HALTED" not in stream.getvalue():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bot.subscriptions == 0
    normal_screen = stream.getvalue().rpartition("\x1b[?1049l")[2]
    assert "HALTED" in normal_screen
    assert "\x1b[2J" not in normal_screen


def test_log_is_held_back_while_the_view_is_up() -> None:
    log, shown = HeldBackLog(limit=3), io.StringIO()
    log.write("one\ntwo\nthr")
    log.write("ee\nfour\nfive\nsi")
    log.release(shown)
    assert shown.getvalue() == "… 2 earlier lines of the log were not kept\nthree\nfour\nfive\nsi\n"
    log.release(shown)
    assert shown.getvalue().count("five") == 1


def test_log_of_the_whole_process_waits_for_the_end_of_the_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal, file = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    root = logging.getLogger()
    handlers = [logging.StreamHandler(terminal), logging.StreamHandler(file)]
    for handler in handlers:
        root.addHandler(handler)
    try:
        with HeldBackLog():
            root.error("a connection was lost")
            assert terminal.getvalue() == ""
            assert file.getvalue() == "a connection was lost\n"
        assert terminal.getvalue() == "a connection was lost\n"
        root.error("another one")
        assert terminal.getvalue().endswith("another one\n")
    finally:
        for handler in handlers:
            root.removeHandler(handler)
