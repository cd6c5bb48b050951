"""The token every request on the private connection carries."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import structlog

from arbitrade import Secret
from arbitrade.errors import VenueUnavailableError
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.rest.answers import WebSocketToken

log = structlog.stdlib.get_logger(__name__)

_RETRY_S, _RETRY_MOST_S = 1.0, 30.0


class TokenKeeper:
    """Has a token that the venue still takes: fresh for each connection, renewed while that lasts.

    Args:
        fetch: Returns a fresh token.
        now: Seconds that never go back.
        random: For the jitter of waits.
        counters: Where `tokens_renewed` is counted.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[WebSocketToken]],
        now: Callable[[], float],
        random: Random,
        counters: Counter[str],
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._random = random
        self._counters = counters
        self._token: WebSocketToken | None = None
        self._refused = asyncio.Event()

    @property
    def value(self) -> Secret | None:
        """The newest token, None before the first."""
        return self._token.value if self._token is not None else None

    async def fetch(self) -> None:
        """Fetch one for a new connection: a token that has been used before may be refused.

        Raises:
            VenueUnavailableError: The venue gives none now.
            AuthenticationError: It gives this key none at all.
        """
        self._refused.clear()
        self._token = await self._fetch()

    def refused(self) -> None:
        """Take note that the venue refused the newest one; `keep` fetches another at once."""
        self._refused.set()

    async def keep(self) -> None:
        """Fetch another at half the life of the last, or as soon as that is refused, for ever."""
        backoff = Backoff(_RETRY_S, _RETRY_MOST_S, self._random)
        wait_s = self._half_life_s()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._refused.wait()
            try:
                self._token = await self._fetch()
            except VenueUnavailableError as error:
                wait_s = max(_RETRY_S, backoff.next(self._now()))
                log.warning("kraken.token_not_renewed", reason=str(error))
            else:
                self._counters["tokens_renewed"] += 1
                wait_s = self._half_life_s()
            # Only now: refusals that came meanwhile are about the old one.  And a venue that
            # refuses every token isn't asked in a loop.
            self._refused.clear()

    def _half_life_s(self) -> float:
        return self._token.expires_s / 2 if self._token is not None else _RETRY_S
