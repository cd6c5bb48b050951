"""What follows when the kill switch is turned: trading halts, for the record and with an alert."""

from collections.abc import Callable

from arbitrade.control.kill_switch import Halt
from arbitrade.models import Alert, Severity
from arbitrade.trading.machine.events import Commanded
from arbitrade.trading.run.outlet import Outlet
from arbitrade.trading.run.shell import Shell


class Halting:
    """Follows the kill switch, whoever turned it: an operator, a file, the bot itself.

    Args:
        shell: The way to the machine.
        outlet: The way to everybody else.
        halt_at_once: Halts the machine, within whatever it handles.
    """

    def __init__(self, shell: Shell, outlet: Outlet, halt_at_once: Callable[[], None]) -> None:
        self._shell = shell
        self._outlet = outlet
        self._halt_at_once = halt_at_once

    def follow(self, halt: Halt | None) -> None:
        """Halt; that the switch was cleared is for whoever cleared it to follow.

        Before the run is written down nothing follows: its first events look at the switch.
        """
        if halt is None or not self._outlet.is_written_down:
            return
        # The command may have to wait for the frame or event at hand, and for those in the queue:
        # nothing may begin meanwhile, least of all once the journal can't write it down.
        self._halt_at_once()
        self._shell.tell(Commanded("halt", halt.actor, {"reason": halt.reason}))
        self._outlet.audited(halt.actor, "halt", "trading", halt.reason)
        self._outlet.alert(
            Alert(
                Severity.CRITICAL,
                f"trading is halted: {halt.reason}",
                "Cycles under way are finished or unwound. `arbitrade resume` lets trading go on.",
                subject="trading",
            )
        )
