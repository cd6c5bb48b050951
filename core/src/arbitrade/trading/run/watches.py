"""What is looked at again and again while a run goes on, and told when it changes."""

import asyncio
from collections.abc import Coroutine, Iterator
from decimal import Decimal
from typing import Any

import structlog

from arbitrade.errors import ArbitradeError, AuthenticationError, VenueUnavailableError
from arbitrade.models import Alert, Instruments, Severity
from arbitrade.process.tasks import until
from arbitrade.protocols import Account
from arbitrade.records import InstrumentSeen, LatencyMeasured
from arbitrade.trading.machine.events import ClockTold, FeesTold, JournalTold, LagTold
from arbitrade.trading.run import status
from arbitrade.trading.run.parts import Parts

log = structlog.stdlib.get_logger(__name__)

_KILL_POLL_S = 0.02
_HEALTH_S = 0.1
_CLOCK_S = 1.0
_CLOCK_EVERY, _CLOCK_AGAIN = 60, 10
_FEES_S = 3600.0
_LATENCY_S = 10.0
_SKEW_TOLD_US = 10_000
_LAG_TOLD_US = 50_000


class Watches:
    """Watches a run's surroundings, each in a task of its own.

    Args:
        parts: Of the run.
        is_ready_to_trade: Set once the start is through.
    """

    def __init__(self, parts: Parts, is_ready_to_trade: asyncio.Event) -> None:
        self._parts = parts
        self._is_ready_to_trade = is_ready_to_trade
        self._known_instruments: Instruments | None = None
        self._journal_problem = ""
        self._durable = 0, 0
        """The last durable record, and since when it is the last."""
        self._lag_us = 0
        self._skew_us = 0
        self._is_clock_off = False
        self.is_clock_known = asyncio.Event()
        """Set once the venue's time was asked for, where there is an account to ask."""

    def tasks(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Yield what has to run until the market's feed is stopped, with a name each."""
        yield "kill switch", self._watch_kill_switch()
        yield "health", self._watch_health()
        yield "clock", self._watch_clock()
        yield "measurements", self._measure()
        account = self._parts.hands.venue_account
        if account is not None:
            yield "account", self._keep_account(account)
            yield "fees", self._keep_fees(account)

    async def _watch_kill_switch(self) -> None:
        while True:
            self._parts.ground.kill.poll()
            await asyncio.sleep(_KILL_POLL_S)

    # ── journal, database, event loop ────────────────────────────────────────────────────────────

    async def _watch_health(self) -> None:
        """Tell the machine about journal, database and event loop when that changes."""
        parts = self._parts
        while True:
            await asyncio.sleep(_HEALTH_S)
            parts.tape.flush()
            self._note_instruments()
            problem = self._find_journal_problem()
            if problem != self._journal_problem:
                self._journal_problem = problem
                if problem:
                    parts.outlet.alert(Alert(Severity.ERROR, "the journal has a problem", problem))
                parts.shell.tell(JournalTold(problem))
            lag = round(parts.watchdog.event_lag_s * 1e6)
            if max(lag, self._lag_us) > _LAG_TOLD_US and lag != self._lag_us:
                self._lag_us = lag
                parts.shell.tell(LagTold(lag))

    def _find_journal_problem(self) -> str:
        ground, chosen = self._parts.ground, self._parts.settings.journal
        if ground.journal.failure is not None:
            return str(ground.journal.failure)
        figures = ground.journal.statistics()
        if figures.spool_bytes > chosen.limit_mb << 20:
            return f"{figures.spool_bytes >> 20} MB wait for the database"
        waited_ms = self._journal_wait_ms(figures.waiting)
        if waited_ms > chosen.slow_ms:
            return f"journal slow: nothing became durable for {waited_ms:.0f} ms"
        since, grace = ground.writer.unavailable_since, chosen.database_grace_s
        if since is not None and grace and asyncio.get_running_loop().time() - since > grace:
            return f"the database has been away for over {grace:g} s"
        return ""

    def _journal_wait_ms(self, waiting: int) -> float:
        """Return for how long records have waited without any becoming durable."""
        now, durable = self._parts.clock.real_ns(), self._parts.ground.journal.durable_seq
        if not waiting or durable != self._durable[0]:
            self._durable = durable, now
        return (now - self._durable[1]) / 1e6

    def _note_instruments(self) -> None:
        """Write instruments down that are new or changed."""
        known, now = self._known_instruments, self._parts.rig.engine.instruments
        if now is known or now is None:
            return
        self._known_instruments = now
        traded = set(self._parts.rig.choose(now))
        for symbol, pair in now.items():
            if symbol in traded and (known is None or known.get(symbol) != pair):
                self._parts.outlet.write(InstrumentSeen(pair))

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    async def _watch_clock(self) -> None:
        """Tell the machine how far the wall clock is off, and the venue's."""
        parts, account = self._parts, self._parts.hands.venue_account
        venue_skew_ns, left = 0, 0
        while True:
            if account is not None and left <= 0:
                told = await self._venue_skew_ns(account)
                # Not answered: what was known holds on, and it is asked again sooner.
                left = _CLOCK_AGAIN if told is None else _CLOCK_EVERY
                venue_skew_ns = venue_skew_ns if told is None else told
            left -= 1
            worst = max(parts.clock.skew_ns(), venue_skew_ns, key=abs)
            skew_us = round(worst / 1000)
            if abs(skew_us - self._skew_us) >= _SKEW_TOLD_US:
                self._skew_us = skew_us
                parts.shell.tell(ClockTold(skew_us))
            self._alert_clock()
            self.is_clock_known.set()
            await asyncio.sleep(_CLOCK_S)

    def _alert_clock(self) -> None:
        """Tell when the clock begins to be too far off to trade, and when it no more is."""
        most = self._parts.rig.trader.view.limits.maximum_clock_skew_s
        off_s = self._skew_us / 1e6
        is_off = bool(most) and abs(off_s) > most
        if is_off == self._is_clock_off:
            return
        self._is_clock_off = is_off
        if is_off:
            alert = Alert(
                Severity.ERROR,
                f"the clock is off by {off_s:+.3f} s",
                f"More than risk.maximum_clock_skew_s ({most:f} s), so no cycle begins; see "
                "whether this machine's time is synchronised. After a step the run's own time goes "
                "on as before: restart to take over the right one.",
                subject="clock",
            )
        else:
            alert = Alert(
                Severity.INFO,
                "the clock is right again",
                f"Off by {off_s:+.3f} s.",
                subject="clock",
            )
        self._parts.outlet.alert(alert)

    async def _venue_skew_ns(self, account: Account) -> int | None:
        clock = self._parts.clock
        try:
            before = clock.real_ns()
            told = await account.server_time_ns()
        except ArbitradeError as error:
            log.warning("clock.venue_not_asked", error=str(error))
            return None
        half_way = (before + clock.real_ns()) // 2
        # The venue tells whole seconds.
        off = told + 500_000_000 - half_way
        return 0 if abs(off) <= 600_000_000 else off

    # ── the account ──────────────────────────────────────────────────────────────────────────────

    async def _keep_account(self, account: Account) -> None:
        """Run the account; should the venue refuse us later on, stop trading, not the run.

        Raises:
            AuthenticationError: The key is refused from the start, or may not do enough.
            VenueUnavailableError: The venue refuses for good, from the start.
        """
        try:
            await account.run(self._parts.shell)
        except (AuthenticationError, VenueUnavailableError) as error:
            if not self._is_ready_to_trade.is_set():
                raise
            log.critical("account.lost", error=str(error))
            self._parts.outlet.on_account_refused(str(error))

    async def _keep_fees(self, account: Account) -> None:
        """Reckon with what the account pays, from the start and once an hour."""
        rig = self._parts.rig
        await until(lambda: rig.engine.instruments is not None)
        while True:
            try:
                rates = await account.fee_rates(list(rig.choose(rig.engine.instruments or _NONE)))
            except ArbitradeError as error:
                log.warning("fees.not_told", error=str(error))
            else:
                taker = {rate.symbol: rate.taker for rate in rates}
                if taker != dict(rig.state.fees.overrides):
                    self._parts.shell.tell(FeesTold(tuple(rates)))
            await asyncio.sleep(_FEES_S)

    # ── measurements ─────────────────────────────────────────────────────────────────────────────

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(_LATENCY_S)
            self.write_latencies()

    def write_latencies(self) -> None:
        """Write down what was timed since the start."""
        for row in status.latencies(self._parts):
            if row.count and row.p50_us is not None:
                self._parts.outlet.write(
                    LatencyMeasured(
                        row.name,
                        self._parts.began_ns,
                        row.count,
                        _micros(row.p50_us),
                        _micros(row.p99_us),
                        _micros(row.p999_us),
                        _micros(row.p999_us),
                    )
                )


_NONE = Instruments()


def _micros(value: float | None) -> Decimal:
    return Decimal(str(round(value or 0.0, 3)))
