"""What an operator may have done to a running bot; audited whether it is done or refused."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from arbitrade.api import Answer, Command
from arbitrade.errors import ArbitradeError, PluginError, UsageError
from arbitrade.plain_json import canonical
from arbitrade.process.tasks import until
from arbitrade.records import PluginChanged
from arbitrade.trading.machine.events import Commanded, PluginSwapped
from arbitrade.trading.machine.trader import check_limits
from arbitrade.trading.run.parts import Parts


class Commands:
    """Carries out commands: what changes the machine goes to it as an event.

    Args:
        parts: Of the run.
        stop: Ends the run in good order, with a reason.
    """

    def __init__(self, parts: Parts, stop: Callable[[str], None]) -> None:
        self._parts = parts
        self._stop = stop

    async def carry_out(self, command: Command) -> Answer:
        """Carry out a command and return when it is done or refused."""
        try:
            answer = await self._carry_out(command)
        except ArbitradeError as error:
            answer = Answer(False, str(error))
        detail = canonical({"arguments": dict(command.arguments), "done": answer.is_done})
        if command.name != "halt":
            # A halt is audited where the kill switch is followed, whoever turned it.
            self._parts.outlet.audited(command.actor, command.name, "bot", detail)
        return answer

    async def _carry_out(self, command: Command) -> Answer:
        actor, arguments = command.actor, dict(command.arguments)
        match command.name:
            case "halt":
                return await self._halt(actor, arguments.get("reason", ""))
            case "resume":
                return self._resume(actor, arguments.get("reason", ""))
            case "limits":
                return self._change_limits(actor, arguments)
            case "flatten":
                return await self._flatten(actor, arguments)
            case "plugin":
                return self._swap_plugin(actor, arguments)
            case "stop":
                self._stop(f"stopped by {actor}")
                return Answer(True, "stopping: cycles under way are brought to their end")
            case _:
                raise UsageError(f"command {command.name!r}: a bot knows no such command")

    async def _halt(self, actor: str, reason: str) -> Answer:
        kill = self._parts.ground.kill
        kept = await kill.engage_async(reason or "no reason given", actor)
        if kept:
            return Answer(True, "halted; it stays so over restarts until `arbitrade resume`")
        return Answer(True, f"halted, in memory only: {kill.problem}")

    def _resume(self, actor: str, reason: str) -> Answer:
        kill = self._parts.ground.kill
        if not kill.is_engaged:
            state = self._parts.rig.state.trading_state
            return Answer(False, f"not halted; trading is {state.value}")
        missing = self._parts.rig.missing_rules()
        if missing:
            return Answer(
                False,
                f"live.required_rules: {', '.join(missing)} not there, so trading stays halted; "
                "enable the plugins that bring them",
            )
        kill.clear(actor, reason)
        if self._parts.outlet.is_trading:
            # While starting or stopping nothing goes on; when the start is through, it does.
            self._parts.shell.tell(Commanded("resume", actor, {"reason": reason}))
        return Answer(True, "trading goes on")

    def _change_limits(self, actor: str, arguments: Mapping[str, str]) -> Answer:
        limit_book = self._parts.rig.limit_book
        check_limits(limit_book, arguments)
        self._parts.shell.tell(Commanded("limits", actor, arguments))
        return Answer(True, f"limits are at version {limit_book.version}")

    # ── flatten ──────────────────────────────────────────────────────────────────────────────────

    async def _flatten(self, actor: str, arguments: dict[str, str]) -> Answer:
        parts, state = self._parts, self._parts.rig.state
        is_moving = any(not cycle.is_at_rest for cycle in state.cycles.values())
        if is_moving or state.to_recover:
            return Answer(False, "cycles are under way; halt first, then flatten when they ended")
        cap = arguments.setdefault("loss_cap", str(parts.settings.execution.flatten_loss_cap))
        if not re.fullmatch(r"\d+(\.\d+)?", cap):
            raise UsageError(f"flatten: loss cap {cap!r} is no amount; write 25")
        if state.cycles:
            # Baskets that are only held: an operator's word goes before their executor's.
            parts.shell.tell(Commanded("leave", actor, {"reason": f"flatten by {actor}"}))
            await until(lambda: not state.cycles)
        sold, held = await self._flatten_each(actor, arguments)
        left = {a: f"{v:f}" for a, v in state.ledger.balances().items() if v}
        message = f"brought back: {', '.join(sold) or 'nothing'}"
        if held:
            message += f"; held, because it would cost more than the cap: {', '.join(held)}"
        return Answer(True, message, {"balances": left, "sold": sold, "held": held})

    async def _flatten_each(
        self, actor: str, arguments: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """Bring one asset after the other back; what one costs is off the cap of the next."""
        rig, sold, held = self._parts.rig, list[str](), list[str]()
        ledger, quoting = rig.state.ledger, rig.machine.quoting
        cap = Decimal(arguments["loss_cap"])
        target = arguments.get("to", rig.trader.view.limits.reference_asset)
        for asset in sorted(ledger.balances()):
            before = ledger.balances()
            if asset == target or quoting.is_dust(asset, before[asset]):
                continue
            told = {**arguments, "asset": asset, "loss_cap": f"{cap:f}"}
            self._parts.shell.tell(Commanded("flatten", actor, told))
            await until(lambda: not rig.state.cycles)
            cap = max(Decimal(0), cap - self._lost(before))
            left = ledger.balance(asset)
            if left < before[asset]:
                sold.append(f"{before[asset] - left:f} {asset}")
            if not quoting.is_dust(asset, left):
                held.append(f"{left:f} {asset}")
        return sold, held

    def _lost(self, before: Mapping[str, Decimal]) -> Decimal:
        """Return what balances are worth less than before, at the books as they are now."""
        rig, lost = self._parts.rig, Decimal(0)
        for asset, amount in rig.state.ledger.balances().items():
            moved = amount - before.get(asset, Decimal(0))
            lost -= rig.trader.view.value(asset, moved) or Decimal(0)
        return lost

    # ── plugins ──────────────────────────────────────────────────────────────────────────────────

    def _swap_plugin(self, actor: str, arguments: Mapping[str, str]) -> Answer:
        name, state = arguments.get("name", ""), arguments.get("state", "")
        if state not in ("enabled", "disabled"):
            raise UsageError(f"plugin {name}: state {state!r} is neither enabled nor disabled")
        registry = self._parts.registry
        try:
            is_needed = registry.check_swap(name, state)
        except PluginError as error:
            return Answer(False, str(error))
        wanted = set(self._parts.settings.live.required_rules)
        of_it = wanted & set(registry.contributed(name).get("risk_rules", ()))
        if state == "disabled" and of_it and self._parts.hands.is_real:
            return Answer(
                False,
                f"live.required_rules: {', '.join(sorted(of_it))} would be gone with {name}; "
                "stop the bot, or take them off the list",
            )
        if is_needed:
            self._parts.shell.tell(PluginSwapped(name, state, f"by {actor}"))
            problem = self._parts.rig.swap_problem
            if problem:
                return Answer(False, problem)
        self._parts.outlet.write(PluginChanged(name, state, f"by {actor}"))
        return Answer(True, f"{name} is {state}" if is_needed else f"{name} was {state} already")
