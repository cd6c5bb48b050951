"""The parts of a run, as its session made them; what watches, carries out and tells of it reads."""

from datetime import datetime

import attrs

from arbitrade.alerts.dispatch import Alerts
from arbitrade.config import Settings
from arbitrade.control.server import ControlServer
from arbitrade.plugins import PluginRegistry
from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import Feed, Venue
from arbitrade.trading.run.clock import RunClock
from arbitrade.trading.run.ground import Ground
from arbitrade.trading.run.hands import Hands
from arbitrade.trading.run.outlet import Outlet
from arbitrade.trading.run.rig import Rig
from arbitrade.trading.run.shell import Shell
from arbitrade.trading.run.tape import Tape
from arbitrade.trading.run.warden import Warden


@attrs.frozen
class Parts:
    """Everything a run is made of.

    Args:
        run_id: A UUID.
        account: Name of the account.
        command: Which command runs it.
        began: When it was made.
        began_ns: The same by its clock.
    """

    settings: Settings
    registry: PluginRegistry
    venue: Venue
    hands: Hands
    run_id: str
    account: str
    command: str
    began: datetime
    began_ns: int
    clock: RunClock
    ground: Ground
    alerts: Alerts
    outlet: Outlet
    tape: Tape
    shell: Shell
    feed: Feed
    rig: Rig
    warden: Warden
    watchdog: Watchdog
    control: ControlServer
