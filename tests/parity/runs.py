"""Short runs of the bot against the simulator, for tests that look at what they leave behind."""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from arbitrade.config import Secret, Settings
from arbitrade.config.load import load_settings
from arbitrade.models import Mode
from arbitrade.plugins import PluginRegistry, discover
from arbitrade.protocols import Service
from arbitrade.testing.patience import PATIENCE_S
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.session import TradingSession
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import running_simulator

MARKET = SimulatorSettings(
    pairs=30,
    seed=5,
    rate=400.0,
    wire=WireSettings().prompt(),
    market=GeneratedMarketSettings(seed=5, edge_every=150),
)


def prepared(
    folder: Path,
    dsn: Secret,
    overrides: Mapping[str, Mapping[str, object]],
    registry: PluginRegistry | None = None,
) -> tuple[Settings, PluginRegistry]:
    registry = registry or discover()
    given: dict[str, dict[str, object]] = {
        "runtime": {"folder": str(folder)},
        "database": {"dsn": dsn},
        "recording": {"compression": "zstd"},
        "live": {"rehearsal_cycles": 0, "minimum_size_cycles": 0},
        "risk": {"maximum_orders_per_minute": 0, "cooldown_s": "0", "maximum_cycles": 5},
        "paper": {"send_ms": "uniform(1,20)", "ack_ms": "lognormal(5,0.5)"},
        "log": {"level": "error"},
    }
    for name, values in overrides.items():
        given[name] = {**given.get(name, {}), **values}
    settings = load_settings(
        registry.settings_sections(), folder=folder, environ={}, overrides=given
    )
    registry.configure(settings)
    return settings, registry


async def traded(
    folder: Path,
    dsn: Secret,
    mode: Mode,
    enough: Callable[[TradingSession], bool],
    meanwhile: Callable[[TradingSession], object] | None = None,
    services_of: str = "",
    **overrides: Mapping[str, object],
) -> RunOutcome:
    """Trade at the simulator until something holds; return what was done.

    Args:
        services_of: A plugin whose services run beside it.
    """
    async with running_simulator(MARKET) as simulator:
        kraken: dict[str, object] = {
            "ws_url": simulator.ws,
            "ws_auth_url": simulator.ws_auth,
            "rest_url": simulator.rest,
            "api_key": Secret(simulator.key.key),
            "api_secret": Secret(simulator.key.secret),
            "account": f"parity-{uuid.uuid4().hex[:8]}",
            "nonce_folder": str(folder),
        }
        settings, registry = prepared(folder, dsn, {"kraken": kraken, **overrides})
        session = TradingSession(
            settings,
            registry,
            registry.make_venue(settings, "kraken"),
            mode=mode,
            account=f"parity-{uuid.uuid4().hex[:8]}",
        )

        async def watch() -> None:
            if meanwhile is not None:
                await until(lambda: bool(session.parts.rig.state.order_count))
                answer = meanwhile(session)
                if asyncio.iscoroutine(answer):
                    await answer
            await until(lambda: enough(session))
            session.stop("the test has seen enough")

        watching = asyncio.create_task(watch())

        def services(bot: TradingSession) -> Sequence[Service]:
            if not services_of:
                return ()
            history, tables = bot.database.history, bot.database.tables
            return registry.services(settings, bot, history, tables, only=services_of)

        report = await session.run(services)
        await watching
        return report


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


def several_cycles(session: TradingSession) -> bool:
    return session.parts.rig.state.portfolio.cycles.total() >= 4
