"""A key, a secret or a token must be found nowhere: driven through every kind of failure."""

import asyncio
import base64
import io
import logging
import traceback
from decimal import Decimal
from typing import Any

import pytest
import structlog
from aiohttp import web

from arbitrade.errors import ArbitradeError
from arbitrade.models import OrderRequest, Side, TimeInForce
from arbitrade_kraken.account.account import make_account
from arbitrade_kraken.rest.client import Credentials

PIECE = 10
"""So many characters of a secret in a row are a leak: frames are logged cut off."""


class Hearing:
    """Everything that was said: every log record in full, unmasked, and every error shown."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def note(self, value: object) -> None:
        self.stream.write(f"{value!r}\n{value!s}\n")

    def note_error(self, error: BaseException) -> None:
        seen: set[int] = set()
        todo: list[BaseException | None] = [error]
        while todo:
            one = todo.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            self.stream.write("".join(traceback.format_exception(one)))
            self.note(one)
            self.note(one.args)
            self.note(vars(one))
            todo += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                todo += one.exceptions


@pytest.fixture
def hearing():
    hearing = Hearing()
    handler = logging.StreamHandler(hearing.stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    before, configured = root.level, structlog.get_config()
    root.addHandler(handler)
    root.setLevel(1)
    # Plain: nothing is masked here that the client itself lets out.
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    yield hearing
    structlog.configure(**configured)
    root.setLevel(before)
    root.removeHandler(handler)


def pieces(secret: str) -> set[str]:
    forms = {secret, base64.b64encode(secret.encode()).decode()}
    return {form[i : i + PIECE] for form in forms for i in range(len(form) - PIECE + 1)}


def leaked(text: str, *secrets: str) -> list[str]:
    return sorted({piece for secret in secrets for piece in pieces(secret) if piece in text})


def an_order(number: int) -> OrderRequest:
    return OrderRequest(
        f"canary-{number}",
        "SOL/EUR",
        Side.BUY,
        Decimal(1),
        Decimal(172),
        time_in_force=TimeInForce.GTC,
    )


def troubles() -> list[Any]:
    """Return refusals of every kind, anew: a response can be sent once."""
    return [
        "EAPI:Invalid key",
        "EAPI:Invalid signature",
        "EAPI:Invalid nonce",
        "EGeneral:Permission denied",
        "EAPI:Rate limit exceeded",
        "EService:Busy",
        "ENew:Unheard of",
        web.Response(status=502, text="bad gateway"),
        web.Response(status=403, text="no"),
        web.Response(status=200, text="<html>"),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
    ]


async def test_nothing_secret_is_said_whatever_goes_wrong(
    hearing, account_settings, venue_account, owner, pulse
):
    settings = account_settings(order_timeout_s=0.05, rest_timeout_s=0.2, rest_patience_s=0.0)
    hearing.note(settings)
    account = make_account(settings)
    hearing.note(account)
    hearing.note(vars(account))
    hearing.note(vars(account._private))
    hearing.note(vars(account._rest))
    # Every refusal, over REST.
    for trouble in troubles():
        venue_account.rest["CancelAll"] = trouble
        venue_account.rest["GetWebSocketsToken_"] = trouble
        try:
            await account.api.cancel_all()
        except ArbitradeError as error:
            hearing.note_error(error)
    venue_account.rest["CancelAll"] = lambda fields: asyncio.sleep(5)
    try:
        await account.api.cancel_all()
    except ArbitradeError as error:
        hearing.note_error(error)
    await account.close()
    # Everything that can happen on the private connection.
    account = make_account(account_settings(order_timeout_s=0.05, reconnect_s=0.01))
    running = asyncio.create_task(account.run(owner))
    await pulse.until(lambda: owner.is_ready)
    answers: list[Any] = [None, "EService:Busy", "EOrder:Insufficient funds", "ENew:What"]
    for number, answer in enumerate(answers):
        venue_account.answers["add_order"] = answer
        hearing.note(await account.add(an_order(number)))
    hearing.note(vars(account._private._token))
    hearing.note(vars(account._private))
    venue_account.stale.update(venue_account.tokens)
    del venue_account.answers["add_order"]
    hearing.note(await account.add(an_order(10)))
    await pulse.until(lambda: len(venue_account.tokens) >= 2)
    await venue_account.sockets[-1].send_str("no frame")
    await pulse.until(lambda: venue_account.attempts == 2 and owner.is_ready)
    # A session that ends in an error.
    venue_account.rest["GetWebSocketsToken"] = "EGeneral:Permission denied"
    await venue_account.sockets[-1].send_str("no frame")
    try:
        await running
    except ArbitradeError as error:
        hearing.note_error(error)
    hearing.note(owner.gaps)
    hearing.note(owner.readiness)
    said = hearing.stream.getvalue()
    assert "kraken.connection_lost" in said  # The ear works,
    assert "permissions_checked" in said
    assert "websockets" in said or "asyncio" in said  # for libraries at DEBUG too.
    secret = settings.api_secret.reveal()
    assert leaked(said, settings.api_key.reveal(), secret, *venue_account.tokens) == []
    assert "API-Sign" not in said


async def test_server_that_hangs_up_or_talks_nonsense_gets_nothing_out_of_us(
    hearing, account_settings
):
    """Whatever aiohttp makes of it must not carry the request's headers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(replies.pop())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = account_settings(rest_url=f"http://127.0.0.1:{port}")
    for reply in (b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut"):
        replies = [reply]
        account = make_account(settings)
        with pytest.raises(ArbitradeError) as raised:
            await account.api.cancel_all()
        hearing.note_error(raised.value)
        await account.close()
    server.close()
    await server.wait_closed()
    said = hearing.stream.getvalue()
    assert leaked(said, settings.api_key.reveal(), settings.api_secret.reveal()) == []


def test_the_ear_would_hear_a_leak() -> None:
    assert leaked("… kT3vYw0mQe8 …", "xxkT3vYw0mQe8RzLhB5nPsXc1uJd7aFgIo")


def test_credentials_show_nothing(account_settings) -> None:
    settings = account_settings()
    shown = repr(Credentials(settings.api_key, settings.api_secret, None))
    assert leaked(shown, settings.api_key.reveal(), settings.api_secret.reveal()) == []
