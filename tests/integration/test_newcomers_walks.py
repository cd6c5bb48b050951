"""What docs/architecture.md says about who calls whom, followed through real runs.

The page has four walks, each a table of rooms.  A run is watched at the functions named there: they
are entered in the order of the rows, each while one further up is still at work, but where the page
says that something is handed over; and no room is named twice in a walk.
"""

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType

import attrs
import pytest
from click.testing import CliRunner

from arbitrade.cli import arbitrade as command_line
from arbitrade.config import Secret, Settings
from arbitrade.config.load import load_settings
from arbitrade.hot import INTERPRETED, REQUIRED
from arbitrade.models import Mode
from arbitrade.plugins import PluginRegistry, discover
from arbitrade.testing.patience import until
from arbitrade.testing.postgres import PostgresServer, postgres_server
from arbitrade.trading.run.session import TradingSession
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import running_simulator

__all__ = ["postgres_server"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
SOURCES = ("core/src/arbitrade", *(f"plugins/{name}/src" for name in ("kraken", "triangular")))
ROW = re.compile(r"^\| \d+ \| `(?P<room>[\w/.]+)` \| `(?P<function>[\w.]+)` \|(?P<what>.*)\|$")


@attrs.frozen
class Step:
    """A row of a walk: a room, and the function by which it is entered."""

    room: str
    function: str

    @property
    def file(self) -> Path:
        (found,) = (p for s in SOURCES if (p := ROOT / s / self.room).is_file())
        return found

    @property
    def module(self) -> str:
        package = self.file.relative_to(ROOT).as_posix().partition("/src/")[2]
        return package.removesuffix(".py").replace("/", ".")

    @property
    def code(self) -> CodeType:
        found = import_module(self.module)
        for name in self.function.split("."):
            found = getattr(found, name)
        found = getattr(found, "callback", found)  # a command of click
        code: CodeType = getattr(found, "__wrapped__", found).__code__
        return code


def walk(title: str) -> list[Step]:
    """Return the rows of the walk under a heading of the page."""
    part = PAGE.read_text(encoding="utf-8").partition(f"### {title}\n")[2].partition("\n##")[0]
    rows = [ROW.match(line) for line in part.splitlines()]
    return [Step(row["room"], row["function"]) for row in rows if row is not None]


TITLES = (
    "A frame, from the socket to the bytes of an order",
    "A fill, from the socket to the ledger",
    "An operator's halt",
    "A recorded event, in a replay",
)


@pytest.mark.parametrize("title", TITLES)
def test_the_rooms_of_a_walk_exist_and_none_is_named_twice(title: str) -> None:
    steps = walk(title)
    assert len(steps) >= 5
    for step in steps:
        assert step.code.co_filename == str(step.file), step
    assert len({step.room for step in steps}) == len(steps)


class Trail:
    """The functions of a walk as they are entered, each with who else of them is at work then."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._names = {step.code: number for number, step in enumerate(steps)}
        self.steps = steps
        self.entered: list[tuple[int, frozenset[int]]] = []

    def note(self, code: CodeType, _: int) -> None:
        """Take that a function begins."""
        above: set[int] = set()
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            if frame.f_code in self._names:
                above.add(self._names[frame.f_code])
            frame = frame.f_back
        self.entered.append((self._names[code], frozenset(above)))

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Note what is entered within."""
        tool, events = sys.monitoring.DEBUGGER_ID, sys.monitoring.events
        sys.monitoring.use_tool_id(tool, "walk")
        sys.monitoring.register_callback(tool, events.PY_START, self.note)
        try:
            for code in self._names:
                sys.monitoring.set_local_events(tool, code, events.PY_START)
            yield
        finally:
            for code in self._names:
                sys.monitoring.set_local_events(tool, code, 0)
            sys.monitoring.free_tool_id(tool)

    def is_walked(self) -> bool:
        """Tell whether somebody went from the first row to the last."""
        return self.trip() is not None

    def trip(self) -> list[frozenset[int]] | None:
        """Return who was at work when each row was entered on the way to the last row, in order.

        Rooms are entered for other reasons as well.  So the way is followed back: who was entered
        last before the last row, who before that one, up to the first.
        """
        rows = [number for number, _ in self.entered]
        for end in (at for at, number in enumerate(rows) if number == len(self.steps) - 1):
            way, at = [self.entered[end][1]], end
            for number in range(len(self.steps) - 2, -1, -1):
                at = next((back for back in range(at - 1, -1, -1) if rows[back] == number), -1)
                if at < 0:
                    break
                way.append(self.entered[at][1])
            if len(way) == len(self.steps):
                return way[::-1]
        return None


@pytest.mark.parametrize(
    ("entered", "is_walked"),
    [([0, 1, 2], True), ([1, 0, 0, 1, 0, 2], True), ([1, 0, 2], False), ([0, 1], False)],
)
def test_a_way_counts_only_in_the_order_of_its_rows(entered: list[int], is_walked: bool) -> None:
    trail = Trail(walk(TITLES[3])[:3])
    trail.entered = [(number, frozenset()) for number in entered]
    assert trail.is_walked() == is_walked


def assert_walked(trail: Trail, *, hands_over: Sequence[str] = ()) -> None:
    """Assert that a walk goes as the page says.

    Args:
        hands_over: Rooms that are entered when nobody of the walk is at work any more: from a
            socket, or in a task of their own.
    """
    trip = trail.trip()
    assert trip is not None
    for number, above in list(enumerate(trip))[1:]:
        step = trail.steps[number]
        if step.room in hands_over:
            continue
        assert above, f"{step.room} is not called by any room before it"
        assert max(above) < number, f"{step.room} is called by one that comes later"


# ── the walks ────────────────────────────────────────────────────────────────────────────────────

MARKET = SimulatorSettings(
    pairs=20,
    seed=5,
    rate=300.0,
    wire=WireSettings().prompt(),
    market=GeneratedMarketSettings(seed=5, edge_every=60),
)


def configured(folder: Path, **overrides: object) -> tuple[Settings, PluginRegistry]:
    registry = discover()
    settings = load_settings(
        registry.settings_sections(),
        folder=folder,
        environ={},
        overrides={
            "runtime": {"folder": str(folder)},
            # So that an order leaves within the event that decided it.
            "journal": {"fsync": "never"},
            "live": {"rehearsal_cycles": 0, "minimum_size_cycles": 0},
            "risk": {"maximum_event_lag_s": 0, "maximum_decision_age_s": 0, "cooldown_s": "0"},
            "log": {"level": "error"},
            **overrides,
        },
    )
    registry.configure(settings)
    return settings, registry


async def traded(
    folder: Path,
    dsn: Secret,
    enough: Callable[[TradingSession], bool],
    meanwhile: Callable[[TradingSession], None] = lambda _: None,
) -> str:
    """Trade live at the simulator until something holds; return the recording."""
    async with running_simulator(MARKET) as simulator:
        settings, registry = configured(
            folder,
            database={"dsn": dsn},
            kraken={
                "ws_url": simulator.ws,
                "ws_auth_url": simulator.ws_auth,
                "rest_url": simulator.rest,
                "api_key": Secret(simulator.key.key),
                "api_secret": Secret(simulator.key.secret),
                "account": "walk",
                "nonce_folder": str(folder),
                "transport": "websockets",
            },
        )
        venue = registry.make_venue(settings, "kraken")
        session = TradingSession(settings, registry, venue, mode=Mode.LIVE, account="walk")

        async def watch() -> None:
            try:
                await session.is_ready_to_trade.wait()
                meanwhile(session)
                await until(lambda: enough(session), "the walk")
            finally:
                session.stop("the test has seen enough")

        watching = asyncio.create_task(watch())
        outcome = await session.run()
        await watching
        return outcome.recording


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> Secret:
    return postgres_server.create()


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, the first rooms are one: what has no Python frame can't be watched."""
    monkeypatch.setenv(INTERPRETED, "1")
    monkeypatch.delenv(REQUIRED, raising=False)


@pytest.mark.usefixtures("interpreted")
async def test_a_frame_goes_to_the_bytes_of_an_order_as_the_page_says(
    tmp_path: Path, dsn: Secret
) -> None:
    trail = Trail(walk(TITLES[0]))
    with trail.followed():
        await traded(tmp_path, dsn, lambda _: trail.is_walked())
    assert_walked(trail)


async def test_a_fill_goes_to_the_ledger_as_the_page_says(tmp_path: Path, dsn: Secret) -> None:
    trail = Trail(walk(TITLES[1]))
    with trail.followed():
        await traded(tmp_path, dsn, lambda _: trail.is_walked())
    assert_walked(trail)


async def test_an_operators_halt_goes_to_the_machine_as_the_page_says(
    tmp_path: Path, dsn: Secret
) -> None:
    trail = Trail(walk(TITLES[2]))
    answers: list[int] = []

    def press(_: TradingSession) -> None:
        arguments = ["halt", "the walk", "--account", "walk", "--folder", str(tmp_path)]
        runner = CliRunner()
        threading.Thread(
            target=lambda: answers.append(runner.invoke(command_line, arguments).exit_code)
        ).start()

    with trail.followed():
        await traded(tmp_path, dsn, lambda _: trail.is_walked() and bool(answers), press)
    assert_walked(trail, hands_over=("control/server.py", "trading/run/commands.py"))
    assert answers == [0]


async def test_a_recorded_event_goes_to_its_decision_as_the_page_says(
    tmp_path: Path, dsn: Secret
) -> None:
    recording = await traded(tmp_path, dsn, lambda bot: bool(bot.state().cycles))
    trail = Trail(walk(TITLES[3]))
    with trail.followed():
        result = await asyncio.to_thread(CliRunner().invoke, command_line, ["replay", recording])
    assert result.exit_code == 0, result.output
    assert_walked(trail)
