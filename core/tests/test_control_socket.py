"""A bot and its operator over a real socket."""

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from arbitrade.api import Answer, Bot, Command
from arbitrade.control.client import ControlClient, running_accounts
from arbitrade.control.endpoint import DEFAULT_TRANSPORT, Endpoint, Transport, find_endpoint
from arbitrade.control.places import endpoint_file, socket_file
from arbitrade.control.server import ControlServer, ServerLimits
from arbitrade.errors import ArbitradeError, BotNotRunningError, ControlError, UsageError
from arbitrade.models import TradingState
from arbitrade.testing.bot import FakeBot, make_bot_state
from arbitrade.testing.patience import PATIENCE_S, until

unix_only = pytest.mark.skipif(DEFAULT_TRANSPORT != "unix", reason="no Unix sockets here")
TRANSPORTS: list[Transport] = ["unix", "tcp"] if DEFAULT_TRANSPORT == "unix" else ["tcp"]

in_thread = asyncio.to_thread


@asynccontextmanager
async def serving(
    bot: Bot,
    folder: Path,
    account: str = "main",
    *,
    transport: Transport | None = None,
    limits: ServerLimits | None = None,
) -> AsyncIterator[ControlServer]:
    """Run a control server."""
    server = ControlServer(bot, folder, account, transport=transport, limits=limits)
    await server.start()
    task = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()  # a task that was cancelled before it began cleans up nothing


