"""Looks an installation over: what `arbitrade doctor` shows.

Reads settings and plugins, writes nothing, and connects to nothing but a database that runs.
"""

import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from arbitrade.doctor.finding import Finding, Health
from arbitrade.errors import ArbitradeError, ConfigError, MessageError
from arbitrade.hot import LOOP, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from arbitrade.config import Settings
    from arbitrade.engine.engine import Engine
    from arbitrade.models import Instruments, Opportunity
    from arbitrade.plugins import PluginRegistry
    from arbitrade.protocols import Detector, Venue

_LITTLE_ROOM_MB, _NO_ROOM_MB = 2_000, 100
_STAGE = "_hot"
_OLDEST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""The project is younger than any clock that is right."""


def examine(
    load: "Callable[[], Settings]",
    registry: "Callable[[], PluginRegistry]",
    settings_folder: Path,
) -> Iterator[Finding]:
    """Yield what there is to say, one check after the other; a broken one does not end it.

    Args:
        load: Reads the settings; what it raises is a finding.
        registry: Returns the plugins; called once `load` has returned, because settings that don't
            fit keep them from being chosen.
        settings_folder: Where the settings are.
    """
    yield _python()
    yield _clock()
    yield _compiled("core", LOOP)
    try:
        settings = load()
    except ArbitradeError as error:
        problems = error.problems if isinstance(error, ConfigError) else (str(error),)
        for problem in problems:
            yield Finding("settings", Health.BROKEN, problem)
        return
    yield Finding("settings", Health.GOOD, f"from {settings_folder}")
    yield _event_loop(settings)
    yield _room(settings)
    plugins = registry()
    yield _database(settings, plugins)
    yield from _plugins(plugins)
    try:
        venue = plugins.make_venue(settings, settings.venue)
        yield _hot_path(settings, plugins, venue)
    except ArbitradeError as error:
        yield Finding("hot path", Health.BROKEN, str(error))
    except Exception as error:  # of a plugin, say; the report is what is wanted of us
        yield Finding("hot path", Health.BROKEN, f"{type(error).__name__}: {error}; report it")


def _python() -> Finding:
    text = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    )
    return Finding("python", Health.GOOD, text)


def _clock() -> Finding:
    now = datetime.now(UTC)
    resolution_ns = round(time.get_clock_info("perf_counter").resolution * 1e9)
    text = f"{now:%Y-%m-%dT%H:%M:%SZ}, timer resolves {resolution_ns:,} ns"
    if now < _OLDEST_DAY:
        return Finding(
            "clock", Health.BROKEN, f"{text}: wrong; synchronise it, for instance by NTP"
        )
    return Finding("clock", Health.GOOD, text)


def _event_loop(settings: "Settings") -> Finding:
    from arbitrade.process.loops import loop_factory

    wanted = settings.runtime.event_loop
    try:
        factory = loop_factory(wanted)
    except ConfigError as error:
        return Finding("event loop", Health.BROKEN, str(error))
    if factory is not None:
        return Finding("event loop", Health.GOOD, factory.__module__.partition(".")[0])
    if wanted == "auto":
        text = "asyncio's own; install arbitrade[fast] for a faster one"
        return Finding("event loop", Health.NOTE, text)
    return Finding("event loop", Health.GOOD, "asyncio's own, as runtime.event_loop says")


def _compiled(owner: str, module: str) -> Finding:
    """Tell whether a stage runs compiled; interpreted is right, only slower."""
    check = f"stage of {owner}"
    try:
        reason = unavailable(module)
    except ConfigError as error:
        return Finding(check, Health.BROKEN, str(error))
    if reason is None:
        return Finding(check, Health.GOOD, "compiled")
    return Finding(check, Health.NOTE, f"interpreted: {reason}")


def _room(settings: "Settings") -> Finding:
    folder = Path(settings.recording.folder).absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK):
        return Finding(
            "disk", Health.BROKEN, f"{there}: can't be written; change recording.folder or its mode"
        )
    free_mb = shutil.disk_usage(there).free // 1_000_000
    text = f"{free_mb:,} MB free for {folder}"
    if free_mb < _NO_ROOM_MB:
        return Finding("disk", Health.BROKEN, f"{text}; make room or change recording.folder")
    if free_mb < _LITTLE_ROOM_MB:
        return Finding("disk", Health.NOTE, f"{text}; a day of all pairs takes more")
    return Finding("disk", Health.GOOD, text)


def _database(settings: "Settings", registry: "PluginRegistry") -> Finding:
    """Look at the database without starting or making one."""
    from arbitrade.doctor.database import examine_database

    try:
        return examine_database(settings, registry.migrations())
    except ArbitradeError as error:  # of a plugin's migrations
        return Finding("database", Health.BROKEN, str(error))


def _plugins(registry: "PluginRegistry") -> Iterator[Finding]:
    """Yield one finding a plugin, and one for its stage if it brings one.

    By agreement a plugin's compiled stage is the module `_hot` of its package.
    """
    from arbitrade.plugins import PluginState

    for plugin in registry:
        if plugin.name == "core":
            continue
        check = f"plugin {plugin.name}"
        state, reason = registry.state(plugin.name), registry.reason(plugin.name)
        if state is PluginState.FAILED:
            yield Finding(check, Health.BROKEN, f"{plugin.label}: {reason}")
        elif state is PluginState.DISABLED:
            yield Finding(check, Health.NOTE, f"disabled: {reason}")
        else:
            yield Finding(check, Health.GOOD, f"{plugin.distribution} {plugin.version}")
            package = plugin.target.partition(".")[0]
            if package and importlib.util.find_spec(f"{package}.{_STAGE}") is not None:
                yield _compiled(plugin.name, f"{package}.{_STAGE}")


def _hot_path(settings: "Settings", registry: "PluginRegistry", venue: "Venue") -> Finding:
    """Send made-up frames through both paths, which have to agree in everything."""
    from arbitrade.engine.assembly import make_engine
    from arbitrade.engine.engine import Engine
    from arbitrade.synthetic import MarketSettings, SyntheticMarket

    market = SyntheticMarket(MarketSettings(seed=1, pairs=24, frames=600))
    frames = tuple(market.frames())
    # Without fees there is something to find.
    free = attrs.evolve(settings, fees=attrs.evolve(settings.fees, taker=Decimal(0), overrides={}))

    def detectors(instruments: "Instruments") -> "tuple[Detector, ...]":
        return registry.detectors(free, instruments)

    fast: list[tuple[Opportunity, int]] = []
    plain: list[tuple[Opportunity, int]] = []
    chosen = make_engine(venue, detectors, lambda *found: fast.append(found))
    reference = Engine(venue, detectors, lambda *found: plain.append(found))
    readable = True
    try:
        for position, frame in enumerate(frames):
            for engine in (reference, chosen):
                engine.position = position
                engine.on_frame(frame)
    except MessageError:
        readable = False
    name, tally = chosen.hot_path, reference.tally()
    if not readable and not tally.right:
        return Finding("hot path", Health.GOOD, f"{name}; {venue.name} reads no made-up frames")
    same = (
        readable
        and fast == plain
        and chosen.tally() == tally
        and _levels(chosen) == _levels(reference)
    )
    if not same or tally.wrong:
        return Finding(
            "hot path",
            Health.BROKEN,
            f"{name}: comes to other results than the reference; set ARBITRADE_INTERPRETED=1 and "
            "report it",
        )
    health = Health.NOTE if name == "interpreted" else Health.GOOD
    text = (
        f"{name}; {tally.right:,} checksums right and {len(plain):,} sightings, as they should be"
    )
    return Finding("hot path", health, text)


def _levels(engine: "Engine") -> dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    return {symbol: (list(book.bids), list(book.asks)) for symbol, book in engine.books.items()}
