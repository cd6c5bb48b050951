"""The venue's dead man's switch: put off again and again, let go before maintenance."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from arbitrade.models import VenueState
from arbitrade.protocols import Clock

log = structlog.stdlib.get_logger(__name__)

_RETRY_S = 2.0


class DeadMansSwitch:
    """Keeps the switch armed while there is a connection.

    When it fires the venue cancels every order of the account and stays disarmed.  Armed during
    maintenance it would cancel everything when the venue comes back.

    Args:
        seconds: After which it fires; 0 means it is not used.
        every_s: How often it is put off.
        arm: Arms it with so many seconds, 0 disarms; tells whether the venue confirmed.
        changed: Called when `is_safe` may have changed.
        clock: For announced maintenance.
    """

    def __init__(
        self,
        seconds: int,
        every_s: float,
        arm: Callable[[int], Awaitable[bool]],
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._seconds = seconds
        self._every_s = every_s
        self._arm = arm
        self._changed = changed
        self._clock = clock
        self._is_confirmed = False
        self._is_armed = False
        self._is_maintenance = False
        self._maintenance_at_ns: int | None = None
        self._wake = asyncio.Event()

    @property
    def is_safe(self) -> bool:
        """True when orders may stand: the venue confirmed the switch, or none is wanted."""
        return self._seconds == 0 or (self._is_confirmed and not self._is_held)

    async def keep(self) -> None:
        """Keep it armed until cancelled."""
        self._is_confirmed = False
        while self._seconds:
            self._wake.clear()
            if self._is_held:
                wait_s = await self._let_go()
            else:
                wait_s = await self._put_off()
            self._changed()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def disarm(self) -> bool:
        """Let it go for good, in an orderly end without open orders."""
        if not self._seconds or not self._is_armed:
            return True
        self._is_armed = self._is_confirmed = False
        return await self._arm(0)

    def on_status(self, state: VenueState, row: Mapping[str, Any]) -> None:
        """Take what the venue says of itself, and of maintenance to come."""
        self._is_maintenance = state is VenueState.MAINTENANCE
        self._maintenance_at_ns = _earliest(row.get("upcoming_maintenance"))
        self._wake.set()

    @property
    def _is_held(self) -> bool:
        if self._is_maintenance:
            return True
        if self._maintenance_at_ns is None:
            return False
        # Whatever was armed last must have been let go before it could fire.
        ahead_s = (self._maintenance_at_ns - self._clock.now_ns()) / 1e9
        return ahead_s < self._seconds + 2 * self._every_s

    async def _put_off(self) -> float:
        was, self._is_confirmed = self._is_confirmed, await self._arm(self._seconds)
        self._is_armed = self._is_armed or self._is_confirmed
        if self._is_confirmed:
            return self._every_s
        if was:
            log.error("kraken.dead_mans_switch_lost", seconds=self._seconds)
        return min(_RETRY_S, self._every_s)

    async def _let_go(self) -> float:
        if self._is_armed and await self._arm(0):
            self._is_armed = self._is_confirmed = False
            log.warning("kraken.dead_mans_switch_let_go", reason="maintenance")
        return min(_RETRY_S, self._every_s) if self._is_armed else self._every_s


def _earliest(rows: object) -> int | None:
    """Return the earliest time in an announcement, in nanoseconds since the epoch.

    The announcement's form is not documented: any RFC 3339 text in it counts.
    """
    found: list[datetime] = []
    for row in rows if isinstance(rows, list) else ():
        values = row.values() if isinstance(row, Mapping) else (row,)
        for value in values:
            if isinstance(value, str):
                with suppress(ValueError):
                    moment = datetime.fromisoformat(value)
                    found.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return int(min(found).timestamp() * 1e9) if found else None
