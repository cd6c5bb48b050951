"""Puts an application together: settings and plugins in, a working engine out."""

from collections.abc import Callable, Sequence
from typing import Any

from arbitrade.config import Settings
from arbitrade.engine.engine import Act, DetectorFactory, Engine
from arbitrade.hot import LOOP, load
from arbitrade.models import Episode, Instruments
from arbitrade.plugins import PluginRegistry, PluginToggled
from arbitrade.plugins.quarantine import stopping
from arbitrade.protocols import Clock, CompiledVenue, Detector, Venue


def assemble(
    settings: Settings,
    registry: PluginRegistry,
    venue: Venue,
    act: Act,
    *,
    depth: int | None = None,
    clock: Clock | None = None,
    max_lag_s: float | None = None,
    max_crossed_s: float | None = None,
    on_episode_end: Callable[[Episode], None] | None = None,
) -> Engine:
    """Return an engine with the detectors of all enabled plugins.

    Plugins that are enabled or disabled while it runs are swapped in and out between two events.
    A detector that fails ends everything, with its plugin and the line of its code.

    Args:
        settings: Everything configured.
        registry: The plugins, configured.
        venue: Whose frames the engine will take.
        act: Called with what each frame showed and its position in the input.
        depth: Levels a side of books whose subscription nobody saw.
        clock: Tells the age of messages.
        max_lag_s: Nothing is reported from a message older than this.
        max_crossed_s: A book crossed for longer is asked for anew.
        on_episode_end: Called with each stretch of an opportunity's life, once it is over.
    """

    def make_detectors(instruments: Instruments) -> Sequence[Detector]:
        return registry.detectors(settings, instruments)

    engine = make_engine(
        venue,
        make_detectors,
        act,
        depth=depth,
        clock=clock,
        max_lag_s=max_lag_s,
        max_crossed_s=max_crossed_s,
        on_episode_end=on_episode_end,
        on_fault=stopping(registry),
    )
    registry.on_toggle(_swapper(settings, registry, engine))
    return engine


def make_engine(venue: Venue, make_detectors: DetectorFactory, act: Act, **options: Any) -> Engine:
    """Return the fastest engine there is for this venue: compiled, else interpreted.

    Args:
        venue: Whose frames the engine will take.
        make_detectors: Builds the detectors once the instruments are known.
        act: Called with what each frame showed and its position in the input.
        options: Further arguments of `Engine`.

    Raises:
        ConfigError: The compiled path is required and not there.
    """
    loop = load(LOOP)
    if loop is None or not isinstance(venue, CompiledVenue) or venue.compiled_stage([]) is None:
        return Engine(venue, make_detectors, act, **options)
    # Imported here: where nothing is compiled, nothing of it is needed.
    from arbitrade.engine.compiled import CompiledEngine

    return CompiledEngine(loop, venue, make_detectors, act, **options)


def _swapper(
    settings: Settings, registry: PluginRegistry, engine: Engine
) -> Callable[[PluginToggled], None]:
    def swap(toggled: PluginToggled) -> None:
        if engine.instruments is None:
            return  # Detectors aren't made yet; the registry will be asked when they are.
        dropped = set(toggled.contributed.get("detectors", ()))
        kept = [detector for detector in engine.detectors if detector.name not in dropped]
        if toggled.is_enabled:
            kept += registry.detectors(settings, engine.instruments, only=toggled.name)
        engine.swap_detectors(kept)

    return swap
