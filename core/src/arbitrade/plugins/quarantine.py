"""Faults of plugins: counted, told, and after a budget the plugin is put aside.

Guards are where calls are made: the engine for detectors, the risk gate for rules, the kernel for
executors, `arbitrade.calls.awaited` for sinks and services.  They veto what failed and report it
here.  A verdict is only spoken here: it becomes an event of the run, carried out when that is
handled, so that a replay puts the plugin aside at the same place.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NoReturn

import attrs

from arbitrade.calls import OnFault, PluginInterruptedError
from arbitrade.config import PluginSettings
from arbitrade.errors import NonsenseError, PluginError
from arbitrade.plugins.culprits import Culprits
from arbitrade.plugins.plugin import CORE
from arbitrade.plugins.registry import PluginRegistry

BLOCKED_TWICE = 2
_LONGEST_SHOWN = 200
_ROLES = {
    "detectors": "detector",
    "risk_rules": "risk rule",
    "executors": "executor",
    "alert_sinks": "alert sink",
    "services": "service",
}


@attrs.frozen
class Fault:
    """One thing a plugin's object did wrong.

    Args:
        plugin: Whose object it is.
        subject: Role and name of the object: `detector wide`.
        kind: `raised`, `blocked` or `lied`.
        message: What it raised, or what is wrong with its answer.
        where: File and line of the plugin's own code; empty when that can't be said.
    """

    plugin: str
    subject: str
    kind: str
    message: str
    where: str

    def __str__(self) -> str:
        """Return it as half a sentence."""
        at = f" at {self.where}" if self.where else ""
        return f"{self.subject} {self.kind}{at}: {self.message}"


def fault_of(
    registry: PluginRegistry,
    culprits: Culprits,
    role: str,
    name: str,
    error: BaseException,
    source: object,
) -> Fault:
    """Return a fault with its owner and place."""
    owner = registry.owner(role, name) or CORE
    if isinstance(error, PluginInterruptedError):
        kind, message = "blocked", str(error)
    elif isinstance(error, NonsenseError):
        kind, message = "lied", str(error)
    else:
        kind, message = "raised", type(error).__name__
        if role != "alert_sinks":  # What goes wrong on the way to an address may quote its secrets.
            message += f": {error}"
    where = culprits.raised(error, owner) or culprits.defined(source)
    return Fault(owner, f"{_ROLES.get(role, role)} {name}", kind, message[:_LONGEST_SHOWN], where)


def stopping(registry: PluginRegistry) -> OnFault:
    """Return what ends a command at the first fault: half a result is no result."""
    culprits = Culprits(registry)

    def stop(role: str, name: str, error: BaseException, source: object) -> NoReturn:
        fault = fault_of(registry, culprits, role, name, error, source)
        way_out = f"to go on without it: arbitrade plugins disable {fault.plugin}"
        raise PluginError(f"{fault.plugin}: {fault}; {way_out}") from error

    return stop


class Quarantine:
    """Keeps the faults of a run.

    Args:
        registry: Knows whose each object is.
        settings: The budgets.
        on_fault: Told each fault, and whether it is the first one of its object.
        on_verdict: Told the plugin to put aside and why, once until `lift`; None never does, which
            is how a replay has it: there the run's own verdict is among the events.
        now_s: A monotonic clock.
    """

    def __init__(
        self,
        registry: PluginRegistry,
        settings: PluginSettings,
        on_fault: Callable[[Fault, bool], None] = lambda fault, is_first: None,
        on_verdict: Callable[[str, str], None] | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._on_fault = on_fault
        self._on_verdict = on_verdict
        self._now_s = now_s
        self._recent: dict[str, deque[tuple[float, str]]] = {}
        self._condemned: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self.culprits = Culprits(registry)
        self.counts: Counter[str] = Counter()
        """Faults by plugin since the start."""

    def report(self, role: str, name: str, error: BaseException, source: object) -> None:
        """Take a fault; satisfies `OnFault`."""
        self.take(fault_of(self._registry, self.culprits, role, name, error, source))

    def take(self, fault: Fault) -> None:
        """Count a fault, tell of it, and speak the verdict when the budget is spent."""
        self.counts[fault.plugin] += 1
        first = (fault.subject, fault.kind)
        is_first = first not in self._told
        self._told.add(first)
        self._on_fault(fault, is_first)
        if self._on_verdict is None or fault.plugin in self._condemned or fault.plugin == CORE:
            return
        reason = self._over_budget(fault)
        if reason:
            self._condemned.add(fault.plugin)
            self._on_verdict(fault.plugin, reason)

    def lift(self, plugin: str) -> None:
        """Begin anew with a plugin."""
        self._condemned.discard(plugin)
        self._recent.pop(plugin, None)
        self._told.clear()

    def _over_budget(self, fault: Fault) -> str:
        chosen, now = self._settings, self._now_s()
        recent = self._recent.setdefault(fault.plugin, deque(maxlen=chosen.fault_budget))
        recent.append((now, fault.kind))
        since = now - chosen.fault_window_s
        kinds = [kind for at, kind in recent if at >= since]
        if len(kinds) >= chosen.fault_budget:
            return f"{len(kinds)} faults, the last: {fault}"
        if kinds.count("blocked") >= BLOCKED_TWICE:
            return f"it blocked {BLOCKED_TWICE} times, the last: {fault}"
        return ""
