"""Makes the parts of a run, each of what it needs; nothing is opened, and nothing begins."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from arbitrade.alerts.dispatch import Alerts
from arbitrade.api import Bot
from arbitrade.calls import Calls
from arbitrade.config import Settings
from arbitrade.control.server import ControlServer
from arbitrade.models import Mode
from arbitrade.plugins import PluginRegistry
from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import Venue
from arbitrade.trading.run.clock import LiveClock, RunClock
from arbitrade.trading.run.ground import Ground
from arbitrade.trading.run.halting import Halting
from arbitrade.trading.run.hands import (
    LiveHands,
    Outside,
    PaperHands,
    account_at,
    choose_hands,
)
from arbitrade.trading.run.outlet import Outlet
from arbitrade.trading.run.parts import Parts
from arbitrade.trading.run.rig import Effects, Rig
from arbitrade.trading.run.shell import BufferShell, Shell
from arbitrade.trading.run.tape import Tape
from arbitrade.trading.run.warden import Warden


def make_parts(
    settings: Settings,
    registry: PluginRegistry,
    venue: Venue,
    bot: Bot,
    *,
    mode: Mode,
    account: str,
    command: str,
    credential: str | None,
    clock: RunClock,
    on_reconciled: Callable[[], None],
) -> Parts:
    """Return the parts of a run.

    Some know each other: the ground's alerts go out by the outlet, which gives up at the rig's
    gateway what the ground's journal can't keep.  Such calls come only once the run is opened, so
    they are closures over what is made further down.

    Args:
        settings: Everything configured.
        registry: The plugins, configured.
        venue: Where the market is, and in live mode the orders go.
        bot: Whom the control socket speaks for.
        mode: Live or paper.
        account: Name of a paper account; live takes the venue's.
        command: Which command runs it.
        credential: What the locks recognise the account by, beside its name.
        clock: The run's.
        on_reconciled: Told when balances have been compared with the venue's.

    Raises:
        UsageError: Live, and the venue takes no orders.
        ConfigError: Live, and there are no credentials.
    """
    hands = choose_hands(
        mode,
        live=lambda: LiveHands(account_at(venue, LiveClock(clock))),
        paper=lambda: PaperHands(settings.paper),
    )
    if hands.venue_account is not None:
        account = hands.venue_account.name
    run_id = str(uuid.uuid4())
    calls = Calls()
    alerts = Alerts(
        registry.alert_sinks(settings),
        calls=calls,
        on_fault=lambda *fault: warden.report(*fault),
    )
    ground = Ground(
        settings,
        registry.migrations(),
        venue.name,
        account,
        credential,
        needs_database=hands.is_real,
        on_alert=lambda alert: outlet.alert(alert),
        on_halt=lambda halt: halting.follow(halt),
        on_lock_lost=lambda why: outlet.on_lock_lost(why),
    )
    outlet = Outlet(
        venue.name,
        account,
        run_id,
        clock,
        alerts,
        ground.journal,
        ground.kill,
        fail_waiting=lambda reason: rig.gateway.fail_waiting(reason),
    )
    record = settings.journal.record
    tape = Tape(
        ground.folder / "recordings" if record else None,
        run_id,
        settings.recording.compression,
        outlet.on_tape_failed,
    )
    shell = (Shell if record else BufferShell)(clock, tape, outlet)
    halting = Halting(shell, outlet, lambda: rig.trader.halt_at_once())
    warden = Warden(
        settings,
        registry,
        calls,
        alerts,
        outlet,
        shell,
        ground.kill.path,
        ground.kill.poll,
        lambda: rig.engine.pulse,
    )
    feed = venue.make_feed(lambda instruments: rig.choose(instruments), shell)
    rig = Rig(
        settings,
        registry,
        venue,
        hands,
        run_id=run_id,
        clock=clock,
        effects=Effects(
            outlet.write,
            outlet.alert,
            outlet.halt,
            shell.decided,
            on_reconciled,
            warden.report,
            calls,
        ),
        outside=Outside(
            ground.journal,
            shell.tell,
            clock.real_ns,
            lambda: shell.event_began_ns,
            lambda: shell.is_in_frame,
            outlet.on_account_refused,
        ),
        act=shell.act,
        on_out_of_sync=feed.resync,
    )
    shell.attach(rig.trader, rig.engine)
    return Parts(
        settings=settings,
        registry=registry,
        venue=venue,
        hands=hands,
        run_id=run_id,
        account=account,
        command=command,
        began=datetime.now(UTC),
        began_ns=clock.real_ns(),
        clock=clock,
        ground=ground,
        alerts=alerts,
        outlet=outlet,
        tape=tape,
        shell=shell,
        feed=feed,
        rig=rig,
        warden=warden,
        watchdog=Watchdog(on_stall=warden.on_stall, look=warden.look, look_s=warden.look_s),
        control=ControlServer(bot, ground.folder, account),
    )