async def connect(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the bot of account main as any program could."""
    endpoint = find_endpoint(folder, "main")
    assert endpoint is not None
    if endpoint.path:
        return await asyncio.open_unix_connection(endpoint.path)
    return await asyncio.open_connection("127.0.0.1", endpoint.port)


def test_fake_bot_is_a_bot() -> None:
    assert isinstance(FakeBot(), Bot)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_state_arrives_as_it_was_sent(tmp_path: Path, transport: Transport) -> None:
    bot = FakeBot()
    async with serving(bot, tmp_path, transport=transport):
        assert await in_thread(ControlClient(tmp_path, "main").state) == bot.state()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_commands_are_carried_out_and_answered(tmp_path: Path, transport: Transport) -> None:
    bot = FakeBot()
    async with serving(bot, tmp_path, transport=transport) as server:
        client = ControlClient(tmp_path, "main")
        answer = await in_thread(client.command, "halt", {"reason": "odd prices"})
        assert answer == Answer(True, "halted: odd prices")
        assert bot.state().trading_state is TradingState.HALTED
        assert server.counters["control.command"] == 1


@unix_only
async def test_actor_is_the_operating_systems_user_whatever_the_client_says(tmp_path: Path) -> None:
    import pwd

    bot = FakeBot()
    async with serving(bot, tmp_path):
        reader, writer = await connect(tmp_path)
        writer.write(b'{"v":1,"id":1,"ask":"command","name":"halt","actor":"somebody else"}\n')
        await reader.readline()
        writer.close()
    assert [command.actor for command in bot.commands] == [pwd.getpwuid(os.geteuid()).pw_name]


async def test_halt_reaches_the_bot_within_50_ms(tmp_path: Path) -> None:
    """The best of many: what is measured is the way, not how busy the machine is."""
    bot = FakeBot()
    arrived: list[float] = []
    loop = asyncio.get_running_loop()

    def on_halt(command: object) -> Answer:
        arrived.append(loop.time())
        return Answer(True, "halted")

    bot.replies["halt"] = on_halt
    async with serving(bot, tmp_path), asyncio.timeout(PATIENCE_S):
        is_quick = False
        while not is_quick:
            sent = loop.time()
            await in_thread(ControlClient(tmp_path, "main").command, "halt", {"reason": "now"})
            is_quick = arrived[-1] - sent < 0.05


async def test_halt_gets_through_while_another_command_takes_its_time(tmp_path: Path) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    class Slow(FakeBot):
        async def command(self, command: Command) -> Answer:
            if command.name == "flatten":
                started.set()
                await ended.wait()
            return await super().command(command)

    bot = Slow()
    async with serving(bot, tmp_path):
        client = ControlClient(tmp_path, "main", timeout_s=PATIENCE_S)
        flatten = asyncio.create_task(in_thread(client.command, "flatten"))
        await started.wait()
        assert (await in_thread(client.command, "halt", {"reason": "stop"})).is_done
        assert not flatten.done()
        ended.set()
        assert (await flatten).is_done


async def test_command_is_finished_though_its_client_went_away(tmp_path: Path) -> None:
    bot = FakeBot()
    done = asyncio.Event()

    def on_flatten(command: object) -> Answer:
        done.set()
        return Answer(True, "flat")

    bot.replies["flatten"] = on_flatten
    bot.hold()
    async with serving(bot, tmp_path):
        _, writer = await connect(tmp_path)
        writer.write(b'{"v":1,"id":1,"ask":"command","name":"flatten","arguments":{}}\n')
        await until(lambda: bool(bot.commands))
        writer.transport.abort()
        bot.held_back.set()
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()


async def test_refusal_of_the_bot_is_told_in_its_words(tmp_path: Path) -> None:
    bot = FakeBot()
    bot.replies["resume"] = ArbitradeError("resume: the ledger differs by 1 USD; look at report")
    async with serving(bot, tmp_path):
        with pytest.raises(ControlError, match="differs by 1 USD"):
            await in_thread(ControlClient(tmp_path, "main").command, "resume")


async def test_bug_in_the_bot_is_told_without_what_it_says(tmp_path: Path) -> None:
    bot = FakeBot()
    bot.replies["resume"] = ZeroDivisionError("with something private in it")
    async with serving(bot, tmp_path):
        with pytest.raises(ControlError, match="see its log") as caught:
            await in_thread(ControlClient(tmp_path, "main").command, "resume")
        assert "private" not in str(caught.value)
        assert (await in_thread(ControlClient(tmp_path, "main").command, "halt")).is_done


async def test_subscriber_gets_the_newest_state_and_leaves_nothing_behind(tmp_path: Path) -> None:
    bot = FakeBot()

    def first_two() -> list[TradingState]:
        updates = ControlClient(tmp_path, "main", timeout_s=PATIENCE_S).updates(60)
        seen = [next(updates).trading_state]
        loop.call_soon_threadsafe(lambda: bot.change(trading_state=TradingState.REDUCING))
        seen.append(next(updates).trading_state)
        updates.close()  # type: ignore[attr-defined]
        return seen

    loop = asyncio.get_running_loop()
    async with serving(bot, tmp_path):
        assert await in_thread(first_two) == [TradingState.ACTIVE, TradingState.REDUCING]
        bot.change(orders=44)
        bot.change(orders=45)
        await until(lambda: bot.subscriptions == 0)


async def test_end_of_the_bot_ends_the_subscription(tmp_path: Path) -> None:
    bot = FakeBot()
    async with serving(bot, tmp_path):
        updates = ControlClient(tmp_path, "main", timeout_s=PATIENCE_S).updates(60)
        await in_thread(next, updates)
        await until(lambda: bot.subscriptions == 1)
    assert await in_thread(next, updates, None) is None
    assert bot.subscriptions == 0


def test_without_a_bot_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(BotNotRunningError, match="arbitrade run"):
        ControlClient(tmp_path, "main").state()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_socket_is_ours_alone_and_gone_at_the_end(
    tmp_path: Path, transport: Transport
) -> None:
    folder = tmp_path / "state"
    async with serving(FakeBot(), folder, transport=transport):
        assert await in_thread(running_accounts, folder) == ["main"]
        made = socket_file if transport == "unix" else endpoint_file
        if os.name == "posix":
            assert stat.S_IMODE(made(folder, "main").stat().st_mode) == 0o600
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert await in_thread(running_accounts, folder) == []
    assert not list(folder.glob("*.sock"))
    assert not list(folder.glob("*.json"))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_second_bot_of_an_account_is_refused_and_the_first_goes_on(
    tmp_path: Path, transport: Transport
) -> None:
    async with serving(FakeBot(), tmp_path, transport=transport):
        with pytest.raises(UsageError, match="stop that one first"):
            await ControlServer(FakeBot(), tmp_path, "main", transport=transport).start()
        assert (await in_thread(ControlClient(tmp_path, "main").state)).account == "main"


async def test_bots_of_two_accounts_share_a_folder(tmp_path: Path) -> None:
    ours, theirs = FakeBot(), FakeBot(make_bot_state(account="a/b c"))
    async with serving(ours, tmp_path), serving(theirs, tmp_path, "a/b c"):
        assert await in_thread(running_accounts, tmp_path) == ["a/b c", "main"]
        assert (await in_thread(ControlClient(tmp_path, "a/b c").state)).account == "a/b c"


@unix_only
async def test_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(socket_file(tmp_path, "main")))
        left_behind.listen()
    assert await in_thread(running_accounts, tmp_path) == []
    async with serving(FakeBot(), tmp_path):
        assert await in_thread(running_accounts, tmp_path) == ["main"]


async def test_endpoint_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    with socket.socket() as left_behind:
        left_behind.bind(("127.0.0.1", 0))
        port = left_behind.getsockname()[1]
    endpoint_file(tmp_path, "main").write_bytes(
        orjson.dumps({"socket": "", "port": port, "token": "old"})
    )
    assert await in_thread(running_accounts, tmp_path) == []
    async with serving(FakeBot(), tmp_path):
        assert await in_thread(running_accounts, tmp_path) == ["main"]


async def test_endpoint_whose_port_is_another_program_s_by_now_is_replaced(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        endpoint_file(tmp_path, "main").write_bytes(
            orjson.dumps({"socket": "", "port": port, "token": "old"})
        )
        async with serving(FakeBot(), tmp_path, transport="tcp"):
            assert await in_thread(running_accounts, tmp_path) == ["main"]


@unix_only
async def test_folder_too_deep_for_a_socket_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = (
        Path(tempfile.gettempdir()) / f"arbitrade-test-{os.getpid()}"
    )  # short, as the common folder is
    monkeypatch.setattr("arbitrade.control.endpoint.common_folder", lambda: common)
    deep = tmp_path / ("d" * 100)
    try:
        async with serving(FakeBot(), deep):
            assert await in_thread(running_accounts, deep) == ["main"]
            assert (await in_thread(ControlClient(deep, "main").state)).account == "main"
            (made,) = common.iterdir()
            assert stat.S_IMODE(made.stat().st_mode) == 0o600
        assert list(common.iterdir()) == []
        assert await in_thread(running_accounts, deep) == []
        common.chmod(0o755)
        with pytest.raises(ControlError, match="somebody else may look into it"):
            await ControlServer(FakeBot(), deep, "main").start()
    finally:
        common.rmdir()


@unix_only
async def test_socket_that_another_bot_has_put_there_is_left_alone(tmp_path: Path) -> None:
    async with serving(FakeBot(), tmp_path):
        path = socket_file(tmp_path, "main")
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            taken = path.stat().st_ino
    assert path.stat().st_ino == taken


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"no json\n",
        b"[1]\n",
        b"\x00\xff\xfe\n",
        b'{"v":2,"id":1,"ask":"state"}\n',
        b'{"v":1,"id":"x","ask":"state"}\n',
        b'{"v":1,"id":-1,"ask":"state"}\n',
        b'{"v":1,"id":1,"ask":"everything"}\n',
        b'{"v":1,"id":1,"ask":"command","name":"rm"}\n',
        b'{"v":1,"id":1,"ask":"command","name":"halt","arguments":[]}\n',
        b'{"v":1,"id":1,"ask":"command","name":"halt","arguments":{"reason":1}}\n',
        b'{"v":1,"id":1,"ask":"command","name":"halt","arguments":{"reason":"%s"}}\n'
        % (b"x" * 5000),
        b'{"v":1,"id":1,"ask":"subscribe","every_s":"often"}\n',
        b'{"v":1,"id":1,"ask":"subscribe","every_s":true}\n',
        b"[" * 60_000 + b"\n",
        b"x" * 1_000_000 + b"\n",
        b"\x00" * 1_000_000,
    ],
    ids=lambda line: repr(line[:70]),
)
async def test_malformed_request_is_refused_counted_and_hurts_nobody(
    tmp_path: Path, line: bytes
) -> None:
    bot = FakeBot()
    async with serving(bot, tmp_path) as server:
        reader, writer = await connect(tmp_path)
        writer.write(line)
        refusal = orjson.loads(await reader.readline())
        assert refusal["ok"] is False
        assert refusal["error"]
        assert len(refusal["error"]) < 300
        writer.close()
        assert server.counters["control.malformed"] == 1
        assert bot.commands == []
        assert (await in_thread(ControlClient(tmp_path, "main").command, "halt")).is_done


async def test_connection_without_a_request_is_closed(tmp_path: Path) -> None:
    async with serving(FakeBot(), tmp_path, limits=ServerLimits(idle_s=0.05)) as server:
        reader, writer = await connect(tmp_path)
        writer.write(b'{"v":1,')  # and no more
        assert await reader.read() == b""
        writer.close()
        await until(lambda: server.counters.get("control.idle") == 1)


async def test_subscriber_that_reads_nothing_is_dropped(tmp_path: Path) -> None:
    bot = FakeBot(make_bot_state(counters={f"counter.{n}": n for n in range(20_000)}))
    async with serving(bot, tmp_path, limits=ServerLimits(write_s=0.2)) as server:
        endpoint = find_endpoint(tmp_path, "main")
        assert endpoint is not None
        with endpoint.dial(5) as connection:
            connection.sendall(b'{"v":1,"id":1,"ask":"subscribe","every_s":0.1}\n')
            await until(lambda: server.counters.get("control.slow") == 1)
        await until(lambda: bot.subscriptions == 0)


async def test_halt_gets_through_a_crowd_of_idle_connections(tmp_path: Path) -> None:
    bot = FakeBot()
    limits = ServerLimits(connections=8, accepts_per_s=10_000, burst=1000)
    async with serving(bot, tmp_path, limits=limits) as server:
        crowd = [await connect(tmp_path) for _ in range(50)]
        assert (await in_thread(ControlClient(tmp_path, "main", 30).command, "halt")).is_done
        assert server.counters["control.crowded_out"] >= 43
        for _, writer in crowd:
            writer.close()


async def test_thousands_of_connections_leave_the_bot_time_to_work(tmp_path: Path) -> None:
    """What comes too fast waits in front of the door, at the expense of whoever pushes."""
    limits = ServerLimits(accepts_per_s=50, burst=5)
    async with serving(FakeBot(), tmp_path, limits=limits) as server:
        endpoint = find_endpoint(tmp_path, "main")
        assert endpoint is not None
        before = server.counters.get("control.connections", 0)
        pushed = await in_thread(push, endpoint, 2_000)
        assert pushed >= 50  # those the system let queue
        assert server.counters.get("control.connections", 0) - before < 1_000


def push(endpoint: Endpoint, times: int) -> int:
    """Connect as often as one can, and let go at once; return how often it worked."""
    worked = 0
    for _ in range(times):
        try:
            endpoint.dial(0.001).close()
        except OSError:
            continue
        worked += 1
    return worked


async def test_requests_of_one_connection_are_slowed_down_but_not_a_halt(tmp_path: Path) -> None:
    bot = FakeBot()
    limits = ServerLimits(requests_per_s=0.001, burst=2)
    async with serving(bot, tmp_path, limits=limits):
        reader, writer = await connect(tmp_path)
        for number in range(3):
            writer.write(b'{"v":1,"id":%d,"ask":"hello"}\n' % number)
        answered = [orjson.loads(await reader.readline())["id"] for _ in range(2)]
        assert answered == [0, 1]
        assert (await in_thread(ControlClient(tmp_path, "main").command, "halt")).is_done
        writer.close()


async def test_wrong_token_is_refused(tmp_path: Path) -> None:
    bot = FakeBot()
    async with serving(bot, tmp_path, transport="tcp") as server:
        reader, writer = await connect(tmp_path)
        writer.write(b'{"v":1,"id":1,"ask":"command","name":"halt","token":"guess"}\n')
        assert b"token" in await reader.readline()
        writer.close()
        assert bot.commands == []
        assert server.counters["control.foreign"] == 1


@unix_only
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be two users"
)
async def test_another_user_is_turned_away_even_if_the_socket_were_open_to_all(
    tmp_path: Path,
) -> None:
    """Root is let in to everybody's bot; here root's bot meets another user."""
    import subprocess
    import sys

    bot = FakeBot()
    folder = Path(tempfile.gettempdir()) / f"arbitrade-open-{os.getpid()}"
    asking = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "with socket.socket(socket.AF_UNIX) as s:\n"
        "    s.connect(sys.argv[1])\n"
        "    try:\n"
        '        s.sendall(b\'{"v":1,"id":1,"ask":"command","name":"halt"}\\n\')\n'
        "        sys.exit(len(s.recv(100)) > 0)\n"
        "    except OSError:\n"
        "        sys.exit(0)\n"
    )
    try:
        async with serving(bot, folder) as server:
            folder.chmod(0o755)
            path = socket_file(folder, "main")
            path.chmod(0o666)
            done = await in_thread(
                subprocess.run, [sys.executable, "-S", "-c", asking, str(path)], check=False
            )
            assert done.returncode == 0
            assert bot.commands == []
            assert server.counters["control.foreign"] == 1
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


@unix_only
async def test_too_long_an_answer_or_none_at_all_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(socket_file(tmp_path, "main")))
        mute.listen()
        with pytest.raises(ControlError, match="doesn't answer"):
            await in_thread(ControlClient(tmp_path, "main", timeout_s=0.05).state)
