"""Keeps plugins that do harm from doing more: tells, puts aside, interrupts, takes back."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from arbitrade.alerts.dispatch import Alerts
from arbitrade.calls import Call, Calls
from arbitrade.config import Settings
from arbitrade.models import Alert, Severity
from arbitrade.plugins import PluginRegistry, PluginToggled
from arbitrade.plugins.culprits import Place
from arbitrade.plugins.overseer import Overseer
from arbitrade.plugins.plugin import CORE
from arbitrade.plugins.quarantine import Fault, Quarantine
from arbitrade.process.tasks import guarded
from arbitrade.protocols import Service
from arbitrade.records import PluginChanged
from arbitrade.trading.machine.events import PluginSwapped
from arbitrade.trading.run.outlet import Outlet
from arbitrade.trading.run.shell import Shell

log = structlog.stdlib.get_logger(__name__)


class Warden:
    """Watches over the plugins of a run.

    Args:
        settings: The budgets.
        registry: The plugins, configured.
        calls: Which of their code runs.
        alerts: The way to the sinks.
        outlet: Where faults are told, and verdicts written down.
        shell: Where a verdict goes as an event; it is carried out when that is handled.
        halt_file: Looked at from the watchdog's thread while a plugin holds everything up.
        poll_halt: Looks at it on the loop.
        pulse: Changes with every book message.
    """

    def __init__(
        self,
        settings: Settings,
        registry: PluginRegistry,
        calls: Calls,
        alerts: Alerts,
        outlet: Outlet,
        shell: Shell,
        halt_file: Path,
        poll_halt: Callable[[], object],
        pulse: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._calls = calls
        self._alerts = alerts
        self._outlet = outlet
        self._shell = shell
        self._halt_file = halt_file
        self._poll_halt = poll_halt
        self._loop = asyncio.get_running_loop()
        self._quarantine = Quarantine(registry, settings.plugins, self._on_fault, self._on_verdict)
        budget_s = settings.plugins.time_budget_ms / 1000
        self._overseer = Overseer(calls, budget_s, self._on_held, self._on_returned, pulse=pulse)
        self.look_s = min(0.1, budget_s / 4)
        """How often `look` wants to be called."""
        self._held: tuple[Call, Place] | None = None
        self._is_halt_seen = False
        self._services: dict[str, asyncio.Task[None]] = {}
        self.report = self._quarantine.report
        self._stop_listening = registry.on_toggle(self._on_toggle)

    def close(self) -> None:
        """Follow the plugins no more."""
        self._stop_listening()

    @property
    def counters(self) -> dict[str, int]:
        """Faults by plugin."""
        return {f"faults.{name}": count for name, count in self._quarantine.counts.items()}

    def serve(self, group: asyncio.TaskGroup, service: Service) -> "asyncio.Task[None]":
        """Run a service in a task of its own, for as long as its plugin takes part."""
        task = group.create_task(
            guarded(service, self._calls, self.report), name=f"service {service.name}"
        )
        self._services[service.name] = task
        return task

    # ── faults and verdicts ──────────────────────────────────────────────────────────────────────

    def _on_fault(self, fault: Fault, is_first: bool) -> None:
        log.log(
            30 if is_first else 10,
            "plugin.fault",
            plugin=fault.plugin,
            subject=fault.subject,
            kind=fault.kind,
            at=fault.where,
            message=fault.message,
        )
        if not is_first:
            return
        chosen = self._settings.plugins
        self._tell(
            Severity.WARNING,
            fault.plugin,
            f"plugin {fault.plugin}: {fault.subject} {fault.kind}"
            + (f" at {fault.where}" if fault.where else ""),
            f"{fault.message}. What it was asked for is left out; a rule refuses. After "
            f"{chosen.fault_budget} faults within {chosen.fault_window_s} s the plugin is put "
            "aside.",
        )

    def _on_verdict(self, plugin: str, reason: str) -> None:
        # Not within the frame or event at hand: between two of them it has a place in the order.
        self._loop.call_soon(self._put_aside, plugin, reason)

    def _put_aside(self, plugin: str, reason: str) -> None:
        self._tell(
            Severity.ERROR,
            plugin,
            f"plugin {plugin} is put aside",
            f"{reason}. Its detectors, rules, sinks and services are out; trading goes on without "
            f"them as far as it may. `arbitrade plugins enable {plugin}` lets it back in; "
            f"`arbitrade plugins disable {plugin}` keeps it out.",
        )
        self._outlet.audited("arbitrade", "quarantine", plugin, reason)
        self._outlet.write(PluginChanged(plugin, "quarantined", reason))
        self._shell.tell(PluginSwapped(plugin, "quarantined", reason))

    def _tell(self, severity: Severity, plugin: str, title: str, body: str) -> None:
        alert = Alert(severity, title, body, subject=f"plugin {plugin}")
        self._outlet.alert(alert, but=self._sinks_of(plugin))

    def _sinks_of(self, plugin: str) -> tuple[str, ...]:
        """Return the sinks an alert about a plugin is not for: it may be one that does the harm."""
        return () if plugin == CORE else self._registry.contributed(plugin).get("alert_sinks", ())

    def _on_toggle(self, toggled: PluginToggled) -> None:
        if toggled.is_enabled:
            self._quarantine.lift(toggled.name)
            self._alerts.add(self._registry.alert_sinks(self._settings, only=toggled.name))
            return
        self._alerts.drop(toggled.contributed.get("alert_sinks", ()))
        for name in toggled.contributed.get("services", ()):
            task = self._services.pop(name, None)
            if task is not None:
                task.cancel()

    # ── from the watchdog's thread ───────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Look whether a plugin holds everything up, and whether somebody wants trading halted."""
        self._overseer.look()
        if not self._overseer.is_held:
            self._is_halt_seen = False
        elif not self._is_halt_seen and os.path.lexists(self._halt_file):
            self._is_halt_seen = True
            log.critical("kill_switch.seen", file=str(self._halt_file), held_by=self.holder())
            # The first thing the loop does when it is back; orders wait for the journal longer.
            self._loop.call_soon_threadsafe(self._poll_halt)

    def holder(self) -> str:
        """Return which plugin holds everything up, and where; empty if none does."""
        return self.suspect() if self._overseer.is_held else ""

    def suspect(self) -> str:
        """Return which plugin holds everything up, or did last; empty if none ever did."""
        held = self._held
        return "" if held is None else f"plugin {held[1].plugin} at {held[1].where}"

    def on_stall(self, seconds: float) -> None:
        """Tell of an event loop that is held up, to everybody but who holds it."""
        held = self._held if self._overseer.is_held else None
        if held is None:
            self._outlet.on_stall(seconds)
        else:
            self._outlet.on_stall(seconds, self.holder(), self._sinks_of(held[1].plugin))

    def _on_held(self, call: Call, seconds: float) -> None:
        owner = self._registry.owner(call.role, call.name)
        place = self._quarantine.culprits.running(self._calls.frame(), owner)
        place = place or Place(owner or CORE, "a place that can't be seen")
        self._held = call, place
        log.error(
            "plugin.holds_the_loop",
            plugin=place.plugin,
            role=call.role,
            at=place.where,
            seconds=round(seconds, 3),
        )

    def _on_returned(self) -> None:
        held = self._held
        if held is not None:
            call, place = held
            budget = f"{self._settings.plugins.time_budget_ms} ms"
            fault = Fault(
                place.plugin,
                f"{call.role} {call.name}".strip(),
                "blocked",
                f"a call took longer than plugins.time_budget_ms ({budget})",
                place.where,
            )
            self._loop.call_soon_threadsafe(self._quarantine.take, fault)
