"""Questions that are asked until the venue answers."""

from collections.abc import Awaitable, Callable
from random import Random

import attrs
import structlog

from arbitrade.errors import VenueUnavailableError
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.backoff import Backoff

log = structlog.stdlib.get_logger(__name__)


@attrs.frozen(eq=False)
class Patience:
    """Asks again, with growing waits, while the venue can't be asked.

    Args:
        settings: How long to wait, and whose account it is.
        now: Seconds that never go back.
        random: For the jitter of waits.
        sleep: How to wait.
    """

    settings: KrakenAccountSettings = attrs.field(repr=False)
    now: Callable[[], float]
    random: Random
    sleep: Callable[[float], Awaitable[object]]

    async def answer[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer; any error but `VenueUnavailableError` ends it."""
        settings = self.settings
        backoff = Backoff(settings.reconnect_s, settings.reconnect_max_s, self.random, quick=0)
        while True:
            try:
                return await ask()
            except VenueUnavailableError as error:
                log.warning("kraken.not_answered", account=settings.account, reason=str(error))
            await self.sleep(backoff.next(self.now()))
