"""REST requests: signed, counted, tried again only where that is safe, errors translated once."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from importlib.metadata import version
from random import Random, SystemRandom
from typing import Any

import aiohttp
import attrs
import structlog

from arbitrade import Secret, SystemClock
from arbitrade.errors import MessageError, VenueError, VenueUnavailableError
from arbitrade.protocols import Clock
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.rest.call_budget import CallBudget
from arbitrade_kraken.rest.nonces import NonceFile
from arbitrade_kraken.rest.signing import Field, form_payload, json_payload, sign
from arbitrade_kraken.token_bucket import TokenBucket
from arbitrade_kraken.venue_errors import (
    NonceError,
    RateLimitedError,
    RequestError,
    is_ambiguous,
    make_error,
    split_warnings,
    worst,
)

log = structlog.stdlib.get_logger(__name__)

_READ_TRIES = 4
_PUBLIC_BURST = 5.0
_PUBLIC_PER_S = 1.0
_USER_AGENT = f"arbitrade-kraken/{version('arbitrade-kraken')}"
_THROTTLED = re.compile(r"Throttled:\s*(\d+)")


@attrs.frozen
class Credentials:
    """An API key.  Shown nowhere, not even in part.

    Args:
        api_key: The public half.
        api_secret: The private half, base64.
        nonces: Where the key's nonces come from.
    """

    api_key: Secret = attrs.field(repr=False)
    api_secret: Secret = attrs.field(repr=False)
    nonces: NonceFile = attrs.field(repr=False)


class RestClient:
    """Asks the venue's REST API.

    Private calls of a key go out one after the other, because one that is overtaken by a larger
    nonce is refused.  Urgent ones don't wait their turn: what they overtake is signed anew.

    Args:
        base_url: `https://…` without a path.
        credentials: For private calls.
        budget: The key's call counter.
        timeout_s: Longest wait for one answer.
        patience_s: Longest wait for room in the call counter.
        clock: For durations and the time until which the venue throttles.
        random: For the jitter of waits.
        sleep: How to wait.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        budget: CallBudget | None = None,
        timeout_s: float = 10.0,
        patience_s: float = 15.0,
        clock: Clock | None = None,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._clock = clock or SystemClock()
        self._budget = budget or CallBudget("starter", self._now)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._random = random or SystemRandom()
        self._sleep = sleep
        self._public = TokenBucket(_PUBLIC_BURST, _PUBLIC_PER_S, self._now)
        self._turn = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of all sockets.  Another call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def public(self, method: str, params: Mapping[str, str] | None = None) -> Any:
        """Return the result of a public call, numbers as `Decimal` and `int`.

        Raises:
            VenueError: What `venue_errors` makes of the venue's words.
            VenueUnavailableError: No answer, several times over.
            MessageError: The answer is none.
        """

        async def ask() -> Any:
            await self._sleep(self._public.take())
            url = f"{self._base_url}/0/public/{method}"
            return await self._exchange(method, "GET", url, params=dict(params or {}))

        return await self._repeated(method, ask)

    async def private(
        self,
        method: str,
        fields: Mapping[str, Field] | None = None,
        *,
        cost: float = 1.0,
        matters: bool = False,
        is_urgent: bool = False,
        is_read: bool = True,
    ) -> Any:
        """Return the result of a private call, numbers as `Decimal` and `int`.

        Args:
            method: Name of the endpoint.
            fields: What goes into the body; nested values make it a JSON body.
            cost: Points it takes in the venue's call counter.
            matters: May use the points that are kept back.
            is_urgent: Waits neither for other private calls to end nor for room in the counter.
            is_read: Changes nothing, so that it may be repeated when no answer came.

        Raises:
            RateLimitedError: No room in the call counter within the patience; nothing was sent.
            VenueError: What `venue_errors` makes of the venue's words.
            VenueUnavailableError: No answer, or one that leaves open whether anything was done.
            MessageError: The answer is none.
        """
        body = dict(fields or {})

        async def ask() -> Any:
            if is_urgent:
                self._budget.count(cost)
            else:
                await self._room(method, cost, matters=matters)
            try:
                return await self._signed(method, body, is_urgent=is_urgent)
            except NonceError:
                # Refused before it was looked at, so that even a write may go out again.
                log.warning("kraken.nonce_refused", method=method)
                return await self._signed(method, body, is_urgent=is_urgent)

        return await (self._repeated(method, ask) if is_read else ask())

    # ── one call ─────────────────────────────────────────────────────────────────────────────────

    async def _repeated(self, method: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        backoff = Backoff(0.25, 5.0, self._random)
        for tries_left in reversed(range(_READ_TRIES)):
            try:
                return await ask()
            except VenueUnavailableError as error:
                if not tries_left or not is_ambiguous(error):
                    raise
                log.debug("kraken.rest_repeated", method=method, reason=str(error))
            await self._sleep(backoff.next(self._now()))
        raise AssertionError("unreachable: the last try returns or raises")

    async def _room(self, method: str, cost: float, *, matters: bool) -> None:
        waited_s = 0.0
        while (wait_s := self._budget.try_take(cost, matters=matters)) > 0:
            waited_s += wait_s
            if waited_s > self._patience_s:
                raise RateLimitedError(
                    f"kraken: {method}: not sent, the REST call counter has no room for "
                    f"{wait_s:.0f} s more; ask less often, or set kraken.tier to the account's own"
                )
            await self._sleep(wait_s)

    async def _signed(self, method: str, fields: Mapping[str, Field], *, is_urgent: bool) -> Any:
        if is_urgent:
            return await self._send_signed(method, fields)
        async with self._turn:
            return await self._send_signed(method, fields)

    async def _send_signed(self, method: str, fields: Mapping[str, Field]) -> Any:
        credentials = self._credentials
        if credentials is None:
            raise RequestError(f"kraken: {method} needs an API key; set kraken.api_key")
        path = f"/0/private/{method}"
        nonce = credentials.nonces.next()
        plain = {name: value for name, value in fields.items() if isinstance(value, str)}
        if len(plain) == len(fields):
            payload, kind = form_payload(nonce, plain), "application/x-www-form-urlencoded"
        else:
            payload, kind = json_payload(nonce, fields), "application/json"
        headers = {
            "API-Key": credentials.api_key.reveal(),
            "API-Sign": sign(path, nonce, payload, credentials.api_secret.reveal()),
            "Content-Type": kind,
        }
        return await self._exchange(
            method, "POST", self._base_url + path, data=payload.encode(), headers=headers
        )

    async def _exchange(self, subject: str, verb: str, url: str, **request: Any) -> Any:
        problem = ""
        try:
            # A redirect would carry the key to somewhere else.
            async with self._open().request(
                verb, url, allow_redirects=False, **request
            ) as response:
                status, body = response.status, await response.read()
        except TimeoutError:
            problem = f"no answer within {self._timeout_s:g} s"
        except aiohttp.ClientError as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            # Not `from error`: aiohttp's exceptions hold the request with its headers.
            raise VenueUnavailableError(
                f"kraken: {subject}: {problem} ({self._base_url}); try again later"
            )
        return self._result(subject, status, body)

    def _result(self, subject: str, status: int, body: bytes) -> Any:
        if status != 200:
            raise _http_error(subject, status, self._base_url)
        answer = _json(subject, body)
        texts = answer.get("error") or []
        if not isinstance(texts, list):
            texts = [texts]
        errors, warnings = split_warnings(str(text) for text in texts)
        if warnings:
            log.warning("kraken.rest_warning", method=subject, warnings=warnings)
        if errors:
            raise self._refusal(subject, worst(errors))
        if answer.get("result") is None:
            raise MessageError(f"kraken: {subject}: an answer with neither error nor result")
        return answer["result"]

    def _refusal(self, subject: str, text: str) -> VenueError:
        error = make_error(subject, text)
        if isinstance(error, RateLimitedError) and not text.startswith("EOrder:"):
            until = _THROTTLED.search(text)
            wait_s = int(until[1]) - self._clock.now_ns() / 1e9 if until else 0.0
            self._budget.exceeded(min(wait_s, 600.0))
        return error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": _USER_AGENT},
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _http_error(subject: str, status: int, base_url: str) -> VenueError:
    """What reached the API always answers 200; anything else comes from what stands before it."""
    message = f"kraken: {subject}: HTTP {status} from {base_url}"
    if status in (418, 429):
        return RateLimitedError(f"{message}; too many requests from this address, wait")
    if status >= 500 or status == 408:
        return VenueUnavailableError(f"{message}; try again later")
    return RequestError(
        f"{message}; check kraken.rest_url, and that this network may use Kraken's API"
    )


def _json(subject: str, body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise MessageError(f"kraken: {subject}: the answer is not JSON ({error})") from error
    if not isinstance(answer, dict):
        raise MessageError(f"kraken: {subject}: the answer is not a JSON object")
    return answer
