"""What goes over the control socket, without one."""

import asyncio
import contextlib
import threading
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.api import BotState, LatencyRow
from arbitrade.control import messages
from arbitrade.control.client import ControlClient, read_state
from arbitrade.control.messages import Request
from arbitrade.control.server import ControlServer, state_json
from arbitrade.errors import ArbitradeError, ControlError
from arbitrade.models import CycleState, Mode, TradingState
from arbitrade.process import loops
from arbitrade.testing.bot import FakeBot, make_bot_state, make_open_cycle

TEXTS = st.text(max_size=30)
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False)
COUNTS = st.dictionaries(TEXTS, st.integers(0, 2**53), max_size=5)
LATENCIES = st.builds(
    LatencyRow,
    TEXTS,
    st.integers(0, 2**53),
    *[st.none() | st.floats(0, 1e9) for _ in range(3)],
)
STATES = st.builds(
    make_bot_state,
    mode=st.sampled_from(Mode),
    trading_state=st.sampled_from(TradingState),
    halt_reason=TEXTS,
    uptime_s=st.floats(0, 1e9),
    funnel=COUNTS,
    counters=COUNTS,
    profit=st.dictionaries(TEXTS, AMOUNTS, max_size=3),
    profit_reference=AMOUNTS,
    ledger_differences=st.dictionaries(TEXTS, AMOUNTS, max_size=3),
    latencies=st.lists(LATENCIES, max_size=3).map(tuple),
    open_cycles=st.lists(
        st.builds(
            make_open_cycle,
            state=st.sampled_from(CycleState),
            held=st.dictionaries(TEXTS, AMOUNTS, max_size=2),
            expected_profit=AMOUNTS,
        ),
        max_size=2,
    ).map(tuple),
    alerts=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
)
REQUESTS = st.builds(
    Request,
    id=st.integers(0, 2**53 - 1),
    ask=st.just("command"),
    name=st.sampled_from(sorted(messages.COMMANDS)),
    arguments=st.dictionaries(TEXTS, TEXTS, max_size=5),
    token=TEXTS,
)


@given(STATES)
def test_state_survives_the_way_over_the_socket_to_the_last_digit(state: BotState) -> None:
    assert read_state(orjson.loads(state_json(state))) == state


def test_state_of_a_newer_bot_is_read_with_what_is_known() -> None:
    fields = orjson.loads(state_json(make_bot_state()))
    assert read_state({**fields, "mood": "fine"}) == make_bot_state()


def test_state_of_an_older_bot_is_refused_with_a_way_out() -> None:
    fields = orjson.loads(state_json(make_bot_state()))
    del fields["funnel"]
    with pytest.raises(ControlError, match="the bot was started with"):
        read_state(fields)


@given(REQUESTS)
def test_request_is_read_as_it_was_written(request: Request) -> None:
    line = messages.write_request(request)
    assert line.count(b"\n") == 1
    assert messages.read_request(line) == request


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error_of_ours(line: bytes) -> None:
    with contextlib.suppress(ControlError):
        messages.read_request(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("id", "ask", "every_s", "name", "arguments", "token"), JSON)
    ),
    st.sampled_from([*messages.COMMANDS]),
    st.booleans(),
)
def test_any_json_is_a_request_or_an_error_of_ours(
    fields: dict[str, object], name: str, is_command: bool
) -> None:
    if is_command:
        fields |= {"ask": "command", "name": name, "id": 1}
    with contextlib.suppress(ControlError):
        request = messages.read_request(orjson.dumps({"v": 1, **fields}))
        assert 0.1 <= request.every_s <= 60
        assert all(isinstance(text, str) for text in request.arguments.values())


def test_refusal_is_an_error_with_the_bot_s_words() -> None:
    with pytest.raises(ControlError, match="no such limit"):
        messages.read_answer(messages.write_error(1, "no such limit"))


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"v":1}', b'{"v":1,"ok":true}', b'{"v":9,"ok":true,"result":{}}']
)
def test_answer_that_is_none_is_an_error(line: bytes) -> None:
    with pytest.raises(ControlError):
        messages.read_answer(line)


def test_every_error_of_the_socket_is_one_of_ours() -> None:
    assert issubclass(ControlError, ArbitradeError)


def test_fast_event_loop_serves_as_well(tmp_path: Path) -> None:
    if loops.loop_factory("auto") is None:
        pytest.skip("no fast event loop is installed")
    bot = FakeBot(make_bot_state(profit={"USD": Decimal("0.10")}))
    ready, results = threading.Event(), []

    async def main() -> None:
        server = ControlServer(bot, tmp_path, "main")
        await server.start()
        task = asyncio.create_task(server.run())
        ready.set()
        client = ControlClient(tmp_path, "main", timeout_s=30)
        results.append(await asyncio.to_thread(client.state))
        updates = client.updates(60)
        results.append(await asyncio.to_thread(next, updates))
        results.append(await asyncio.to_thread(client.command, "halt", {"reason": "now"}))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        results.append(await asyncio.to_thread(lambda: list(updates)))

    loops.run(main(), "auto")
    first, second, answer, rest = results
    assert first == second
    assert answer.is_done
    assert [state.trading_state for state in rest] in ([TradingState.HALTED], [])
    assert not list(tmp_path.glob("*.sock"))
